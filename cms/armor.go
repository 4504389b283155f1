package cms

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
)

// unarmor returns the content of a PEM block (RFC 7468) if src starts with one,
// and else src. A BER message starts with 0x30 and so is never mistaken. What
// the label says does not matter: the content says what it is.
func unarmor(src io.Reader) io.Reader {
	in := bufio.NewReaderSize(src, 4096)
	begin := []byte("-----BEGIN ")
	if b, _ := in.Peek(len(begin)); !bytes.Equal(b, begin) {
		return in
	}
	return base64Reader{base64.NewDecoder(base64.StdEncoding, &armored{src: in})}
}

// base64Reader says trustkeep.ErrCorrupt where the text is no base64.
type base64Reader struct{ decoder io.Reader }

func (b base64Reader) Read(p []byte) (int, error) {
	n, err := b.decoder.Read(p)
	var bad base64.CorruptInputError
	if errors.As(err, &bad) {
		err = corrupt("PEM block")
	}
	return n, err
}

// armored yields the lines between the first and the last.
type armored struct {
	src     *bufio.Reader
	started bool
	err     error
}

func (a *armored) Read(p []byte) (int, error) {
	if a.err != nil {
		return 0, a.err
	}
	if !a.started {
		a.started = true
		if _, err := a.src.ReadSlice('\n'); err != nil {
			a.err = corrupt("PEM block")
			return 0, a.err
		}
	}
	if _, err := a.src.Peek(1); err != nil {
		a.err = err
		if err == io.EOF {
			a.err = corrupt("PEM block without an end")
		}
		return 0, a.err
	}
	b, _ := a.src.Peek(min(a.src.Buffered(), len(p)))
	n := len(b)
	if end := bytes.IndexByte(b, '-'); end >= 0 {
		n, a.err = end, io.EOF
	}
	copy(p, b[:n])
	a.src.Discard(n)
	if n == 0 {
		return 0, a.err
	}
	return n, nil
}
