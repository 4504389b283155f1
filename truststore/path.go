package truststore

import (
	"bytes"
	"crypto/x509"
	"errors"
	"slices"
	"strconv"
	"time"

	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/sigcheck"
)

// path is how far a chain leads when it is followed for the sake of an
// explanation. Nothing is trusted because of it.
type path struct {
	certs    []*x509.Certificate // the peer's first
	anchored bool                // the last one is in the store
	reasons  []Reason            // what is wrong with the issuers on the way
	missing  *Issuer             // of the last one, when not anchored
}

// good reports whether nothing is wrong with the path.
func (p *path) good() bool { return p.anchored && len(p.reasons) == 0 }

// better tells which of two paths makes the better explanation.
func (p *path) better(q *path) bool {
	switch {
	case q == nil:
		return true
	case p.anchored != q.anchored:
		return p.anchored
	case len(p.reasons) != len(q.reasons):
		return len(p.reasons) < len(q.reasons)
	}
	return len(p.certs) > len(q.certs)
}

// finder looks for the best path.
type finder struct {
	store  *Snapshot
	sent   []*x509.Certificate
	now    time.Time
	checks *sigcheck.Budget
}

const maxExplainDepth = 12

func (s *Snapshot) follow(chain []*x509.Certificate, o VerifyOptions, k *sigcheck.Budget) *path {
	f := &finder{store: s, now: o.Time, checks: k}
	f.sent = append(slices.Clone(chain[1:]), o.Intermediates...)
	return f.from([]*x509.Certificate{chain[0]}, nil)
}

// from returns the best path that starts with these certificates.
func (f *finder) from(certs []*x509.Certificate, reasons []Reason) *path {
	c := certs[len(certs)-1]
	var best *path
	take := func(p *path) {
		if p.better(best) {
			best = p
		}
	}
	var near namesakes
	var key []byte // that made the signature, once it is known
	try := func(issuer *x509.Certificate, anchor bool) {
		if len(certs) >= maxExplainDepth || containsCert(certs, issuer) || best != nil && best.good() {
			return
		}
		if key != nil && !bytes.Equal(key, issuer.RawSubjectPublicKeyInfo) {
			return
		}
		found, ok := f.checks.Ask(c, issuer)
		if found.Signed {
			key = issuer.RawSubjectPublicKeyInfo
		}
		if !ok {
			near.unknown = true
			return
		}
		if found.Err != nil {
			r, signed := issuerReason(c, issuer, anchor, found)
			if !signed {
				near.add(r, anchor)
				return
			}
			// The signature may be good, but does not count.
			take(&path{certs: join(certs, issuer), anchored: anchor, reasons: join(reasons, r)})
			return
		}
		next := join(reasons, f.check(issuer, len(certs), anchor)...)
		if anchor {
			take(&path{certs: join(certs, issuer), anchored: true, reasons: next})
		} else {
			take(f.from(join(certs, issuer), next))
		}
	}
	named, sent := f.store.named(c.RawIssuer), f.sentAs(c.RawIssuer)
	if len(certs) > 1 && len(named)+len(sent) > 1 && selfIssued(c) {
		if own, _ := f.checks.Ask(c, c); own.Signed {
			named, sent = nil, nil // its namesakes need not be asked
		}
	}
	// Those that the key identifier means come first, since not all can be checked.
	for _, byKeyID := range []bool{true, false} {
		for _, issuer := range named {
			if sigcheck.Meant(c, issuer) == byKeyID {
				try(issuer, true)
			}
		}
		for _, issuer := range sent {
			if sigcheck.Meant(c, issuer) == byKeyID {
				try(issuer, false)
			}
		}
	}
	if best == nil {
		best = &path{certs: certs, reasons: join(reasons, f.end(c, certs, near)...), missing: missingIssuer(c)}
		if selfIssued(c) {
			best.missing = nil
		}
	}
	return best
}

// namesakes are certificates that have the issuer's name but not the key that
// signed.
type namesakes struct {
	inStore, sent []Reason
	unknown       bool // there are some that were not asked
}

func (n *namesakes) add(r Reason, anchor bool) {
	if anchor {
		n.inStore = append(n.inStore, r)
	} else {
		n.sent = append(n.sent, r)
	}
}

// explain returns the reasons for the end of a chain: r, unless the store has
// the issuer by name, which then says more. One namesake stands for all.
func (n namesakes) explain(r Reason) []Reason {
	switch {
	case len(n.inStore) > 0:
		return n.inStore[:1]
	case len(n.sent) > 0:
		return []Reason{r, n.sent[0]}
	case n.unknown:
		r.Text, r.Remedy = "its issuer was not found among the many certificates of that name that were sent or are in the store", ""
	}
	return []Reason{r}
}

func (f *finder) sentAs(rawSubject []byte) []*x509.Certificate {
	var out []*x509.Certificate
	for _, c := range f.sent {
		if bytes.Equal(c.RawSubject, rawSubject) {
			out = append(out, c)
		}
	}
	return out
}

