package environment

import (
	"bytes"
	"crypto/hpke"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// OpeningKey opens what is sealed for its SealingKey (HPKE, RFC 9180). A program has one in a
// file that only it can read; see Options.OpeningKey. It prints as [redacted] with every verb
// of package fmt, in JSON, gob and slog.
//
// It is safe for concurrent use.
type OpeningKey struct {
	key func() hpke.PrivateKey // a closure: package fmt would print a field
}

// SealingKey is the public half of an OpeningKey. The zero value is none.
type SealingKey struct {
	kem  uint16
	text string // of the public key, in bytes; comparable
}

// What the texts of keys begin with; the number of the KEM and the key in base64 follow.
const (
	openingPrefix = "trustkeep-opening-key:"
	sealingPrefix = "trustkeep-sealing-key:"
	// maxKeyText bounds them. The longest are those of P-384 with ML-KEM-1024.
	maxKeyText = 4 << 10
)

// NewOpeningKey generates a key for ML-KEM-768 with P-256, which resists quantum computers and is
// approved under GODEBUG=fips140=only.
func NewOpeningKey() (*OpeningKey, error) {
	key, err := hpke.MLKEM768P256().GenerateKey()
	if err != nil {
		return nil, fmt.Errorf("environment: opening key: %w", err)
	}
	return &OpeningKey{redact.Hidden(key)}, nil
}

// OpeningKeyOf returns the opening key of an HPKE key, such as that of a crypto/ecdh key in
// hardware, by hpke.NewDHKEMPrivateKey. The error wraps trustkeep.ErrInvalid for nil, and
// trustkeep.ErrUnsupported for one whose KEM crypto/hpke does not name, or that is not approved
// under GODEBUG=fips140=only, such as that of X25519.
func OpeningKeyOf(key hpke.PrivateKey) (*OpeningKey, error) {
	if key == nil {
		return nil, fmt.Errorf("environment: no opening key: %w", trustkeep.ErrInvalid)
	}
	if _, err := kemOf(key.KEM().ID()); err != nil {
		return nil, err
	}
	return &OpeningKey{redact.Hidden(key)}, nil
}

// kemDHX25519 is the one of crypto/hpke that is not approved.
const kemDHX25519 = 0x0020

func kemOf(id uint16) (hpke.KEM, error) {
	if id == kemDHX25519 {
		if err := fips.Refuse("HPKE with X25519"); err != nil {
			return nil, err
		}
	}
	kem, err := hpke.NewKEM(id)
	if err != nil {
		return nil, fmt.Errorf("environment: key of KEM %04x: %w", id, trustkeep.ErrUnsupported)
	}
	return kem, nil
}

// ParseOpeningKey reads what Save wrote. Line endings behind it are left out. The error wraps
// trustkeep.ErrCorrupt, ErrUnsupported as that of OpeningKeyOf, or ErrLimit for a long text.
func ParseOpeningKey(text []byte) (*OpeningKey, error) {
	kem, raw, err := parseKey(text, openingPrefix)
	if err != nil {
		return nil, err
	}
	defer clear(raw)
	key, err := kem.NewPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("environment: opening key: %w", trustkeep.ErrCorrupt) // the cause may quote it
	}
	return &OpeningKey{redact.Hidden(key)}, nil
}

// LoadOpeningKey reads a file that Save wrote. Errors are those of the file and ParseOpeningKey.
func LoadOpeningKey(path string) (*OpeningKey, error) {
	text, err := storefile.ReadFile(path, maxKeyText)
	if err != nil {
		return nil, err
	}
	defer clear(text)
	key, err := ParseOpeningKey(text)
	if err != nil {
		return nil, &trustkeep.Error{Op: "opening key", Path: path, Err: err}
	}
	return key, nil
}

// Save writes the key to a new file that only its owner can read: one line of text. The error
// wraps fs.ErrExist if the file exists, and trustkeep.ErrUnsupported for a key that stays in
// hardware.
func (k OpeningKey) Save(path string) error {
	if k.key == nil {
		return errNoOpeningKey
	}
	raw, err := k.key().Bytes()
	if err != nil {
		return fmt.Errorf("environment: opening key: %w: %v", trustkeep.ErrUnsupported, err)
	}
	defer clear(raw)
	text := formatKey(openingPrefix, k.key().KEM().ID(), raw)
	defer clear(text)
	return writeNew(path, append(text, '\n'))
}

var errNoOpeningKey = fmt.Errorf("environment: no opening key: %w", trustkeep.ErrInvalid)

