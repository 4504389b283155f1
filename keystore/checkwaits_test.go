package keystore_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestCheckThatChangesTheStore: a check that calls back into the store which it holds up,
// by itself or by others that it waits for, ends in an error and not in a deadlock.
func TestCheckThatChangesTheStore(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := newIdentity(t, pki.Server("a"))
	path := filepath.Join(t.TempDir(), "store")
	ks, certs := keystore.New(), truststore.New(pki.Root.Cert)
	stores := map[string]struct {
		save func(o trustkeep.SaveOptions) error
		edit func(alias string) error
	}{
		"keystore":   {func(o trustkeep.SaveOptions) error { return ks.Save(path+"k", o) }, func(alias string) error { return ks.SetIdentity(alias, id) }},
		"truststore": {func(o trustkeep.SaveOptions) error { return certs.Save(path+"t", o) }, func(alias string) error { return certs.Add(alias, id.Leaf()) }},
	}
	for name, s := range stores {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := trustkeep.SaveOptions{Rand: quickkdf.Rand(), Password: first}
				o.Check = func(trustkeep.Encoded) error {
					wantError(t, s.edit("by the check"), context.DeadlineExceeded, "SaveOptions.Check")
					wantError(t, s.save(trustkeep.SaveOptions{Password: first}), context.DeadlineExceeded)
					var others sync.WaitGroup
					for range 2 {
						others.Go(func() { wantError(t, s.edit("by others"), context.DeadlineExceeded) })
					}
					others.Wait()
					return nil
				}
				wantError(t, s.save(o), nil)
				wantError(t, s.edit("afterwards"), nil)
				o.Check = func(trustkeep.Encoded) error { panic("of a peer") }
				if err := s.save(o); err == nil {
					t.Error("saved")
				}
				// A check that takes long holds nobody up who comes in time.
				started := make(chan struct{})
				var other sync.WaitGroup
				other.Go(func() {
					<-started
					wantError(t, s.edit("in time"), nil)
				})
				o.Check = func(trustkeep.Encoded) error {
					close(started)
					synctest.Wait()
					return nil
				}
				wantError(t, s.save(o), nil)
				other.Wait()
			})
		})
	}
}
