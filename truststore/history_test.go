package truststore_test

import (
	"errors"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestActivate(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	store := truststore.New(a.Root.Cert)
	first, err := store.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Add("b", b.Root.Cert); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(store.Aliases()[0]); err != nil {
		t.Fatal(err)
	}
	third, _ := store.Snapshot()
	if d := third.Since(first); len(d.Added) != 1 || len(d.Removed) != 1 || d.Added[0].Certificate.SHA256 != trustkeep.DescribeCertificate(b.Root.Cert).SHA256 || d.Generation != third.Generation() {
		t.Errorf("%+v", d)
	}
	if got := store.Remembered(); !slices.Equal(got, []uint64{1, 2, 3}) {
		t.Errorf("%v", got)
	}
	if err := store.Activate(first.Generation()); err != nil {
		t.Fatal(err)
	}
	fourth, _ := store.Snapshot()
	if !fourth.Contains(a.Root.Cert) || fourth.Contains(b.Root.Cert) || fourth.Generation() != 4 || !slices.Equal(store.Aliases(), []string{"a-root-ca"}) {
		t.Errorf("%v %d %q", fourth, fourth.Generation(), store.Aliases())
	}
	if err := store.Activate(3); err != nil { // and forward again
		t.Fatal(err)
	}
	if s, _ := store.Snapshot(); !s.Contains(b.Root.Cert) || s.Generation() != 5 {
		t.Errorf("%v", s)
	}
	for range 40 {
		if err := store.Activate(store.Remembered()[0]); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(store.Remembered()); n != 17 {
		t.Errorf("%d generations are remembered", n)
	}
	if err := store.Activate(1); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if d := third.Since(third); len(d.Added)+len(d.Removed) != 0 {
		t.Errorf("%+v", d)
	}
}
