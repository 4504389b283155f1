package pbe

import (
	"crypto"
	"crypto/hmac"
	"crypto/subtle"
	"encoding/binary"
	"hash"
)

// Diversifiers of RFC 7292 appendix B.3.
const (
	idKey = 1
	idIV  = 2
	idMAC = 3
)

// pkcs12KDF derives n bytes as RFC 7292 appendix B.2 says. password is
// encoded already.
func pkcs12KDF(id crypto.Hash, password, salt []byte, iterations int64, purpose byte, n int) []byte {
	h := id.New()
	v := h.BlockSize()
	diversifier := make([]byte, v)
	for i := range diversifier {
		diversifier[i] = purpose
	}
	in := append(repeatToBlocks(salt, v), repeatToBlocks(password, v)...)
	defer clear(in)
	out := make([]byte, 0, n+h.Size())
	block := make([]byte, v)
	digest := make([]byte, 0, h.Size())
	for {
		h.Reset()
		h.Write(diversifier)
		h.Write(in)
		digest = h.Sum(digest[:0])
		rehash(id, digest, iterations-1)
		out = append(out, digest...)
		if len(out) >= n {
			clear(out[n:])
			return out[:n:n]
		}
		for i := range block {
			block[i] = digest[i%len(digest)]
		}
		for i := 0; i < len(in); i += v {
			addOne(in[i:i+v], block)
		}
	}
}

// repeatToBlocks repeats b to a multiple of v bytes; nothing stays nothing.
func repeatToBlocks(b []byte, v int) []byte {
	if len(b) == 0 {
		return nil
	}
	out := make([]byte, (len(b)+v-1)/v*v)
	for i := 0; i < len(out); i += copy(out[i:], b) {
	}
	return out
}

// addOne sets a to a + b + 1 modulo 2^(8 len(a)), big-endian.
func addOne(a, b []byte) {
	carry := uint16(1)
	for i := len(a) - 1; i >= 0; i-- {
		carry += uint16(a[i]) + uint16(b[i])
		a[i] = byte(carry)
		carry >>= 8
	}
}

// pbkdf1 derives n bytes, at most one digest, as RFC 8018 section 5.1 says.
func pbkdf1(id crypto.Hash, password, salt []byte, iterations int64, n int) []byte {
	h := id.New()
	h.Write(password)
	h.Write(salt)
	digest := h.Sum(nil)
	rehash(id, digest, iterations-1)
	return digest[:n:n]
}

// pbkdf2 derives n bytes as RFC 8018 section 5.2 says, with HMAC.
func pbkdf2(id crypto.Hash, password, salt []byte, iterations int64, n int) []byte {
	mac := hmac.New(id.New, password)
	size := mac.Size()
	var out []byte
	var counter [4]byte
	u := make([]byte, 0, size)
	fast := newHMACChain(id, password, iterations)
	for i := uint32(1); len(out) < n; i++ {
		binary.BigEndian.PutUint32(counter[:], i)
		mac.Reset()
		mac.Write(salt)
		mac.Write(counter[:])
		u = mac.Sum(u[:0])
		out = append(out, u...)
		t := out[len(out)-size:]
		if fast != nil {
			fast.fold(t, u, iterations-1)
		} else {
			foldSlowly(mac, t, u, iterations-1)
		}
	}
	return out[:n:n]
}

func foldSlowly(mac hash.Hash, t, u []byte, n int64) {
	for range n {
		mac.Reset()
		mac.Write(u)
		u = mac.Sum(u[:0])
		subtle.XORBytes(t, t, u)
	}
}

// hmacChain computes HMAC of its own output over and over, from the two states
// that HMAC has after its pads.
type hmacChain struct {
	c            *compressor
	inner, outer []byte // marshaled states
}

func newHMACChain(id crypto.Hash, key []byte, iterations int64) *hmacChain {
	if iterations < minCompressor {
		return nil
	}
	v := id.New().BlockSize()
	c := newCompressor(id, v)
	if c == nil {
		return nil
	}
	if len(key) > v {
		h := id.New()
		h.Write(key)
		key = h.Sum(nil)
	}
	f := &hmacChain{c: c}
	f.inner = padState(c.h, key, 0x36)
	f.outer = padState(c.h, key, 0x5c)
	if f.inner == nil || f.outer == nil {
		return nil
	}
	return f
}

func padState(h stateHash, key []byte, x byte) []byte {
	pad := make([]byte, h.BlockSize())
	defer clear(pad)
	copy(pad, key)
	for i := range pad {
		pad[i] ^= x
	}
	h.Reset()
	h.Write(pad)
	state, err := h.AppendBinary(nil)
	if err != nil {
		return nil
	}
	return state
}

// fold computes the next n HMACs from u on and adds them to t.
func (f *hmacChain) fold(t, u []byte, n int64) {
	c := f.c
	copy(c.block, u)
	digest := c.block[:c.size]
	for range n {
		c.from(f.inner)
		c.from(f.outer)
		subtle.XORBytes(t, t, digest)
	}
	clear(digest)
}
