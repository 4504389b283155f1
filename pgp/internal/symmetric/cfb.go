// Package symmetric encrypts and decrypts the data of messages: CFB with an
// integrity code, and the containers that a session key opens.
package symmetric

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/sha1"
	"crypto/subtle"
	"hash"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
)

// Version 1 of integrity protected data (RFC 9580 section 5.13.1): CFB over a
// random prefix, the content, and its SHA-1. go-crypto has its own CFB, byte by
// byte; the standard library's does several blocks at once and gives the same:
// without the resynchronization of section 13.9, OpenPGP's CFB is CFB with an
// initial vector of zeros. Hashing runs beside it.

const mdcSize = 2 + sha1.Size // the modification detection code packet, header included

const (
	mdcTag    = 0xC0 | 19
	mdcLength = sha1.Size
)

// smallWrite is what MDCWriter collects writes to, such as those of packet
// headers and of a compressor.
const smallWrite = 32 << 10

// MDCWriter encrypts. Close ends the packet, not what it is written to.
type MDCWriter struct {
	packet *grammar.Writer
	stream cipher.Stream
	hash   hash.Hash
	buf    []byte // collects short writes
	out    []byte
}

// NewMDCWriter starts a packet; key is an AES key.
func NewMDCWriter(w io.Writer, key []byte, random io.Reader) (*MDCWriter, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	prefix := make([]byte, aes.BlockSize+2)
	if _, err := io.ReadFull(random, prefix[:aes.BlockSize]); err != nil {
		return nil, err
	}
	copy(prefix[aes.BlockSize:], prefix[aes.BlockSize-2:])
	m := &MDCWriter{
		packet: grammar.NewWriter(w, grammar.TagSEIPD),
		stream: cipher.NewCFBEncrypter(block, make([]byte, aes.BlockSize)), //lint:ignore SA1019 the format is CFB; its authentication is the SHA-1
		hash:   sha1.New(),
	}
	if _, err := m.packet.Write([]byte{1}); err != nil {
		return nil, err
	}
	return m, m.encrypt(prefix)
}

func (m *MDCWriter) Write(p []byte) (n int, err error) {
	n = len(p)
	if len(m.buf)+len(p) < smallWrite {
		m.buf = append(m.buf, p...)
		return n, nil
	}
	if err := m.flush(); err != nil {
		return 0, err
	}
	for len(p) > 0 {
		k := min(len(p), overlap.WorkSize)
		if err := m.encrypt(p[:k]); err != nil {
			return n - len(p), err
		}
		p = p[k:]
	}
	return n, nil
}

func (m *MDCWriter) flush() error {
	err := m.encrypt(m.buf)
	m.buf = m.buf[:0]
	return err
}

func (m *MDCWriter) encrypt(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	if cap(m.out) < len(p) {
		m.out = make([]byte, len(p))
	}
	out := m.out[:len(p)]
	overlap.Beside(len(p),
		func() { m.hash.Write(p) },
		func() { m.stream.XORKeyStream(out, p) })
	_, err := m.packet.Write(out)
	return err
}

func (m *MDCWriter) Close() error {
	if err := m.flush(); err != nil {
		return err
	}
	m.hash.Write([]byte{mdcTag, mdcLength})
	m.out = m.hash.Sum(append(m.out[:0], mdcTag, mdcLength))
	m.stream.XORKeyStream(m.out, m.out)
	if _, err := m.packet.Write(m.out); err != nil {
		return err
	}
	return m.packet.Close()
}

// mdcReader decrypts. The last bytes are withheld until the integrity code has
// been found right, so a message of one chunk yields nothing when it is not.
type mdcReader struct {
	r      io.Reader
	stream cipher.Stream
	hash   hash.Hash
	bufs   [2][]byte
	next   int    // the buffer to fill
	ready  []byte // decrypted, not yet read
	last   []byte // the chunk that ready is part of, not yet hashed
	tail   [mdcSize]byte
	tailed int
	err    error
}