// SealingKey returns the public half.
func (k OpeningKey) SealingKey() SealingKey {
	if k.key == nil {
		return SealingKey{}
	}
	return SealingKey{k.key().KEM().ID(), string(k.key().PublicKey().Bytes())}
}

// String returns "[redacted]".
func (OpeningKey) String() string { return redactedKey }

// GoString returns "[redacted]".
func (OpeningKey) GoString() string { return redactedKey }

// Format writes "[redacted]" whatever the verb.
func (OpeningKey) Format(f fmt.State, _ rune) { io.WriteString(f, redactedKey) }

// MarshalText returns "[redacted]". Use Save to store a key.
func (OpeningKey) MarshalText() ([]byte, error) { return []byte(redactedKey), nil }

// MarshalBinary returns "[redacted]", for gob.
func (OpeningKey) MarshalBinary() ([]byte, error) { return []byte(redactedKey), nil }

// LogValue returns "[redacted]".
func (OpeningKey) LogValue() slog.Value { return slog.StringValue(redactedKey) }

const redactedKey = "[redacted]"

// ParseSealingKey reads what String returned. Errors are those of ParseOpeningKey.
func ParseSealingKey(text string) (SealingKey, error) {
	kem, raw, err := parseKey([]byte(text), sealingPrefix)
	if err != nil {
		return SealingKey{}, err
	}
	if _, err := kem.NewPublicKey(raw); err != nil {
		return SealingKey{}, fmt.Errorf("environment: sealing key: %w", trustkeep.ErrCorrupt)
	}
	return SealingKey{kem.ID(), string(raw)}, nil
}

// String spells the key as ParseSealingKey reads it, in one line of up to 4 KiB; it is empty for
// the zero value.
func (k SealingKey) String() string {
	if k.text == "" {
		return ""
	}
	return string(formatKey(sealingPrefix, k.kem, []byte(k.text)))
}

// Fingerprint is the SHA-256 of the key, in hex, to compare it by.
func (k SealingKey) Fingerprint() string {
	sum := sha256.Sum256(append(binary.BigEndian.AppendUint16(nil, k.kem), k.text...))
	return hex.EncodeToString(sum[:])
}

// MarshalText returns String.
func (k SealingKey) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText is ParseSealingKey.
func (k *SealingKey) UnmarshalText(text []byte) error {
	if len(text) > maxKeyText {
		return tooLongKey(len(text))
	}
	parsed, err := ParseSealingKey(string(text))
	if err == nil {
		*k = parsed
	}
	return err
}

func (k SealingKey) public() (hpke.PublicKey, error) {
	kem, err := kemOf(k.kem)
	if err != nil {
		return nil, err
	}
	return kem.NewPublicKey([]byte(k.text))
}

func formatKey(prefix string, kem uint16, raw []byte) []byte {
	out := make([]byte, 0, len(prefix)+5+base64.RawURLEncoding.EncodedLen(len(raw))+1)
	out = fmt.Appendf(out, "%s%04x:", prefix, kem)
	return base64.RawURLEncoding.AppendEncode(out, raw)
}

func tooLongKey(n int) error {
	return fmt.Errorf("environment: key of %d bytes, at most %d: %w", n, maxKeyText, trustkeep.ErrLimit)
}

func parseKey(text []byte, prefix string) (hpke.KEM, []byte, error) {
	if len(text) > maxKeyText {
		return nil, nil, tooLongKey(len(text))
	}
	damaged := &trustkeep.Error{Op: "environment: key", Err: trustkeep.ErrCorrupt, Hint: "it begins with " + prefix + ", and NewOpeningKey makes one"}
	number, encoded, ok := bytes.Cut(bytes.TrimPrefix(bytes.TrimRight(text, "\r\n"), []byte(prefix)), []byte(":"))
	var id [2]byte
	if !ok || !bytes.HasPrefix(text, []byte(prefix)) || len(number) != 4 {
		return nil, nil, damaged
	}
	if _, err := hex.Decode(id[:], number); err != nil || bytes.ContainsAny(number, "ABCDEF") {
		return nil, nil, damaged
	}
	kem, err := kemOf(binary.BigEndian.Uint16(id[:]))
	if err != nil {
		return nil, nil, err
	}
	raw, err := base64.RawURLEncoding.Strict().AppendDecode(nil, encoded)
	if err != nil || bytes.ContainsAny(encoded, "\r\n") {
		clear(raw)
		return nil, nil, damaged
	}
	return kem, raw, nil
}
