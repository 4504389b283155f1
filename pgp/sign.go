package pgp

import (
	"bytes"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/compose"
	"github.com/trustkeep/trustkeep/pgp/internal/elsewhere"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
)

// Signing configures signing, and its methods sign. It is safe for concurrent
// use.
type Signing struct {
	// Options are the clock, the randomness and the weaknesses to accept.
	Options Options
	// Signers are the unlocked private keys that sign, each once. At least one
	// is needed.
	Signers []*Key
	// Armor writes armored text instead of binary. Cleartext is always text.
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
func (s Signing) checksum() armor.Checksum {
	for _, k := range s.Signers {
		if k.Version() < 6 {
			return armor.WithChecksum
		}
	}
	return armor.WithoutChecksum
}

// Sign writes a message with the content of src and its signatures. It is not
// encrypted; Encryption does both. The error wraps ErrInvalid without a signer;
// a key that cannot sign is an error as in Key.CanSign.
func (s Signing) Sign(dst io.Writer, src io.Reader) error {
	keys, err := s.keys()
	if err != nil {
		return err
	}
	out := &compose.Message{Buffered: &overlap.Behind{W: dst}}
	var w io.Writer = out.Buffered
	if s.Armor {
		a, err := armor.NewWriter(w, armor.BlockMessage, s.checksum())
		if err != nil {
			return err
		}
		out.Push(a)
		w = a
	}
	pc := s.Options.packetConfig(s.Options.now())
	if err := guard("sign", func() error { return out.Content(w, keys, compose.Hints{}, nil, pc) }); err != nil {
		return classify("sign", err)
	}
	return out.CopyAll(src)
}

// Detached writes the signatures of src without its content. Errors are those of
// Sign.
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
	var pending []*compose.Signature
	for _, key := range keys {
		p, err := compose.NewSignature(key, kind, pc)
		if err != nil {
			return classify("sign", err)
		}
		pending = append(pending, p)
		if s.Text {
			writers = append(writers, openpgp.NewCanonicalTextHash(p.H))
		} else {
			writers = append(writers, p.H)
		}
	}
	if err := overlap.Copy(io.MultiWriter(writers...), src); err != nil {
		return err
	}
	var packets bytes.Buffer
	for _, p := range pending {
		err := guard("sign", func() error {
			if err := elsewhere.Sign(p.Sig, p.H, p.Key, pc); err != nil {
				return err
			}
			return p.Sig.Serialize(&packets)
		})
		if err != nil {
			return classify("sign", err)
		}
	}
	data := packets.Bytes()
	if s.Armor {
		if data, err = armor.Encode(armor.BlockSignature, data, s.checksum()); err != nil {
			return err
		}
	}
	_, err = dst.Write(data)
	return err
}
