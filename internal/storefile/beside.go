package storefile

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"io/fs"
	"path/filepath"
)

// Beside is a second file that is written together with the first, under the same lock, at its
// path with a suffix. Two files cannot be replaced in one step. Therefore it is written twice: what
// Before holds must fit both the old and the new content of the first file, what After holds
// the new one.
type Beside struct {
	Suffix string
	// Before and After are what the file holds before and after the first is replaced. A
	// nil Before writes nothing; a nil After removes the file, if Ours begins it.
	Before, After []byte
	Ours          []byte
	// Was is the SHA-256 of what the file held when the origin of Save was read, zero for no
	// file. If another program has changed it, Save fails with trustkeep.ErrConflict. If nil,
	// that is not checked.
	Was *[sha256.Size]byte
}

// besideChanged reports whether another program has changed the second file.
func (o Options) besideChanged(target string) (bool, error) {
	if o.Beside == nil || o.Beside.Was == nil {
		return false, nil
	}
	have, err := ReadRegular(target+o.Beside.Suffix, o.MaxSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return *o.Beside.Was != [sha256.Size]byte{}, nil
	case err != nil:
		return false, err
	}
	return sha256.Sum256(have) != *o.Beside.Was, nil
}

// BesidePath returns where the second file of the file at path is: beside what a link leads to.
func BesidePath(path, suffix string) string {
	if target, err := followLinks(path, nil); err == nil {
		path = target
	}
	return path + suffix
}

// beside replaces or removes the second file. It is called with the lock of the folder.
func (o Options) beside(target string, data []byte, sys calls) error {
	o.New = false
	target += o.Beside.Suffix
	old, err := examine(target)
	if err != nil {
		return err
	}
	if data != nil {
		return o.publish(target, old, sys, func(temp string) (file, error) {
			f, err := sys.create(temp)
			if err != nil {
				return nil, err
			}
			_, err = f.Write(data)
			return f, err
		})
	}
	if old == nil {
		return nil
	}
	have, err := ReadRegular(target, o.MaxSize)
	if err != nil || !bytes.HasPrefix(have, o.Beside.Ours) {
		return err
	}
	if err := sys.remove(target); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return sys.syncDir(filepath.Dir(target))
}
