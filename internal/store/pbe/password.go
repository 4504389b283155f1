package pbe

import (
	"unicode/utf16"
	"unicode/utf8"
)

// bmpPassword encodes a password as RFC 7292 appendix B.1 asks: big-endian
// UCS-2 with two zero bytes at the end. Characters outside the BMP become
// surrogate pairs, and bytes that are no UTF-8 are taken as Latin-1, both as
// OpenSSL does. No password is zero octets long, the empty one is 00 00.
func bmpPassword(password []byte) []byte {
	if password == nil {
		return nil
	}
	out := make([]byte, 0, 2*len(password)+2)
	if !utf8.Valid(password) {
		for _, b := range password {
			out = append(out, 0, b)
		}
		return append(out, 0, 0)
	}
	for i := 0; i < len(password); {
		r, n := utf8.DecodeRune(password[i:])
		i += n
		if r > 0xffff {
			hi, lo := utf16.EncodeRune(r)
			out = append(out, byte(hi>>8), byte(hi), byte(lo>>8), byte(lo))
			continue
		}
		out = append(out, byte(r>>8), byte(r))
	}
	return append(out, 0, 0)
}
