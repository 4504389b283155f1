package pgp

import (
	"io"
	"os"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
)

// writeFile lets write fill a temporary file beside path and gives it the name
// when write has succeeded. Until then, whatever happens, the file at path is
// as it was. A new file gets the permissions 0600; one that exists keeps its
// own.
func writeFile(path string, write func(io.Writer) error) (err error) {
	var written error // what write had to say is not about the file
	defer func() {
		if err != nil && written == nil {
			err = &trustkeep.Error{Op: "pgp: write", Path: path, Err: err}
		}
	}()
	target, err := filepath.EvalSymlinks(path)
	if err != nil {
		target = path // it does not exist yet
	}
	f, err := os.CreateTemp(filepath.Dir(target), ".pgp-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if info, err := os.Stat(target); err == nil {
		if err := f.Chmod(info.Mode().Perm()); err != nil {
			return err
		}
	}
	if written = write(f); written != nil {
		return written
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return os.Rename(f.Name(), target)
}
