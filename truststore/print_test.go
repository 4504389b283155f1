package truststore_test

import (
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// Whoever knows the password of a trust store can change it unnoticed.
func TestStoresPrintNoPassword(t *testing.T) {
	const canary = "hunter2canary"
	pki := testpki.New(t, testpki.Options{})
	password := trustkeep.Password(canary)
	path := filepath.Join(t.TempDir(), "trust.p12")
	if err := truststore.New(pki.Root.Cert).Save(path, trustkeep.SaveOptions{Password: password, Format: trustkeep.PKCS12}); err != nil {
		t.Fatal(err)
	}
	store, err := truststore.Load(path, password)
	if err != nil {
		t.Fatal(err)
	}
	watched, err := truststore.Watch(path, password, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	// fmt reads unexported fields as they are, so nothing may go on in them.
	if err := watched.Close(); err != nil {
		t.Fatal(err)
	}
	_, wrong := truststore.Load(path, trustkeep.Password(canary+"2"))
	snapshot, err := store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	testleak.Check(t, store, []byte(canary))
	testleak.Check(t, watched, []byte(canary))
	testleak.Check(t, snapshot, []byte(canary))
	testleak.Check(t, truststore.Union(store, watched), []byte(canary))
	testleak.Check(t, wrong, []byte(canary))
	testleak.Check(t, trustkeep.SaveOptions{Password: password}, []byte(canary))
}
