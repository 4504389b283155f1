// Package watchtest has the test that everything with a storefile.Watcher behind it passes.
package watchtest

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Password protects the store that is watched.
const Password = "changeit"

// Watched is what keystore and truststore watch.
type Watched interface {
	Err() error
	Reload(context.Context) error
	Close() error
}

// NeverWaits asks what is watched from its own callbacks, and while a password source hangs.
// put saves a store at path; one name is one content, under Password. watch follows it, with
// one look for each tick.
func NeverWaits(t *testing.T, path string, put func(name string),
	watch func(trustkeep.PasswordSource, <-chan struct{}, trustkeep.WatchOptions) (Watched, error)) {
	put("One")
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	close(answer)
	source := trustkeep.PasswordFunc(func() ([]byte, error) {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-answer
		return []byte(Password), nil
	})
	ticks, said := make(chan struct{}), make(chan error, 4)
	look := func() {
		for range 2 { // the second tick waits until the first look is done
			ticks <- struct{}{}
		}
	}
	var w Watched
	w, err := watch(source, ticks, trustkeep.WatchOptions{
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
	look()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	look()
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
