package jks

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
)

func seeds(f *testing.F) [][]byte {
	f.Helper()
	var out [][]byte
	for _, pattern := range []string{"testdata/*.jks", "testdata/*.jceks"} {
		names, err := filepath.Glob(pattern)
		if err != nil || len(names) == 0 {
			f.Fatalf("no seed in %s: %v", pattern, err)
		}
		for _, name := range names {
			b, err := os.ReadFile(name)
			if err != nil {
				f.Fatal(err)
			}
			out = append(out, b)
		}
	}
	return out
}

// typed reports an error that wraps none of the sentinels that a reader may
// return.
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

// FuzzParse reads stores with the right digest; what can be read must come
// out the same after it was written again.
func FuzzParse(f *testing.F) {
	for _, b := range seeds(f) {
		f.Add(b[:len(b)-sha1.Size])
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		data := resign(body, storePassword)
		before := bytes.Clone(data)
		s, err := Parse(data, entry.ReadOptions{Password: []byte(storePassword), Budget: limits.New(trustkeep.Limits{})})
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
			t.Fatalf("not writable: %v", err)
		}
		again, err := Parse(once, entry.ReadOptions{Password: []byte(storePassword), Budget: limits.New(trustkeep.Limits{})})
		if err != nil {
			t.Fatalf("not readable: %v", err)
		}
		twice, err := Encode(again, s.Format, opts)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("rewriting changed the store: %v", err)
		}
	})
}

// FuzzUnlock opens protected keys, private and secret, that cost little.
func FuzzUnlock(f *testing.F) {
	for _, b := range seeds(f) {
		s, err := Parse(b, entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})})
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range s.Entries {
			if e.Key != nil {
				f.Add(e.Key.Protected, []byte(storePassword))
			}
		}
	}
	cheap := &tripleDES{salt: []byte("saltSALT"), iterations: 1}
	secret, err := sealSecret(cheap, "AES", []byte("key"), []byte(storePassword))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(secret, []byte(storePassword))
	private, err := protectTripleDES(cheap, []byte("key"), []byte(storePassword))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(private, []byte(storePassword))
	f.Fuzz(func(t *testing.T, protected, password []byte) {
		budget := limits.New(trustkeep.Limits{MaxIterations: 1000})
		keys := []*entry.PrivateKey{newPrivateKey(protected)}
		if object, _, err := readObject(protected); err == nil {
			keys = append(keys, newSecretKey(object, protected))
		}
		for _, k := range keys {
			_, err := k.Unlock(password, budget)
			typed(t, err)
		}
	})
}

func FuzzObject(f *testing.F) {
	key, err := serializeSecret("AES", []byte("key"))
	if err != nil {
		f.Fatal(err)
	}
	sealed, err := serializeSealed([]byte("params"), []byte("content"), nameTripleDES)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key)
	f.Add(sealed)
	f.Fuzz(func(t *testing.T, data []byte) {
		o, n, err := readObject(data)
		typed(t, err)
		if err == nil && (o == nil || n > len(data)) {
			t.Errorf("object %v of %d bytes in %d", o, n, len(data))
		}
	})
}
