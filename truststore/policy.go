package truststore

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Policy refuses chains that crypto/x509 accepts. It judges each chain as a whole, of exactly
// trusted and pinned certificates too, and one chain that passes is enough. The zero Policy
// refuses none. Relaxations do not affect it.
type Policy struct {
	// Refuse lists rules by the code that a refusal has; see Restrictions. If empty, none
	// applies.
	Refuse []trustkeep.Code `json:"refuse,omitempty"`
	// MinRSABits is the smallest RSA modulus, in bits, in any place of the chain. If zero,
	// every size is accepted. The code of a refusal is CodeWeakKey.
	MinRSABits int `json:"minRSABits,omitempty"`
	// KeyTypes are the accepted kinds of key in any place of the chain: "RSA", "P-224",
	// "P-256", "P-384", "P-521", "Ed25519". If empty, every kind is accepted, those
	// included that crypto/x509 cannot verify with, such as DSA. The code of a refusal is
	// CodeKeyType.
	KeyTypes []string `json:"keyTypes,omitempty"`
	// NoSHA1 refuses certificates that are signed with SHA-1, an older hash or an unknown
	// algorithm. The signature of an anchor above the peer is not looked at, since nothing
	// rests on it. crypto/x509 accepts such signatures only where it does not verify them,
	// on exactly trusted certificates. The code of a refusal is CodeWeakSignature.
	NoSHA1 bool `json:"noSHA1,omitempty"`
	// DistrustAfter refuses peers whose certificate begins after this moment, however long
	// it is valid. If zero, none is. The code of a refusal is CodeDistrusted. For single
	// anchors, use Scope.DistrustAfter.
	DistrustAfter time.Time `json:"distrustAfter,omitzero"`
}

// Strict returns the policy for certificates by the book, RFC 5280 and the Baseline
// Requirements of the CA/Browser Forum: all Restrictions but CodeAnchorNotRoot, RSA keys from
// 2,048 bits, curves from P-256, Ed25519, and no SHA-1.
//
// Many private authorities do not work by the book. Self-signed server certificates often say
// that they are authorities, which CodePeerIsAuthority refuses: to accept them, take that code
// out of Refuse.
func Strict() Policy {
	refuse := Restrictions()
	refuse = slices.DeleteFunc(refuse, func(c trustkeep.Code) bool { return c == CodeAnchorNotRoot })
	return Policy{Refuse: refuse, MinRSABits: 2048, KeyTypes: []string{"RSA", "P-256", "P-384", "P-521", "Ed25519"}, NoSHA1: true}
}

// Describe returns what the policy refuses, for people: codes of rules, and what else bounds.
func (p Policy) Describe() (out []string) {
	for _, code := range p.Refuse {
		out = append(out, printable(string(code)))
	}
	if p.MinRSABits != 0 {
		out = append(out, fmt.Sprintf("RSA keys below %d bits", p.MinRSABits))
	}
	if len(p.KeyTypes) > 0 {
		out = append(out, "keys other than "+strings.Join(p.KeyTypes, ", "))
	}
	if p.NoSHA1 {
		out = append(out, "SHA-1")
	}
	if !p.DistrustAfter.IsZero() {
		out = append(out, "what begins after "+date(p.DistrustAfter))
	}
	return out
}

// IsZero reports whether the policy refuses nothing.
func (p Policy) IsZero() bool {
	return len(p.Refuse)+len(p.KeyTypes) == 0 && p.MinRSABits == 0 && !p.NoSHA1 && p.DistrustAfter.IsZero()
}

// rootsOnly reports whether only self-signed certificates anchor.
func (p Policy) rootsOnly() bool { return slices.Contains(p.Refuse, CodeAnchorNotRoot) }

// Clone returns a copy that shares nothing with p.
func (p Policy) Clone() Policy {
	p.Refuse, p.KeyTypes = slices.Clone(p.Refuse), slices.Clone(p.KeyTypes)
	return p
}

var keyTypes = []string{"RSA", "P-224", "P-256", "P-384", "P-521", "Ed25519"}

