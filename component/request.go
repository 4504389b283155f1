package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Requester makes a request for a certificate: issue.RequestOptions.
type Requester = content.Requester

// Installer makes content of what comes back for a key: issue.InstallOptions of a CA's reply,
// pgp.InstallOptions of a key that others have certified.
type Installer = content.Installer

// Pending is a request for a certificate that has not been answered.
type Pending struct {
	// Number names it, see Component.Cancel. Numbers are not used again.
	Number int
	Made   time.Time
	// Request is PKCS#10 in PEM.
	Request []byte
	of      *pending
}

// CheckPassword returns nil if the password opens the key that waits. The error wraps
// ErrIncorrectPassword, ErrCorrupt if the key is damaged, or ErrInvalid for the zero Pending.
func (p Pending) CheckPassword(password trustkeep.PasswordSource) error {
	if p.of == nil {
		return fmt.Errorf("component: not a request of a component: %w", trustkeep.ErrInvalid)
	}
	key, err := p.of.key.content()
	if err != nil {
		return err
	}
	return key.CheckPassword(password)
}

// String returns the number and date.
func (p Pending) String() string {
	return fmt.Sprintf("request %d of %s", p.Number, p.Made.UTC().Format(time.DateOnly))
}

// pending is a request and the key that waits for the reply.
type pending struct {
	number  int
	made    time.Time
	request []byte
	key     *version // its number is not used
}

func (p *pending) equal(other *pending) bool {
	return p == other || p.number == other.number && p.made.Equal(other.made) && bytes.Equal(p.request, other.request) && p.key.stored.Equal(other.key.stored)
}

// maxPending bounds how many requests may wait.
const maxPending = 16

// Pending returns the requests that have not been answered, the newest last.
func (c *Component) Pending() []Pending {
	out := make([]Pending, len(c.pending))
	for i, p := range c.pending {
		out[i] = Pending{p.number, p.made, bytes.Clone(p.request), p}
	}
	return out
}

// CreateRequest makes a component that waits for its first certificate, and returns the
// request for it. Until Install has the reply, the component is one of a private key and
// counts for nothing: it has no version, fingerprint, validity or identity, and cannot be
// exported. Reimport and Renew end that, too.
//
// NewPassword, or else Password, protects the key that waits; the error wraps ErrInvalid
// without either. Other errors are those of the source and the policy.
func CreateRequest(ctx context.Context, name string, source Requester, o Options) (*Component, []byte, error) {
	const op = "create request"
	if err := checkName(name); err != nil {
		return nil, nil, failure(op, name, err)
	}
	id, err := newID(o.ID, o.Rand)
	if err != nil {
		return nil, nil, failure(op, name, err)
	}
	return (&Component{id: id, name: name}).requested(ctx, op, source, o)
}

// Request makes a request for a certificate of a private X.509 component, which goes on with
// what it has. The key waits in the component, under a password, until Install has the reply
// or Cancel ends it. Several requests may wait; re-imports, renewals and rollbacks leave them
// alone.
//
// Without a new key, Password opens the current one. NewPassword, or else Password, protects a
// new key.
//
// Errors wrap ErrUnsupported for public components, which do not have the key, and for PGP,
// where there are no requests: export the public key to have it certified, and Install what
// comes back; ErrLimit for more than 16 requests; ErrIncorrectPassword; others are those of the
// source and the policy.
func (c *Component) Request(ctx context.Context, source Requester, o Options) (*Component, []byte, error) {
	const op = "request"
	var err error
	switch {
	case c.Kind() == trustkeep.PGP:
		err = &trustkeep.Error{Err: fmt.Errorf("OpenPGP has no certificate requests: %w", trustkeep.ErrUnsupported),
			Hint: "export the public key, have it certified, and install what comes back"}
	case c.Visibility() != trustkeep.Private:
		err = fmt.Errorf("a public component has no key to request a certificate for: %w", trustkeep.ErrUnsupported)
	case len(c.pending) >= maxPending:
		err = &trustkeep.Error{Err: fmt.Errorf("%d requests wait: %w", len(c.pending), trustkeep.ErrLimit), Hint: "install or cancel some of them"}
	}
	if err != nil {
		return nil, nil, failure(op, c.name, err)
	}
	return c.requested(ctx, op, source, o)
}

