package trustkeep

import (
	"crypto"
	"fmt"
	"io"
	"log/slog"
)

// Encoded is a store that is about to be written, for SaveOptions.Check. It prints as a
// summary without secrets.
type Encoded struct {
	// Container is the format of Data.
	Container Format
	// Data is the new content of the file. Do not modify it.
	Data []byte
	// Password that Data is protected with. If nil, it has none.
	Password PasswordSource
	// Entries are what Data should hold, in its order.
	Entries []EncodedEntry
}

// EncodedEntry is one entry of an Encoded.
type EncodedEntry struct {
	Alias string
	// Kind is "key", "trusted", "secret", "crl" or "opaque".
	Kind string
	// Chain is the DER of the entry's certificates, its own first.
	Chain [][]byte
	// PublicKey of an unlocked private key. It is nil for a locked key and for every other
	// kind of entry.
	PublicKey crypto.PublicKey
	// Password that the key has for itself. If nil, it has the store's, or one that
	// nobody gave.
	Password PasswordSource
}

// String returns a summary: "jks store, 3 entries, 2048 bytes".
func (e Encoded) String() string {
	return fmt.Sprintf("%s store, %d entries, %d bytes", e.Container, len(e.Entries), len(e.Data))
}

// Format writes String for every verb: Data may hold keys in the clear.
func (e Encoded) Format(f fmt.State, _ rune) { io.WriteString(f, e.String()) }

// MarshalText returns String, for JSON and XML.
func (e Encoded) MarshalText() ([]byte, error) { return []byte(e.String()), nil }

// MarshalBinary returns String, for gob.
func (e Encoded) MarshalBinary() ([]byte, error) { return []byte(e.String()), nil }

// LogValue implements slog.LogValuer through String.
func (e Encoded) LogValue() slog.Value { return slog.StringValue(e.String()) }
