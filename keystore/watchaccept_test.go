package keystore

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// TestIdentityBetweenAcceptAndTake: an identity is not handed out as one that follows the
// file when the file has lost it already.
func TestIdentityBetweenAcceptAndTake(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	path := filepath.Join(t.TempDir(), "store.pem")
	a, b := pki.Server("a"), pki.Server("b")
	two := append(append(a.KeyPEM(), a.ChainPEM()...), append(b.KeyPEM(), b.ChainPEM()...)...)
	if err := os.WriteFile(path, two, 0o600); err != nil {
		t.Fatal(err)
	}
	w, err := Options{ticks: make(chan struct{})}.Watch(path, nil, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	next, err := w.parse(Options{}, path, false, append(a.KeyPEM(), a.ChainPEM()...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if live, err := w.Identity("b"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v, %v", live, err)
	}
	w.take(next)
	if live, err := w.Identity("a"); err != nil || !live.Identity().Leaf().Equal(a.Cert) {
		t.Errorf("%v, %v", live, err)
	}
}
