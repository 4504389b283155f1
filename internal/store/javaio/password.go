package javaio

import "unicode/utf8"

// PasswordUnits returns a password as Java hashes it: each char, that is each
// UTF-16 code unit, as two bytes, high byte first. The password is UTF-8; one
// that is not valid UTF-8 is taken as Latin-1, byte by byte, which is how
// programs without an idea of encodings pass "ä". The caller should clear the
// result after use.
func PasswordUnits(password []byte) []byte {
	if !utf8.Valid(password) {
		out := make([]byte, 0, 2*len(password))
		for _, b := range password {
			out = append(out, 0, b)
		}
		return out
	}
	// Exact capacity, so that no copy of the password is left behind by
	// growing: no encoding of a rune takes more units than UTF-8 bytes.
	out := make([]byte, 0, 2*len(password))
	for rest := password; len(rest) > 0; {
		r, n := utf8.DecodeRune(rest)
		rest = rest[n:]
		if r > 0xFFFF {
			r -= 0x10000
			high, low := 0xD800+r>>10, 0xDC00+r&0x3FF
			out = append(out, byte(high>>8), byte(high), byte(low>>8), byte(low))
			continue
		}
		out = append(out, byte(r>>8), byte(r))
	}
	return out
}
