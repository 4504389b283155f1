package bks

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
)

func typed(t *testing.T, err error) {
	t.Helper()
	for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrIncorrectPassword} {
		if errors.Is(err, sentinel) {
			return
		}
	}
	if err != nil {
		t.Errorf("untyped error %v", err)
	}
}

func addSeeds(f *testing.F) {
	f.Helper()
	for _, pattern := range []string{"testdata/*.bks*", "testdata/*.uber"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("no seed in %s: %v", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b)
		}
	}
}

// FuzzParse reads without checking the MAC and with little to spend on keys.
func FuzzParse(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		s, err := Parse(data, entry.ReadOptions{Budget: limits.New(trustkeep.Limits{MaxIterations: 10_000})})
		typed(t, err)
		if !bytes.Equal(data, before) {
			t.Error("input was changed")
		}
		if err != nil {
			return
		}
		opts := entry.WriteOptions{Password: []byte(storePassword), Keep: javatest.KeepAll}
		once, err := Encode(s, s.Format, opts)
		if err != nil {
			if !errors.Is(err, trustkeep.ErrUnsupported) { // a private key without certificates
				t.Fatalf("not writable: %v", err)
			}
			return
		}
		again, err := Parse(once, entry.ReadOptions{Password: []byte(storePassword), Budget: limits.New(trustkeep.Limits{})})
		if err != nil {
			t.Fatalf("not readable: %v", err)
		}
		if len(again.Entries) != len(s.Entries) {
			t.Errorf("%d entries became %d", len(s.Entries), len(again.Entries))
		}
	})
}

// FuzzUnlock opens whatever sealed keys there are.
func FuzzUnlock(f *testing.F) {
	s := mustParse(f, read(f, "keys.bks"), storePassword)
	for _, e := range s.Entries {
		if e.Key != nil {
			f.Add(e.Key.Protected, []byte(storePassword))
		}
	}
	f.Fuzz(func(t *testing.T, blob, password []byte) {
		for _, kind := range []entry.Kind{entry.Key, entry.Secret} {
			_, err := newSealedKey(blob, kind).Unlock(password, limits.New(trustkeep.Limits{MaxIterations: 1000}))
			typed(t, err)
		}
	})
}
