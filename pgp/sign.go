package pgp

import (
	"bytes"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
)

// Signing says how something is to be signed. It is safe to use one Signing
// for many at once.
type Signing struct {
	// Options are the clock, the randomness and the weaknesses to accept.
	Options Options
	// Signers sign, each; they must be unlocked.
	Signers []*Key
	// Armor writes text instead of binary. Cleartext is always text.
	Armor bool
	// Text makes detached signatures over text, whose line endings may
	// change on the way (RFC 9580 section 5.2.1.2).
	Text bool
}

func (s Signing) keys() ([]*packet.PrivateKey, error) {
	if len(s.Signers) == 0 {
		return nil, fail(trustkeep.ErrInvalid, "no signer")
	}
	return signingKeys(s.Signers, s.Options)
}

// checksum for armor: left out when every signature is of version 6.
func (s Signing) checksum() checksum {
	for _, k := range s.Signers {
		if k.Version() < 6 {
			return withChecksum
		}
	}
	return withoutChecksum
}

// Sign writes a message that holds the content of src and its signatures. It
// is not encrypted; see Encryption for both.
func (s Signing) Sign(dst io.Writer, src io.Reader) error {
	keys, err := s.keys()
	if err != nil {
		return err
	}
	out := &messageWriter{buffered: &behindWriter{w: dst}}
	var w io.Writer = out.buffered
	if s.Armor {
		a, err := newArmorWriter(w, blockMessage, s.checksum())
		if err != nil {
			return err
		}
		out.push(a)
		w = a
	}
	pc := s.Options.packetConfig(s.Options.now())
	if err := guard("sign", func() error { return out.content(w, keys, literalHints{}, nil, pc) }); err != nil {
		return classify("sign", err)
	}
	return out.copyAll(src)
}

// Detached writes the signatures of src, without its content.
func (s Signing) Detached(dst io.Writer, src io.Reader) error {
	keys, err := s.keys()
	if err != nil {
		return err
	}
	kind := packet.SigTypeBinary
	if s.Text {
		kind = packet.SigTypeText
	}
	pc := s.Options.packetConfig(s.Options.now())
	var writers []io.Writer
	var pending []*pendingSignature
	for _, key := range keys {
		p, err := newPendingSignature(key, kind, pc)
		if err != nil {
			return classify("sign", err)
		}
		pending = append(pending, p)
		if s.Text {
			writers = append(writers, openpgp.NewCanonicalTextHash(p.h))
		} else {
			writers = append(writers, p.h)
		}
	}
	if err := copyAhead(io.MultiWriter(writers...), src); err != nil {
		return err
	}
	var packets bytes.Buffer
	for _, p := range pending {
		err := guard("sign", func() error {
			if err := p.sig.Sign(p.h, p.key, pc); err != nil {
				return err
			}
			return p.sig.Serialize(&packets)
		})
		if err != nil {
			return classify("sign", err)
		}
	}
	data := packets.Bytes()
	if s.Armor {
		if data, err = enarmor(blockSignature, data, s.checksum()); err != nil {
			return err
		}
	}
	_, err = dst.Write(data)
	return err
}
