package truststore_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// scopedStore trusts one authority without bounds and another within a scope.
func scopedStore(t *testing.T, free, bound *testpki.PKI, scope truststore.Scope) *truststore.Truststore {
	t.Helper()
	store := truststore.New()
	noError(t, store.Add("free", free.Root.Cert))
	noError(t, store.Add("Bound", bound.Root.Cert))
	noError(t, store.SetScope("bound", scope))
	return store
}

// trusts reports for which names servers of the authority are accepted.
func trusts(t *testing.T, s truststore.Source, pki *testpki.PKI, names ...string) (out []string) {
	t.Helper()
	leaf := pki.Issue(testpki.Request{Names: names})
	snapshot, err := s.Snapshot()
	noError(t, err)
	for _, name := range names {
		if _, err := snapshot.Verify(leaf.Chain, truststore.VerifyOptions{Name: name, Time: pki.Now()}); err == nil {
			out = append(out, name)
		}
	}
	return out
}

// Scopes that a format cannot hold are saved in a file beside the store, with their
// certificates, which the store then does not hold: without the file, they are not trusted.
func TestScopesBesideTheStore(t *testing.T) {
	free, bound := testpki.New(t, testpki.Options{Name: "Free"}), testpki.New(t, testpki.Options{Name: "Bound"})
	const a, b = "a.example", "b.example"
	scope := truststore.Scope{Names: []string{a}, Purposes: []truststore.Purpose{truststore.Server, truststore.Client}, Until: free.Now().Add(time.Hour), DistrustAfter: free.Now()}
	for format, password := range map[trustkeep.Format]trustkeep.PasswordSource{
		trustkeep.PKCS12: trustkeep.Password("secret"), trustkeep.JKS: trustkeep.Password("secret"), trustkeep.BKS: trustkeep.Password("secret"),
		trustkeep.PEM: nil, trustkeep.DER: nil,
	} {
		path := filepath.Join(t.TempDir(), "trust")
		beside := path + ".scopes"
		store := scopedStore(t, free, bound, scope)
		noError(t, store.Save(path, trustkeep.SaveOptions{Format: format, Password: password}))
		load := func() *truststore.Truststore {
			t.Helper()
			loaded, err := truststore.Load(path, password)
			if err != nil {
				t.Fatalf("%s: %v", format, err)
			}
			return loaded
		}
		check := func(when string, s truststore.Source, wantFree, wantBound int) {
			t.Helper()
			if f, got := trusts(t, s, free, a, b), trusts(t, s, bound, a, b); len(f) != wantFree || len(got) != wantBound || wantBound == 1 && got[0] != a {
				t.Errorf("%s, %s: the free one counts for %v, the bound one for %v", format, when, f, got)
			}
		}
		loaded := load()
		check("loaded", loaded, 2, 1)
		if !slices.Contains(loaded.Aliases(), "Bound") || loaded.Len() != 2 {
			t.Errorf("%s: aliases %q", format, loaded.Aliases())
		}
		s, err := loaded.Snapshot()
		noError(t, err)
		if got := s.Scopes(bound.Root.Cert); len(got) != 1 || got[0].String() != scope.String() {
			t.Errorf("%s: %v, want %v", format, got, scope)
		}
		if info, err := os.Stat(beside); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", format, info, err)
		}
		watched, err := truststore.Watch(path, password, trustkeep.WatchOptions{})
		noError(t, err)
		check("watched", watched, 2, 1)

		// Saved again, by the loaded store and by Update.
		noError(t, loaded.Save(path, trustkeep.SaveOptions{}))
		check("saved again", load(), 2, 1)
		noError(t, truststore.Update(path, password, trustkeep.SaveOptions{}, func(u *truststore.Truststore) error {
			return u.SetScope("bound", truststore.Scope{Names: []string{a, b}})
		}))
		check("updated", load(), 2, 2)
		noError(t, watched.Reload(context.Background()))
		check("watched the update", watched, 2, 2)

		// Missing: not trusted, and never without bounds.
		content, err := os.ReadFile(beside)
		noError(t, err)
		noError(t, os.Remove(beside))
		check("file missing", load(), 2, 0)
		noError(t, watched.Reload(context.Background()))
		check("watched, file missing", watched, 2, 0)

		// Torn, empty, changed: refused as a whole.
		for what, damaged := range map[string][]byte{
			"torn": content[:len(content)/2], "empty": {}, "something else": []byte("{}"), "more behind": append(bytes.Clone(content), "{}"...),
			"another version": bytes.Replace(content, []byte(`"version":1`), []byte(`"version":2`), 1), "null": []byte("null"),
			"unknown field": bytes.Replace(content, []byte(`"version":1`), []byte(`"version":1,"x":1`), 1),
		} {
			noError(t, os.WriteFile(beside, damaged, 0o600))
			if _, err := truststore.Load(path, password); !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("%s, %s: %v", format, what, err)
			}
			if err := watched.Reload(context.Background()); err == nil {
				t.Errorf("%s, %s: the watched store took it", format, what)
			}
		}
		if password != nil {
			widened := bytes.Replace(content, []byte(`"b.example"`), []byte(`".example"`), 1)
			noMAC := append([]byte(`{"trustkeep":"scopes","version":1,`), content[bytes.Index(content, []byte(`"content"`)):]...)
			for what, changed := range map[string][]byte{"widened": widened, "without MAC": noMAC} {
				noError(t, os.WriteFile(beside, changed, 0o600))
				if _, err := truststore.Load(path, password); !errors.Is(err, trustkeep.ErrIncorrectPassword) && !errors.Is(err, trustkeep.ErrCorrupt) {
					t.Errorf("%s, %s: %v", format, what, err)
				}
			}
			noError(t, os.WriteFile(beside, content, 0o600))
			if format == trustkeep.JKS { // which reads without its password
				if _, err := truststore.Load(path, nil); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
					t.Errorf("%s, without the password: %v", format, err)
				}
			}
		}
		noError(t, watched.Close())

		// Without scopes the file goes, and another that is not ours stays.
		noError(t, os.WriteFile(beside, content, 0o600))
		loaded = load()
		noError(t, loaded.Remove("bound"))
		noError(t, loaded.Save(path, trustkeep.SaveOptions{}))
		if _, err := os.Stat(beside); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s: the file is still there: %v", format, err)
		}
		check("removed", load(), 2, 0)
		noError(t, os.WriteFile(beside, []byte("somebody's notes"), 0o600))
		noError(t, truststore.New(free.Root.Cert).Save(path, trustkeep.SaveOptions{Format: format, Password: password}))
		if data, err := os.ReadFile(beside); err != nil || string(data) != "somebody's notes" {
			t.Errorf("%s: %q, %v", format, data, err)
		}
	}
}

