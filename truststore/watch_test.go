package truststore_test

import (
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// look lets a watch look n times, and waits for it.
func look(ticks chan<- struct{}, n int) {
	for range n + 1 {
		ticks <- struct{}{}
	}
}

func TestWatch(t *testing.T) {
	one, two := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Two"})
	path := filepath.Join(t.TempDir(), "trust.p12")
	save := func(certs ...*testpki.Identity) {
		t.Helper()
		s := truststore.New()
		for _, id := range certs {
			if err := s.Add("", id.Cert); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Save(path, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: trustkeep.Password("changeit")}); err != nil {
			t.Fatal(err)
		}
	}
	save(one.Root)
	ticks := make(chan struct{})
	var changes []trustkeep.Change
	var failures []error
	w, err := truststore.Options{}.Ticking(ticks).Watch(path, trustkeep.Password("changeit"), trustkeep.WatchOptions{
		OnChange: func(c trustkeep.Change) { changes = append(changes, c) }, OnError: func(err error) { failures = append(failures, err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	snapshot := func() *truststore.Snapshot {
		t.Helper()
		s, err := w.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := snapshot()
	look(ticks, 3)
	if snapshot() != first || len(changes) != 0 {
		t.Error("nothing has changed")
	}
	save(one.Root, two.Root)
	look(ticks, 1)
	if s := snapshot(); !s.Contains(two.Root.Cert) || s.Generation() <= first.Generation() || len(changes) != 1 || len(changes[0].Added) != 1 || len(changes[0].Removed) != 0 {
		t.Errorf("%v, %+v", s, changes)
	}
	save(two.Root)
	look(ticks, 1)
	if s := snapshot(); s.Contains(one.Root.Cert) || len(changes) != 2 || len(changes[1].Removed) != 1 {
		t.Errorf("%v, %+v", s, changes)
	}
	good := snapshot()
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	look(ticks, 5)
	if snapshot() != good || len(failures) != 1 || w.Err() == nil {
		t.Errorf("%v, %v", snapshot(), failures)
	}
	save(one.Root)
	look(ticks, 2)
	if s := snapshot(); !s.Contains(one.Root.Cert) || len(failures) != 2 || failures[1] != nil || w.Err() != nil {
		t.Errorf("%v, %v", s, failures)
	}
	save(one.Root, two.Root)
	if err := w.Reload(t.Context()); err != nil || snapshot().Len() != 2 {
		t.Errorf("%v, %v", snapshot(), err)
	}
	if err := w.Close(); err != nil {
		t.Error(err)
	}
	if snapshot().Len() != 2 {
		t.Error("the last state stays")
	}
	if _, err := truststore.Watch(path, trustkeep.Password("wrong"), trustkeep.WatchOptions{}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	var none *truststore.Watched
	if _, err := none.Snapshot(); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestWatchDirectory(t *testing.T) {
	one, two := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Two"})
	dir := t.TempDir()
	put := func(name string, id *testpki.Identity) {
		t.Helper()
		next := filepath.Join(dir, "."+name)
		if err := os.WriteFile(next, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.DER}), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(next, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	put("one.pem", one.Root)
	ticks := make(chan struct{})
	w, err := truststore.Options{}.Ticking(ticks).Watch(dir, nil, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	put("two.crt", two.Root)
	look(ticks, 1)
	if s, err := w.Snapshot(); err != nil || s.Len() != 2 {
		t.Errorf("%v, %v", s, err)
	}
	if err := os.Remove(filepath.Join(dir, "one.pem")); err != nil {
		t.Fatal(err)
	}
	look(ticks, 2)
	if s, err := w.Snapshot(); err != nil || s.Len() != 1 || !s.Contains(two.Root.Cert) {
		t.Errorf("%v, %v", s, err)
	}
	if err := os.Remove(filepath.Join(dir, "two.crt")); err != nil {
		t.Fatal(err)
	}
	look(ticks, 2)
	if s, err := w.Snapshot(); err != nil || s.Len() != 1 || w.Err() == nil {
		t.Errorf("an empty directory: %v, %v, %v", s, err, w.Err())
	}
}
