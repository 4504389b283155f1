//go:build unix

package storefile

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
)

func TestSaveConflicts(t *testing.T) {
	dir := t.TempDir()
	path, link := filepath.Join(dir, "store"), filepath.Join(dir, "link")
	if err := os.Symlink("store", link); err != nil {
		t.Skip(err)
	}
	t.Chdir(dir)
	for _, c := range []struct{ loaded, saved string }{
		{path, path}, {"store", path}, {path, "./store"}, {link, path}, {path, link}, {"link", "store"},
	} {
		if err := Write(path, []byte("one"), Options{}); err != nil {
			t.Fatal(err)
		}
		from := OriginOf(c.loaded, []byte("one"))
		next, err := Save(c.saved, from, []byte("two"), Options{})
		if err != nil || next.Path() != c.saved {
			t.Errorf("%+v: %v", c, err)
		}
		// The first to have read it comes too late now; the one who saved does not.
		if _, err := Save(c.saved, from, []byte("three"), Options{}); !errors.Is(err, trustkeep.ErrConflict) {
			t.Errorf("%+v: %v", c, err)
		}
		if _, err := Save(c.loaded, next, []byte("three"), Options{}); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
		wantFile(t, path, "three", 0o600)
	}
	// No conflict: another file, a file that is gone, a store without a file.
	if _, err := Save(filepath.Join(dir, "other"), OriginOf(path, []byte("one")), nil, Options{}); err != nil {
		t.Error(err)
	}
	if _, err := Save(path, Origin{}, []byte("four"), Options{}); err != nil {
		t.Error(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, err := Save(path, OriginOf(path, []byte("one")), []byte("five"), Options{}); err != nil {
		t.Error(err)
	}
}

// TestOriginOfARelativePath: a program that changes its folder saves to another file.
func TestOriginOfARelativePath(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	for _, dir := range []string{one, two} {
		if err := Write(filepath.Join(dir, "store"), []byte(dir), Options{}); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(one)
	from := OriginOf("store", []byte(one))
	t.Chdir(two)
	if _, err := Save("store", from, []byte("x"), Options{}); err != nil {
		t.Errorf("not the file that was loaded: %v", err)
	}
	if err := Write(filepath.Join(one, "store"), []byte("changed"), Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := Save(filepath.Join(one, "store"), from, []byte("x"), Options{}); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("%v", err)
	}
}

// TestUpdateAsksBeforeItLocks: neither password is asked for while others wait.
func TestUpdateAsksBeforeItLocks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "store")
	k := Kind[*strings.Builder]{
		Package: "test",
		Open: func(in Input) (*strings.Builder, error) {
			b := new(strings.Builder)
			b.Write(in.Data)
			return b, nil
		},
		New: func(*redact.Secret) *strings.Builder { return new(strings.Builder) },
		Encode: func(b *strings.Builder, _ string, o trustkeep.SaveOptions) ([]byte, error) {
			p, err := o.Password.Reveal()
			return append([]byte(b.String()), p...), err
		},
	}
	free := func(what string) trustkeep.PasswordSource {
		return trustkeep.PasswordFunc(func() ([]byte, error) {
			unlock, err := lockDir(filepath.Dir(path), 1, counting{waited: new(time.Duration)})
			if err != nil {
				t.Errorf("%s is asked for under the lock: %v", what, err)
				return nil, context.Canceled
			}
			unlock()
			return []byte("+"), nil
		})
	}
	for range 2 {
		err := k.Update(path, free("the password"), trustkeep.SaveOptions{Password: free("the new password")}, func(b *strings.Builder) error {
			_, err := b.WriteString("x")
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	wantFile(t, path, "x+x+", 0o600)
}
