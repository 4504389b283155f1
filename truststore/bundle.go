package truststore

import (
	"crypto/x509"
	"fmt"
	"slices"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Bundle is the trust in the authorities of one SPIFFE trust domain, such as "domain.example":
// those of the source, each of which counts only for certificates that have an ID there
// (Scope.TrustDomains), besides the scopes that it has. Bundles of several domains are put
// together by Union, and an authority of one then vouches for nobody of another. It follows the
// source.
//
// Snapshot fails with trustkeep.ErrInvalid for a malformed trust domain, and with
// trustkeep.ErrUnsupported for pins and a platform's roots, which have no scope.
func Bundle(trustDomain string, source Source) Source {
	return &bundle{domain: trustDomain, source: source}
}

type bundle struct {
	domain string
	source Source
	last   atomic.Pointer[bundled]
}

// bundled is the bundle of a certain snapshot.
type bundled struct{ of, snapshot *Snapshot }

// Snapshot implements Source.
func (b *bundle) Snapshot() (*Snapshot, error) {
	op := fmt.Sprintf("truststore: bundle of %q", printable(b.domain))
	if !validTrustDomain(b.domain) {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrInvalid, Hint: "want a trust domain such as domain.example, without spiffe://"}
	}
	of, err := given.Snapshot(b.source)
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	if of.platform != nil || len(of.pins) > 0 {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrUnsupported, Hint: "pins and the platform's roots have no scope"}
	}
	for {
		old := b.last.Load()
		if old != nil && old.of == of {
			return old.snapshot, nil
		}
		generation := uint64(1)
		if old != nil {
			generation = old.snapshot.generation + 1
		}
		next := &bundled{of, of.within(b.domain, generation)}
		if b.last.CompareAndSwap(old, next) {
			return next.snapshot, nil
		}
	}
}

// within bounds all certificates to a trust domain.
func (s *Snapshot) within(domain string, generation uint64) *Snapshot {
	scopes := make(map[string][]Scope, len(s.certs))
	var certs []*x509.Certificate
	for _, c := range s.certs {
		have, bounded := s.scopes[string(c.Raw)]
		if !bounded {
			have = []Scope{{}}
		}
		var narrower []Scope
		for _, scope := range have {
			if len(scope.TrustDomains) == 0 || slices.Contains(scope.TrustDomains, domain) {
				scope.TrustDomains = []string{domain}
				narrower = append(narrower, scope)
			}
		}
		if narrower != nil { // without a scope it would count for everybody
			scopes[string(c.Raw)] = narrower
			certs = append(certs, c)
		}
	}
	out := newSnapshot(generation, certs, nil)
	out.scopes = scopes
	return out
}
