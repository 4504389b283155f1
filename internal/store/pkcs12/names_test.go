package pkcs12

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// namesOf lists what each certificate is called: "alias", or "alias/name in the chain+another".
func namesOf(s *entry.Store) (names []string) {
	for _, e := range s.Entries {
		name := e.Alias
		for _, c := range e.Chain {
			name += "/" + c.Label
			for _, other := range c.OtherLabels {
				name += "+" + other
			}
		}
		names = append(names, strings.TrimRight(name, "/"))
	}
	return names
}

// A certificate that stands in a file several times under different names keeps all
// of them, also when the file is written again: as the JDK does it for a CA that is
// part of a chain and trusted as well.
func TestNamesOfRepetitions(t *testing.T) {
	store := newStore(t, 2, 0)
	ca := store.Entries[0].Chain[1].Raw
	key := func(i int, name string) []byte {
		plain, err := store.Entries[i].Key.Open(nil)
		if err != nil {
			t.Fatal(err)
		}
		return bag(oidKeyBag, plain, encodeAttributes(name, []byte(name), false, nil))
	}
	cert := func(raw []byte, name string, id []byte, trusted bool) []byte {
		return bag(oidCertBag, seq(oid(oidX509Cert), explicit(octets(raw))), encodeAttributes(name, id, trusted, nil))
	}
	leaf := func(i int, name string) []byte { return cert(store.Entries[i].Chain[0].Raw, name, []byte(name), false) }
	one, two := key(0, "one"), key(1, "two")
	for _, test := range []struct {
		what string
		bags [][]byte
		want []string
	}{
		{"also trusted", [][]byte{one, leaf(0, "one"), cert(ca, "CN=CA", nil, false), cert(ca, "ca", nil, true)},
			[]string{"one//CN=CA", "ca"}},
		{"also trusted, for two keys", [][]byte{one, two, cert(ca, "ca", nil, true), leaf(0, "one"), cert(ca, "CN=CA", nil, false), leaf(1, "two"), cert(ca, "CN=CA", nil, false)},
			[]string{"one//CN=CA", "two//CN=CA", "ca"}},
		{"also trusted, under one name", [][]byte{one, leaf(0, "one"), cert(ca, "ca", nil, false), cert(ca, "ca", nil, true)},
			[]string{"one", "ca"}},
		{"another name for each key", [][]byte{one, two, leaf(0, "one"), cert(ca, "A", nil, false), leaf(1, "two"), cert(ca, "B", nil, false), cert(ca, "A", nil, false)},
			[]string{"one//A+B", "two//A+B"}},
		{"first without a name", [][]byte{one, leaf(0, "one"), cert(ca, "", nil, false), cert(ca, "late", nil, false), cert(ca, "", nil, false)},
			[]string{"one//late"}},
		{"leaf twice", [][]byte{one, leaf(0, "one"), cert(store.Entries[0].Chain[0].Raw, "other", []byte("one"), false)},
			[]string{"one/+other"}},
		{"no keys", [][]byte{cert(ca, "A", nil, false), cert(ca, "B", nil, false), cert(ca, "C", nil, true), cert(ca, "A", nil, false)},
			[]string{"C/+A+B"}},
	} {
		s, err := Parse(pfxOf(nil, plainSafe(test.bags...)), noPassword())
		if err != nil {
			t.Fatalf("%s: %v", test.what, err)
		}
		if got := namesOf(s); !slices.Equal(got, test.want) {
			t.Errorf("%s: read as %q, want %q", test.what, got, test.want)
		}
		again, err := Parse(encoded(t, s, quick(Modern()), writeOptions("", "x")), readOptions("x"))
		if err != nil {
			t.Fatalf("%s: %v", test.what, err)
		}
		if got := namesOf(again); !slices.Equal(got, test.want) {
			t.Errorf("%s: written and read as %q, want %q", test.what, got, test.want)
		}
	}
}

// TestCorpusNames writes the files of a folder of third-party stores again and compares
// the names.
func TestCorpusNames(t *testing.T) {
	dir, files := corpus(t)
	read := 0
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.File))
		if err != nil {
			t.Fatal(err)
		}
		opts := entry.ReadOptions{AllowUnauthenticated: true, Budget: limits.New(trustkeep.Limits{})}
		if f.Password != nil {
			opts.Password = []byte(*f.Password)
		}
		s, err := Parse(data, opts)
		if err != nil {
			continue // TestCorpus says whether it should be
		}
		read++
		again, err := Parse(encoded(t, s, quick(Modern()), entry.WriteOptions{
			Password: []byte("x"), Rand: seeded(), Keep: func(*entry.Entry) bool { return true },
		}), readOptions("x"))
		if err != nil {
			t.Fatalf("%s: %v", f.File, err)
		}
		got, want := namesOf(again), namesOf(s)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", f.File, got, want)
		}
	}
	if read == 0 {
		t.Fatal("no PKCS#12 file was read")
	}
}
