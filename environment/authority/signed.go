package authority

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// Bounds of what is parsed.
const (
	// MaxSize is that of a signed statement in bytes.
	MaxSize = 16 << 20
	// MaxSignatures is how many signatures a statement may have.
	MaxSignatures = 64
	maxSignature  = 256
	// maxDocument bounds a Document, which is read by every program.
	maxDocument = 1 << 20
)

// Digest names a statement. The zero Digest names none.
type Digest [sha256.Size]byte

// IsZero reports whether it names nothing.
func (d Digest) IsZero() bool { return d == Digest{} }

// String spells it in hex.
func (d Digest) String() string { return hex.EncodeToString(d[:]) }

// MarshalText spells it in hex; nothing for the zero Digest.
func (d Digest) MarshalText() ([]byte, error) {
	if d.IsZero() {
		return []byte{}, nil
	}
	return hex.AppendEncode(nil, d[:]), nil
}

// UnmarshalText reverses MarshalText. The error wraps trustkeep.ErrCorrupt.
func (d *Digest) UnmarshalText(text []byte) error {
	*d = Digest{}
	if len(text) == 0 {
		return nil
	}
	if len(text) != hex.EncodedLen(len(d)) {
		return fmt.Errorf("authority: digest of %d characters: %w", len(text), trustkeep.ErrCorrupt)
	}
	if _, err := hex.Decode(d[:], text); err != nil {
		return fmt.Errorf("authority: digest: %w", trustkeep.ErrCorrupt)
	}
	return nil
}

// Statement is what can be signed: Document, Record, Index or Date.
type Statement interface {
	Document | Record | Index | Date
	kind() string
	check() error
}

// Signed is a statement with signatures, which count only when an Authority says so. It is
// immutable and safe for concurrent use.
type Signed[T Statement] struct {
	statement  T
	payload    []byte // the statement as it was signed
	digest     Digest
	signatures []signature
}

type signature struct {
	Key   string `json:"key"`
	Value []byte `json:"value"`
}

// envelope is the JSON of a signed statement.
type envelope struct {
	Signed     int             `json:"signed"` // the format
	Type       string          `json:"type"`
	Signatures []signature     `json:"signatures"`
	Statement  json.RawMessage `json:"statement"`
}

const formatVersion = 1

// Make returns a statement without signatures. The error wraps trustkeep.ErrInvalid for one
// that contradicts itself, and trustkeep.ErrLimit for one that is too large.
func Make[T Statement](statement T) (*Signed[T], error) {
	if err := statement.check(); err != nil {
		return nil, fmt.Errorf("authority: %s: %w: %v", statement.kind(), trustkeep.ErrInvalid, err)
	}
	payload, err := json.Marshal(statement)
	if err != nil {
		return nil, fmt.Errorf("authority: %s: %w: %v", statement.kind(), trustkeep.ErrInvalid, err)
	}
	if len(payload) > limitOf(statement) {
		return nil, fmt.Errorf("authority: %s of %d bytes: %w", statement.kind(), len(payload), trustkeep.ErrLimit)
	}
	// As it is read back, so that what is signed is what the caller has given.
	return fromPayload[T](payload)
}

func limitOf[T Statement](statement T) int {
	if statement.kind() == (Document{}).kind() {
		return maxDocument
	}
	return MaxSize
}

// Parse reads a signed statement. No signature is looked at.
//
// The error wraps trustkeep.ErrLimit beyond the bounds, trustkeep.ErrUnsupported for a later
// format, and trustkeep.ErrUntrusted for what is not a signed statement (CodeUnsigned) or one
// of another type (CodeSwapped); else trustkeep.ErrCorrupt.
func Parse[T Statement](data []byte) (*Signed[T], error) {
	var none T
	kind := none.kind()
	if len(data) > limitOf(none)+MaxSignatures*(4*maxSignature) {
		return nil, fmt.Errorf("authority: %s of %d bytes: %w", kind, len(data), trustkeep.ErrLimit)
	}
	if !IsSigned(data) {
		return nil, &Error{Code: CodeUnsigned, Detail: "not a signed " + kind}
	}
	var e envelope
	if err := json.Unmarshal(data, &e); err != nil {
		return nil, fmt.Errorf("authority: %s: %w", kind, trustkeep.ErrCorrupt)
	}
	switch {
	case e.Signed > formatVersion:
		return nil, fmt.Errorf("authority: %s of format %d: %w", kind, e.Signed, trustkeep.ErrUnsupported)
	case e.Type != kind:
		return nil, &Error{Code: CodeSwapped, Detail: "a signed " + trustkeep.Printable(e.Type) + " in the place of a " + kind}
	case len(e.Signatures) > MaxSignatures:
		return nil, fmt.Errorf("authority: %s with %d signatures: %w", kind, len(e.Signatures), trustkeep.ErrLimit)
	}
	s, err := fromPayload[T](e.Statement)
	if err != nil {
		return nil, err
	}
	for _, one := range e.Signatures {
		if len(one.Key) != 2*sha256.Size || len(one.Value) > maxSignature {
			return nil, fmt.Errorf("authority: signature of a %s: %w", kind, trustkeep.ErrCorrupt)
		}
	}
	s.signatures = e.Signatures
	if !bytes.Equal(s.Encode(), data) {
		return nil, fmt.Errorf("authority: %s in another spelling: %w", kind, trustkeep.ErrCorrupt)
	}
	return s, nil
}

