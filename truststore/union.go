package truststore

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Union trusts whatever any of its parts trusts, and follows them: a change of a part is a
// change of the union. A part that fails, such as a nil *Truststore, makes the union fail.
// A union of nothing trusts nobody.
//
// It is the only way to add trust together: trust that is set on a connection replaces the
// global trust.
func Union(parts ...Source) Source {
	return &union{parts: slices.Clone(parts)}
}

type union struct {
	parts  []Source
	merged atomic.Pointer[merged]
}

// merged is the union of certain snapshots.
type merged struct {
	of       []*Snapshot
	snapshot *Snapshot
}

// Snapshot implements Source.
func (u *union) Snapshot() (*Snapshot, error) {
	of := make([]*Snapshot, len(u.parts))
	for i, p := range u.parts {
		s, err := given.Snapshot(p)
		if err != nil {
			return nil, &trustkeep.Error{Op: "truststore: union", Err: err}
		}
		of[i] = s
	}
	for {
		old := u.merged.Load()
		if old != nil && slices.Equal(old.of, of) {
			return old.snapshot, nil
		}
		generation := uint64(1)
		if old != nil {
			generation = old.snapshot.generation + 1
		}
		next := &merged{of: of, snapshot: merge(generation, of)}
		if u.merged.CompareAndSwap(old, next) {
			return next.snapshot, nil
		}
	}
}

// merge lists each certificate once.
func merge(generation uint64, of []*Snapshot) *Snapshot {
	n := 0
	var platform *x509.CertPool
	for _, s := range of {
		n += len(s.certs)
		if platform == nil {
			// Every platform pool is x509.SystemCertPool, so one stands
			// for all.
			platform = s.platform
		}
	}
	seen := make(map[[32]byte]bool, n)
	certs := make([]*x509.Certificate, 0, n)
	for _, s := range of {
		for _, c := range s.certs {
			if sum := sha256.Sum256(c.Raw); !seen[sum] {
				seen[sum] = true
				certs = append(certs, c)
			}
		}
	}
	out := newSnapshot(generation, certs, platform)
	for _, s := range of {
		out.pins = append(out.pins, s.pins...)
	}
	out.scopes = mergeScopes(of)
	return out
}

// mergeScopes keeps the scopes of a certificate unless some part trusts it
// without.
func mergeScopes(of []*Snapshot) map[string][]Scope {
	var out map[string][]Scope
	for _, s := range of {
		for raw, scopes := range s.scopes {
			if out == nil {
				out = make(map[string][]Scope)
			}
			out[raw] = append(out[raw], scopes...)
		}
	}
	if out == nil {
		return nil
	}
	for _, s := range of {
		for _, c := range s.certs {
			if _, bounded := s.scopes[string(c.Raw)]; !bounded {
				delete(out, string(c.Raw))
			}
		}
	}
	return out
}
