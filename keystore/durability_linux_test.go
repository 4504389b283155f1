package keystore_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// smallDisk mounts a file system of 64 KiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("tmpfs cannot be mounted here: ", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// untouched checks that a folder holds the store as it was and nothing besides.
func untouched(t *testing.T, path string, before []byte, names ...string) {
	t.Helper()
	if now, err := os.ReadFile(path); err != nil || !bytes.Equal(now, before) {
		t.Errorf("the store changed (%v)", err)
	}
	files, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(files) != 1+len(names) {
		t.Errorf("%v, %v", files, err)
	}
}

func TestDiskFull(t *testing.T) {
	dir := smallDisk(t)
	ks := newStore(t)
	path := filepath.Join(dir, "store.p12")
	if err := ks.Save(path, trustkeep.SaveOptions{Password: first}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 56<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	pki := testpki.New(t, testpki.Options{})
	for _, alias := range []string{"a", "b", "c", "d", "e", "f", "g", "h"} {
		if err := ks.SetIdentity(alias, newIdentity(t, pki.Server(alias))); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("got %v", err)
	} else if typed := new(trustkeep.Error); !errors.As(err, &typed) || typed.Path != path {
		t.Errorf("the error does not name the file: %v", err)
	}
	untouched(t, path, before, "ballast")
	err = keystore.Update(path, first, trustkeep.SaveOptions{}, func(loaded *keystore.Keystore) error { return loaded.CopyFrom(ks, "a", "b", "c", "d", "e", "f", "g") })
	if !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("update: %v", err)
	}
	untouched(t, path, before, "ballast")
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil { // with room again, nothing was lost
		t.Fatal(err)
	}
	if loaded := mustLoad(t, path, first); loaded.Len() != 9 {
		t.Errorf("%v", loaded)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	dir, want := t.TempDir(), syscall.EACCES
	path := filepath.Join(dir, "store.p12")
	protect := func() error { return os.Chmod(dir, 0o500) }
	if os.Getuid() == 0 { // whom permissions do not stop
		dir, want = smallDisk(t), syscall.EROFS
		path = filepath.Join(dir, "store.p12")
		protect = func() error { return syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, "") }
	}
	ks := newStore(t)
	if err := ks.Save(path, trustkeep.SaveOptions{Password: first}); err != nil {
		t.Fatal(err)
	}
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := protect(); err != nil {
		t.Skip("the folder cannot be made read-only: ", err)
	}
	t.Cleanup(func() { os.Chmod(dir, 0o700) })
	if _, err := issue.Renew(t.Context(), ks, "server", issue.RenewOptions{NewKey: true}); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
	untouched(t, path, before)
}
