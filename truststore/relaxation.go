package truststore

import (
	"crypto/x509"
	"slices"
)

// Relaxation names something that crypto/x509 refuses and the caller accepts. It applies
// only to a certificate that is itself in the store or pinned, never to one that a chain
// vouches for: whoever put that certificate there knew its dates and names. The Verdict
// lists the relaxations that were needed.
type Relaxation string

// The relaxations.
const (
	// AllowExpired accepts a certificate after its end. It does not accept one
	// before its beginning.
	AllowExpired Relaxation = "expired"
	// AllowCommonName accepts a server certificate without subject alternative
	// names of any kind whose common name is the name asked for, as
	// home-made certificates often have it (RFC 9525 section 2 forbids it).
	AllowCommonName Relaxation = "common-name"
	// AllowAnyName accepts a certificate whatever names it has.
	AllowAnyName Relaxation = "any-name"
)

// Relaxations returns all relaxations, the slighter ones first.
func Relaxations() []Relaxation { return []Relaxation{AllowExpired, AllowCommonName, AllowAnyName} }

// JavaHTTPS are the relaxations by which an exactly trusted certificate is treated
// as Java's HTTPS clients do (HttpsURLConnection, HttpClient: PKIX with endpoint
// identification, measured with JDK 17): its dates are not looked at, and a common
// name serves where there is no alternative name.
func JavaHTTPS() []Relaxation { return []Relaxation{AllowExpired, AllowCommonName} }

// JavaWithoutHostnameCheck is JavaHTTPS as Java's plain SSLSocket does it, without
// endpoint identification: the name does not count either. (Java then does not look
// at the names of certificates that a chain vouches for; here they count.)
func JavaWithoutHostnameCheck() []Relaxation {
	return []Relaxation{AllowExpired, AllowCommonName, AllowAnyName}
}

// relaxed tries to accept an exactly trusted certificate with as few of the
// allowed relaxations as it takes. crypto/x509 decides each time, with the
// certificate as the only root, so whatever no relaxation is about stays refused.
func relaxed(leaf *x509.Certificate, o VerifyOptions, usage x509.ExtKeyUsage) ([]Relaxation, bool) {
	allowed := Relaxations()
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