// Between the two files, a save that is interrupted leaves each certificate as it was or as it
// will be: trusted within its old or its new scope, never beyond both, never lost.
func TestInterruptedSaveOfScopes(t *testing.T) {
	one, two := testpki.New(t, testpki.Options{Name: "One"}), testpki.New(t, testpki.Options{Name: "Two"})
	const a, b = "a.example", "b.example"
	password := trustkeep.Password("secret")
	save := trustkeep.SaveOptions{Format: trustkeep.JKS, Password: password}
	path := filepath.Join(t.TempDir(), "trust.jks")
	beside := path + ".scopes"
	old := scopedStore(t, one, two, truststore.Scope{Names: []string{a}})
	noError(t, old.Save(path, save))
	oldStore, err := os.ReadFile(path)
	noError(t, err)
	oldBeside, err := os.ReadFile(beside)
	noError(t, err)
	loaded, err := truststore.Load(path, password)
	noError(t, err)
	// The bound one becomes free and the free one bound.
	noError(t, loaded.SetScope("bound", truststore.Scope{}))
	noError(t, loaded.SetScope("free", truststore.Scope{Names: []string{a}}))
	before, after, newStore, err := loaded.Around(trustkeep.SaveOptions{})
	noError(t, err)
	for i, disk := range [][2][]byte{{oldStore, oldBeside}, {oldStore, before}, {newStore, before}, {newStore, after}} {
		noError(t, os.WriteFile(path, disk[0], 0o600))
		noError(t, os.WriteFile(beside, disk[1], 0o600))
		s, err := truststore.Load(path, password)
		noError(t, err)
		ofOne, ofTwo := strings.Join(trusts(t, s, one, a, b), " "), strings.Join(trusts(t, s, two, a, b), " ")
		wantOne, wantTwo := a, a
		switch i {
		case 0:
			wantOne = a + " " + b
		case 3:
			wantTwo = a + " " + b
		}
		if ofOne != wantOne || ofTwo != wantTwo {
			t.Errorf("step %d: %q and %q, want %q and %q", i, ofOne, ofTwo, wantOne, wantTwo)
		}
	}
}

// Two writers of scopes do not lose each other's change.
func TestConflictOfScopes(t *testing.T) {
	one, two := testpki.New(t, testpki.Options{Name: "One"}), testpki.New(t, testpki.Options{Name: "Two"})
	path := filepath.Join(t.TempDir(), "trust.pem")
	noError(t, scopedStore(t, one, two, truststore.Scope{Names: []string{"a.example"}}).Save(path, trustkeep.SaveOptions{Format: trustkeep.PEM}))
	first, err := truststore.Load(path, nil)
	noError(t, err)
	second, err := truststore.Load(path, nil)
	noError(t, err)
	noError(t, first.SetScope("bound", truststore.Scope{Names: []string{"b.example"}}))
	noError(t, second.SetScope("bound", truststore.Scope{Names: []string{"c.example"}}))
	noError(t, first.Save(path, trustkeep.SaveOptions{}))
	if err := second.Save(path, trustkeep.SaveOptions{}); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("%v", err)
	}
	noError(t, first.Save(path, trustkeep.SaveOptions{}))
	again, err := truststore.Load(path, nil)
	noError(t, err)
	if got := trusts(t, again, two, "b.example", "c.example"); !slices.Equal(got, []string{"b.example"}) {
		t.Error(got)
	}
	// A format that cannot be empty needs an entry of its own.
	noError(t, first.Remove("free"))
	if err := first.Save(path, trustkeep.SaveOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
