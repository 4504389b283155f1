package javatest

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// corpusFile is an entry of manifest.json: a file and what Java reads from it.
type corpusFile struct {
	File     string
	Format   string
	Password *string
	Expect   struct {
		Aliases []string
		Entries []struct {
			Alias, Kind, KeyPassword, KeySHA256, KeyError string
			Certs                                         []string
		}
		Error any
	}
}

// CheckCorpus reads every file of one of the formats in the folder that the
// environment variable TRUSTKEEP_CORPUS names and compares it with the
// folder's manifest.json. The test is skipped where the variable is not set.
func CheckCorpus(t *testing.T, parse func([]byte, entry.ReadOptions) (*entry.Store, error), formats ...entry.Format) {
	dir := os.Getenv("TRUSTKEEP_CORPUS")
	if dir == "" {
		t.Skip("TRUSTKEEP_CORPUS is not set")
	}
	b, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Files []corpusFile }
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, f := range manifest.Files {
		if !slices.Contains(formats, entry.Format(f.Format)) {
			continue
		}
		n++
		t.Run(f.File, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join(dir, f.File))
			if err != nil {
				t.Fatal(err)
			}
			f.check(t, data, parse)
		})
	}
	if n == 0 {
		t.Fatalf("no file of %v in the manifest", formats)
	}
	t.Logf("%d files of %v", n, formats)
}

func (f corpusFile) check(t *testing.T, data []byte, parse func([]byte, entry.ReadOptions) (*entry.Store, error)) {
	opts := entry.ReadOptions{Budget: Budget()}
	if f.Password != nil {
		opts.Password = []byte(*f.Password)
	}
	if f.Expect.Error != nil {
		opts.Password = []byte("any password") // with none, nothing would be verified
		if s, err := parse(data, opts); err == nil {
			t.Errorf("read %d entries, should be refused", len(s.Entries))
		}
		return
	}
	s, err := parse(data, opts)
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Entries) != len(f.Expect.Aliases) {
		t.Errorf("%d entries, want %d", len(s.Entries), len(f.Expect.Aliases))
	}
	byAlias := make(map[string]*entry.Entry)
	for _, e := range s.Entries {
		byAlias[e.Alias] = e
	}
	for _, want := range f.Expect.Entries {
		e := byAlias[want.Alias]
		if e == nil {
			t.Errorf("alias %q missing", want.Alias)
			continue
		}
		var certs []string
		for _, c := range e.Chain {
			certs = append(certs, hash(c.Raw))
		}
		if !slices.Equal(certs, want.Certs) {
			t.Errorf("%q: certificates %v, want %v", want.Alias, certs, want.Certs)
		}
		if want.KeyError != "" {
			_, err := e.Key.Open([]byte(want.KeyPassword))
			if !errors.Is(err, trustkeep.ErrIncorrectPassword) && !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%q: %v, Java says %s", want.Alias, err, want.KeyError)
			}
			continue
		}
		if want.KeySHA256 == "" {
			continue
		}
		plain, err := e.Key.Open([]byte(want.KeyPassword))
		if err != nil || !strings.EqualFold(hash(plain), want.KeySHA256) {
			t.Errorf("%q: key %s, want %s, %v", want.Alias, hash(plain), want.KeySHA256, err)
		}
	}
}
