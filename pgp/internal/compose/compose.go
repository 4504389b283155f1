// Package compose writes the content of a message between the packets that
// announce its signatures and the signatures, RFC 9580 section 10.3.
package compose

import (
	"crypto"
	"hash"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/elsewhere"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
	"github.com/trustkeep/trustkeep/pgp/internal/selfsig"
)

// KeepOpen hides a writer's Close: Message closes each layer itself.
type KeepOpen struct{ io.Writer }

func (KeepOpen) Close() error { return nil }

// Hints are about the content, and not signed.
type Hints struct {
	Name    string
	ModTime time.Time
	Text    bool // lines are sent ending in CR LF, and signed so
}

// How says how to sign.
type How struct {
	Hash      crypto.Hash // zero: by the key
	Lifetime  uint32      // in seconds; zero: for good
	Notations []*packet.Notation
}

// flusher is a writer that may hold something back until Flush.
type flusher interface {
	io.Writer
	Flush() error
}

// Message is the stack of packets that a message consists of. The content
// goes into the innermost one; Close ends them from the inside.
type Message struct {
	Buffered   flusher
	layers     []io.Closer // the outermost first
	literal    *grammar.Writer
	sink       io.Writer // of the literal packet and what surrounds it
	signatures []*Signature
	intended   []*packet.Recipient
	config     *packet.Config
	lines      *lineEndings // nil: binary
	err        error
}

// Signature is a signature whose content is being written.
type Signature struct {
	Key *packet.PrivateKey
	Sig *packet.Signature
	H   hash.Hash
}

func (m *Message) Push(c io.Closer) { m.layers = append(m.layers, c) }

// Content starts the literal packet, between the packets that announce the
// signatures and the signatures (RFC 9580 section 10.3.1).
func (m *Message) Content(w io.Writer, signers []*packet.PrivateKey, hints Hints, intended []*packet.Recipient, how How, pc *packet.Config) error {
	m.sink, m.intended, m.config = w, intended, pc
	kind, format := packet.SigTypeBinary, byte('b')
	if hints.Text {
		kind, format, m.lines = packet.SigTypeText, 't', new(lineEndings)
	}
	for i, key := range signers {
		s, err := NewSignature(key, kind, how, pc)
		if err != nil {
			return err
		}
		ops := &packet.OnePassSignature{
			Version: 3, SigType: s.Sig.SigType, Hash: s.Sig.Hash, PubKeyAlgo: key.PubKeyAlgo,
			KeyId: key.KeyId, IsLast: i == len(signers)-1,
		}
		if key.Version == 6 {
			ops.Version, ops.Salt, ops.KeyFingerprint = 6, s.Sig.Salt(), key.Fingerprint
		}
		if err := ops.Serialize(w); err != nil {
			return err
		}
		m.signatures = append(m.signatures, s)
	}
	m.literal = grammar.NewWriter(w, grammar.TagLiteral)
	name := hints.Name
	if len(name) > 255 {
		name = name[:255]
	}
	var t uint32
	if !hints.ModTime.IsZero() {
		t = uint32(hints.ModTime.Unix())
	}
	header := append([]byte{format, byte(len(name))}, name...)
	header = append(header, byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
	_, err := m.literal.Write(header)
	return err
}

// NewSignature prepares a signature by a key. The error wraps trustkeep.ErrInvalid for a
// hash that is too short for it.
func NewSignature(key *packet.PrivateKey, kind packet.SignatureType, how How, pc *packet.Config) (*Signature, error) {
	sig := selfsig.New(&key.PublicKey, kind, pc.Now())
	if how.Hash != 0 {
		if how.Hash.Size() < sig.Hash.Size() {
			return nil, fault.New(trustkeep.ErrInvalid, "%s for a key that takes %s", how.Hash, sig.Hash)
		}
		sig.Hash = how.Hash
	}
	if how.Lifetime > 0 {
		sig.SigLifetimeSecs = &how.Lifetime
	}
	sig.Notations = how.Notations
	h, err := sig.PrepareSign(pc) // hashes the salt of version 6
	if err != nil {
		return nil, err
	}
	return &Signature{key, sig, h}, nil
}

// CopyAll writes the whole content and ends the message.
func (m *Message) CopyAll(src io.Reader) error {
	err := overlap.Copy(m, src)
	if err == nil {
		return m.Close()
	}
	m.Buffered.Flush() // waits for what is being written; the message is lost anyway
	return err
}

func (m *Message) Write(p []byte) (n int, err error) {
	n = len(p)
	for len(p) > 0 && m.err == nil {
		taken := min(len(p), overlap.WorkSize)
		chunk := p[:taken]
		if m.lines != nil {
			chunk = m.lines.network(chunk)
		}
		overlap.Beside(len(chunk)*min(len(m.signatures), 1),
			func() {
				for _, s := range m.signatures {
					s.H.Write(chunk)
				}
			},
			func() { _, m.err = m.literal.Write(chunk) })
		p = p[taken:]
	}
	if m.err != nil {
		return n - len(p), m.err
	}
	return n, nil
}

func (m *Message) Close() error {
	if m.err == nil {
		m.err = fault.Guard("encrypt", m.finish)
		if m.err == nil {
			m.err = errClosed
			return nil
		}
	}
	return m.err
}

var errClosed = fault.New(trustkeep.ErrInvalid, "message writer is closed")

func (m *Message) finish() error {
	if err := m.literal.Close(); err != nil {
		return err
	}
	for _, s := range slices.Backward(m.signatures) { // the first announced comes last
		s.Sig.IntendedRecipients = m.intended
		if err := elsewhere.Sign(s.Sig, s.H, s.Key, m.config); err != nil {
			return fault.Classify("sign", err)
		}
		if err := s.Sig.Serialize(m.sink); err != nil {
			return err
		}
	}
	for _, layer := range slices.Backward(m.layers) {
		if err := layer.Close(); err != nil {
			return err
		}
	}
	return m.Buffered.Flush()
}
