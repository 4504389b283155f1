package pgp

import (
	"bytes"
	"encoding/base64"
	"io"
)

// Armor block types, RFC 9580 section 6.2.1.
const (
	blockPublicKey  = "PGP PUBLIC KEY BLOCK"
	blockPrivateKey = "PGP PRIVATE KEY BLOCK"
	blockMessage    = "PGP MESSAGE"
	blockSignature  = "PGP SIGNATURE"
	blockCleartext  = "PGP SIGNED MESSAGE"
)

// checksum says whether an armor block ends with the CRC of RFC 4880. RFC 9580
// section 6.1 forbids it where the reader is known to do without, that is for
// version 6 keys and signatures and for version 2 of encrypted data. GnuPG 2.2
// cannot do without: base64 that needs no padding is to it a block without end.
type checksum bool

const (
	withChecksum    checksum = true
	withoutChecksum checksum = false
)

func checksumFor(keyVersion int) checksum { return keyVersion < 6 }

// enarmor wraps data.
func enarmor(kind string, data []byte, crc checksum) ([]byte, error) {
	var buf bytes.Buffer
	w, err := newArmorWriter(&buf, kind, crc)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}

// A line of armor holds 48 bytes in 64 characters.
const (
	armorLine       = 48
	armorBufferSize = 256 * armorLine
)

// armorWriter writes an armor block. Close ends it without closing w.
type armorWriter struct {
	w    io.Writer
	kind string
	crc  checksum
	sum  uint32
	buf  []byte // not yet encoded
	out  []byte
}

func newArmorWriter(w io.Writer, kind string, crc checksum) (*armorWriter, error) {
	if _, err := io.WriteString(w, "-----BEGIN "+kind+"-----\n\n"); err != nil {
		return nil, err
	}
	return &armorWriter{w: w, kind: kind, crc: crc, sum: crc24Init, buf: make([]byte, 0, armorBufferSize)}, nil
}

func (a *armorWriter) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		m := copy(a.buf[len(a.buf):cap(a.buf)], p)
		a.buf = a.buf[:len(a.buf)+m]
		p = p[m:]
		n += m
		if len(a.buf) == cap(a.buf) {
			if err := a.flush(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// flush encodes the buffer: whole lines, but for the end of the block.
func (a *armorWriter) flush() error {
	if a.crc {
		a.sum = crc24(a.sum, a.buf)
	}
	a.out = a.out[:0]
	for line := a.buf; len(line) > 0; {
		n := min(len(line), armorLine)
		a.out = base64.StdEncoding.AppendEncode(a.out, line[:n])
		a.out = append(a.out, '\n')
		line = line[n:]
	}
	a.buf = a.buf[:0]
	_, err := a.w.Write(a.out)
	return err
}

func (a *armorWriter) Close() error {
	if err := a.flush(); err != nil {
		return err
	}
	end := "-----END " + a.kind + "-----\n"
	if a.crc {
		sum := [3]byte{byte(a.sum >> 16), byte(a.sum >> 8), byte(a.sum)}
		end = "=" + base64.StdEncoding.EncodeToString(sum[:]) + "\n" + end
	}
	_, err := io.WriteString(a.w, end)
	return err
}

// The CRC of RFC 9580 section 6.1.1.
const (
	crc24Init = 0xB704CE
	crc24Poly = 0x864CFB
)

// crc24Table holds the remainder of every byte.
var crc24Table = func() (t [256]uint32) {
	for i := range t {
		c := uint32(i) << 16
		for range 8 {
			c <<= 1
			if c&0x1000000 != 0 {
				c ^= 0x1000000 | crc24Poly
			}
		}
		t[i] = c
	}
	return t
}()

func crc24(sum uint32, p []byte) uint32 {
	for _, b := range p {
		sum = sum<<8&0xFFFFFF ^ crc24Table[byte(sum>>16)^b]
	}
	return sum
}
