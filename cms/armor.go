package cms

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"io"
	"strings"
)

// unarmor returns the content of a PEM block (RFC 7468) if src starts with one,
// and else src. A BER message starts with 0x30 and so is never mistaken. What
// the label says does not matter: the content says what it is.
func unarmor(src io.Reader) io.Reader {
	in := bufio.NewReaderSize(src, 4096)
	begin := []byte("-----BEGIN ")
	b, _ := in.Peek(sniffed)
	if !bytes.HasPrefix(b, begin) {
		if what := encodedAs(b); what != "" {
			return failing{unsupported(what + " instead of the message itself; decode it first")}
		}
		return in
	}
	return base64Reader{base64.NewDecoder(base64.StdEncoding, &armored{src: in})}
}

// sniffed is how much of the input is looked at.
const sniffed = 80

// encodedAs says what the input is that newcomers hand over instead of what is in it, or
// returns "". No BER message is taken for one: it starts with 0x30, a digit.
func encodedAs(b []byte) string {
	if bytes.HasPrefix(b, []byte("MI")) && len(b) >= 16 && !bytes.ContainsFunc(b, func(r rune) bool {
		return !strings.ContainsRune("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=\r\n", r)
	}) {
		return "base64"
	}
	name, _, found := bytes.Cut(b, []byte(":"))
	if found && len(name) > 1 && !bytes.ContainsFunc(name, func(r rune) bool {
		return r != '-' && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) {
		return "a MIME message"
	}
	return ""
}

// failing is a reader that has nothing but an error.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

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
