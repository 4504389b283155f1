package trustkeep

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"os"
)

// redacted stands for a secret wherever one would be printed.
const redacted = "[redacted]"

// PasswordSource returns a password when it is needed. Functions that take one accept nil,
// which means "no password" and differs from the empty password where the format distinguishes
// them.
//
// Implementations must be safe for concurrent use and should not print the password.
type PasswordSource interface {
	// Reveal returns the password in UTF-8. The caller owns the slice and may overwrite it.
	Reveal() ([]byte, error)
}

// Password returns a source of this password. It prints as [redacted] with every verb of
// package fmt, in JSON, gob, text encodings and slog. In an unexported field of another
// struct, where the printing methods are not called, it prints as an address.
func Password(literal string) PasswordSource {
	return &literalPassword{func() []byte { return []byte(literal) }}
}

// literalPassword keeps the password in a closure, where no reflection finds it.
type literalPassword struct{ reveal func() []byte }

func (p *literalPassword) Reveal() ([]byte, error) { return p.reveal(), nil }

func (*literalPassword) String() string { return redacted }

func (*literalPassword) GoString() string { return redacted }

// Format writes "[redacted]" whatever the verb, %x and %q included.
func (*literalPassword) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// MarshalText serves JSON, XML and flag packages.
func (*literalPassword) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalBinary serves gob, which ignores MarshalText.
func (*literalPassword) MarshalBinary() ([]byte, error) { return []byte(redacted), nil }

func (*literalPassword) LogValue() slog.Value { return slog.StringValue(redacted) }

// PasswordFunc adapts a function to a PasswordSource, for prompts and vaults. It is called
// each time the password is needed.
type PasswordFunc func() ([]byte, error)

// Reveal calls f.
func (f PasswordFunc) Reveal() ([]byte, error) {
	if f == nil {
		return nil, &Error{Op: "password", Err: ErrInvalid, Hint: "the function is nil; no password is a nil PasswordSource"}
	}
	return f()
}

// PasswordFromEnv reads an environment variable when the password is needed. An unset variable
// is an error that wraps ErrNotFound; a variable set to nothing is the empty password.
func PasswordFromEnv(name string) PasswordSource { return envPassword(name) }

type envPassword string

func (e envPassword) Reveal() ([]byte, error) {
	v, ok := os.LookupEnv(string(e))
	if !ok {
		return nil, &Error{Op: "password", Err: ErrNotFound, Hint: "set the environment variable " + string(e)}
	}
	return []byte(v), nil
}

// maxPasswordFile bounds a password file, so that a wrong path (a disk image,
// /dev/zero) ends in an error.
const maxPasswordFile = 64 << 10

// PasswordFromFile reads a file when the password is needed. One line ending at the end, as
// echo writes it, and a UTF-8 byte order mark at the start are not part of the password;
// everything else is. A file over 64 KiB is an error that wraps ErrLimit.
func PasswordFromFile(path string) PasswordSource { return filePassword(path) }

type filePassword string

func (p filePassword) Reveal() ([]byte, error) {
	f, err := os.Open(string(p))
	if err != nil {
		return nil, &Error{Op: "password", Path: string(p), Err: err}
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxPasswordFile+1))
	if err != nil {
		return nil, &Error{Op: "password", Path: string(p), Err: err}
	}
	if len(b) > maxPasswordFile {
		clear(b)
		return nil, &Error{Op: "password", Path: string(p), Err: ErrLimit, Hint: "a password file holds one line"}
	}
	b = bytes.TrimPrefix(b, []byte("\xef\xbb\xbf"))
	b = bytes.TrimSuffix(b, []byte("\n"))
	return bytes.TrimSuffix(b, []byte("\r")), nil
}
