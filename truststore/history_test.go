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

// Going back restores the scopes of the generation, wider and narrower ones.
func TestActivateRestoresScopes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	alias, leaf := store.Aliases()[0], pki.Server(host)
	accepted := func() bool {
		_, err := store.Verify(leaf.Chain, truststore.VerifyOptions{Name: host, Time: pki.Now()})
		return err == nil
	}
	unbounded := store.Generation()
	noError(t, store.SetScope(alias, truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}}))
	forClients := store.Generation()
	noError(t, store.SetScope(alias, truststore.Scope{Names: []string{host}}))
	forHost := store.Generation()
	noError(t, store.Remove(alias))
	for generation, want := range map[uint64]bool{unbounded: true, forClients: false, forHost: true} {
		noError(t, store.Activate(generation))
		if accepted() != want {
			t.Errorf("generation %d: accepted %v, want %v", generation, !want, want)
		}
		if s, _ := store.Snapshot(); s.Plain() != (generation == unbounded) {
			t.Errorf("generation %d: plain %v", generation, s.Plain())
		}
	}
}

// Set keeps the alias and the scope of what stays, and gives them to nothing else.
func TestSetKeepsScopes(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	store := truststore.New()
	noError(t, store.Add("mine", pki.Root.Cert))
	noError(t, store.Add("other", other.Root.Cert))
	noError(t, store.SetScope("mine", truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}}))
	leaf := pki.Server(host)
	refused := func(when string) {
		t.Helper()
		if _, err := store.Verify(leaf.Chain, truststore.VerifyOptions{Name: host, Time: pki.Now()}); code(err) != truststore.CodeOutOfScope {
			t.Errorf("%s: %v", when, err)
		}
	}
	generation := store.Generation()
	noError(t, store.Set(pki.Root.Cert, other.Root.Cert, pki.Root.Cert, nil))
	if store.Generation() != generation {
		t.Error("nothing changed, and there is a new generation")
	}
	refused("the same certificates")
	noError(t, store.Set(other.Intermediate.Cert, pki.Root.Cert))
	refused("another certificate beside it")
	if got := store.Aliases(); len(got) != 2 || got[1] != "mine" {
		t.Errorf("aliases %q", got)
	}
	// What goes takes its scope along.
	noError(t, store.Set(other.Root.Cert))
	noError(t, store.Add("mine", pki.Root.Cert))
	if _, err := store.Verify(leaf.Chain, truststore.VerifyOptions{Name: host, Time: pki.Now()}); err != nil {
		t.Error(err)
	}
}
