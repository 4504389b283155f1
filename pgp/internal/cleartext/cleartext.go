// Package cleartext reads the text of the cleartext signature framework, RFC 9580
// section 7.
package cleartext

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// The cleartext signature framework, RFC 9580 section 7.

const (
	Begin          = "-----BEGIN PGP SIGNED MESSAGE-----"
	SignatureBegin = "-----BEGIN PGP SIGNATURE-----"
	MaxTextLine    = 64 << 10
)

// Line reads a line without its ending and the white space before it.
func Line(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	switch {
	case errors.Is(err, bufio.ErrBufferFull):
		return nil, fault.New(trustkeep.ErrUnsupported, "line of more than %d bytes in text", MaxTextLine)
	case err == io.EOF && len(line) > 0:
	case err != nil:
		return nil, err
	}
	line = bytes.TrimRight(line, " \t\r\n")
	if i := bytes.IndexFunc(line, func(c rune) bool { return c < ' ' && c != '\t' || c == 0x7F }); i >= 0 {
		return nil, fault.New(trustkeep.ErrUnsupported, "control character %#x in text", line[i])
	}
	return line, nil
}

// Headers accepts Hash headers and nothing else: GnuPG and others have
// been made to show text in headers as signed (CVE-2019-11841).
func Headers(r *bufio.Reader) error {
	known := []string{"SHA1", "SHA224", "SHA256", "SHA384", "SHA512", "SHA3-256", "SHA3-512", "MD5", "RIPEMD160"}
	for range armor.MaxArmorHeaders {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return fault.New(trustkeep.ErrCorrupt, "cleartext message: truncated")
		}
		text := strings.TrimRight(string(line), " \t\r\n")
		if text == "" {
			return nil
		}
		value, ok := strings.CutPrefix(text, "Hash: ")
		if !ok {
			return fault.New(trustkeep.ErrCorrupt, "header %q in a cleartext message", trustkeep.Printable(text))
		}
		for _, name := range strings.Split(value, ",") {
			if !slices.Contains(known, strings.TrimSpace(name)) {
				return fault.New(trustkeep.ErrCorrupt, "hash %q in a cleartext message", trustkeep.Printable(name))
			}
		}
	}
	return fault.New(trustkeep.ErrLimit, "more than %d headers", armor.MaxArmorHeaders)
}
