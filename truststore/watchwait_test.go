package truststore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestWatchedNeverWaits asks what is watched from its own callbacks, and while a password
// source hangs.
func TestWatchedNeverWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.p12")
	password := trustkeep.Password("changeit")
	now := time.Now() // one name is one certificate, also when a second ends
	put := func(name string) {
		t.Helper()
		pki := testpki.New(t, testpki.Options{Name: name, Seed: name, Now: now})
		if err := truststore.New(pki.Root.Cert).Save(path, trustkeep.SaveOptions{Password: password}); err != nil {
			t.Fatal(err)
		}
	}
	put("One")
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	close(answer)
	source := trustkeep.PasswordFunc(func() ([]byte, error) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-answer
		return password.Reveal()
	})
	ticks, said := make(chan struct{}), make(chan error, 4)
	var w *truststore.Watched
	w, err := truststore.Options{}.Ticking(ticks).Watch(path, source, trustkeep.WatchOptions{
		OnChange: func(c trustkeep.Change) {
			if c.Empty() || c.Generation != 2 {
				t.Errorf("%+v", c)
			}
			said <- w.Err()
		},
		OnError: func(error) { said <- w.Err() },
	})
	if err != nil {
		t.Fatal(err)
	}
	within := func(what string, c <-chan error) error {
		t.Helper()
		select {
		case err := <-c:
			return err
		case <-time.After(20 * time.Second):
			t.Fatal(what + " waits for good")
			return nil
		}
	}
	async := func(f func() error) <-chan error {
		c := make(chan error, 1)
		go func() { c <- f() }()
		return c
	}
	put("Two")
	ticks <- struct{}{}
	if err := within("Err in OnChange", said); err != nil {
		t.Error(err)
	}
	put("Two") // with other salts
	look(ticks, 1)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look(ticks, 1)
	if err := within("Err in OnError", said); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if len(said) != 0 {
		t.Error("a callback without a change")
	}

	for len(asked) > 0 {
		<-asked
	}
	answer = make(chan struct{})
	put("Three")
	for hangs := false; !hangs; { // a second look, if the file got the number of the removed one
		select {
		case ticks <- struct{}{}:
		case <-asked:
			hangs = true
		}
	}
	if err := within("Err", async(w.Err)); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	reloaded := async(func() error { return w.Reload(ctx) })
	cancel()
	if err := within("Reload", reloaded); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := within("Close", async(w.Close)); err != nil {
		t.Error(err)
	}
	close(answer)
}