func (c *Component) requested(ctx context.Context, op string, source Requester, o Options) (*Component, []byte, error) {
	request, key, err := o.request(ctx, c.name, source, c.before())
	if err != nil {
		return nil, nil, failure(op, c.name, err)
	}
	out := *c
	out.lastAsk++
	waits := &pending{out.lastAsk, o.now(), bytes.Clone(request), newVersion(0, time.Time{}, key)}
	out.pending = append(slices.Clone(c.pending), waits)
	if c.before() == nil {
		out.kind = key.ComponentKind()
		out.content = awaited{waits, out.kind}
	}
	admitted, err := o.admitted(op, &out)
	return admitted, request, err
}

func (o Options) request(ctx context.Context, name string, source Requester, before Content) ([]byte, Content, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	if given.IsNil(source) {
		return nil, nil, fmt.Errorf("no source of requests: %w", trustkeep.ErrInvalid)
	}
	of, forget := o.of(name)
	defer forget()
	request, key, err := source.MakeRequest(ctx, before, of)
	if err == nil && (key == nil || len(request) == 0 || key.Visibility() != trustkeep.Private || before != nil && key.Kind() != before.Kind()) {
		err = fmt.Errorf("a source without a request or a key: %w", trustkeep.ErrInvalid)
	}
	return request, key, err
}

// Answers returns the number of the request that a reply answers, 0 if it is for the current
// key and no request. The error wraps ErrKeyMismatch if the reply is for another key; others are
// those of the installer.
func (c *Component) Answers(reply []byte, by Installer, o Options) (int, error) {
	const op = "find request"
	of, forget := o.of(c.name)
	defer forget()
	i, keys, err := c.answered(reply, by, of)
	if err != nil {
		return 0, failure(op, c.name, err)
	}
	return keys[i].number, nil
}

// waiting is a key that a reply may be for.
type waiting struct {
	number int // of the request; 0 for the current key
	key    Content
}

// answered returns which of the keys a reply is for: those that wait, the newest first, and
// the current one. Damaged ones are left out.
func (c *Component) answered(reply []byte, by Installer, of content.Options) (int, []waiting, error) {
	if given.IsNil(by) {
		return 0, nil, fmt.Errorf("no installer: %w", trustkeep.ErrInvalid)
	}
	var all []waiting
	for _, p := range slices.Backward(c.pending) {
		if key, err := p.key.content(); err == nil {
			all = append(all, waiting{p.number, key})
		}
	}
	if c.before() != nil {
		all = append(all, waiting{0, c.content})
	}
	i, err := keyFor(reply, by, all, of)
	return i, all, err
}

func keyFor(reply []byte, by Installer, all []waiting, of content.Options) (int, error) {
	keys := make([]Content, len(all))
	for i, w := range all {
		keys[i] = w.key
	}
	i, err := by.KeyFor(reply, keys, of)
	if err == nil && (i < 0 || i >= len(all)) {
		err = fmt.Errorf("an installer that finds key %d of %d: %w", i, len(all), trustkeep.ErrInvalid)
	}
	return i, err
}

// Install makes what comes back for a key the content of the component, as a new version: a
// CA's reply to a pending request or for the current key (issue.InstallOptions), or the
// component's own PGP key with certifications by others (pgp.InstallOptions). The requests
// for that key are answered; others go on waiting.
//
// The reply passes the stages of an import. Password opens the key that it is for; the new
// content is under NewPassword, or else Password.
//
// Errors wrap ErrKeyMismatch for a reply for another key, ErrIncorrectPassword, ErrUnsupported
// for public X.509 components, or are those of the stages and of the installer. If it fails, the
// request goes on waiting.
func (c *Component) Install(ctx context.Context, reply []byte, by Installer, o Options) (*Component, error) {
	const op = "install"
	if err := o.admit(ctx, c.name, reply); err != nil {
		return nil, failure(op, c.name, err)
	}
	of, forget := o.of(c.name)
	defer forget()
	i, keys, err := c.answered(reply, by, of)
	if err != nil {
		return nil, failure(op, c.name, err)
	}
	next, err := by.MakeInstalled(reply, keys[i].key, c.before(), of)
	if err == nil && next == nil {
		err = fmt.Errorf("an installer without content: %w", trustkeep.ErrInvalid)
	}
	out := *c
	for err == nil { // several requests may be for the same key
		number := keys[i].number
		out.pending = slices.DeleteFunc(slices.Clone(out.pending), func(p *pending) bool { return p.number == number })
		keys = slices.Delete(keys, i, i+1)
		if i, err = keyFor(reply, by, keys, of); errors.Is(err, trustkeep.ErrKeyMismatch) {
			err = nil
			break
		}
	}
	return out.replaced(op, next, err, o)
}

