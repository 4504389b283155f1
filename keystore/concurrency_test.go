package keystore_test

import (
	"path/filepath"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// These run under the race detector.

func TestSaveBesideChangePassword(t *testing.T) {
	for range 20 {
		ks, path := stored(t, trustkeep.JKS)
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			if err := ks.ChangePassword(first, second); err != nil {
				t.Error(err)
			}
		})
		wg.Wait()
		if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		after, err := keystore.Load(path, second)
		if err != nil {
			t.Fatalf("the new password is lost: %v", err)
		}
		for _, alias := range []string{"one", "two"} {
			if _, err := after.Identity(alias); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestSavesOfOneKeystoreDoNotConflict(t *testing.T) {
	ks, path := stored(t, trustkeep.PKCS12)
	other := filepath.Join(t.TempDir(), "other")
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			to := path
			if i%4 == 3 {
				to = other
			}
			if err := ks.Save(to, trustkeep.SaveOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

// TestReadersBesideWriters: every reader sees one state, and none waits for a save.
func TestReadersBesideWriters(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks, path := stored(t, trustkeep.JKS)
	passwords := []trustkeep.PasswordSource{first, second}
	spare := newIdentity(t, pki.Server("spare"))
	done := make(chan struct{})
	var writers, readers sync.WaitGroup
	writers.Go(func() {
		for i := range 20 {
			if err := ks.ChangePassword(passwords[i%2], passwords[(i+1)%2]); err != nil {
				t.Error(err)
			}
			if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	writers.Go(func() {
		for range 40 {
			if err := ks.SetIdentityWithPassword("spare", spare, third); err != nil {
				t.Error(err)
			}
			if err := ks.Delete("spare"); err != nil {
				t.Error(err)
			}
		}
	})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if _, err := ks.Identity("one"); err != nil {
					t.Error(err)
				}
				if n := len(ks.Entries()); n != 2 && n != 3 {
					t.Errorf("%d entries", n)
				}
				if _, err := ks.IdentityWithPassword("one", third); !isIncorrect(err) {
					t.Errorf("wrong password: %v", err)
				}
				_, _ = ks.Path(), ks.String()
				if _, err := ks.Encode(trustkeep.SaveOptions{}); err != nil {
					t.Error(err)
				}
				if _, err := ks.CheckKey("two"); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
	if got := ks.Path(); got != path {
		t.Error(got)
	}
}
