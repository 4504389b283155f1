package cms

import (
	"bytes"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/cms/internal/keywrap"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// SharedKey is a key for encrypting keys that sender and receiver have agreed on, under an
// identifier that they both know (RFC 5652 section 6.2.3). It prints as its identifier. It is
// safe for concurrent use.
type SharedKey struct {
	id  []byte
	key *redact.Secret
}

// NewSharedKey returns the AES key of 16, 24 or 32 bytes with that identifier. Both are
// copied. Anything else, or an empty identifier, is trustkeep.ErrInvalid.
func NewSharedKey(id, key []byte) (*SharedKey, error) {
	if len(id) == 0 || len(id) > maxSmall {
		return nil, wrap("shared key", invalid(fmt.Sprintf("identifier of %d bytes", len(id))))
	}
	switch len(key) {
	case 16, 24, 32:
		return &SharedKey{bytes.Clone(id), redact.NewSecret(key)}, nil
	}
	return nil, wrap("shared key", invalid(fmt.Sprintf("key of %d bytes", len(key))))
}

// Format prints the identifier, whatever the verb.
func (k *SharedKey) Format(f fmt.State, _ rune) {
	if k == nil {
		io.WriteString(f, "no shared key")
		return
	}
	io.WriteString(f, "shared key "+cutHex(k.id))
}

// info returns the KEKRecipientInfo (RFC 5652 section 6.2.3) that holds the content key.
func (k *SharedKey) info(contentKey []byte) ([]byte, error) {
	wrapped, err := keywrap.Wrap(k.key.Bytes(), contentKey)
	if err != nil {
		return nil, err
	}
	return berio.TLV(berio.ContextConstructed(2),
		berio.TLV(berio.Integer, []byte{4}),
		berio.TLV(berio.Sequence, berio.TLV(berio.OctetString, k.id)),
		algorithm{id: wrapID(len(k.key.Bytes()))}.der(),
		berio.TLV(berio.OctetString, wrapped)), nil
}

// sharedInfo is a KEKRecipientInfo of a message.
type sharedInfo struct {
	id        []byte
	algorithm algorithm
	wrapped   []byte
}

func parseShared(e ber.Element) (s sharedInfo, err error) {
	in, err := e.Children()
	if err != nil {
		return s, err
	}
	if _, err = in.Read(ber.Integer); err != nil {
		return s, err
	}
	kekID, err := in.Read(ber.Sequence)
	if err != nil {
		return s, err
	}
	fields, err := kekID.Children()
	if err != nil {
		return s, err
	}
	if s.id, err = readOctets(&fields); err != nil { // date and other attribute do not count
		return s, err
	}
	if s.algorithm, err = readAlgorithm(&in); err != nil {
		return s, err
	}
	if s.wrapped, err = readOctets(&in); err != nil {
		return s, err
	}
	return s, in.End()
}

// contentKey recovers the content key of size bytes.
func (s sharedInfo) contentKey(k *SharedKey, size int) ([]byte, error) {
	kekSize := wrapSpecs[s.algorithm.id]
	switch {
	case kekSize == 0:
		return nil, unsupported("key wrap " + s.algorithm.id.String())
	case kekSize != len(k.key.Bytes()):
		return nil, fmt.Errorf("shared key of %d bits for a message with %d: %w", 8*len(k.key.Bytes()), 8*kekSize, trustkeep.ErrKeyMismatch)
	}
	contentKey, err := keywrap.Unwrap(k.key.Bytes(), s.wrapped)
	if err != nil || len(contentKey) != size {
		return nil, errUndecryptable()
	}
	return contentKey, nil
}

// wrapID returns the AES key wrap for keys of size bytes.
func wrapID(size int) oid {
	for id, n := range wrapSpecs {
		if n == size {
			return id
		}
	}
	return ""
}
