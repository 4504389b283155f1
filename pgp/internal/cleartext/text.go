package cleartext

import (
	"bufio"
	"bytes"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// Read reads the text up to the signature, and takes the escapes of dashes
// away. There is no line ending after the last line.
func Read(r *bufio.Reader, w io.Writer) error {
	for first := true; ; first = false {
		line, err := Line(r)
		if err == io.EOF {
			return fault.New(trustkeep.ErrCorrupt, "cleartext message without signature")
		}
		if err != nil {
			return err
		}
		if string(line) == SignatureBegin {
			return nil
		}
		escaped := bytes.HasPrefix(line, []byte("- "))
		switch {
		case escaped:
			line = line[2:]
		case bytes.HasPrefix(line, []byte("-")):
			return fault.New(trustkeep.ErrCorrupt, "unescaped %q in a cleartext message", trustkeep.Printable(string(line)))
		}
		if !first {
			if _, err := w.Write([]byte("\n")); err != nil {
				return err
			}
		}
		if _, err := w.Write(line); err != nil {
			return err
		}
	}
}
