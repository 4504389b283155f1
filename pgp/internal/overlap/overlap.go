// Package overlap does two things at once where both take long: it reads ahead,
// hashes beside other work and writes behind.
package overlap

import (
	"io"
	"sync"
)

// Copy copies src to w and reads the next chunk while one is written.
func Copy(w io.Writer, src io.Reader) error {
	buf := make([]byte, FirstChunk)
	n, err := Fill(src, buf)
	var next []byte
	for err == nil {
		if len(next) < WorkSize {
			next = make([]byte, WorkSize)
		}
		var m int
		var rerr, werr error
		Beside(n,
			func() { m, rerr = Fill(src, next) },
			func() { _, werr = w.Write(buf[:n]) })
		if werr != nil {
			return werr
		}
		buf, next, n, err = next, buf, m, rerr
	}
	if err != io.EOF {
		return err
	}
	_, err = w.Write(buf[:n])
	return err
}

// ChunkSize is the length of the partial packet bodies written and of the AEAD
// chunks. Beyond it nothing gets faster.
const ChunkSize = 256 << 10

// WorkSize is the unit in which long messages are worked on. Waking a second
// core was measured to cost 0.1 ms; hashing this much takes five times that.
const WorkSize = 1 << 20

// FirstChunk is what is read before a message is known to be long.
const FirstChunk = 8 << 10

// worthForking is the least number of bytes that is hashed beside other work.
const worthForking = 512 << 10

// Beside runs f beside g when there is enough to do, and returns when both are
// done: no goroutine outlives the call.
func Beside(n int, f, g func()) {
	if n < worthForking {
		f()
		g()
		return
	}
	var wg sync.WaitGroup
	wg.Go(f)
	g()
	wg.Wait()
}

// Fill reads until p is full. Unlike io.ReadFull it leaves the reader's
// own errors apart: io.EOF is the end, io.ErrUnexpectedEOF a truncated packet.
func Fill(r io.Reader, p []byte) (n int, err error) {
	for n < len(p) && err == nil {
		var m int
		m, err = r.Read(p[n:])
		n += m
	}
	if n == len(p) {
		err = nil
	}
	return n, err
}