// newMDCReader reads the prefix. The two bytes that it repeats tell a wrong key
// with a chance of 2^16; checkPrefix asks for that, which only messages
// encrypted to a password may do: with public keys the answer would help an
// attacker (section 5.13.1).
func newMDCReader(r io.Reader, block cipher.Block, checkPrefix bool) (*mdcReader, error) {
	size := block.BlockSize()
	prefix := make([]byte, size+2)
	if _, err := io.ReadFull(r, prefix); err != nil {
		return nil, err
	}
	stream := cipher.NewCFBDecrypter(block, make([]byte, size)) //lint:ignore SA1019 see NewMDCWriter
	stream.XORKeyStream(prefix, prefix)
	if checkPrefix && subtle.ConstantTimeCompare(prefix[size-2:size], prefix[size:]) != 1 {
		return nil, errWrongSessionKey
	}
	h := sha1.New()
	h.Write(prefix)
	return &mdcReader{r: r, stream: stream, hash: h}, nil
}

// errWrongSessionKey is internal: the caller tries the next password.
var errWrongSessionKey = fault.New(trustkeep.ErrIncorrectPassword, "message")

func (m *mdcReader) Read(p []byte) (int, error) {
	for len(m.ready) == 0 {
		if m.err != nil {
			return 0, m.err
		}
		m.fill()
	}
	n := copy(p, m.ready)
	m.ready = m.ready[n:]
	return n, nil
}

// fill decrypts another chunk while the one before is hashed.
func (m *mdcReader) fill() {
	size := mdcSize + overlap.FirstChunk
	if m.tailed > 0 {
		size = mdcSize + overlap.WorkSize
	}
	if len(m.bufs[m.next]) < size {
		m.bufs[m.next] = make([]byte, size)
	}
	buf := m.bufs[m.next]
	copy(buf, m.tail[:m.tailed])
	var n int
	var err error
	overlap.Beside(len(m.last),
		func() { m.hash.Write(m.last) },
		func() {
			n, err = overlap.Fill(m.r, buf[m.tailed:])
			m.stream.XORKeyStream(buf[m.tailed:m.tailed+n], buf[m.tailed:m.tailed+n])
		})
	n += m.tailed
	m.next = 1 - m.next
	m.last = nil
	if err != nil && err != io.EOF {
		m.err = err
		return
	}
	if n < mdcSize {
		m.err = io.ErrUnexpectedEOF
		return
	}
	content := buf[:n-mdcSize]
	m.tailed = copy(m.tail[:], buf[n-mdcSize:n])
	if err == nil {
		m.ready, m.last = content, content
		return
	}
	m.hash.Write(content)
	m.hash.Write(m.tail[:2])
	ok := subtle.ConstantTimeCompare(m.hash.Sum(nil), m.tail[2:])
	ok &= subtle.ConstantTimeCompare(m.tail[:2], []byte{mdcTag, mdcLength})
	if ok != 1 {
		m.err = errIntegrity
		return
	}
	m.ready, m.err = content, io.EOF
}

var errIntegrity = fault.New(trustkeep.ErrCorrupt, "integrity check failed")

// Close tells whether the whole packet was read and found intact.
func (m *mdcReader) Close() error {
	switch {
	case m.err == io.EOF && len(m.ready) == 0:
		return nil
	case m.err == nil || m.err == io.EOF:
		return errIntegrity
	}
	return m.err
}

// newSEDReader decrypts data without integrity protection (section 5.7), which
// has the resynchronization of section 13.9.
func newSEDReader(r io.Reader, block cipher.Block, checkPrefix bool) (io.Reader, error) {
	size := block.BlockSize()
	prefix := make([]byte, size+2)
	if _, err := io.ReadFull(r, prefix); err != nil {
		return nil, err
	}
	iv := append([]byte(nil), prefix[2:]...)
	cipher.NewCFBDecrypter(block, make([]byte, size)).XORKeyStream(prefix, prefix) //lint:ignore SA1019 see NewMDCWriter
	if checkPrefix && subtle.ConstantTimeCompare(prefix[size-2:size], prefix[size:]) != 1 {
		return nil, errWrongSessionKey
	}
	return cipher.StreamReader{S: cipher.NewCFBDecrypter(block, iv), R: r}, nil //lint:ignore SA1019 see NewMDCWriter
}
