package cms

import (
	"crypto/cipher"
	"crypto/subtle"
	"io"
)

// cbcReader decrypts in CBC mode while the content passes. The last block is
// held back until the end of the source is seen and its padding was checked.
type cbcReader struct {
	src   io.Reader
	mode  cipher.BlockMode
	buf   []byte
	plain []byte // decrypted and not yet read; in buf
	carry []byte // ciphertext not yet decrypted; in buf, behind plain
	err   error
}

// newCBCReader reads by pieces of about size bytes.
func newCBCReader(src io.Reader, mode cipher.BlockMode, size int) *cbcReader {
	return &cbcReader{src: src, mode: mode, buf: make([]byte, max(size, 4*mode.BlockSize()))}
}

func (c *cbcReader) Read(p []byte) (int, error) {
	for len(c.plain) == 0 && c.err == nil {
		c.err = c.fill()
	}
	n := copy(p, c.plain)
	c.plain = c.plain[n:]
	if len(c.plain) > 0 || n > 0 {
		return n, nil
	}
	return 0, c.err
}

// fill decrypts the next piece, all of it but the last block unless the source
// has ended, which is io.EOF.
func (c *cbcReader) fill() error {
	have := copy(c.buf, c.carry)
	n, err := io.ReadFull(c.src, c.buf[have:])
	have += n
	size := c.mode.BlockSize()
	if err == nil {
		ready := (have - 1) / size * size
		c.mode.CryptBlocks(c.buf[:ready], c.buf[:ready])
		c.plain, c.carry = c.buf[:ready], c.buf[ready:have]
		return nil
	}
	if err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	if have == 0 || have%size != 0 {
		return corrupt("content that is no whole number of blocks")
	}
	c.mode.CryptBlocks(c.buf[:have], c.buf[:have])
	padding, ok := unpad(c.buf[have-size : have])
	if !ok {
		clear(c.buf)
		return errUndecryptable()
	}
	c.plain = c.buf[:have-padding]
	return io.EOF
}

// unpad returns the length of the padding of the last block (RFC 5652 section
// 6.3). Time does not depend on the content.
func unpad(block []byte) (n int, ok bool) {
	last := int(block[len(block)-1])
	good := subtle.ConstantTimeLessOrEq(1, last) & subtle.ConstantTimeLessOrEq(last, len(block))
	for i := range block {
		inside := subtle.ConstantTimeLessOrEq(len(block)-i, last)
		good &= subtle.ConstantTimeSelect(inside, subtle.ConstantTimeByteEq(block[i], byte(last)), 1)
	}
	return last, good == 1
}
