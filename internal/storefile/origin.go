package storefile

import (
	"cmp"
	"crypto/sha256"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
)

// Origin is the file that a store was loaded from or last saved to, with its checksum. The
// zero value belongs to a store without a file. It is immutable.
type Origin struct {
	path   string // as it was given
	abs    string // of the working directory of then
	target string // behind symbolic links
	sum    [sha256.Size]byte
}

// OriginOf returns the origin of a store whose file at path holds data, the zero value for an
// empty path.
func OriginOf(path string, data []byte) Origin {
	if path == "" {
		return Origin{}
	}
	o := Origin{path: path, abs: absolute(path), sum: sha256.Sum256(data)}
	if target, err := followLinks(path, nil); err == nil {
		o.target = absolute(target)
	}
	return o
}

// Path returns the path as it was given, empty without a file.
func (o Origin) Path() string { return o.path }

// is reports whether a path, behind whose links target is, leads to the file of o.
func (o Origin) is(path, target string) bool {
	return o.path != "" && (absolute(path) == o.abs || absolute(target) == o.target)
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return filepath.Clean(path)
}

// Save replaces the content of the file at path and returns the new origin. The error wraps
// trustkeep.ErrConflict if path leads to the file of the old origin and another program has
// changed it; the file then stays. A missing file is created. Other errors are those of
// Update.
func Save(path string, from Origin, data []byte, o Options) (Origin, error) {
	target, err := resolve(path)
	if err != nil {
		return Origin{}, err
	}
	err = o.update(target, func(old []byte, exists bool) ([]byte, error) {
		if exists && from.is(path, target) && sha256.Sum256(old) != from.sum {
			return nil, trustkeep.ErrConflict
		}
		if exists && from.is(path, target) {
			if changed, err := o.besideChanged(target); err != nil || changed {
				return nil, cmp.Or(err, error(trustkeep.ErrConflict))
			}
		}
		return data, nil
	})
	if err != nil {
		return Origin{}, err
	}
	return Origin{path: path, abs: absolute(path), target: absolute(target), sum: sha256.Sum256(data)}, nil
}
