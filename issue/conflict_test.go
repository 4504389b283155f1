package issue_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// never is a CA that must not be asked.
func never(t *testing.T) func(context.Context, []byte) ([]byte, error) {
	return func(context.Context, []byte) ([]byte, error) {
		t.Error("the CA was asked")
		return nil, errors.New("asked")
	}
}

// meddling holds certificates, and does something when it is asked for them: while a reply
// is judged.
type meddling struct {
	certs []*x509.Certificate
	do    func()
}

func (m meddling) Certificates() []*x509.Certificate { m.do(); return m.certs }

// What others do to a store while a certificate is made: to the entry it is a conflict, and
// nothing of theirs is lost; to anything else, and to how the key is protected, it is none.
func TestStoreChangesMeanwhile(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	stranger := put(t, keystore.New(), "stranger", issue.Options{Subject: cn("stranger")})
	edits := []struct {
		name     string
		do       func(ks *keystore.Keystore) error
		conflict bool
	}{
		{"renewed by another", func(ks *keystore.Keystore) error {
			_, err := renew(t.Context(), ks, "server", issue.RenewOptions{})
			return err
		}, true},
		{"replaced", func(ks *keystore.Keystore) error { return ks.SetIdentity(ks.Aliases()[0], stranger) }, true},
		{"renamed", func(ks *keystore.Keystore) error { return ks.Rename("server", "moved") }, true},
		{"deleted", func(ks *keystore.Keystore) error { return ks.Delete("server") }, true},
		{"chain edited", func(ks *keystore.Keystore) error {
			id, err := ks.Identity("server")
			if err != nil {
				return err
			}
			return ks.SetChain("server", id.Leaf(), root.Leaf())
		}, true},
		{"another entry added", func(ks *keystore.Keystore) error { return ks.AddIdentity("stranger", stranger) }, false},
		{"key unlocked", func(ks *keystore.Keystore) error { _, err := ks.Identity("server"); return err }, false},
		{"key password changed", func(ks *keystore.Keystore) error {
			return ks.ChangeKeyPassword("server", keyPassword, keyPassword)
		}, false},
		{"store password changed", func(ks *keystore.Keystore) error { return ks.ChangePassword(storePassword, storePassword) }, false},
		{"saved in another format", func(ks *keystore.Keystore) error {
			return ks.Save(t.TempDir()+"/store", trustkeep.SaveOptions{Format: trustkeep.JCEKS})
		}, false},
	}
	ways := map[string]func(ks *keystore.Keystore, do func()) (*keystore.Identity, error){
		"install": func(ks *keystore.Keystore, do func()) (*keystore.Identity, error) {
			answer, err := sign(intermediate, mustRequest(t, ks, "server"), issue.Options{})
			if err != nil {
				return nil, err
			}
			return install(ks, "server", answer, issue.InstallOptions{Trust: meddling{[]*x509.Certificate{root.Leaf()}, do}})
		},
		"renew": func(ks *keystore.Keystore, do func()) (*keystore.Identity, error) {
			return renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true, Sign: func(ctx context.Context, csr []byte) ([]byte, error) {
				do()
				return sign(intermediate, csr, issue.Options{})
			}})
		},
	}
	for way, act := range ways {
		for _, edit := range edits {
			t.Run(way+"/"+edit.name, func(t *testing.T) {
				ks := withKeyPassword(t, trustkeep.JKS)
				var theirs string
				id, err := act(ks, func() {
					if err := edit.do(ks); err != nil {
						t.Error(err)
					}
					theirs = content(ks)
				})
				if edit.conflict {
					wantError(t, err, trustkeep.ErrConflict)
					if now := content(ks); id != nil || now != theirs {
						t.Errorf("%v; the store has\n%s, had\n%s", id, now, theirs)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				opensAsBefore(t, ks, "server", id)
			})
		}
	}
}

// content lists what is in a store.
func content(ks *keystore.Keystore) (s string) {
	for _, e := range ks.Entries() {
		s += fmt.Sprintf("%q %x\n", e.Alias, e.RawChain)
	}
	return s
}

// Everybody at once, for the race detector: of those who renew one identity, each succeeds
// or is told of a conflict.
func TestRenewAndInstallAtOnce(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	ks := withKeyPassword(t, trustkeep.JKS)
	const rounds = 4
	var wg sync.WaitGroup
	try := func(f func() error) {
		wg.Go(func() {
			for done := 0; done < rounds; {
				err := f()
				switch {
				case err == nil:
					done++
				case !errors.Is(err, trustkeep.ErrConflict):
					t.Error(err)
					return
				}
			}
		})
	}
	o := issue.RenewOptions{Sign: signer(intermediate), NewKey: true}
	for range 3 {
		try(func() error { _, err := renew(t.Context(), ks, "server", o); return err })
	}
	try(func() error {
		id, err := ks.Identity("server")
		if err != nil {
			return err
		}
		csr, err := issue.Request(id, issue.Options{})
		if err != nil {
			return err
		}
		answer, err := sign(intermediate, csr, issue.Options{})
		if err != nil {
			return err
		}
		_, err = install(ks, "server", answer, issue.InstallOptions{})
		if errors.Is(err, trustkeep.ErrKeyMismatch) {
			return nil // the key was renewed since the request
		}
		return err
	})
	try(func() error {
		stranger, err := issue.New(issue.Options{Subject: cn("stranger")})
		if err != nil {
			return err
		}
		return errors.Join(ks.AddIdentity("stranger", stranger), ks.ChangePassword(storePassword, storePassword), ks.Delete("stranger"))
	})
	path := t.TempDir() + "/store.jks"
	try(func() error { return ks.Save(path, trustkeep.SaveOptions{}) })
	wg.Wait()
	id, err := ks.Identity("server")
	if err != nil || len(id.Chain()) != 3 || !id.Chain()[2].Equal(root.Leaf()) || ks.Len() != 2 {
		t.Fatal(id, err, ks.Len())
	}
	opensAsBefore(t, ks, "server", id)
}
