package storefile

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/trustkeep/trustkeep"
)

// segmentSize is how much of a spool is encrypted at once.
const segmentSize = 64 << 10

// spool is an encrypted file beside the target that only its process can read: the key
// is random and nowhere but in memory. Segments are AES-256-GCM under their number, so
// that nobody changes them either.
type spool struct {
	sys  calls
	f    file
	name string // empty once it has none
	aead cipher.AEAD
	buf  []byte // less than a segment, and room for one with its tag
	n    uint64 // segments in the file
}

// newSpool makes a spool. Where the system lets it, the file loses its name at once;
// elsewhere a dead process leaves it to the next writer.
func newSpool(target string, sys calls) (*spool, error) {
	key := make([]byte, 32)
	rand.Read(key)
	block, err := aes.NewCipher(key)
	clear(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	s := &spool{sys: sys, aead: aead, buf: make([]byte, 0, segmentSize+aead.Overhead())}
	err = fs.ErrExist
	for i := 0; i < maxSpools && errors.Is(err, fs.ErrExist); i++ {
		s.name = spoolName(target, i)
		sys.remove(s.name) // of a process that died
		s.f, err = sys.create(s.name)
	}
	if err != nil {
		return nil, err
	}
	if sys.remove(s.name) == nil {
		s.name = ""
	}
	return s, nil
}

func (s *spool) Close() error {
	err := s.f.Close()
	if s.name != "" {
		err = errors.Join(err, s.sys.remove(s.name))
	}
	clear(s.buf[:cap(s.buf)])
	return err
}

func (s *spool) Write(p []byte) (n int, err error) {
	for len(p) > 0 {
		took := min(len(p), segmentSize-len(s.buf))
		s.buf = append(s.buf, p[:took]...)
		n, p = n+took, p[took:]
		if len(s.buf) == segmentSize {
			if err := s.seal(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

// seal writes a segment. The key is new with each spool, so its number is a good nonce.
func (s *spool) seal() error {
	_, err := s.f.Write(s.aead.Seal(s.buf[:0], s.nonce(s.n), s.buf, nil))
	s.buf = s.buf[:0]
	s.n++
	return err
}

// finish writes the last segment, which is shorter than the others, if only by a byte.
func (s *spool) finish() error { return s.seal() }

func (s *spool) nonce(n uint64) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, s.aead.NonceSize()-8), n)
}

// decrypt writes the content to w.
func (s *spool) decrypt(w io.Writer) error {
	r := io.NewSectionReader(s.f, 0, 1<<63-1)
	segment := make([]byte, segmentSize+s.aead.Overhead())
	defer clear(segment)
	for i := range s.n {
		n, err := io.ReadFull(r, segment)
		if err != nil && (i < s.n-1 || !errors.Is(err, io.ErrUnexpectedEOF)) {
			return err
		}
		plain, err := s.aead.Open(segment[:0], s.nonce(i), segment[:n], nil)
		if err != nil {
			return fmt.Errorf("temporary file: %w", trustkeep.ErrCorrupt)
		}
		if _, err := w.Write(plain); err != nil {
			return err
		}
	}
	return nil
}
