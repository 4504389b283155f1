// Package grammar reads and writes packets, RFC 9580 section 4: whole ones, of
// which keys consist, and streams of them, of which messages do.
package grammar

import (
	"bytes"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// Packet types, RFC 9580 section 5.
const (
	TagPKESK       = 1
	TagSignature   = 2
	TagSKESK       = 3
	TagOnePass     = 4
	TagSecretKey   = 5
	TagPublicKey   = 6
	TagSecretSub   = 7
	TagCompressed  = 8
	TagEncrypted   = 9 // without integrity protection
	TagMarker      = 10
	TagLiteral     = 11
	TagTrust       = 12
	TagUserID      = 13
	TagPublicSub   = 14
	tagUserAttr    = 17
	TagSEIPD       = 18
	TagOCBEd       = 20 // GnuPG 2.3 and the drafts before RFC 9580
	TagPadding     = 21
	FirstIgnorable = 40 // unknown packets from here on are skipped
)

// Raw is one packet of a key as it was read, so that what this library
// does not understand survives.
type Raw struct {
	Tag    byte
	Offset int    // in the stream of packets
	Data   []byte // header and body
	Body   []byte
}

// Parsed reads the packet with go-crypto.
func (p Raw) Parsed() (out packet.Packet, err error) {
	err = fault.Guard("packet", func() error {
		var err error
		out, err = packet.Read(bytes.NewReader(p.Data))
		return err
	})
	return out, err
}

// New gives a body a header of the current format.
func New(tag byte, body []byte) Raw {
	data := appendHeader(make([]byte, 0, len(body)+6), tag, len(body))
	data = append(data, body...)
	return Raw{Tag: tag, Data: data, Body: data[len(data)-len(body):]}
}

// appendHeader writes a packet header with a definite length, RFC 9580
// section 4.2.1.
func appendHeader(b []byte, tag byte, n int) []byte {
	return appendLength(append(b, 0xC0|tag), n)
}

func appendLength(b []byte, n int) []byte {
	switch {
	case n < 192:
		return append(b, byte(n))
	case n < 8384:
		n -= 192
		return append(b, byte(n>>8)+192, byte(n))
	}
	return append(b, 255, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
}

// Next takes the packet at the start of data, which stands at offset in
// its stream. Keys use definite lengths only (RFC 9580 section 4.2.1.4 leaves
// partial ones to data packets).
func Next(data []byte, offset int) (p Raw, rest []byte, err error) {
	header, n, err := definiteHeader(data)
	if err != nil {
		return Raw{}, nil, err
	}
	if n > len(data)-header {
		return Raw{}, nil, fault.New(trustkeep.ErrCorrupt, "packet of %d bytes in %d", n, len(data)-header)
	}
	tag := data[0] & 0x3F
	if data[0]&0x40 == 0 {
		tag >>= 2
	}
	p = Raw{Tag: tag, Offset: offset, Data: data[: header+n : header+n]}
	p.Body = p.Data[header:]
	return p, data[header+n:], nil
}

// definiteHeader returns the length of the header and of the body.
func definiteHeader(data []byte) (header, body int, err error) {
	truncated := fault.New(trustkeep.ErrCorrupt, "truncated packet header")
	if len(data) < 2 {
		return 0, 0, truncated
	}
	if data[0]&0x80 == 0 {
		return 0, 0, fault.New(trustkeep.ErrCorrupt, "not an OpenPGP packet")
	}
	if data[0]&0x40 == 0 { // the old format, section 4.2.2
		size := 1 << (data[0] & 3)
		if size == 8 { // to the end of the data
			return 1, len(data) - 1, nil
		}
		if len(data) < 1+size {
			return 0, 0, truncated
		}
		var n uint32
		for _, b := range data[1 : 1+size] {
			n = n<<8 | uint32(b)
		}
		return 1 + size, clampLength(n), nil
	}
	switch l := data[1]; {
	case l < 192:
		return 2, int(l), nil
	case l < 224:
		if len(data) < 3 {
			return 0, 0, truncated
		}
		return 3, int(l-192)<<8 + int(data[2]) + 192, nil
	case l == 255:
		if len(data) < 6 {
			return 0, 0, truncated
		}
		return 6, clampLength(uint32(data[2])<<24 | uint32(data[3])<<16 | uint32(data[4])<<8 | uint32(data[5])), nil
	}
	return 0, 0, fault.New(trustkeep.ErrCorrupt, "partial length in a key")
}

// clampLength keeps a length from the input in the range of int everywhere.
func clampLength(n uint32) int {
	const most = 1<<31 - 1
	return int(min(n, most))
}

// Join concatenates packets.
func Join(packets []Raw) []byte {
	n := 0
	for _, p := range packets {
		n += len(p.Data)
	}
	out := make([]byte, 0, n)
	for _, p := range packets {
		out = append(out, p.Data...)
	}
	return out
}

// Serializer is what the packets of go-crypto have in common.
type Serializer interface{ Serialize(io.Writer) error }

// Of serializes a packet of go-crypto.
func Of(s Serializer) (Raw, error) {
	var buf bytes.Buffer
	if err := s.Serialize(&buf); err != nil {
		return Raw{}, err
	}
	p, _, err := Next(buf.Bytes(), 0)
	return p, err
}
