package pgp

import (
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// writeFile replaces the content of the file at path by what write writes, once write
// has succeeded. Until then, whatever happens, the file at path is as it was, and what
// has been written has no name. A new file gets the permissions 0600; one that exists
// keeps its own. The result of write is returned as it is.
func writeFile(path string, write func(io.Writer) error) error {
	var written error // what write had to say is not about the file
	err := storefile.Stream(path, storefile.Options{}, func(w io.Writer) error {
		written = write(w)
		return written
	})
	if err != nil && written == nil {
		err = &trustkeep.Error{Op: "pgp: write", Path: path, Err: err}
	}
	return err
}
