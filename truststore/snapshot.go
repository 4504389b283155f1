package truststore

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"iter"
	"slices"
	"sync"

	"github.com/trustkeep/trustkeep"
)

// Source is where trust comes from: a *Truststore, a Union, or anything else that has a
// Snapshot. Its users ask again for each decision, and so follow its changes.
//
// Implementations must be safe for concurrent use, and must return the same
// *Snapshot for as long as nothing changes: caches are keyed by it.
type Source interface {
	// Snapshot returns what is trusted now. An error means that nobody is,
	// never that something else takes its place.
	Snapshot() (*Snapshot, error)
}

// Snapshot is what a Source trusts at one moment. It never changes and is safe
// for concurrent use. The certificates in it are shared and must not be
// modified.
type Snapshot struct {
	generation uint64
	certs      []*x509.Certificate
	// platform holds roots that can be used but not listed, such as those
	// of the Windows and macOS verifiers. Nil where there are none.
	platform *x509.CertPool
	pins     []Pin              // see Pinned
	scopes   map[string][]Scope // by Raw, of those that have some

	poolOnce sync.Once
	pool     *x509.CertPool

	indexOnce sync.Once
	bySubject map[string][]*x509.Certificate
}

func newSnapshot(generation uint64, certs []*x509.Certificate, platform *x509.CertPool) *Snapshot {
	return &Snapshot{generation: generation, certs: certs, platform: platform}
}

// Snapshot implements Source: a snapshot is a source that never changes. It
// fails with trustkeep.ErrInvalid on a nil *Snapshot.
func (s *Snapshot) Snapshot() (*Snapshot, error) {
	if s == nil {
		return nil, errNil("snapshot")
	}
	return s, nil
}

// Generation counts the changes of the source, starting at 1. Generations of
// different sources are not comparable.
func (s *Snapshot) Generation() uint64 { return s.generation }

// Len is the number of certificates, not counting those of the platform.
func (s *Snapshot) Len() int { return len(s.certs) }

// Empty reports whether nobody is trusted.
func (s *Snapshot) Empty() bool { return len(s.certs) == 0 && s.platform == nil && len(s.pins) == 0 }

// Plain reports whether Pool is all of the trust, so that crypto/tls can decide by it.
// Otherwise there are scopes or pins, and only Verify decides right.
func (s *Snapshot) Plain() bool { return len(s.pins) == 0 && len(s.scopes) == 0 }

// Platform reports whether roots take part that can be used but not listed:
// those of the operating system on Windows and macOS, or whatever else
// x509.SystemCertPool stands for in this program.
func (s *Snapshot) Platform() bool { return s.platform != nil }

// Certificates returns the trusted certificates in the order of the source,
// without those of the platform. The slice is the caller's.
func (s *Snapshot) Certificates() []*x509.Certificate { return slices.Clone(s.certs) }

// All yields what Certificates returns, without the copy.
func (s *Snapshot) All() iter.Seq[*x509.Certificate] { return slices.Values(s.certs) }

// Pool returns the certificates as crypto/tls and crypto/x509 take them, never nil. Each
// call makes a copy, which the caller may modify without effect on the store; callers that
// need it often keep it with its snapshot.
func (s *Snapshot) Pool() *x509.CertPool { return s.shared().Clone() }

// shared is built once and must not leave the package: whoever has it can add to it.
func (s *Snapshot) shared() *x509.CertPool {
	s.poolOnce.Do(func() {
		switch {
		case s.platform != nil && len(s.certs) == 0:
			s.pool = s.platform
		case s.platform != nil:
			s.pool = s.platform.Clone()
		default:
			s.pool = x509.NewCertPool()
		}
		for _, c := range s.certs {
			s.pool.AddCert(c)
		}
	})
	return s.pool
}

// Contains reports whether that very certificate, byte for byte, is in the
// store. The platform's certificates are not known.
func (s *Snapshot) Contains(c *x509.Certificate) bool {
	if c == nil {
		return false
	}
	return slices.ContainsFunc(s.named(c.RawSubject), func(have *x509.Certificate) bool {
		return bytes.Equal(have.Raw, c.Raw)
	})
}

// named returns the certificates of that subject.
func (s *Snapshot) named(rawSubject []byte) []*x509.Certificate {
	s.indexOnce.Do(func() {
		s.bySubject = make(map[string][]*x509.Certificate, len(s.certs))
		for _, c := range s.certs {
			s.bySubject[string(c.RawSubject)] = append(s.bySubject[string(c.RawSubject)], c)
		}
	})
	return s.bySubject[string(rawSubject)]
}

// String summarises the snapshot: "144 certificates", "2 certificates, 1 of them within a scope".
func (s *Snapshot) String() string {
	if s == nil {
		return "no trust store"
	}
	if n := len(s.scopes); n > 0 {
		return s.summary() + fmt.Sprintf(", %d of them within a scope", n)
	}
	return s.summary()
}

func (s *Snapshot) summary() string {
	switch {
	case len(s.pins) > 0 && len(s.certs) == 0 && s.platform == nil:
		return count(len(s.pins), "pin")
	case len(s.pins) > 0:
		return count(len(s.certs), "certificate") + " and " + count(len(s.pins), "pin")
	case s.platform != nil && len(s.certs) == 0:
		return "the platform's roots"
	case s.platform != nil:
		return "the platform's roots and " + count(len(s.certs), "certificate")
	}
	return count(len(s.certs), "certificate")
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// errNil is the answer to a nil pointer that came in as a Source. It is what
// keeps the result of a failed Load from being read as "not set".
func errNil(what string) error {
	return &trustkeep.Error{
		Op: "truststore: " + what, Err: fmt.Errorf("nil store: %w", trustkeep.ErrInvalid),
		Hint: "was the error of Load checked?",
	}
}
