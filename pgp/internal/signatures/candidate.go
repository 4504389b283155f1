// Package signatures follows the signatures of a message while its content is read:
// what announces them, how they hash the content, and whether they are the ones announced.
package signatures

import (
	"bytes"
	"crypto"
	"encoding/binary"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// Candidate is a signature on content while that is read.
type Candidate struct {
	version     int // of the one-pass packet: 3 or 6
	Kind        packet.SignatureType
	Hash        crypto.Hash
	algorithm   packet.PublicKeyAlgorithm
	KeyID       uint64
	Fingerprint []byte
	salt        []byte
	Last        bool
	WeakHash    bool // MD5 and RIPEMD-160, which are not even computed
	Problem     error
	Sig         *packet.Signature
	Digest      *Digest
	HashName    string    // where Hash is zero
	Created     time.Time // where Sig is nil
}

// Announce takes over a one-pass packet, section 5.4; data is its body, problem
// what go-crypto says to it.
func (c *Candidate) Announce(p *packet.OnePassSignature, data []byte, problem error) {
	c.Problem = problem
	if len(data) > 0 {
		c.Last = data[len(data)-1] != 0
	}
	if problem != nil {
		if len(data) == 13 && data[0] == 3 {
			c.KeyID = binary.BigEndian.Uint64(data[4:])
			c.WeakHash = IsWeakHash(data[2])
		}
		return
	}
	c.version, c.Kind, c.Hash, c.algorithm = p.Version, p.SigType, p.Hash, p.PubKeyAlgo
	c.KeyID, c.Fingerprint, c.salt = p.KeyId, p.KeyFingerprint, p.Salt
}

// AnnounceUnread takes over a signature that stands before its content, or apart from
// it, and that go-crypto does not read: what can be told of it is told.
func (c *Candidate) AnnounceUnread(body []byte, problem error) {
	c.Problem = problem
	c.sketch(body)
}

// IsWeakHash tells MD5 and RIPEMD-160 by their OpenPGP numbers.
func IsWeakHash(id byte) bool { return id == 1 || id == 3 }

// AnnounceWhole takes over a signature that stands before its content, or
// apart from it.
func (c *Candidate) AnnounceWhole(sig *packet.Signature) {
	c.version = 3
	if sig.Version == 6 {
		c.version = 6
	}
	c.Kind, c.Hash, c.algorithm = sig.SigType, sig.Hash, sig.PubKeyAlgo
	c.Fingerprint, c.salt = sig.IssuerFingerprint, sig.Salt()
	switch {
	case sig.IssuerKeyId != nil:
		c.KeyID = *sig.IssuerKeyId
	case len(sig.IssuerFingerprint) == 32:
		c.KeyID = binary.BigEndian.Uint64(sig.IssuerFingerprint)
	case len(sig.IssuerFingerprint) == 20:
		c.KeyID = binary.BigEndian.Uint64(sig.IssuerFingerprint[12:])
	}
	c.Sig = sig
}

// CompleteUnread takes over the signature that was announced and that go-crypto does
// not read.
func (c *Candidate) CompleteUnread(body []byte, problem error) {
	if c.Problem == nil {
		c.Problem = problem
	}
	if id := c.KeyID; id == 0 {
		c.sketch(body)
	}
}

// Complete takes over the signature that was announced.
func (c *Candidate) Complete(sig *packet.Signature) {
	if c.Problem != nil {
		return
	}
	same := sig.SigType == c.Kind && sig.Hash == c.Hash && sig.PubKeyAlgo == c.algorithm
	if c.version == 6 {
		same = same && sig.Version == 6 && bytes.Equal(sig.Salt(), c.salt) && bytes.Equal(sig.IssuerFingerprint, c.Fingerprint)
	} else {
		same = same && sig.Version < 6 && (sig.IssuerKeyId == nil || *sig.IssuerKeyId == c.KeyID)
	}
	if !same {
		c.Problem = fault.New(trustkeep.ErrCorrupt, "signature is not the one announced")
		return
	}
	c.Sig = sig
}
