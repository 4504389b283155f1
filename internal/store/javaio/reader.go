// Package javaio reads and writes the conventions that Java's own key stores
// and BouncyCastle's share: those of java.io.DataInputStream and
// DataOutputStream (big-endian integers, modified UTF-8), and passwords as
// arrays of UTF-16 code units.
package javaio

import (
	"encoding/binary"
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// Reader takes values off the front of a slice. Every length is checked
// against the bytes left before it is used. The first failure sticks: later
// reads return zero values, so a record is read whole and Err is asked once.
type Reader struct {
	rest  []byte
	err   error
	short bool
}

// NewReader returns a Reader of b. What it hands out aliases b.
func NewReader(b []byte) *Reader { return &Reader{rest: b} }

// Err returns the first failure, which wraps trustkeep.ErrCorrupt, or nil.
func (r *Reader) Err() error { return r.err }

// Short tells whether the first failure was that the bytes ran out.
func (r *Reader) Short() bool { return r.short }

// Len returns the number of bytes left.
func (r *Reader) Len() int { return len(r.rest) }

// Rest returns the bytes left without taking them.
func (r *Reader) Rest() []byte { return r.rest }

func (r *Reader) fail(what string, short bool) {
	if r.err == nil {
		r.short = short
		r.err = fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt)
	}
	r.rest = nil
}

// Bytes takes n bytes, without copying them.
func (r *Reader) Bytes(n int) []byte {
	if r.err != nil || n < 0 || n > len(r.rest) {
		r.fail("truncated", true)
		return nil
	}
	b := r.rest[:n:n]
	r.rest = r.rest[n:]
	return b
}

// Uint8 takes one byte.
func (r *Reader) Uint8() byte {
	if b := r.Bytes(1); b != nil {
		return b[0]
	}
	return 0
}

// Uint16 takes a 16-bit number.
func (r *Reader) Uint16() uint16 {
	if b := r.Bytes(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

// Uint32 takes a 32-bit number. Java means it as signed; whoever uses it as a
// count compares it with the bytes left, which refuses the negative ones.
func (r *Reader) Uint32() uint32 {
	if b := r.Bytes(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

// Int64 takes a signed 64-bit number.
func (r *Reader) Int64() int64 {
	if b := r.Bytes(8); b != nil {
		return int64(binary.BigEndian.Uint64(b))
	}
	return 0
}

// Block takes a 32-bit length and that many bytes, without copying them.
func (r *Reader) Block() []byte {
	n := r.Uint32()
	if uint64(n) > uint64(len(r.rest)) {
		r.fail("length beyond the end", true)
		return nil
	}
	return r.Bytes(int(n))
}

// Count takes a 32-bit count of records of at least size bytes each and
// refuses one for which not enough bytes are left.
func (r *Reader) Count(size int) int {
	n := r.Uint32()
	if uint64(n)*uint64(size) > uint64(len(r.rest)) {
		r.fail("count beyond the end", true)
		return 0
	}
	return int(n)
}

// UTF takes a string as DataInputStream.readUTF does: a 16-bit length and
// modified UTF-8.
func (r *Reader) UTF() string {
	s, ok := decodeUTF(r.Bytes(int(r.Uint16())))
	if !ok {
		r.fail("malformed text", false)
	}
	return s
}
