package pgp

import (
	"bytes"
	"io"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/pgp/internal/inflate"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
)

// Decryption configures decrypting, and its methods decrypt. It is safe for
// concurrent use.
type Decryption struct {
	// Options are the clock, the limits and the weaknesses to accept.
	Options Options
	// Keys are our private keys, unlocked or opened by Passphrase.
	Keys []*Key
	// Passphrase opens locked Keys. It is asked for only when such a key is
	// needed, and tried once on each. If nil, locked keys stay locked.
	Passphrase trustkeep.PasswordSource
	// Passwords open messages that were encrypted to a password. They are asked
	// for in order, only for such a message, and at most once each. None may
	// be nil.
	Passwords []trustkeep.PasswordSource
	// SessionKeys open messages whose session key is known, in the form that SessionKey
	// and gpg --show-session-key give. They are tried before Keys. None may be nil.
	SessionKeys []trustkeep.PasswordSource
	// Signers are the expected signers. If there are any, a message without
	// a valid signature by one of them is refused. If nil, signatures are not
	// verified. An empty list that is not nil is an error: nobody is left of
	// those who were expected.
	Signers []*Key
	// MustBeSigned makes a call without Signers an error. Set it where the list
	// is computed and could come out as nil.
	MustBeSigned bool
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
	// AllowUnsigned accepts messages without any signature even if Signers is
	// set. A message that is signed must still be signed validly.
	AllowUnsigned bool
	// AllowUnencrypted accepts messages that are signed only. If false, they
	// are refused, so that nobody can pass off a message that was never secret.
	AllowUnencrypted bool
	// MaxExpansion is the factor by which compressed content may expand beyond
	// 64 MiB, in all where it was compressed several times. Zero means 200.
	MaxExpansion int
	// MaxBuffer is how many bytes of content Decrypt holds back in memory.
	// Zero means 16 MiB.
	MaxBuffer int
}

const defaultBuffer = 16 << 20

// Decrypt reads a message, armored or binary, and writes its content to dst
// when all of it has been authenticated; on an error nothing is written. The
// content is held in memory until then: see MaxBuffer, and DecryptFile for
// content of any size.
//
// The Result is complete when the error is nil or a *SignatureError. With any
// other error it is nil or tells only whether the message claims to be
// encrypted, and for which Recipients: what it takes to find the missing key.
//
// The errors: ErrIncorrectPassword for a passphrase or password that is wrong
// or missing, ErrNotFound when the message is to other keys, ErrCorrupt for
// what is damaged or not a message, ErrLimit for bombs, *WeaknessError for what
// is too weak and not allowed, *SignatureError when the expected signature is missing.
func (d Decryption) Decrypt(dst io.Writer, src io.Reader) (*Result, error) {
	limit := d.MaxBuffer
	if limit == 0 {
		limit = defaultBuffer
	}
	var buf bytes.Buffer
	res, err := d.into(&limitedBuffer{&buf, limit}, src)
	if err != nil {
		return res, err
	}
	if _, err := buf.WriteTo(dst); err != nil {
		return res, err
	}
	return res, nil
}

// DecryptFile is Decrypt into the file at path, for content of any size. The file
// is replaced as a whole when the message has been authenticated; on an error it
// is as it was. A new file gets the permissions 0600.
func (d Decryption) DecryptFile(path string, src io.Reader) (*Result, error) {
	var res *Result
	err := writeFile(path, func(w io.Writer) (err error) {
		res, err = d.into(w, src)
		return err
	})
	return res, err
}

// into writes content that is not authenticated before it returns nil.
func (d Decryption) into(w io.Writer, src io.Reader) (*Result, error) {
	m, err := d.message(src)
	if err != nil {
		return m.envelope(), err
	}
	if err := copyContent(w, m); err != nil {
		return m.envelope(), err
	}
	return m.verdict()
}

// copyContent writes one part while the next is decrypted.
func copyContent(w io.Writer, m *message) error { return overlap.Copy(w, m) }

// onlyWriter and onlyReader keep io.Copy from shortcuts around the buffer.
type (
	onlyWriter struct{ io.Writer }
	onlyReader struct{ io.Reader }
)

// envelope is what can be told about a message that was not opened.
func (m *message) envelope() *Result {
	if m.container == nil && len(m.sessions) == 0 {
		return nil
	}
	return &Result{Encrypted: true, Recipients: m.result.Recipients, Allowed: m.result.Allowed}
}

// check finds wrong calls.
func (d Decryption) check() error {
	if err := door(); err != nil {
		return err
	}
	if slices.Contains(d.Passwords, nil) {
		return fail(trustkeep.ErrInvalid, "Passwords holds nil")
	}
	if slices.Contains(d.SessionKeys, nil) {
		return fail(trustkeep.ErrInvalid, "SessionKeys holds nil")
	}
	return noNil("Keys", d.Keys)
}

// message reads a message up to its content. It returns one also with an error,
// for its envelope.
func (d Decryption) message(src io.Reader) (*message, error) {
	m := newMessage(d.Options, d.MaxExpansion)
	m.open = &d
	if err := d.check(); err != nil {
		return m, err
	}
	if err := m.expects(d.expected()); err != nil {
		return m, err
	}
	if err := m.start(d.Options.watched(src)); err != nil {
		return m, err
	}
	if !m.result.Encrypted && !d.AllowUnencrypted {
		return m, fail(trustkeep.ErrRejected, "the message is not encrypted")
	}
	return m, nil
}

// expects sets whose signatures are computed and what is asked of them.
func (m *message) expects(x expectation, err error) error {
	if err != nil {
		return err
	}
	m.expect, m.signers.keys = x, x.everybody()
	return nil
}

func newMessage(c Options, expansion int) *message {
	m := &message{cfg: c, budget: limits.New(c.Limits), expansion: int64(expansion), buffer: defaultBuffer}
	if expansion <= 0 {
		m.expansion = inflate.DefaultExpansion
	}
	m.result.Allowed = c.Allow
	return m
}

// limitedBuffer refuses more than it may hold.
type limitedBuffer struct {
	buf  *bytes.Buffer
	left int
}

func (b *limitedBuffer) Write(p []byte) (int, error) {
	if len(p) > b.left {
		return 0, fail(trustkeep.ErrLimit, "content is too long to be held in memory until it is authenticated; write it to a file")
	}
	b.left -= len(p)
	return b.buf.Write(p)
}

// UnverifiedReader streams the content of a message. What it reads before it
// returns io.EOF may have been changed by anyone.
type UnverifiedReader struct {
	m      func() *message // a function, so that nothing prints keys and content
	err    error
	result *Result
}

// UnverifiedReader starts a message and streams its content in constant memory,
// for content that is processed on the way and thrown away if the end turns
// out bad. Read returns io.EOF only for a message that Decrypt would accept.
func (d Decryption) UnverifiedReader(src io.Reader) (*UnverifiedReader, error) {
	m, err := d.message(src)
	if err != nil {
		return nil, err
	}
	return &UnverifiedReader{m: func() *message { return m }}, nil
}

// Read reads content that is not yet authenticated.
func (r *UnverifiedReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.m().Read(p)
	if err == io.EOF {
		res, verr := r.m().verdict()
		r.result = res
		if verr != nil {
			err = verr
		}
	}
	r.err = err
	return n, err
}

// Result returns the verdict on the message. Before Read has returned io.EOF or
// a *SignatureError, there is none: the error wraps ErrInvalid.
func (r *UnverifiedReader) Result() (*Result, error) {
	if r.result == nil {
		return nil, fail(trustkeep.ErrInvalid, "the message has not been read to its end")
	}
	return r.result, nil
}
