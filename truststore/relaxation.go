package truststore

import (
	"crypto/x509"
	"slices"
)

// Relaxation names something that crypto/x509 refuses and the caller accepts. It applies
// only to a certificate that is itself in the store or pinned, never to one that a chain
// vouches for: whoever put that certificate there knew its dates, names and usages. That is the
// peer's own certificate or, for AllowExpiredAnchor, the anchor of its chain. The Verdict
// lists the relaxations that were needed.
type Relaxation string

// The relaxations.
const (
	// AllowExpired accepts a certificate after its end. It does not accept one
	// before its beginning.
	AllowExpired Relaxation = "expired"
	// AllowExpiredAnchor accepts a chain whose anchor has ended; the rest of the chain must
	// be valid. A certificate of the peer itself that has ended is AllowExpired's.
	AllowExpiredAnchor Relaxation = "expired-anchor"
	// AllowCommonName accepts a server certificate without subject alternative
	// names of any kind whose common name is the name asked for, as
	// home-made certificates often have it (RFC 9525 section 2 forbids it).
	AllowCommonName Relaxation = "common-name"
	// AllowAnyUsage accepts a certificate whatever its extended key usages say.
	AllowAnyUsage Relaxation = "any-usage"
	// AllowAnyName accepts a certificate whatever names it has.
	AllowAnyName Relaxation = "any-name"
)

// Relaxations returns all relaxations, the slighter ones first.
func Relaxations() []Relaxation {
	return []Relaxation{AllowExpired, AllowExpiredAnchor, AllowCommonName, AllowAnyUsage, AllowAnyName}
}

// JavaHTTPS are the relaxations by which certificates of the store are treated
// as Java's HTTPS clients do (HttpsURLConnection, HttpClient: PKIX with endpoint
// identification, measured with JDK 17). Of an exactly trusted certificate, Java looks at the name
// alone, and a common name serves where there is no alternative name; of an anchor, it does not
// look at the dates. Some of what Java overlooks is refused here all the same: certificates
// that are not valid yet, unknown critical extensions of an exactly trusted certificate, and its
// common name beside alternative names that are no host's.
func JavaHTTPS() []Relaxation {
	return []Relaxation{AllowExpired, AllowExpiredAnchor, AllowCommonName, AllowAnyUsage}
}

// JavaWithoutHostnameCheck is JavaHTTPS as Java's plain SSLSocket does it, without
// endpoint identification: the name does not count either. (Java then does not look
// at the names of certificates that a chain vouches for; here they count.)
func JavaWithoutHostnameCheck() []Relaxation {
	return append(JavaHTTPS(), AllowAnyName)
}

// relaxed tries to accept an exactly trusted certificate with as few of the
// allowed relaxations as it takes. crypto/x509 decides each time, with the
// certificate as the only root, so whatever no relaxation is about stays refused.
func relaxed(leaf *x509.Certificate, o VerifyOptions, usage x509.ExtKeyUsage) ([]Relaxation, bool) {
	allowed := []Relaxation{AllowExpired, AllowCommonName, AllowAnyUsage, AllowAnyName}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	var best []Relaxation
	found := false
	for set := range 1 << len(allowed) {
		var with []Relaxation
		for i, r := range allowed {
			if set&(1<<i) != 0 {
				with = append(with, r)
			}
		}
		if found && len(with) >= len(best) || !subset(with, o.Allow) {
			continue
		}
		if acceptedWith(leaf, with, o, x509.VerifyOptions{Roots: roots, KeyUsages: []x509.ExtKeyUsage{usage}}) {
			best, found = with, true
		}
	}
	return best, found
}

func subset(with, allowed []Relaxation) bool {
	for _, r := range with {
		if !slices.Contains(allowed, r) {
			return false
		}
	}
	return true
}

func acceptedWith(leaf *x509.Certificate, with []Relaxation, o VerifyOptions, options x509.VerifyOptions) bool {
	options.CurrentTime = o.Time
	if slices.Contains(with, AllowExpired) && o.Time.After(leaf.NotAfter) {
		options.CurrentTime = leaf.NotAfter
	}
	if slices.Contains(with, AllowAnyUsage) {
		options.KeyUsages = []x509.ExtKeyUsage{x509.ExtKeyUsageAny}
	}
	anyName := slices.Contains(with, AllowAnyName) ||
		slices.Contains(with, AllowCommonName) && o.commonNameFits(leaf)
	switch {
	case anyName:
	case o.Purpose == Server && !o.named(), !o.ownNamesFit(leaf):
		return false
	case o.Purpose != Email:
		options.DNSName = o.Name
	}
	chains, err := leaf.Verify(options)
	return err == nil && len(chains) > 0
}

// byExpiredAnchor asks crypto/x509 again, with the anchors that have ended and whom something
// that was sent names as its issuer. To crypto/x509 they end at the time of the question.
func (s *Snapshot) byExpiredAnchor(chain []*x509.Certificate, usage x509.ExtKeyUsage, o VerifyOptions) []*Verdict {
	ended := make(map[*x509.Certificate]*x509.Certificate) // by what stands for them
	options := o.forPath(chain, usage)
	options.Roots = x509.NewCertPool()
	asked := make(map[string]bool)
	for _, sent := range [][]*x509.Certificate{chain, o.Intermediates} {
		for _, c := range sent {
			if asked[string(c.RawIssuer)] {
				continue
			}
			asked[string(c.RawIssuer)] = true
			for _, anchor := range s.named(c.RawIssuer) {
				if o.Time.After(anchor.NotAfter) && s.mayAnchor(anchor, chain, o) {
					lasting := *anchor
					lasting.NotAfter = o.Time
					options.Roots.AddCert(&lasting)
					ended[&lasting] = anchor
				}
			}
		}
	}
	if len(ended) == 0 {
		return nil
	}
	chains, err := chain[0].Verify(options)
	if err != nil {
		return nil
	}
	found := newVerdicts(chains)
	for _, v := range found {
		anchor := ended[v.Anchor]
		if anchor == nil {
			return nil // cannot happen
		}
		v.Anchor, v.Chain[len(v.Chain)-1] = anchor, anchor
		v.Relaxations = []Relaxation{AllowExpiredAnchor}
	}
	return found
}
