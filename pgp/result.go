package pgp

import (
	"slices"
	"strings"
	"time"
)

// SignatureState is the verdict on a signature.
type SignatureState uint8

// The states. Only SignatureValid means that the content is as an expected
// signer signed it.
const (
	// SignatureUnverified: no verdict was reached, such as before the end of
	// the message. The zero value.
	SignatureUnverified SignatureState = iota
	SignatureNone                      // there is no signature
	SignatureValid                     // made by an expected signer, and good
	SignatureUnknown                   // made by somebody else
	SignatureInvalid                   // does not fit the content, or its key may not sign
	SignatureExpired                   // good, but the key or the signature has expired
	SignatureRevoked                   // good, but the key has been revoked
	SignatureWeak                      // good, but by algorithms that are not allowed
)

// String returns the state as one lower-case word, as in JSON.
func (s SignatureState) String() string {
	names := [...]string{"unverified", "none", "valid", "unknown", "invalid", "expired", "revoked", "weak"}
	if int(s) < len(names) {
		return names[s]
	}
	return "invalid"
}

// MarshalText returns String.
func (s SignatureState) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Result describes a message and the verdict on its signatures. It is complete
// when the operation has succeeded or, for a reader, when Read has returned
// io.EOF.
type Result struct {
	// Signature is the verdict on the message: SignatureValid if at least one
	// signature is valid, else the state of the one that came closest.
	Signature SignatureState
	// Signatures are all signatures of the message.
	Signatures []SignatureInfo

	Encrypted bool
	// Integrity is how the encrypted content is protected: "aead" or "mdc";
	// empty when it is not.
	Integrity string
	// Recipients are the key IDs that the message names. A hidden recipient is
	// "0000000000000000". Anyone can put any ID there.
	Recipients []string
	// DecryptedWith is the fingerprint of the key that opened the message.
	DecryptedWith string
	// ByPassword reports that a password opened the message.
	ByPassword bool
	// BySessionKey reports that a session key of the caller's opened the message.
	BySessionKey bool

	// FileName and ModTime are hints of the sender. They are not signed, and
	// FileName may hold anything: never use it as a path.
	FileName string
	ModTime  time.Time
	// Text reports that the content is marked as text, which is not signed. Text is sent
	// with lines that end in CR LF. They are handed out as LF, as GnuPG does, unless a
	// signature is over the octets and not over text.
	Text bool
	Size int64 // of the content as handed out, in bytes

	// Allowed are the relaxations that were in force, Needed those of them
	// without which the message would have been refused.
	Allowed Relaxations
	Needed  Relaxations
}

// SignatureInfo describes one signature of a message and the verdict on it.
type SignatureInfo struct {
	State SignatureState
	// Signer is the expected signer who made it; nil when the state is
	// SignatureUnknown. Only SignatureValid says that the signer meant it.
	Signer *Key
	// KeyID is the key ID that the signature claims.
	KeyID   string
	Created time.Time
	Expires time.Time // of the signature itself; zero for never
	Hash    string    // such as "SHA-256"
	// Notations are those that were signed. Like all of a signature, they mean something
	// only if State is SignatureValid.
	Notations []Notation
	// Err is why the signature is not valid. Nil if it is.
	Err error
}

// SignedBy returns the expected signers whose signatures are valid.
func (r *Result) SignedBy() []*Key {
	var out []*Key
	for _, s := range r.Signatures {
		if s.State == SignatureValid {
			out = append(out, s.Signer)
		}
	}
	return out
}

func (r *Result) relax(by Relaxations) { r.Needed |= by }

// summarize sets the verdict on the message.
func (r *Result) summarize() {
	if len(r.Signatures) == 0 {
		r.Signature = SignatureNone
		return
	}
	// The closest to valid first.
	order := []SignatureState{
		SignatureValid, SignatureWeak, SignatureExpired, SignatureRevoked, SignatureInvalid, SignatureUnknown,
	}
	for _, state := range order {
		if slices.ContainsFunc(r.Signatures, func(s SignatureInfo) bool { return s.State == state }) {
			r.Signature = state
			return
		}
	}
}

// err returns the error for a message that lacks a valid signature.
func (r *Result) err() error {
	if r.Signature == SignatureValid {
		return nil
	}
	e := &SignatureError{State: r.Signature}
	for _, s := range r.Signatures {
		if s.State == r.Signature && s.Err != nil {
			e.Detail = strings.TrimPrefix(s.Err.Error(), "pgp: ")
			break
		}
	}
	return e
}
