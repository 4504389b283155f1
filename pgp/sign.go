package pgp

import (
	"bufio"
	"bytes"
	"crypto"
	"io"
	"time"

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
	// Signers are the private keys that sign, unlocked or elsewhere, each once. At
	// least one is needed.
	Signers []*Key
	// Armor writes armored text instead of binary. Cleartext is always text.
	Armor bool
	// Text signs text, whose line endings may change on the way (RFC 9580 section
	// 5.2.1.2). In messages it is sent with lines ending in CR LF. Cleartext is
	// always text.
	Text bool
	// Hash is SHA-256, SHA-384, SHA-512, SHA3-256 or SHA3-512. If zero, SHA-256, or
	// what stronger keys take, which is also the least for them.
	Hash crypto.Hash
	// Lifetime is how long the signatures count, in whole seconds. If zero, they do not expire.
	Lifetime time.Duration
	// Notations go into the signatures; see Notation and SigningContext.
	Notations []Notation
}

func (s Signing) keys() ([]*packet.PrivateKey, compose.How, error) {
	if len(s.Signers) == 0 {
		return nil, compose.How{}, fail(trustkeep.ErrInvalid, "no signer")
	}
	how, err := howToSign(s.Hash, s.Lifetime, s.Notations)
	if err != nil {
		return nil, how, err
	}
	keys, err := signingKeys(s.Signers, s.Options)
	return keys, how, err
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
// encrypted; Encryption does both. The error wraps ErrInvalid without a signer
// and for fields out of range; a key that cannot sign is an error as in
// Key.CanSign.
func (s Signing) Sign(dst io.Writer, src io.Reader) error {
	out := &compose.Message{Buffered: &overlap.Behind{W: dst}}
	if err := s.begin(out); err != nil {
		return err
	}
	return out.CopyAll(s.Options.watched(src))
}

// Writer starts a message as Sign writes it and returns the writer for its content.
// The message is complete when Close has returned nil; Close does not close dst.
func (s Signing) Writer(dst io.Writer) (io.WriteCloser, error) {
	out := &compose.Message{Buffered: bufio.NewWriterSize(dst, 16<<10)}
	if err := s.begin(out); err != nil {
		return nil, err
	}
	return contentWriter{func() *compose.Message { return out }}, nil
}

func (s Signing) begin(out *compose.Message) error {
	keys, how, err := s.keys()
	if err != nil {
		return err
	}
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
	return classify("sign", guard("sign", func() error {
		return out.Content(w, keys, compose.Hints{Text: s.Text}, nil, how, pc)
	}))
}

// Detached writes the signatures of src without its content. Errors are those of
// Sign.
func (s Signing) Detached(dst io.Writer, src io.Reader) error {
	d, err := s.detached(dst)
	if err != nil {
		return err
	}
	if err := overlap.Copy(d.content, s.Options.watched(src)); err != nil {
		return err
	}
	return d.finish()
}

// DetachedWriter returns a writer for content whose signatures Close writes to dst,
// as Detached does. Close does not close dst.
func (s Signing) DetachedWriter(dst io.Writer) (io.WriteCloser, error) {
	d, err := s.detached(dst)
	if err != nil {
		return nil, err
	}
	return detachedWriter{func() *detached { return d }}, nil
}

// detachedWriter is what callers get to see: nothing prints the keys.
type detachedWriter struct{ d func() *detached }

func (w detachedWriter) Write(p []byte) (int, error) {
	if w.d().closed {
		return 0, errWriterClosed
	}
	return w.d().content.Write(p)
}

func (w detachedWriter) Close() error {
	if w.d().closed {
		return errWriterClosed
	}
	return w.d().finish()
}

var errWriterClosed = fail(trustkeep.ErrInvalid, "signature writer is closed")

// detached is detached signatures whose content is being hashed.
type detached struct {
	signing Signing
	dst     io.Writer
	config  *packet.Config
	content io.Writer
	pending []*compose.Signature
	closed  bool
}

func (s Signing) detached(dst io.Writer) (*detached, error) {
	keys, how, err := s.keys()
	if err != nil {
		return nil, err
	}
	kind := packet.SigTypeBinary
	if s.Text {
		kind = packet.SigTypeText
	}
	d := &detached{signing: s, dst: dst, config: s.Options.packetConfig(s.Options.now())}
	var writers []io.Writer
	for _, key := range keys {
		p, err := compose.NewSignature(key, kind, how, d.config)
		if err != nil {
			return nil, classify("sign", err)
		}
		d.pending = append(d.pending, p)
		if s.Text {
			writers = append(writers, openpgp.NewCanonicalTextHash(p.H))
		} else {
			writers = append(writers, p.H)
		}
	}
	d.content = io.MultiWriter(writers...)
	return d, nil
}

func (d *detached) finish() error {
	d.closed = true
	data, err := serialized(d.pending, d.config)
	if err != nil {
		return err
	}
	if d.signing.Armor {
		if data, err = armor.Encode(armor.BlockSignature, data, d.signing.checksum()); err != nil {
			return err
		}
	}
	_, err = d.dst.Write(data)
	return err
}

// serialized signs what has been hashed.
func serialized(pending []*compose.Signature, pc *packet.Config) ([]byte, error) {
	var packets bytes.Buffer
	for _, p := range pending {
		err := guard("sign", func() error {
			if err := elsewhere.Sign(p.Sig, p.H, p.Key, pc); err != nil {
				return err
			}
			return p.Sig.Serialize(&packets)
		})
		if err != nil {
			return nil, classify("sign", err)
		}
	}
	return packets.Bytes(), nil
}
