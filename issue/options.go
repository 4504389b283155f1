package issue

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
)

// KeyType is the algorithm and size of a private key.
type KeyType uint8

// The key types. The zero KeyType is the default of Options.
const (
	ECP256  = KeyType(certgen.ECP256)
	ECP384  = KeyType(certgen.ECP384)
	ECP521  = KeyType(certgen.ECP521)
	RSA2048 = KeyType(certgen.RSA2048)
	RSA3072 = KeyType(certgen.RSA3072)
	RSA4096 = KeyType(certgen.RSA4096)
	Ed25519 = KeyType(certgen.Ed25519)
)

// String returns "EC P-256", "RSA 3072", "Ed25519" and so on, or "invalid".
func (t KeyType) String() string {
	switch t {
	case ECP256:
		return "EC P-256"
	case ECP384:
		return "EC P-384"
	case ECP521:
		return "EC P-521"
	case RSA2048:
		return "RSA 2048"
	case RSA3072:
		return "RSA 3072"
	case RSA4096:
		return "RSA 4096"
	case Ed25519:
		return "Ed25519"
	}
	return "invalid"
}

// Purposes is a set of uses of a certificate; combine with |. Key usages (RFC 5280 section
// 4.2.1.3) and extended key usages (section 4.2.1.12) follow from it and from the type of the
// key.
type Purposes uint8

// The purposes.
const (
	// ForServer: a TLS server. Takes a DNS name or IP address.
	ForServer Purposes = 1 << iota
	// ForClient: a TLS client.
	ForClient
	// ForEmail: S/MIME, and signing and encrypting between partners as in
	// AS2.
	ForEmail
	// ForCA: signing certificates and revocation lists, and nothing else.
	ForCA
)

