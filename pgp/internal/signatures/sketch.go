package signatures

import (
	"encoding/binary"
	"time"
)

// sketch reads what a signature packet says of itself, of version 3 (RFC 4880 section
// 5.2.2), 4 or 6 (RFC 9580 section 5.2.3), where it is not read as a whole: an unknown
// critical subpacket, hash or version. Nothing of it is verified.
func (c *Candidate) sketch(body []byte) {
	if len(body) < 6 {
		return
	}
	switch body[0] {
	case 3:
		if len(body) >= 17 && body[1] == 5 {
			c.Created = time.Unix(int64(binary.BigEndian.Uint32(body[3:])), 0)
			c.KeyID = binary.BigEndian.Uint64(body[7:])
			c.setHash(body[16])
		}
	case 4:
		c.setHash(body[3])
		hashed, rest := area(body[4:], 2)
		c.subpackets(hashed, true)
		unhashed, _ := area(rest, 2)
		c.subpackets(unhashed, false)
	case 6:
		c.setHash(body[3])
		hashed, rest := area(body[4:], 4)
		c.subpackets(hashed, true)
		unhashed, _ := area(rest, 4)
		c.subpackets(unhashed, false)
	}
}

func (c *Candidate) setHash(id byte) {
	c.WeakHash = IsWeakHash(id)
	c.HashName = map[byte]string{
		1: "MD5", 2: "SHA-1", 3: "RIPEMD-160", 8: "SHA-256", 9: "SHA-384", 10: "SHA-512", 11: "SHA-224", 12: "SHA3-256", 14: "SHA3-512",
	}[id]
}

// area takes subpackets with a length of size octets.
func area(b []byte, size int) (subpackets, rest []byte) {
	if len(b) < size {
		return nil, nil
	}
	n := uint64(0)
	for _, octet := range b[:size] {
		n = n<<8 | uint64(octet)
	}
	b = b[size:]
	if n > uint64(len(b)) {
		return nil, nil
	}
	return b[:n], b[n:]
}

func (c *Candidate) subpackets(b []byte, hashed bool) {
	const created, issuer, fingerprint = 2, 16, 33
	for len(b) > 0 {
		var n int
		switch first := b[0]; {
		case first < 192:
			n, b = int(first), b[1:]
		case first < 255:
			if len(b) < 2 {
				return
			}
			n, b = int(first-192)<<8+int(b[1])+192, b[2:]
		default:
			if len(b) < 5 {
				return
			}
			n, b = int(min(binary.BigEndian.Uint32(b[1:]), 1<<30)), b[5:]
		}
		if n < 1 || n > len(b) {
			return
		}
		data := b[1:n]
		switch kind := b[0] & 0x7f; {
		case kind == created && hashed && len(data) == 4:
			c.Created = time.Unix(int64(binary.BigEndian.Uint32(data)), 0)
		case kind == issuer && len(data) == 8 && c.KeyID == 0:
			c.KeyID = binary.BigEndian.Uint64(data)
		case kind == fingerprint && len(data) == 21 && data[0] == 4:
			c.KeyID = binary.BigEndian.Uint64(data[13:])
		case kind == fingerprint && len(data) == 33 && data[0] == 6:
			c.KeyID = binary.BigEndian.Uint64(data[1:])
		}
		b = b[n:]
	}
}