// Validate returns trustkeep.ErrInvalid for a code that is no rule, an unknown kind of key or
// a negative size.
func (p Policy) Validate() error {
	wrong := func(what, hint string) error {
		return &trustkeep.Error{Op: "policy: " + what, Err: trustkeep.ErrInvalid, Hint: hint}
	}
	for _, code := range p.Refuse {
		if !slices.ContainsFunc(restrictions, func(r restriction) bool { return r.code == code }) {
			return wrong(fmt.Sprintf("Refuse %q", printable(string(code))), "truststore.Restrictions lists the rules")
		}
	}
	for _, k := range p.KeyTypes {
		if !slices.Contains(keyTypes, k) {
			return wrong(fmt.Sprintf("KeyTypes %q", printable(k)), "known are "+strings.Join(keyTypes, ", "))
		}
	}
	if p.MinRSABits < 0 {
		return wrong(fmt.Sprintf("MinRSABits %d", p.MinRSABits), "want the number of bits, or 0 for no bound")
	}
	return nil
}

// policyError is what a policy holds against a chain.
type policyError struct {
	code trustkeep.Code
	text string
}

func (e *policyError) Error() string { return e.text }

// check returns what the policy holds against the chain, the peer's certificate first; nil
// for nothing.
func (p Policy) check(chain []*x509.Certificate) *policyError {
	if p.IsZero() {
		return nil
	}
	which := func(i int) string {
		if i == 0 {
			return "it"
		}
		return "the authority " + quoteSubject(chain[i])
	}
	for i, c := range chain {
		if bits, ok := rsaBits(c); ok && bits < p.MinRSABits {
			return &policyError{CodeWeakKey, fmt.Sprintf("%s has an RSA key of %d bits, fewer than %d", which(i), bits, p.MinRSABits)}
		}
		if len(p.KeyTypes) > 0 && !slices.Contains(p.KeyTypes, keyType(c)) {
			return &policyError{CodeKeyType, which(i) + " has a key " + describeKey(c) + ", which is none of " + strings.Join(p.KeyTypes, ", ")}
		}
		if anchor := i > 0 && i == len(chain)-1; p.NoSHA1 && !anchor && weakSignature(c.SignatureAlgorithm) {
			return &policyError{CodeWeakSignature, which(i) + " is signed with " + c.SignatureAlgorithm.String()}
		}
	}
	if !p.DistrustAfter.IsZero() && chain[0].NotBefore.After(p.DistrustAfter) {
		return &policyError{CodeDistrusted, "it begins on " + date(chain[0].NotBefore) + ", and what begins after " + date(p.DistrustAfter) + " is distrusted"}
	}
	for _, r := range restrictions {
		if !slices.Contains(p.Refuse, r.code) {
			continue
		}
		if i := r.broken(chain); i >= 0 {
			return &policyError{r.code, which(i) + " " + r.text}
		}
	}
	return nil
}

var oidRSASSAPSS = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 1, 10}

// rsaBits returns the size of an RSA key, also of one for RSASSA-PSS alone (RFC 4055 section
// 1.2), which crypto/x509 leaves out and which package cms verifies with. One that cannot be
// read has no bits.
func rsaBits(c *x509.Certificate) (bits int, ok bool) {
	if k, ok := c.PublicKey.(*rsa.PublicKey); ok {
		return k.N.BitLen(), true
	}
	var info struct {
		Algorithm pkix.AlgorithmIdentifier
		PublicKey asn1.BitString
	}
	if c.PublicKey != nil {
		return 0, false
	}
	if _, err := asn1.Unmarshal(c.RawSubjectPublicKeyInfo, &info); err != nil || !info.Algorithm.Algorithm.Equal(oidRSASSAPSS) {
		return 0, false
	}
	k, err := x509.ParsePKCS1PublicKey(info.PublicKey.RightAlign())
	if err != nil {
		return 0, true
	}
	return k.N.BitLen(), true
}

func weakSignature(a x509.SignatureAlgorithm) bool {
	switch a {
	case x509.UnknownSignatureAlgorithm, x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return true
	}
	return false
}

// keyType returns the kind of key as Policy.KeyTypes has it, else "".
func keyType(c *x509.Certificate) string {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return "RSA"
	case *ecdsa.PublicKey:
		return k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}