// String returns "server, client" and the like, or "none".
func (p Purposes) String() string {
	var names []string
	for i, name := range []string{"server", "client", "email", "ca"} {
		if p&(1<<i) != 0 {
			names = append(names, name)
		}
	}
	if names == nil {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Options describes a certificate. The zero value of each field is a careful choice.
type Options struct {
	// Subject is the holder's distinguished name. It may be empty if there is an alternative
	// name. A self-signed certificate or CA then gets the first alternative name as common
	// name, since an issuer must have a name. TLS ignores the common name.
	Subject pkix.Name
	// DNSNames, IPAddresses, EmailAddresses and URIs become the subject alternative
	// names. A DNS name may have a wildcard as its first label.
	DNSNames       []string
	IPAddresses    []net.IP
	EmailAddresses []string
	URIs           []*url.URL
	// Purposes of the certificate. If zero, ForClient, plus ForServer with a DNS name or IP
	// address and ForEmail with an e-mail address.
	Purposes Purposes
	// KeyUsage is added to the key usages that follow from Purposes, such as
	// x509.KeyUsageDataEncipherment for some consumers.
	KeyUsage x509.KeyUsage
	// PathLength is the number of CAs allowed below a CA. If nil, unlimited for a self-signed
	// CA and 0 for an issued one.
	PathLength *int
	// NotBefore is the start of the validity. If zero, five minutes ago, for peers whose
	// clock is behind.
	NotBefore time.Time
	// Validity from NotBefore on. If zero, 397 days, ten years for a self-signed CA and five
	// for an issued one, but never beyond the issuer's. Browsers accept at most 398 days.
	Validity time.Duration
	// Key is the type of the new key. If zero, EC P-256, or RSA 3072 with ForEmail, whose
	// partners encrypt to RSA keys.
	Key KeyType
	// Issuer signs the certificate. If nil, the certificate is self-signed.
	Issuer trustkeep.Identity
	// Clock tells the time. If nil, time.Now.
	Clock func() time.Time
	// Rand supplies keys, serial numbers and signatures, for reproducible tests. RSA keys do
	// not depend on it. If nil, crypto/rand.
	Rand io.Reader

	// atMost: Validity gives way to the issuer's, as a default does.
	atMost bool
}

// Like returns options that describe a certificate like c: its names, purposes, extra key
// usages, path length, length of validity and type of key. The other fields are zero.
// Extensions without a field in Options are left out.
func Like(c *x509.Certificate) Options {
	o := Options{
		Subject: subjectOf(c.Subject), DNSNames: slices.Clone(c.DNSNames), IPAddresses: slices.Clone(c.IPAddresses),
		EmailAddresses: slices.Clone(c.EmailAddresses), URIs: slices.Clone(c.URIs),
		Purposes: purposesOf(c.ExtKeyUsage), Validity: c.NotAfter.Sub(c.NotBefore),
	}
	if t, ok := certgen.TypeOf(c.PublicKey); ok {
		o.Key = KeyType(t)
	}
	if c.BasicConstraintsValid && c.IsCA {
		o.Purposes = ForCA
		if c.MaxPathLen > 0 || c.MaxPathLenZero {
			o.PathLength = new(c.MaxPathLen)
		}
	}
	o.KeyUsage = c.KeyUsage &^ keyUsage(o.Purposes, c.PublicKey)
	return o
}

// subjectOf keeps the attributes that pkix.Name has no field for, which it
// reads but does not write.
func subjectOf(n pkix.Name) pkix.Name {
	n.ExtraNames = n.Names
	return n
}

func purposesOf(usages []x509.ExtKeyUsage) (p Purposes) {
	for _, u := range usages {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			p |= ForServer
		case x509.ExtKeyUsageClientAuth:
			p |= ForClient
		case x509.ExtKeyUsageEmailProtection:
			p |= ForEmail
		}
	}
	return p
}

// withDefaults fills in what does not depend on the issuer.
func (o Options) withDefaults() Options {
	if o.Purposes == 0 {
		o.Purposes = ForClient
		if len(o.DNSNames)+len(o.IPAddresses) > 0 {
			o.Purposes |= ForServer
		}
		if len(o.EmailAddresses) > 0 {
			o.Purposes |= ForEmail
		}
	}
	if o.Key == 0 {
		o.Key = ECP256
		if o.Purposes&ForEmail != 0 {
			o.Key = RSA3072
		}
	}
	return o
}

// unnamed reports whether there is neither a subject nor an alternative name.
func (o *Options) unnamed() bool {
	return !o.hasAltNames() && len(o.Subject.ToRDNSequence()) == 0
}

func (o *Options) hasAltNames() bool {
	return len(o.DNSNames)+len(o.IPAddresses)+len(o.EmailAddresses)+len(o.URIs) > 0
}

// problem says what is wrong with options, or with a request. Whose fault it is decides
// which sentinel it gets.
type problem string

func problemf(format string, args ...any) problem { return problem(fmt.Sprintf(format, args...)) }

// as makes an error of a problem, nil if there is none.
func (p problem) as(sentinel error) error {
	if p == "" {
		return nil
	}
	return fmt.Errorf("%s: %w", string(p), sentinel)
}

// check refuses what would make a certificate that is good for nothing, as ErrInvalid.
// The options have their defaults.
func (o *Options) check() error {
	if err := o.checkScope().as(trustkeep.ErrInvalid); err != nil {
		return err
	}
	return o.checkNames().as(trustkeep.ErrInvalid)
}

// checkScope looks at everything but the names.
func (o *Options) checkScope() problem {
	switch {
	case o.unnamed():
		return "neither a subject nor an alternative name"
	case o.Purposes&^(ForServer|ForClient|ForEmail|ForCA) != 0:
		return problemf("purposes %#x", uint8(o.Purposes))
	case o.Purposes&ForCA != 0 && o.Purposes != ForCA:
		return problemf("a CA that is used for %s as well", o.Purposes&^ForCA)
	case o.lacksHost():
		return "a server without a DNS name or IP address"
	case o.PathLength != nil && o.Purposes != ForCA:
		return "a path length for other than a CA"
	case o.PathLength != nil && *o.PathLength < 0:
		return problemf("path length %d", *o.PathLength)
	case o.Validity < 0:
		return problemf("validity of %v", o.Validity)
	case o.Key > Ed25519:
		return problemf("key type %d", o.Key)
	}
	return ""
}

func (o *Options) lacksHost() bool {
	return o.Purposes&ForServer != 0 && len(o.DNSNames)+len(o.IPAddresses) == 0
}

func (o *Options) now() time.Time {
	if o.Clock != nil {
		return o.Clock()
	}
	return time.Now()
}

// keyUsage returns the key usages that go with purposes. Only RSA keys can
// encipher keys; EC keys agree on them, which S/MIME does (RFC 5753) and TLS
// with static keys no longer.
func keyUsage(p Purposes, public crypto.PublicKey) x509.KeyUsage {
	if p == ForCA {
		return x509.KeyUsageCertSign | x509.KeyUsageCRLSign
	}
	usage := x509.KeyUsageDigitalSignature
	_, isRSA := public.(*rsa.PublicKey)
	if isRSA && p&(ForServer|ForEmail) != 0 {
		usage |= x509.KeyUsageKeyEncipherment
	}
	if t, _ := certgen.TypeOf(public); !isRSA && t != certgen.Ed25519 && p&ForEmail != 0 {
		usage |= x509.KeyUsageKeyAgreement
	}
	return usage
}

func extKeyUsage(p Purposes) (usages []x509.ExtKeyUsage) {
	if p&ForServer != 0 {
		usages = append(usages, x509.ExtKeyUsageServerAuth)
	}
	if p&ForClient != 0 {
		usages = append(usages, x509.ExtKeyUsageClientAuth)
	}
	if p&ForEmail != 0 {
		usages = append(usages, x509.ExtKeyUsageEmailProtection)
	}
	return usages
}