// check returns what is wrong with a certificate as an issuer, below being the
// number of certificates under it.
func (f *finder) check(c *x509.Certificate, below int, anchor bool) []Reason {
	where := "sent by the peer"
	if anchor {
		where = "in the store"
	}
	out := criticalReasons(c, where)
	if r, ok := validity(c, f.now, "the authority "+quoteSubject(c)+" "+where); ok {
		switch {
		case r.Code == CodeNotYetValid:
			r.Remedy = "check the clock of this machine"
		case anchor:
			r.Remedy = "replace it in the trust store by its successor"
		default:
			r.Remedy = "the peer must send the current certificate of that authority"
		}
		out = append(out, r)
	}
	if c.BasicConstraintsValid && c.MaxPathLen >= 0 && below-1 > c.MaxPathLen {
		out = append(out, Reason{
			CodePathTooLong,
			"the authority " + quoteSubject(c) + " allows at most " + strconv.Itoa(c.MaxPathLen) + " other authorities below it, and the chain has " + strconv.Itoa(below-1),
			"the peer needs a certificate from an authority nearer to the root",
		})
	}
	if !anchor && (!c.BasicConstraintsValid || !c.IsCA) {
		out = append(out, notAuthority(c, where))
	}
	return out
}

func notAuthority(issuer *x509.Certificate, where string) Reason {
	return Reason{
		CodeNotAuthority,
		"the issuer " + quoteSubject(issuer) + " " + where + " is no certificate authority (basic constraint CA:true and the key usage to sign certificates) and cannot vouch for others",
		"the peer needs a certificate from a real authority, or its own certificate must be put into the trust store",
	}
}

// issuerReason explains why a certificate of the issuer's name does not vouch.
// signed is false where its key did not make the signature.
func issuerReason(c, issuer *x509.Certificate, anchor bool, found sigcheck.Result) (r Reason, signed bool) {
	where := "sent by the peer"
	if anchor {
		where = "in the store"
	}
	var constraint x509.ConstraintViolationError
	var weak x509.InsecureAlgorithmError
	switch {
	case errors.As(found.Err, &constraint):
		// A namesake with another key is no more interesting for being no
		// authority either.
		if !found.Signed {
			break
		}
		return notAuthority(issuer, where), true
	case errors.As(found.Err, &weak):
		return Reason{
			CodeWeakSignature,
			"the signature on " + quoteSubject(c) + " uses " + c.SignatureAlgorithm.String() + ", which no longer proves anything",
			"have that certificate issued anew with SHA-256 or better",
		}, true
	}
	return Reason{
		CodeBadSignature,
		"the authority " + quoteSubject(issuer) + " " + where + " did not sign " + quoteSubject(c) + ", although it has the issuer's name",
		"get the current certificate of that authority, which may have changed its key",
	}, false
}

// end explains why a chain leads no further than c.
func (f *finder) end(c *x509.Certificate, certs []*x509.Certificate, near namesakes) []Reason {
	peer := len(certs) == 1
	if selfIssued(c) {
		if peer {
			return []Reason{{
				CodeSelfSigned,
				"it is self-signed and not in the store",
				"compare its SHA-256 " + hexSHA256(c) + " with the peer by another way, then put it into the trust store",
			}}
		}
		return []Reason{{
			CodeUnknownIssuer,
			"its chain ends at " + quoteSubject(c) + ", which is not in the store",
			"put the certificate of that authority into the trust store, if it is to be trusted, SHA-256 " + hexSHA256(c),
		}}
	}
	issuer := `"` + cut(certinfo.Issuer(c), maxName) + `"`
	remedy := "the peer must send its full chain, or the certificate of " + issuer + " must be put into the trust store"
	if !peer {
		r := Reason{
			CodeUnknownIssuer,
			"its chain ends at " + quoteSubject(c) + ", whose issuer " + issuer + " was not sent and is not in the store",
			"put the certificate of " + issuer + " into the trust store, if it is to be trusted",
		}
		return near.explain(r)
	}
	r := Reason{CodeUnknownIssuer, "its issuer " + issuer + " is not in the store", remedy}
	if len(f.sent) == 0 {
		r = Reason{CodeIncompleteChain, "the peer sent no other certificate than its own, and the issuer " + issuer + " is not in the store", remedy}
	}
	return near.explain(r)
}

func missingIssuer(c *x509.Certificate) *Issuer {
	m := &Issuer{Subject: cut(certinfo.Issuer(c), maxName), KeyID: hexID(c.AuthorityKeyId)}
	for _, u := range c.IssuingCertificateURL[:min(len(c.IssuingCertificateURL), 3)] {
		m.URLs = append(m.URLs, printable(u))
	}
	return m
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

func containsCert(certs []*x509.Certificate, c *x509.Certificate) bool {
	return slices.ContainsFunc(certs, c.Equal)
}

// join appends to a copy.
func join[T any](s []T, more ...T) []T { return append(s[:len(s):len(s)], more...) }
