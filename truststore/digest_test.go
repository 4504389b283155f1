package truststore_test

import (
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestDigest: equal trust has one digest, whatever its order and history, and all that trust
// consists of changes it.
func TestDigest(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}).Root.Cert, testpki.New(t, testpki.Options{Name: "B"}).Root.Cert
	digest := func(s truststore.Source) [32]byte {
		t.Helper()
		snapshot, err := s.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		d, err := snapshot.Digest()
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	scoped := func(scopes ...truststore.Scope) *truststore.Truststore {
		s := truststore.New(a, b)
		for i, scope := range scopes {
			if err := s.SetScope(s.Aliases()[i], scope); err != nil {
				t.Fatal(err)
			}
		}
		return s
	}
	changed := truststore.New(b)
	if err := changed.Add("other", a); err != nil {
		t.Fatal(err)
	}
	want := digest(truststore.New(a, b))
	for name, same := range map[string]truststore.Source{
		"order": truststore.New(b, a), "history and alias": changed, "union": truststore.Union(truststore.New(b), truststore.New(a, b)),
		"scope that bounds nothing": scoped(truststore.Scope{}),
	} {
		if digest(same) != want {
			t.Errorf("%s changes the digest", name)
		}
	}
	until := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
	seen := map[[32]byte]string{want: "both"}
	others := map[string]truststore.Source{
		"one": truststore.New(a), "the other": truststore.New(b), "none": truststore.New(),
		"pin": truststore.Union(truststore.New(a, b), truststore.Pinned(truststore.PinKey(a))), "another pin": truststore.Union(truststore.New(a, b), truststore.Pinned(truststore.PinCertificate(a))),
		"on the other": scoped(truststore.Scope{}, truststore.Scope{Until: until}),
	}
	// Every field of a scope, those of later versions included.
	for i := range reflect.TypeFor[truststore.Scope]().NumField() {
		var scope truststore.Scope
		field := reflect.ValueOf(&scope).Elem().Field(i)
		switch v := field.Addr().Interface().(type) {
		case *[]string:
			*v = []string{"host.example"}
		case *[]truststore.Purpose:
			*v = []truststore.Purpose{truststore.Client}
		case *time.Time:
			*v = until
		case *bool:
			*v = true
		default:
			t.Fatalf("a scope has a %T: say here what it could be", v)
		}
		others["scope, "+reflect.TypeFor[truststore.Scope]().Field(i).Name] = scoped(scope)
	}
	for name, other := range others {
		d := digest(other)
		if as, ok := seen[d]; ok {
			t.Errorf("%s has the digest of %s", name, as)
		}
		seen[d] = name
	}
	if n := reflect.TypeFor[truststore.Snapshot]().NumField(); n != 9 {
		t.Errorf("a Snapshot has %d fields: is a new one in the digest?", n)
	}
	var none *truststore.Snapshot
	if _, err := none.Digest(); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
