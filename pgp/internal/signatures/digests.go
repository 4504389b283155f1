package signatures

import (
	"crypto"
	"hash"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// Digest hashes content for all signatures that hash it alike.
type Digest struct {
	kind packet.SignatureType
	hash crypto.Hash
	salt string
	h    hash.Hash
	w    hash.Hash // h, or what brings text into canonical form before it
}

// maxDigests bounds how often content is hashed.
const maxDigests = 8

// Digests hash content in every way that signatures need.
type Digests struct{ list []*Digest }

// Hashing reports whether any signature needs the content.
func (s *Digests) Hashing() bool { return len(s.list) > 0 }

// Write hashes content. It never fails.
func (s *Digests) Write(p []byte) (int, error) {
	for _, d := range s.list {
		d.w.Write(p)
	}
	return len(p), nil
}

// Prepare starts to hash content as the signature does.
func (s *Digests) Prepare(c *Candidate) {
	if c.Kind != packet.SigTypeBinary && c.Kind != packet.SigTypeText {
		c.Problem = fault.New(trustkeep.ErrUnsupported, "signature of type %#x on data", int(c.Kind))
		return
	}
	for _, d := range s.list {
		if d.kind == c.Kind && d.hash == c.Hash && d.salt == string(c.salt) {
			c.Digest = d
			return
		}
	}
	if len(s.list) == maxDigests {
		c.Problem = fault.New(trustkeep.ErrLimit, "more than %d different hashes", maxDigests)
		return
	}
	if !c.Hash.Available() {
		c.Problem = fault.New(trustkeep.ErrUnsupported, "hash %s", c.Hash)
		return
	}
	d := &Digest{kind: c.Kind, hash: c.Hash, salt: string(c.salt), h: c.Hash.New()}
	d.h.Write(c.salt)
	d.w = d.h
	if c.Kind == packet.SigTypeText {
		d.w = openpgp.NewCanonicalTextHash(d.h)
	}
	if _, ok := d.h.(hash.Cloner); !ok {
		d.salt = "not shared" // verifying consumes the hash
	}
	c.Digest = d
	s.list = append(s.list, d)
}

// State returns a hash that verifying may consume.
func (d *Digest) State() hash.Hash {
	if c, ok := d.h.(hash.Cloner); ok {
		if clone, err := c.Clone(); err == nil {
			return clone
		}
	}
	return d.h
}
