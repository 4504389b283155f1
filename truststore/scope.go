package truststore

import (
	"crypto/x509"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Scope bounds what a trusted certificate may be the anchor of. The zero value of
// a field bounds nothing.
type Scope struct {
	// Names are the host names, IP addresses or e-mail addresses of the peers:
	// "host.example" exactly, "*.host.example" one label below it,
	// ".host.example" anything below it, "@host.example" any address there.
	// "spiffe://domain.example/path" is a URI and fits exactly, "spiffe://domain.example"
	// fits that trust domain and all IDs there. A question without a name is outside of
	// every list.
	Names []string
	// TrustDomains are those of SPIFFE whose bundle the anchor belongs to: it counts only
	// for certificates that have an ID there, also where the question names nobody.
	TrustDomains []string
	// Purposes for which the anchor counts.
	Purposes []Purpose
	// Until is when the anchor ceases to count.
	Until time.Time
	// DistrustAfter is the moment after which the anchor must not have issued: it does not
	// count for peers whose certificate begins later, whatever time it is. Browsers
	// distrust authorities in this way.
	DistrustAfter time.Time
}

// String describes the scope: "names host.example; purposes server, client".
func (s Scope) String() string {
	var out []string
	list := func(what string, names []string) {
		if len(names) > 0 {
			out = append(out, what+" "+listNames(names, len(names)))
		}
	}
	list("names", s.Names)
	list("trust domains", s.TrustDomains)
	var purposes []string
	for _, p := range s.Purposes {
		purposes = append(purposes, p.String())
	}
	list("purposes", purposes)
	if !s.Until.IsZero() {
		out = append(out, "until "+date(s.Until))
	}
	if !s.DistrustAfter.IsZero() {
		out = append(out, "peers that begin until "+date(s.DistrustAfter))
	}
	if len(out) == 0 {
		return "everything"
	}
	return strings.Join(out, "; ")
}

// Scopes returns the scopes within each of which a certificate of the snapshot counts; nil for
// one that counts everywhere.
func (s *Snapshot) Scopes(c *x509.Certificate) (out []Scope) {
	if c == nil {
		return nil
	}
	for _, scope := range s.scopes[string(c.Raw)] {
		out = append(out, scope.clone())
	}
	return out
}

// scopeError is a chain to an anchor that is out of scope.
type scopeError struct{ anchor, scopes string }

func (e *scopeError) Error() string { return "out of scope: " + e.anchor }

func (s *Snapshot) outOfScope(anchor *x509.Certificate) error {
	e := &scopeError{anchor: quoteSubject(anchor)}
	for i, scope := range s.scopes[string(anchor.Raw)] {
		if i == maxNames {
			break
		}
		if i > 0 {
			e.scopes += ", or for "
		}
		e.scopes += scope.String()
	}
	return e
}

// allows reports whether the question is within the scope.
func (s Scope) allows(leaf *x509.Certificate, o VerifyOptions) bool {
	if !s.Until.IsZero() && o.Time.After(s.Until) {
		return false
	}
	if !s.DistrustAfter.IsZero() && leaf.NotBefore.After(s.DistrustAfter) {
		return false
	}
	if len(s.Purposes) > 0 && !slices.Contains(s.Purposes, o.Purpose) {
		return false
	}
	if len(s.TrustDomains) > 0 {
		_, domain, ok := spiffeID(leaf)
		if !ok || !slices.Contains(s.TrustDomains, domain) {
			return false
		}
	}
	// Each name that was asked for must be in scope.
	for _, name := range []string{o.Name, o.URI} {
		if name != "" && len(s.Names) > 0 && !s.namesHave(name) {
			return false
		}
	}
	return len(s.Names) == 0 || o.Name != "" || o.URI != "" || o.TrustDomain != "" && s.namesHave(o.asked())
}

func (s Scope) namesHave(name string) bool {
	return slices.ContainsFunc(s.Names, func(pattern string) bool { return nameInScope(pattern, name) })
}

func nameInScope(pattern, name string) bool {
	if strings.Contains(pattern, "://") || strings.Contains(name, "://") {
		domain, ok := trustDomain(pattern)
		return pattern == name || ok && pattern == spiffe+domain && strings.HasPrefix(name, pattern+"/")
	}
	pattern, name = lowerASCII(strings.TrimSuffix(pattern, ".")), lowerASCII(strings.TrimSuffix(name, "."))
	switch {
	case name == "" || pattern == "":
		return false
	case strings.HasPrefix(pattern, "*."):
		label, rest, ok := strings.Cut(name, ".")
		return ok && label != "" && rest == pattern[2:]
	case pattern[0] == '.' || pattern[0] == '@':
		return len(name) > len(pattern) && strings.HasSuffix(name, pattern)
	}
	return name == pattern
}

// SetScope bounds what the certificate of that alias may be the anchor of. The
// zero Scope removes the bounds. It fails with trustkeep.ErrNotFound.
//
// PEM holds scopes that bound purposes, but Any by itself, as OpenSSL's TRUSTED CERTIFICATE. Save
// and Update put certificates with other scopes into a file beside the store, at its path with
// ".scopes", where Load and Watch find them. The store does not hold them, so that without the file
// they are not trusted. Encode fails with trustkeep.ErrUnsupported.
//
// A certificate under two aliases has the scopes of both. One that two parts of a
// Union trust in different scopes counts in each of them.
func (t *Truststore) SetScope(alias string, scope Scope) error {
	return t.edit("set scope", alias, func(b *editor) error {
		e := b.old.find(alias)
		c := (*x509.Certificate)(nil)
		if e != nil {
			c = trusted(e)
		}
		if c == nil {
			return trustkeep.ErrNotFound
		}
		b.scopes = cloneScopes(b.scopes)
		scope = scope.clone()
		if b.scopes[entry.Fold(e.Alias)] = scope; scope.zero() {
			delete(b.scopes, entry.Fold(e.Alias))
		}
		return nil
	})
}

func (s Scope) clone() Scope {
	s.Names, s.TrustDomains, s.Purposes = slices.Clone(s.Names), slices.Clone(s.TrustDomains), slices.Clone(s.Purposes)
	return s
}

func (s Scope) zero() bool {
	return len(s.Names)+len(s.TrustDomains)+len(s.Purposes) == 0 && s.Until.IsZero() && s.DistrustAfter.IsZero()
}

func (s Scope) equal(o Scope) bool {
	return slices.Equal(s.Names, o.Names) && slices.Equal(s.TrustDomains, o.TrustDomains) && slices.Equal(s.Purposes, o.Purposes) &&
		s.Until.Equal(o.Until) && s.DistrustAfter.Equal(o.DistrustAfter)
}

func sameScopes(a, b map[string][]Scope) bool {
	return maps.EqualFunc(a, b, func(a, b []Scope) bool { return slices.EqualFunc(a, b, Scope.equal) })
}

func cloneScopes(m map[string]Scope) map[string]Scope {
	out := make(map[string]Scope, len(m)+1)
	for k, v := range m {
		out[k] = v
	}
	return out
}

// scopesOf collects the scopes of certificates from those of aliases. A
// certificate that is trusted without bounds under one of its aliases has none.
func scopesOf(entries []*entry.Entry, byAlias map[string]Scope) map[string][]Scope {
	if len(byAlias) == 0 {
		return nil
	}
	out := make(map[string][]Scope)
	for _, e := range entries {
		if c := trusted(e); c != nil {
			if s, ok := byAlias[entry.Fold(e.Alias)]; ok {
				out[string(c.Raw)] = append(out[string(c.Raw)], s)
			}
		}
	}
	for _, e := range entries {
		if c := trusted(e); c != nil {
			if _, ok := byAlias[entry.Fold(e.Alias)]; !ok {
				delete(out, string(c.Raw))
			}
		}
	}
	return out
}

// adopt gives the entries of a new state the scopes of certificates.
func (s *state) adopt(scopes map[string][]Scope) {
	for _, e := range s.entries {
		if c := trusted(e); c != nil && len(scopes[string(c.Raw)]) > 0 {
			if s.scopes == nil {
				s.scopes = make(map[string]Scope)
			}
			// Several would each count; one alias has one.
			s.scopes[entry.Fold(e.Alias)] = scopes[string(c.Raw)][0]
		}
	}
	s.snapshot.scopes = scopesOf(s.entries, s.scopes)
}

// inScope reports whether the certificate may be the anchor of an answer.
// The peer's own certificate is the first of chain.
func (s *Snapshot) inScope(c *x509.Certificate, chain []*x509.Certificate, o VerifyOptions) bool {
	scopes, bounded := s.scopes[string(c.Raw)]
	return !bounded || slices.ContainsFunc(scopes, func(sc Scope) bool { return sc.allows(chain[0], o) })
}

// mayAnchor reports whether the certificate counts as the anchor of an answer: it is in
// scope, and a root where the policy wants one.
func (s *Snapshot) mayAnchor(c *x509.Certificate, chain []*x509.Certificate, o VerifyOptions) bool {
	return s.inScope(c, chain, o) && (!o.Policy.rootsOnly() || selfSigned(c))
}

// withoutBounded takes the anchors that do not count out of the roots. Those that are no
// roots may still complete a chain.
func (s *Snapshot) withoutBounded(options *x509.VerifyOptions, chain []*x509.Certificate, o VerifyOptions) {
	options.Roots = x509.NewCertPool()
	if s.platform != nil {
		options.Roots = s.platform.Clone()
	}
	if options.Intermediates == nil {
		options.Intermediates = x509.NewCertPool()
	}
	for _, c := range s.certs {
		switch {
		case o.Policy.rootsOnly() && !selfIssued(c):
			options.Intermediates.AddCert(c)
		case s.inScope(c, chain, o):
			options.Roots.AddCert(c)
		}
	}
}
