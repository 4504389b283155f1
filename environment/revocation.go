package environment

import (
	"cmp"
	"crypto/x509"
	"fmt"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/truststore"
)

// Revocation is how a connection finds out whether certificates of its peers were revoked, see
// package revocation. The zero value checks the whole chain against stapled answers alone, and
// refuses what has none. What lists and answers are fetched with is up to each program:
// AtomOptions.Revocation.
type Revocation struct {
	// SoftFail accepts certificates about which nothing could be learned.
	SoftFail bool `json:"softFail,omitempty"`
	// LeafOnly checks the peer's own certificate and no authorities.
	LeafOnly bool `json:"leafOnly,omitempty"`
	// RequireStaple makes a stapled answer the only one that counts for the peer's own
	// certificate.
	RequireStaple bool `json:"requireStaple,omitempty"`
	// FetchCRLs fetches the lists that certificates name, AskOCSP asks the responders that they
	// name.
	FetchCRLs bool `json:"fetchCRLs,omitempty"`
	AskOCSP   bool `json:"askOCSP,omitempty"`
	// Timeout bounds the fetching for one chain, in nanoseconds in records. If zero, that of
	// AtomOptions.Revocation counts.
	Timeout time.Duration `json:"timeout,omitempty"`
	// MaxAge is for how long an answer counts. If zero, that of AtomOptions.Revocation counts.
	MaxAge time.Duration `json:"maxAge,omitempty"`
}

func (r *Revocation) check() error {
	if r != nil && min(r.Timeout, r.MaxAge) < 0 {
		return fmt.Errorf("a negative bound of Revocation: %w", trustkeep.ErrInvalid)
	}
	return nil
}

// String names what differs from the zero value.
func (r Revocation) String() string {
	type plain Revocation // without this method
	if set := spell(plain(r)); len(set) > 0 {
		return strings.Join(set, ", ")
	}
	return "stapled answers alone"
}

// options are those of a checker, with what a program brings along.
func (r Revocation) options(with revocation.Options) revocation.Options {
	web := revocation.HTTP{}
	if with.FetchCRL == nil {
		with.FetchCRL = web.FetchCRL
	}
	if with.FetchOCSP == nil {
		with.FetchOCSP = web.FetchOCSP
	}
	if !r.FetchCRLs {
		with.FetchCRL = nil
	}
	if !r.AskOCSP {
		with.FetchOCSP = nil
	}
	with.Mode, with.Coverage, with.RequireStaple = revocation.HardFail, revocation.WholeChain, r.RequireStaple
	if r.SoftFail {
		with.Mode = revocation.SoftFail
	}
	if r.LeafOnly {
		with.Coverage = revocation.LeafOnly
	}
	with.Timeout, with.MaxAge = cmp.Or(r.Timeout, with.Timeout), cmp.Or(r.MaxAge, with.MaxAge)
	return with
}

// checker returns what decides on revocation. There is one for all connections with the same
// settings, so that they share what was fetched.
func (a *Atom) checker(r Revocation) (truststore.RevocationChecker, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.checkers[r]; c != nil {
		return c, nil
	}
	with := a.o.Revocation
	if with.Clock == nil {
		with.Clock = a.r.o.Clock
	}
	c, err := revocation.New(r.options(with))
	if err != nil {
		return nil, err
	}
	if a.checkers == nil {
		a.checkers = make(map[Revocation]*revocation.Checker)
	}
	a.checkers[r] = c
	return c, nil
}

// exempt are the certificates that revocation is not asked about.
func (s scope) exempt(v *inventory, c Connection) ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, id := range c.RevocationExempt {
		h, err := s.find(v, id)
		if err != nil {
			return nil, err
		}
		cert, err := h.certificate()
		if err != nil {
			return nil, err
		}
		out = append(out, cert)
	}
	return out, nil
}
