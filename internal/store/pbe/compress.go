package pbe

import (
	"bytes"
	"crypto"
	"encoding"
	"encoding/binary"
	"hash"
)

// compressor runs the compression function of a SHA-1 or SHA-2 hash on whole
// blocks that carry their own padding. A key derivation hashes its own short
// output over and over; letting the hash copy and pad that each time costs as
// much as the compression itself. The state goes in and out through the
// marshaled form that hash.Hash values of the standard library promise
// (encoding.BinaryAppender, encoding.BinaryUnmarshaler): four bytes of magic,
// then the chaining words, big-endian.
type compressor struct {
	h     stateHash
	size  int    // of the digest, which may be shorter than the state
	block []byte // the padded message block, digest first
	state []byte // scratch for the marshaled state
}

type stateHash interface {
	hash.Hash
	encoding.BinaryAppender
	encoding.BinaryUnmarshaler
}

// magicSize is what comes before the chaining words in the marshaled form.
const magicSize = 4

// newCompressor prepares for messages of one digest that follow prefix bytes
// of whole blocks (an HMAC pad; 0 for a plain hash). It returns nil for a hash
// whose state does not look as described above, so that a change of the
// standard library costs speed and not correctness.
func newCompressor(id crypto.Hash, prefix int) *compressor {
	h, ok := id.New().(stateHash)
	if !ok {
		return nil
	}
	c := &compressor{h: h, size: h.Size(), block: make([]byte, h.BlockSize())}
	c.block[c.size] = 0x80
	binary.BigEndian.PutUint64(c.block[len(c.block)-8:], uint64(prefix+c.size)*8)

	// Try one block against the hash's own padding.
	h.Write(make([]byte, prefix))
	start, err := h.AppendBinary(nil)
	if err != nil || len(start) < magicSize+c.size {
		return nil
	}
	c.state = make([]byte, 0, len(start))
	h.Write(c.block[:c.size])
	want := h.Sum(nil)
	if !c.from(start) || !bytes.Equal(c.block[:c.size], want) {
		return nil
	}
	return c
}

// from sets the state, compresses the block and puts the digest into it.
func (c *compressor) from(state []byte) bool {
	if c.h.UnmarshalBinary(state) != nil {
		return false
	}
	return c.next()
}

// fresh is from with the initial state of the hash.
func (c *compressor) fresh() bool {
	c.h.Reset()
	return c.next()
}

func (c *compressor) next() bool {
	c.h.Write(c.block)
	var err error
	c.state, err = c.h.AppendBinary(c.state[:0])
	if err != nil {
		return false
	}
	copy(c.block[:c.size], c.state[magicSize:])
	return true
}

// rehash replaces digest by the hash of itself, n times.
func rehash(id crypto.Hash, digest []byte, n int64) {
	if n >= minCompressor {
		if c := newCompressor(id, 0); c != nil {
			copy(c.block, digest)
			for range n {
				c.fresh()
			}
			copy(digest, c.block[:c.size])
			clear(c.block)
			return
		}
	}
	h := id.New()
	for range n {
		h.Reset()
		h.Write(digest)
		h.Sum(digest[:0])
	}
}

// minCompressor is how many rounds pay for preparing a compressor.
const minCompressor = 16
