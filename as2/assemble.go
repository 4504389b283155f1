package as2

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/smime"
)

// stage runs steps in goroutines of their own, each of which ends with the stage.
type stage struct {
	wg      sync.WaitGroup
	readers []*io.PipeReader
}

func (s *stage) add(src io.Reader, step func(dst io.Writer, src io.Reader) error) io.Reader {
	r, w := io.Pipe()
	s.readers = append(s.readers, r)
	s.wg.Go(func() { w.CloseWithError(step(w, src)) })
	return r
}

func (s *stage) close() {
	for _, r := range s.readers {
		r.CloseWithError(errEnded)
	}
}

var errEnded = errors.New("as2: the message was not read to its end")

// counted computes digests of what passes.
type counted struct {
	io.Reader
	hashes []crypto.Hash
	sums   []hash.Hash
}

func newCounted(r io.Reader, hs ...crypto.Hash) *counted {
	c := &counted{hashes: hs}
	var ws []io.Writer
	for _, h := range hs {
		sum := h.New()
		c.sums = append(c.sums, sum)
		ws = append(ws, sum)
	}
	c.Reader = io.TeeReader(r, io.MultiWriter(ws...))
	return c
}

func (c *counted) mics() []MIC {
	var out []MIC
	for i, h := range c.hashes {
		out = append(out, MIC{h, c.sums[i].Sum(nil)})
	}
	return out
}

// assemble signs, compresses and seals the message as it is read.
func (p Partner) assemble(s *stage, m Message) (io.Reader, func() []MIC, error) {
	header, body, err := m.entity(p.Base64)
	if err != nil {
		return nil, nil, err
	}
	var recipient *x509.Certificate
	if p.Recipient != nil {
		if recipient, err = p.recipient(); err != nil {
			return nil, nil, err
		}
	}
	var count *counted
	var signed []MIC // known once the message was read to its end
	// Without a signature, receivers choose: what was asked for, or SHA-1 (RFC 4130 section 7.4.3).
	unsigned := []crypto.Hash{crypto.SHA256}
	if !fips.Enforced() {
		unsigned = append(unsigned, crypto.SHA1)
	}
	if p.Unsigned && p.Unsealed && p.Compression == Uncompressed {
		// Its header is that of HTTP and does not count.
		count = newCounted(body, unsigned...)
		return io.MultiReader(strings.NewReader(header), count), count.mics, nil
	}
	entity := io.MultiReader(strings.NewReader(header), body)
	compress := func(dst io.Writer, src io.Reader) error {
		return smime.CompressOptions{Encoding: smime.Binary}.Compress(dst, src)
	}
	if p.Unsigned {
		count = newCounted(entity, unsigned...)
		entity = count
	}
	if p.Compression == CompressThenSign || p.Unsigned && p.Compression != Uncompressed {
		entity = s.add(entity, compress)
	}
	if !p.Unsigned {
		if _, err := p.Signing.Hashes(p.Identity); err != nil {
			return nil, nil, err // before anything is sent
		}
		signing, told := p.Signing, p.Signing.Digested
		signing.Digested = func(h crypto.Hash, digest []byte) {
			signed = append(signed, MIC{h, digest})
			if told != nil {
				told(h, bytes.Clone(digest))
			}
		}
		// The signature is in base64: OpenSSL reads no other.
		entity = s.add(entity, func(dst io.Writer, src io.Reader) error {
			return smime.SignOptions{CMS: signing, OldMicalg: p.OldMicalg}.Sign(dst, src, p.Identity)
		})
		if p.Compression == SignThenCompress {
			entity = s.add(entity, compress)
		}
	}
	if recipient != nil {
		entity = s.add(entity, func(dst io.Writer, src io.Reader) error {
			return smime.SealOptions{CMS: p.Sealing, Encoding: smime.Binary}.Seal(dst, src, recipient)
		})
	}
	if count != nil {
		return entity, count.mics, nil
	}
	return entity, func() []MIC { return signed }, nil
}

func (p Partner) recipient() (*x509.Certificate, error) {
	c, err := p.Recipient()
	switch now := p.now(); {
	case err != nil:
		return nil, err
	case c == nil:
		return nil, fmt.Errorf("no certificate of the recipient: %w", trustkeep.ErrInvalid)
	case now.After(c.NotAfter), now.Before(c.NotBefore):
		return nil, fmt.Errorf("certificate of the recipient, %s, is valid from %s to %s: %w", trustkeep.PrintableName(c.RawSubject),
			c.NotBefore.UTC().Format(time.DateTime), c.NotAfter.UTC().Format(time.DateTime), trustkeep.ErrExpired)
	}
	return c, nil
}

// ending calls a function when a stream has ended, before anybody learns that it has.
type ending struct {
	io.Reader
	done func() error
}

func (e *ending) Read(b []byte) (int, error) {
	n, err := e.Reader.Read(b)
	if err == io.EOF && e.done != nil {
		done := e.done
		e.done = nil
		if failed := done(); failed != nil {
			return n, failed
		}
	}
	return n, err
}
