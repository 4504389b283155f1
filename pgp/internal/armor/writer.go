// Package armor writes and reads OpenPGP's text form of binary data, RFC 9580
// section 6.
package armor

import (
	"bytes"
	"encoding/base64"
	"io"
)

// Armor block types, RFC 9580 section 6.2.1.
const (
	BlockPublicKey  = "PGP PUBLIC KEY BLOCK"
	BlockPrivateKey = "PGP PRIVATE KEY BLOCK"
	BlockMessage    = "PGP MESSAGE"
	BlockSignature  = "PGP SIGNATURE"
	BlockCleartext  = "PGP SIGNED MESSAGE"
)

// Checksum says whether an armor block ends with the CRC of RFC 4880. RFC 9580
// section 6.1 forbids it where the reader is known to do without, that is for
// version 6 keys and signatures and for version 2 of encrypted data. GnuPG 2.2
// cannot do without: base64 that needs no padding is to it a block without end.
type Checksum bool

const (
	WithChecksum    Checksum = true
	WithoutChecksum Checksum = false
)

func ChecksumFor(keyVersion int) Checksum { return keyVersion < 6 }

// Encode wraps data.
func Encode(kind string, data []byte, crc Checksum) ([]byte, error) {
	var buf bytes.Buffer
	w, err := NewWriter(&buf, kind, crc)
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

// Writer writes an armor block. Close ends it without closing w.
type Writer struct {
	w    io.Writer
	kind string
	crc  Checksum
	sum  uint32
	buf  []byte // not yet encoded
	out  []byte
}

func NewWriter(w io.Writer, kind string, crc Checksum) (*Writer, error) {
	if _, err := io.WriteString(w, "-----BEGIN "+kind+"-----\n\n"); err != nil {
		return nil, err
	}
	return &Writer{w: w, kind: kind, crc: crc, sum: crc24Init, buf: make([]byte, 0, armorBufferSize)}, nil
}

func (a *Writer) Write(p []byte) (n int, err error) {
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
func (a *Writer) flush() error {
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

func (a *Writer) Close() error {
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
