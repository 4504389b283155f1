package pemfile

import (
	"encoding/asn1"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// trustedLabel is OpenSSL's certificate with trust settings: behind the
// certificate follows
//
//	X509_CERT_AUX ::= SEQUENCE {
//	    trust   SEQUENCE OF OBJECT IDENTIFIER OPTIONAL,
//	    reject  [0] SEQUENCE OF OBJECT IDENTIFIER OPTIONAL,
//	    alias   UTF8String OPTIONAL,
//	    keyid   OCTET STRING OPTIONAL,
//	    other   [1] SEQUENCE OF AlgorithmIdentifier OPTIONAL }
//
// where trust and reject hold extended key usages (man openssl-x509, "Trust
// Settings").
const trustedLabel = "TRUSTED CERTIFICATE"

// newCertificate makes an entry of a certificate of which it checks no more
// than the outer shape. What OpenSSL put behind it is kept as the attribute.
func newCertificate(b *block, der []byte) (*entry.Entry, error) {
	in := cryptobyte.String(der)
	var cert cryptobyte.String
	if !in.ReadASN1Element(&cert, tag.SEQUENCE) {
		return nil, corrupt("no certificate")
	}
	// One allocation, since bundles have thousands.
	var all struct {
		entry entry.Entry
		cert  entry.Certificate
		chain [1]*entry.Certificate
	}
	all.cert.Raw, all.cert.Type = cert, "X.509"
	if _, ok := all.cert.Outline(); !ok {
		return nil, corrupt("no certificate")
	}
	all.chain[0] = &all.cert
	all.entry.Chain, all.entry.Unnamed = all.chain[:], true
	e := &all.entry
	if in.Empty() {
		return e, nil
	}
	aux, ok := parseAux(in)
	if !ok || b.label != trustedLabel {
		return nil, corrupt("data behind the certificate")
	}
	e.Alias, e.Unnamed = aux.alias, aux.alias == ""
	e.Attributes = []entry.Attribute{entry.Attribute(in)}
	if aux.Limited || len(aux.Deny) > 0 {
		e.Trust = &aux.TrustSettings
	}
	return e, nil
}

// trustSettings is an X509_CERT_AUX.
type trustSettings struct {
	entry.TrustSettings
	alias string
	rest  []byte // keyid and other
}

func parseAux(der []byte) (t trustSettings, ok bool) {
	in := cryptobyte.String(der)
	var aux, field cryptobyte.String
	var present bool
	if !in.ReadASN1(&aux, tag.SEQUENCE) || !in.Empty() {
		return t, false
	}
	if !aux.ReadOptionalASN1(&field, &t.Limited, tag.SEQUENCE) {
		return t, false
	}
	if t.Allow, ok = readUsages(field); !ok {
		return t, false
	}
	if !aux.ReadOptionalASN1(&field, &present, tag.Tag(0).ContextSpecific().Constructed()) {
		return t, false
	}
	if present {
		if t.Deny, ok = readUsages(field); !ok {
			return t, false
		}
	}
	if !aux.ReadOptionalASN1(&field, &present, tag.UTF8String) {
		return t, false
	}
	if present {
		t.alias = strings.ToValidUTF8(string(field), "\ufffd")
	}
	t.rest = aux
	ok = aux.SkipOptionalASN1(tag.OCTET_STRING) &&
		aux.SkipOptionalASN1(tag.Tag(1).ContextSpecific().Constructed()) && aux.Empty()
	return t, ok
}

// usageNames are the extended key usages that openssl x509 knows by name (RFC
// 5280 section 4.2.1.12).
var usageNames = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}, "TLS server"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}, "TLS client"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 3}, "code signing"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}, "e-mail"},
	{asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 8}, "time stamps"},
	{asn1.ObjectIdentifier{2, 5, 29, 37, 0}, "any purpose"},
}

func readUsages(in cryptobyte.String) (usages []asn1.ObjectIdentifier, ok bool) {
	for !in.Empty() {
		var oid asn1.ObjectIdentifier
		if !in.ReadASN1ObjectIdentifier(&oid) {
			return nil, false
		}
		usages = append(usages, oid)
	}
	return usages, true
}

// nameUsages names the usages for people.
func nameUsages(usages []asn1.ObjectIdentifier) string {
	var names []string
	for _, oid := range usages {
		name := oid.String()
		for _, u := range usageNames {
			if u.oid.Equal(oid) {
				name = u.name
			}
		}
		names = append(names, name)
	}
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}

// WithTrust returns the attributes of a certificate with other trust settings, nil for none,
// under which it is written as OpenSSL's TRUSTED CERTIFICATE. An alias and what else the file
// had there stay.
func WithTrust(attributes []entry.Attribute, t *entry.TrustSettings) ([]entry.Attribute, error) {
	var out []entry.Attribute
	var old trustSettings
	for _, a := range attributes {
		if s, ok := parseAux(a); ok {
			old = s
		} else {
			out = append(out, a)
		}
	}
	if t == nil && old.alias == "" && len(old.rest) == 0 {
		return out, nil
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(aux *cryptobyte.Builder) {
		list := func(usages []asn1.ObjectIdentifier) cryptobyte.BuilderContinuation {
			return func(b *cryptobyte.Builder) {
				for _, u := range usages {
					b.AddASN1ObjectIdentifier(u)
				}
			}
		}
		if t != nil && t.Limited {
			aux.AddASN1(tag.SEQUENCE, list(t.Allow))
		}
		if t != nil && len(t.Deny) > 0 {
			aux.AddASN1(tag.Tag(0).ContextSpecific().Constructed(), list(t.Deny))
		}
		if old.alias != "" {
			aux.AddASN1(tag.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(old.alias)) })
		}
		aux.AddBytes(old.rest)
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, err
	}
	return append(out, entry.Attribute(der)), nil
}

// settingsOf returns the trust settings of a certificate entry, if it has any.
func settingsOf(attributes []entry.Attribute) (aux []byte, t trustSettings) {
	for _, a := range attributes {
		if t, ok := parseAux(a); ok {
			return a, t
		}
	}
	return nil, trustSettings{}
}
