package partner

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/truststore"
)

// Live makes trust and identities of a set, for tlsctx.Builder and whatever else takes them. They
// follow the set, and the time for which its members are preferred:
//
//	live := partner.Live[*component.Component]{Set: set, Certificate: func(c *component.Component) (*x509.Certificate, error) {
//		return keystore.CertificateOf(c)
//	}}
//	b := tlsctx.Builder{Trusted: live.Trust(partner.VerifyTLS)}
//
// What is made of a Live does not change with its fields, and is safe for concurrent use.
type Live[T Item] struct {
	// Set is the set that is followed. If nil, Ask must be set.
	Set *Set[T]
	// Ask returns the current set, for sets that are made anew; see Follow too. It is called on
	// every handshake. If nil, Set counts.
	Ask func() (*Set[T], error)
	// Certificate returns the certificate of an item, for Trust; keystore.CertificateOf is
	// for components. If nil, items must be trustkeep.CertificateHolder, whose first
	// certificate counts.
	Certificate func(T) (*x509.Certificate, error)
	// Open returns the identity of an item, for Identity; keystore.IdentityOf is for
	// components. It is called once for each item that is presented, and again after an
	// error. If nil, items must be trustkeep.Identity.
	Open func(T) (trustkeep.Identity, error)
	// Clock is the time by which items are preferred and valid. If nil, it is time.Now.
	Clock func() time.Time
}

// members returns those for a use that are not revoked, sorted, so that their order is no change.
func (l Live[T]) members(u Use) ([]Member[T], error) {
	set, err := l.now()
	if err != nil {
		return nil, err
	}
	members, err := set.current()
	if err != nil {
		return nil, err
	}
	fit := slices.DeleteFunc(members, func(m Member[T]) bool { return m.Uses&u == 0 || m.revoked() })
	slices.SortStableFunc(fit, func(a, b Member[T]) int { return strings.Compare(a.Item.Fingerprint(), b.Item.Fingerprint()) })
	return fit, nil
}

func (l Live[T]) now() (*Set[T], error) {
	set := l.Set
	if l.Ask != nil {
		var err error
		if set, err = l.Ask(); err != nil {
			return nil, fmt.Errorf("partner: %w", err)
		}
	}
	if set == nil {
		return nil, &trustkeep.Error{Op: "partner: live", Err: trustkeep.ErrInvalid, Hint: "neither Set nor Ask has a set"}
	}
	return set, nil
}

// Trust trusts the certificates of the members for a use that receives, such as VerifyTLS: old
// and new ones side by side, without the revoked. A certificate that is no longer in the set, or
// no longer for that use, is not trusted from the next handshake on. A set without members for
// the use is an empty store, see tlsctx.Builder.MayBeEmpty. Expired certificates are refused as
// in any store.
//
// Snapshot fails with trustkeep.ErrInvalid for other uses, several at once, and a nil set, and with
// the error of Ask or Certificate, whichever member it is about; then nobody is trusted.
func (l Live[T]) Trust(u Use) truststore.Source {
	return &trust[T]{live: redact.Hidden(l), use: u, store: truststore.New()}
}

type trust[T Item] struct {
	live  func() Live[T] // see redact.Hidden: Open may know a password
	use   Use
	store *truststore.Truststore

	mu sync.Mutex // one change at a time
}

// Snapshot implements truststore.Source.
func (t *trust[T]) Snapshot() (*truststore.Snapshot, error) {
	if t.use == 0 || t.use&(t.use-1) != 0 || t.use&sends != 0 {
		return nil, fmt.Errorf("partner: trust for use %s: %w", t.use, trustkeep.ErrInvalid)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	l := t.live()
	members, err := l.members(t.use)
	if err != nil {
		return nil, err
	}
	certs := make([]*x509.Certificate, 0, len(members))
	for _, m := range members {
		c, err := l.certificate(m.Item)
		if err != nil {
			return nil, fmt.Errorf("partner: item %s: %w", trustkeep.Printable(m.Item.Fingerprint()), err)
		}
		certs = append(certs, c)
	}
	if s, err := t.store.Snapshot(); err == nil && slices.Equal(s.Certificates(), certs) {
		return s, nil // as in most handshakes
	}
	if err := t.store.Set(certs...); err != nil {
		return nil, err
	}
	return t.store.Snapshot()
}

func (l Live[T]) certificate(item T) (*x509.Certificate, error) {
	if l.Certificate != nil {
		c, err := l.Certificate(item)
		if err == nil && c == nil {
			err = fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
		}
		return c, err
	}
	holder, ok := any(item).(trustkeep.CertificateHolder)
	if !ok {
		return nil, &trustkeep.Error{Op: fmt.Sprintf("certificate of a %T", item), Err: trustkeep.ErrInvalid, Hint: "set Live.Certificate"}
	}
	if all := holder.Certificates(); len(all) > 0 && all[0] != nil {
		return all[0], nil
	}
	return nil, fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
}

// Identity presents the item that Set.Send prefers for a use that sends, such as ClientTLS. When
// the set prefers another, that one is presented.
//
// TLSCertificate fails with the errors of Set.Send, Ask and Open, and with trustkeep.ErrInvalid
// for a nil set.
func (l Live[T]) Identity(u Use) trustkeep.Identity {
	return &identity[T]{live: redact.Hidden(l), use: u}
}

type identity[T Item] struct {
	live func() Live[T]
	use  Use

	mu     sync.Mutex
	opened bool
	item   T
	id     func() trustkeep.Identity // of item; see redact.Hidden
}

// TLSCertificate implements trustkeep.Identity.
func (i *identity[T]) TLSCertificate() (*tls.Certificate, error) {
	id, err := i.current()
	if err != nil {
		return nil, err
	}
	return id.TLSCertificate()
}

func (i *identity[T]) current() (trustkeep.Identity, error) {
	l := i.live()
	set, err := l.now()
	if err != nil {
		return nil, err
	}
	at := time.Now
	if l.Clock != nil {
		at = l.Clock
	}
	item, err := set.Send(i.use, at())
	if err != nil {
		return nil, err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.opened && same(i.item, item) {
		return i.id(), nil
	}
	id, err := l.open(item)
	if err != nil {
		return nil, fmt.Errorf("partner: item %s: %w", trustkeep.Printable(item.Fingerprint()), err)
	}
	i.opened, i.item, i.id = true, item, redact.Hidden(id)
	return id, nil
}

func (l Live[T]) open(item T) (trustkeep.Identity, error) {
	id, ok := any(item).(trustkeep.Identity)
	if l.Open != nil {
		var err error
		if id, err = l.Open(item); err != nil {
			return nil, err
		}
		ok = true
	}
	if !ok {
		return nil, &trustkeep.Error{Op: fmt.Sprintf("identity of a %T", item), Err: trustkeep.ErrInvalid, Hint: "set Live.Open"}
	}
	if given.IsNil(id) {
		return nil, fmt.Errorf("nil identity: %w", trustkeep.ErrInvalid)
	}
	return id, nil
}

// same reports whether two items are one and the same: by ==, or where that is not defined, by
// their content.
func same[T Item](a, b T) bool {
	if reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() {
		return any(a) == any(b)
	}
	return a.Fingerprint() == b.Fingerprint()
}