// Cancel ends a request and drops the key that waited for the reply, unless it is in a version,
// too. The error wraps ErrNotFound for a request that does not wait, and ErrInUse for the only
// one of a component without a certificate, which would have nothing then.
func (c *Component) Cancel(number int) (*Component, error) {
	const op = "cancel request"
	out := *c
	out.pending = slices.DeleteFunc(slices.Clone(c.pending), func(p *pending) bool { return p.number == number })
	switch {
	case len(out.pending) == len(c.pending):
		return nil, failure(op, c.name, fmt.Errorf("request %d: %w", number, trustkeep.ErrNotFound))
	case c.before() == nil && len(out.pending) == 0:
		return nil, failure(op, c.name, &trustkeep.Error{Err: fmt.Errorf("request %d is all that the component has: %w", number, trustkeep.ErrInUse), Hint: "delete the component"})
	case c.before() == nil:
		out.content = awaited{out.pending[len(out.pending)-1], c.kind}
	}
	return &out, nil
}

// before returns the content, nil if the component waits for it.
func (c *Component) before() Content {
	if len(c.versions) == 0 {
		return nil
	}
	return c.content
}

// pendingUnder returns the requests with those keys that o.Password opens under o.NewPassword,
// and whether there are any.
func (c *Component) pendingUnder(of content.Options) (out []*pending, opened bool, err error) {
	out = slices.Clone(c.pending)
	for i, p := range out {
		key, err := p.key.content()
		if err != nil {
			continue // it stays damaged
		}
		key, err = key.ChangePassword(of)
		switch {
		case errors.Is(err, trustkeep.ErrIncorrectPassword):
			continue
		case err != nil:
			return nil, false, err
		}
		next := *p
		next.key = newVersion(0, time.Time{}, key)
		out[i], opened = &next, true
	}
	return out, opened, nil
}

// awaited is the content of a component that waits for its first certificate: none.
type awaited struct {
	by   *pending
	kind Kind
}

var errAwaited = &trustkeep.Error{Op: "use component", Err: fmt.Errorf("the component waits for its certificate: %w", trustkeep.ErrEmpty), Hint: "install the reply of the CA"}

// Awaited tells internal/content that there is nothing to be opened.
func (awaited) Awaited() error { return errAwaited }

func (a awaited) Kind() trustkeep.Kind            { return trustkeep.X509 }
func (a awaited) ComponentKind() Kind             { return a.kind }
func (awaited) Visibility() trustkeep.Visibility  { return trustkeep.Private }
func (awaited) Fingerprint() string               { return "" }
func (awaited) NotBefore() time.Time              { return time.Time{} }
func (awaited) NotAfter() time.Time               { return time.Time{} }
func (awaited) Describe() []trustkeep.Certificate { return nil }
func (awaited) Files() []content.File             { return nil }
func (awaited) Stored() Stored                    { return Stored{} }
func (awaited) String() string                    { return "nothing yet" }
func (awaited) GoString() string                  { return "nothing yet" }

func (a awaited) CheckPassword(password trustkeep.PasswordSource) error {
	key, err := a.by.key.content()
	if err != nil {
		return err
	}
	return key.CheckPassword(password)
}

// ChangePassword is asked where no request was opened.
func (a awaited) ChangePassword(content.Options) (Content, error) {
	return nil, fmt.Errorf("the key that waits: %w", trustkeep.ErrIncorrectPassword)
}

func (awaited) ExportPublic(string) (content.File, error) { return content.File{}, errAwaited }

func (awaited) ExportPrivate(content.ExportOptions, content.Options) (content.File, error) {
	return content.File{}, errAwaited
}
