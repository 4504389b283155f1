package javaio

import (
	"encoding/binary"
	"fmt"
	"math"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep"
)

// Modified UTF-8 (specification of java.io.DataInput) differs from UTF-8 in
// that NUL takes two bytes and that characters outside the basic plane are
// written as two surrogates of three bytes each. A Java string may hold half a
// pair; such a half stays here as its three bytes, which are not valid UTF-8
// in a Go string, so that what was read is written again unchanged.

// decodeUTF accepts what readUTF accepts, overlong forms included.
func decodeUTF(b []byte) (string, bool) {
	if isPlain(b) {
		return string(b), true
	}
	out := make([]byte, 0, len(b))
	for len(b) > 0 {
		u, n := decodeUnit(b)
		if n == 0 {
			return "", false
		}
		b = b[n:]
		if utf16.IsSurrogate(rune(u)) {
			low, m := decodeUnit(b)
			if r := utf16.DecodeRune(rune(u), rune(low)); m > 0 && r != utf8.RuneError {
				b = b[m:]
				out = utf8.AppendRune(out, r)
				continue
			}
		}
		out = appendUnit(out, u)
	}
	return string(out), true
}

// isPlain: ASCII, the same in both encodings. NUL counts as plain on reading,
// since readUTF takes it as it stands.
func isPlain(b []byte) bool {
	for _, c := range b {
		if c >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

// decodeUnit reads one UTF-16 code unit; n is 0 where readUTF would throw.
func decodeUnit(b []byte) (unit uint16, n int) {
	continued := func(i int) bool { return len(b) > i && b[i]&0xC0 == 0x80 }
	switch {
	case len(b) == 0:
		return 0, 0
	case b[0] < 0x80:
		return uint16(b[0]), 1
	case b[0]>>5 == 0b110 && continued(1):
		return uint16(b[0]&0x1F)<<6 | uint16(b[1]&0x3F), 2
	case b[0]>>4 == 0b1110 && continued(1) && continued(2):
		return uint16(b[0]&0x0F)<<12 | uint16(b[1]&0x3F)<<6 | uint16(b[2]&0x3F), 3
	}
	return 0, 0
}

// appendUnit writes one code unit in one to three bytes, surrogates included.
func appendUnit(out []byte, u uint16) []byte {
	switch {
	case u < 0x80:
		return append(out, byte(u))
	case u < 0x800:
		return append(out, 0xC0|byte(u>>6), 0x80|byte(u&0x3F))
	}
	return append(out, 0xE0|byte(u>>12), 0x80|byte(u>>6&0x3F), 0x80|byte(u&0x3F))
}

// AppendUTF writes s as DataOutputStream.writeUTF does. Text that is not
// UTF-8, or longer than the 16-bit length can say, is trustkeep.ErrUnsupported.
func AppendUTF(out []byte, s string) ([]byte, error) {
	start := len(out)
	out = append(out, 0, 0)
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		if r == utf8.RuneError && n <= 1 {
			half, m := decodeUnit([]byte(s[i:min(i+3, len(s))]))
			if m != 3 || !utf16.IsSurrogate(rune(half)) {
				return nil, fmt.Errorf("text that is not UTF-8: %w", trustkeep.ErrUnsupported)
			}
			out = appendUnit(out, half)
			i += m
			continue
		}
		i += n
		switch {
		case r == 0:
			out = append(out, 0xC0, 0x80)
		case r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			out = appendUnit(appendUnit(out, uint16(high)), uint16(low))
		default:
			out = appendUnit(out, uint16(r))
		}
	}
	length := len(out) - start - 2
	if length > math.MaxUint16 {
		return nil, fmt.Errorf("text of %d bytes: %w", length, trustkeep.ErrUnsupported)
	}
	binary.BigEndian.PutUint16(out[start:], uint16(length))
	return out, nil
}
