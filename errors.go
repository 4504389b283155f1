package trustkeep

import (
	"errors"
	"strings"
)

// Sentinel errors shared by every package of this module. Test for them with
// errors.Is; the error that reaches a caller wraps one of them together with
// what it is about (see Error).
var (
	// ErrIncorrectPassword: the password does not open the store or the key.
	// Where a format cannot tell a wrong password from tampered content
	// (a MAC mismatch), this is the error too.
	ErrIncorrectPassword = errors.New("incorrect password")
	// ErrNotFound: no entry, component or identity has that name.
	ErrNotFound = errors.New("not found")
	// ErrExists: the name is taken. Aliases that differ only in case are one name.
	ErrExists = errors.New("already exists")
	// ErrUnsupported: well formed as far as read, but of an algorithm, version or kind that
	// this library or the target format does not support.
	ErrUnsupported = errors.New("unsupported")
	// ErrCorrupt: input data is malformed, truncated or contradicts itself. A bad value
	// that the caller chose is ErrInvalid.
	ErrCorrupt = errors.New("corrupt data")
	// ErrInvalid: the call is wrong, whatever the data: a nil pointer, a bad name or
	// contradicting fields in the caller's own options. Retrying it is no use.
	ErrInvalid = errors.New("invalid argument")
	// ErrEmpty: a store, file or list without content where content is needed, such as
	// a trust store without any certificate.
	ErrEmpty = errors.New("empty")
	// ErrKeyMismatch: a private key and a certificate do not belong together.
	ErrKeyMismatch = errors.New("private key does not match certificate")
	// ErrExpired: outside the validity period.
	ErrExpired = errors.New("expired")
	// ErrRevoked: the certificate was revoked by its issuer.
	ErrRevoked = errors.New("revoked")
	// ErrRejected: an import hook, such as a virus scanner, refused the input.
	ErrRejected = errors.New("rejected")
	// ErrNotDeployable: components of this kind cannot be deployed on their own.
	ErrNotDeployable = errors.New("not deployable")
	// ErrInUse: what is to be deleted is still referred to.
	ErrInUse = errors.New("in use")
	// ErrUnsaved: changes would be lost.
	ErrUnsaved = errors.New("unsaved changes")
	// ErrConflict: what is to be replaced was changed by somebody else since
	// it was read.
	ErrConflict = errors.New("changed by another writer")
	// ErrUntrusted: what was read from a storage is not vouched for: unsigned, forged,
	// swapped, withheld, or older than what was seen before.
	ErrUntrusted = errors.New("not trusted")
	// ErrNotPermitted: the key at hand may not make this change.
	ErrNotPermitted = errors.New("not permitted")
	// ErrOutdated: what was handed out no longer fits the definition that it was made of, and
	// cannot follow it. Ask for it again.
	ErrOutdated = errors.New("outdated")
	// ErrLimit: a bound of Limits was reached before the work was done.
	ErrLimit = errors.New("limit exceeded")
)

// Error adds the context of a failed operation to its cause. Every field but Err may be empty.
// It never holds a password or key material.
type Error struct {
	Op     string // what was attempted: "keystore: load"
	Path   string // file, where there is one
	Alias  string // entry, where there is one
	Format string // format detected, where known: "pkcs12"
	Err    error  // cause; wraps one of the sentinels where one fits
	Hint   string // what would help, one sentence without a full stop
}

// Error formats as `op: path (format): alias "a": cause; hint`, without empty fields. Control
// characters in aliases and paths are escaped, since both may come from hostile files.
func (e *Error) Error() string {
	var parts []string
	if e.Op != "" {
		parts = append(parts, e.Op)
	}
	if e.Path != "" {
		parts = append(parts, Printable(e.Path))
	}
	if e.Format != "" && len(parts) > 0 {
		parts[len(parts)-1] += " (" + e.Format + ")"
	}
	if e.Alias != "" {
		parts = append(parts, `alias "`+Printable(e.Alias)+`"`)
	}
	if e.Err != nil {
		parts = append(parts, e.Err.Error())
	}
	text := strings.Join(parts, ": ")
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }
