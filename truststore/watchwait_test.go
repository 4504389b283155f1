package truststore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile/watchtest"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestWatchedNeverWaits(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store.p12")
	now := time.Now() // one name is one certificate, also when a second ends
	put := func(name string) {
		t.Helper()
		pki := testpki.New(t, testpki.Options{Name: name, Seed: name, Now: now})
		if err := truststore.New(pki.Root.Cert).Save(path, trustkeep.SaveOptions{Password: trustkeep.Password(watchtest.Password)}); err != nil {
			t.Fatal(err)
		}
	}
	watchtest.NeverWaits(t, path, put, func(p trustkeep.PasswordSource, ticks <-chan struct{}, o trustkeep.WatchOptions) (watchtest.Watched, error) {
		return truststore.Options{}.Ticking(ticks).Watch(path, p, o)
	})
}
