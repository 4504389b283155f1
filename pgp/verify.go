package pgp

import (
	"bytes"
	"errors"
	"io"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
	"github.com/trustkeep/trustkeep/pgp/internal/signatures"
)

// Verification configures verifying, and its methods verify. Each returns a
// Result whose Signature is SignatureValid and a nil error, or an error: a
// *SignatureError comes with the Result that explains it. It is safe for
// concurrent use.
type Verification struct {
	// Options are the clock, the limits and the weaknesses to accept.
	Options Options
	// Signers are the expected signers. Without any, nil or empty, no signature
	// is valid and everything is refused.
	Signers []*Key
	// AlsoSignedBy are further lists of expected signers: beside one of Signers, one of
	// each list must have signed validly. "Signed by X and Y" is Signers X and
	// AlsoSignedBy {{Y}}. A key that is in several lists stands for all of them: for two
	// people to sign, their lists must not overlap.
	AlsoSignedBy [][]*Key
	// Notations must all be in a signature, by name and value, or it is invalid; so is
	// one with a critical notation that is not listed.
	Notations []Notation
	// MaxAge refuses signatures that were made longer ago, as expired. Zero is any age.
	MaxAge time.Duration
	// MaxExpansion and MaxBuffer are as in Decryption. Cleartext messages are always
	// held in memory, by MessageFile too.
	MaxExpansion int
	MaxBuffer    int
}

// Detached verifies detached signatures, armored or binary, over the content of
// signed. A signature file of more than 1 MiB is refused with ErrLimit.
func (v Verification) Detached(signed, signature io.Reader) (*Result, error) {
	m, err := v.message()
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(signature, maxSignatureFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxSignatureFile {
		return nil, fail(trustkeep.ErrLimit, "signature of more than %d bytes", maxSignatureFile)
	}
	if err := m.detached(data); err != nil {
		return nil, err
	}
	n, err := io.CopyBuffer(onlyWriter{&m.signers}, onlyReader{v.Options.watched(signed)}, make([]byte, overlap.ChunkSize))
	if err != nil {
		return nil, err
	}
	m.result.Size = n
	m.verify()
	return m.verdict()
}

const maxSignatureFile = 1 << 20

func (v Verification) message() (*message, error) {
	m := newMessage(v.Options, v.MaxExpansion)
	if v.MaxBuffer != 0 {
		m.buffer = v.MaxBuffer
	}
	err := door()
	if err == nil {
		err = m.expects(v.expected())
	}
	return m, err
}

// detached reads signature packets and nothing else.
func (m *message) detached(data []byte) error {
	data, err := armor.Decode(data, armor.BlockSignature)
	if err != nil {
		return classify("signature", err)
	}
	if len(data) == 0 {
		return fail(trustkeep.ErrEmpty, "empty signature")
	}
	for offset := 0; len(data) > 0 && (offset == 0 || !grammar.OnlyPadding(data)); {
		p, rest, err := grammar.Next(data, offset)
		if err != nil {
			return err
		}
		offset += len(p.Data)
		data = rest
		switch {
		case p.Tag == grammar.TagSignature:
		case p.Tag == grammar.TagMarker, p.Tag == grammar.TagPadding, p.Tag >= grammar.FirstIgnorable:
			continue
		default:
			return fail(trustkeep.ErrCorrupt, "packet of type %d in a detached signature", p.Tag)
		}
		if len(m.signatures) == maxSignatures {
			return fail(trustkeep.ErrLimit, "more than %d signatures", maxSignatures)
		}
		c := new(signatures.Candidate)
		parsed, err := p.Parsed()
		if err != nil {
			c.AnnounceUnread(p.Body, err)
		} else {
			c.AnnounceWhole(parsed.(*packet.Signature))
		}
		m.signatures = append(m.signatures, c)
		m.signers.add(c)
	}
	return nil
}

// Message verifies a message that holds its content and its signatures, as
// Signing.Sign and Signing.Cleartext write them. The content
// that was signed, and nothing else, is written to dst when it has been
// verified. It is held in memory until then: see MaxBuffer, and MessageFile.
func (v Verification) Message(dst io.Writer, src io.Reader) (*Result, error) {
	limit := v.MaxBuffer
	if limit == 0 {
		limit = defaultBuffer
	}
	var buf bytes.Buffer
	res, err := v.into(&limitedBuffer{&buf, limit}, src)
	if err != nil {
		return res, err
	}
	if _, err := buf.WriteTo(dst); err != nil {
		return nil, err
	}
	return res, nil
}

// MessageFile is Message into the file at path, which is replaced when all is
// well and stays as it was otherwise.
func (v Verification) MessageFile(path string, src io.Reader) (*Result, error) {
	var res *Result
	err := writeFile(path, func(w io.Writer) (err error) {
		res, err = v.into(w, src)
		return err
	})
	return res, err
}

func (v Verification) into(w io.Writer, src io.Reader) (*Result, error) {
	m, err := v.message()
	if err != nil {
		return nil, err
	}
	err = m.start(v.Options.watched(src))
	if errors.Is(err, errCleartext) {
		if err := m.cleartext(w); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	} else if err := copyContent(w, m); err != nil {
		return nil, err
	}
	return m.verdict()
}
