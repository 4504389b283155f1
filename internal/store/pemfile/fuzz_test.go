package pemfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// seeds adds the fixtures of this package to a corpus.
func seeds(f *testing.F) {
	for _, pattern := range []string{"testdata/*.pem", "testdata/*.bundle"} {
		paths, err := filepath.Glob(pattern)
		if err != nil || len(paths) == 0 {
			f.Fatalf("no seeds in %s", pattern)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
}

// FuzzPEM: whatever is read, is read with a typed error or can be written and
// read again as the same entries.
func FuzzPEM(f *testing.F) {
	seeds(f)
	password := []byte("secret")
	small := trustkeep.Limits{MaxIterations: 20_000, MaxKDFMemory: 1 << 20, MaxEntries: 100}
	read := func(data []byte) (*entry.Store, error) {
		return Parse(data, entry.ReadOptions{Password: password, Budget: limits.New(small)})
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := read(data)
		if err != nil {
			for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrIncorrectPassword, trustkeep.ErrEmpty} {
				if errors.Is(err, sentinel) {
					return
				}
			}
			t.Fatalf("untyped error %v", err)
		}
		seen := make(map[string]bool)
		for _, e := range s.Entries {
			if e.Alias == "" || e.Kind == 0 {
				t.Fatalf("incomplete entry %+v", e)
			}
			if seen[entry.Fold(e.Alias)] {
				return // the file names two alike; Encode refuses
			}
			seen[entry.Fold(e.Alias)] = true
		}
		out, err := Encode(s, entry.WriteOptions{
			Keep: func(*entry.Entry) bool { return true },
			Key:  func(*entry.Entry) ([]byte, []byte, error) { return nil, nil, trustkeep.ErrUnsupported },
		})
		if errors.Is(err, trustkeep.ErrUnsupported) {
			return
		}
		if err != nil {
			t.Fatalf("not written: %v", err)
		}
		back, err := read(out)
		if err != nil {
			t.Fatalf("what was written is refused: %v\n%s", err, out)
		}
		if len(back.Entries) != len(s.Entries) {
			t.Fatalf("%d entries became %d\n%s\n%s\n%s", len(s.Entries), len(back.Entries), summary(s), summary(back), out)
		}
	})
}