// IsSigned reports whether data begins like a signed statement, so that it can be told from
// a record that was written before signing was switched on. It verifies nothing.
func IsSigned(data []byte) bool { return bytes.HasPrefix(data, []byte(`{"signed":`)) }

func fromPayload[T Statement](payload []byte) (*Signed[T], error) {
	s := &Signed[T]{payload: bytes.Clone(payload)}
	kind := s.statement.kind()
	corrupt := func(why any) error {
		return fmt.Errorf("authority: %s: %w: %v", kind, trustkeep.ErrCorrupt, why)
	}
	if len(payload) > limitOf(s.statement) {
		return nil, fmt.Errorf("authority: %s of %d bytes: %w", kind, len(payload), trustkeep.ErrLimit)
	}
	if err := json.Unmarshal(s.payload, &s.statement); err != nil {
		return nil, corrupt("not readable") // the cause may quote it
	}
	if err := s.statement.check(); err != nil {
		return nil, corrupt(err)
	}
	// Another spelling, with fields twice, unknown or in other cases, could mean something
	// else to another reader.
	if again, err := json.Marshal(s.statement); err != nil || !bytes.Equal(again, s.payload) {
		return nil, corrupt("another spelling")
	}
	h := sha256.New()
	io.WriteString(h, "trustkeep "+kind+" 1\x00")
	h.Write(s.payload)
	h.Sum(s.digest[:0])
	return s, nil
}

// Sign returns the statement with a signature more, or in the place of the one by the same
// key. rand is for ECDSA; nil is crypto/rand. Errors are those of the signer, and wrap
// trustkeep.ErrUnsupported for a key that NewPublicKey refuses and trustkeep.ErrLimit beyond
// MaxSignatures.
func (s *Signed[T]) Sign(rand io.Reader, signer crypto.Signer) (*Signed[T], error) {
	if signer == nil {
		return nil, fmt.Errorf("authority: no signer: %w", trustkeep.ErrInvalid)
	}
	key, value, err := sign(rand, s.digest, signer)
	if err != nil {
		return nil, err
	}
	out := *s
	out.signatures = slices.DeleteFunc(slices.Clone(s.signatures), func(g signature) bool { return g.Key == key.ID() })
	if len(out.signatures) >= MaxSignatures {
		return nil, fmt.Errorf("authority: more than %d signatures: %w", MaxSignatures, trustkeep.ErrLimit)
	}
	out.signatures = append(out.signatures, signature{key.ID(), value})
	return &out, nil
}

// Statement returns what is signed. What it refers to is shared: do not modify it.
func (s *Signed[T]) Statement() T { return s.statement }

// Digest names the statement, whoever has signed it.
func (s *Signed[T]) Digest() Digest { return s.digest }

// Signers returns the IDs of the keys that the signatures say to be of. They are not
// verified.
func (s *Signed[T]) Signers() []string {
	var out []string
	for _, g := range s.signatures {
		out = append(out, g.Key)
	}
	return out
}

// Encode returns the JSON that Parse reads.
func (s *Signed[T]) Encode() []byte {
	if s.signatures == nil {
		s = &Signed[T]{statement: s.statement, payload: s.payload, signatures: []signature{}}
	}
	signatures, err := json.Marshal(s.signatures)
	if err != nil {
		panic(err) // strings and bytes
	}
	var b bytes.Buffer
	b.Grow(len(s.payload) + len(signatures) + 64)
	fmt.Fprintf(&b, `{"signed":%d,"type":"%s","signatures":%s,"statement":`, formatVersion, s.statement.kind(), signatures)
	b.Write(s.payload)
	b.WriteByte('}')
	return b.Bytes()
}

// signedBy counts the keys of a role whose signatures are right, each once, up to its
// threshold. Signatures of other keys are not looked at, so that a stranger cannot make it
// expensive.
func (s *Signed[T]) signedBy(keys map[string]PublicKey, role Role) int {
	n := 0
	seen := make(map[string]bool)
	for _, g := range s.signatures {
		if n >= role.Threshold {
			break
		}
		key, known := keys[g.Key]
		if !known || seen[g.Key] || !slices.Contains(role.Keys, g.Key) {
			continue
		}
		seen[g.Key] = true
		if key.verify(s.digest, g.Value) {
			n++
		}
	}
	return n
}
