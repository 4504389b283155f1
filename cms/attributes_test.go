package cms_test

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"reflect"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

func TestSignedAttributes(t *testing.T) {
	p := newPeople(t)
	content := []byte("content")
	text := berio.TLV(12, []byte("a name"))
	number := berio.TLV(berio.Integer, []byte{1})
	wanted := []cms.Attribute{
		{Type: "1.2.840.113549.1.9.20", Values: [][]byte{text}},
		{Type: "1.3.6.1.4.1.99999.1.77777777777777777777", Values: [][]byte{number, text}},
	}
	o := cms.SignOptions{Attributes: wanted}
	for _, id := range p.pick("rsa", "p256", "ed") {
		der := must(o.Sign(content, id))
		for form, message := range map[string][]byte{"DER": der, "BER": stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, id) })} {
			got, err := cms.Verify(message, p.trust)
			if err != nil {
				t.Fatal(err)
			}
			found := got.Signers[0].Attributes
			if len(found) != 2 || !(reflect.DeepEqual(found, wanted) || reflect.DeepEqual(found, []cms.Attribute{wanted[1], wanted[0]})) {
				t.Errorf("%s: %+v", form, found)
			}
		}
		changed := bytes.Replace(der, []byte("a name"), []byte("b name"), 1)
		if _, err := cms.Verify(changed, p.trust); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("changed: %v", err)
		}
	}
	if got := must(cms.Verify(must(cms.Sign(content, p.rsa)), p.trust)); got.Signers[0].Attributes != nil {
		t.Errorf("%+v", got.Signers[0].Attributes)
	}
	for name, attributes := range map[string][]cms.Attribute{
		"no type":        {{Values: [][]byte{text}}},
		"bad type":       {{Type: "commonName", Values: [][]byte{text}}},
		"no value":       {{Type: "1.2.3"}},
		"nil value":      {{Type: "1.2.3", Values: [][]byte{nil}}},
		"no DER":         {{Type: "1.2.3", Values: [][]byte{[]byte("text")}}},
		"BER":            {{Type: "1.2.3", Values: [][]byte{{0x30, 0x80, 0, 0}}}},
		"two in one":     {{Type: "1.2.3", Values: [][]byte{append(bytes.Clone(text), text...)}}},
		"twice":          {{Type: "1.2.3", Values: [][]byte{text}}, {Type: "1.2.3", Values: [][]byte{text}}},
		"content type":   {{Type: "1.2.840.113549.1.9.3", Values: [][]byte{text}}},
		"message digest": {{Type: "1.2.840.113549.1.9.4", Values: [][]byte{text}}},
		"signing time":   {{Type: "1.2.840.113549.1.9.5", Values: [][]byte{text}}},
		"too large":      {{Type: "1.2.3", Values: [][]byte{berio.TLV(berio.OctetString, make([]byte, 70_000))}}},
	} {
		if got, err := (cms.SignOptions{Attributes: attributes}).Sign(content, p.rsa); !errors.Is(err, trustkeep.ErrInvalid) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A signer who names the certificate by a signed attribute (RFC 5035 section 3) is not taken for
// the owner of another certificate for the same key, which anybody can put into the message.
func TestSubstitutedCertificate(t *testing.T) {
	p := newPeople(t)
	clerk := p.pick("p256")[0]
	key := clerk.Key
	director := p.Issue(testpki.Request{Names: []string{"director@example.com"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})
	der := withPublicKey(t, director.Cert, p.Intermediate, clerk.Cert.RawSubjectPublicKeyInfo)
	other, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	as := func(c *x509.Certificate) trustkeep.Identity {
		pair := &tls.Certificate{Certificate: [][]byte{c.Raw, p.Intermediate.DER}, PrivateKey: key}
		return cms.IdentityFunc(func() (*tls.Certificate, error) { return pair, nil })
	}
	v1, v2 := sha1.Sum(clerk.Cert.Raw), sha256.Sum256(clerk.Cert.Raw)
	for name, attributes := range map[string][]cms.Attribute{
		"version 1":  {{Type: signingCertificate, Values: [][]byte{certID(v1[:])}}},
		"version 2":  {{Type: signingCertificateV2, Values: [][]byte{certID(v2[:])}}},
		"both":       {{Type: signingCertificate, Values: [][]byte{certID(v1[:])}}, {Type: signingCertificateV2, Values: [][]byte{certID(v2[:])}}},
		"one fits":   {{Type: signingCertificate, Values: [][]byte{certID(v1[:])}}, {Type: signingCertificateV2, Values: [][]byte{certID(make([]byte, 32))}}},
		"unreadable": {{Type: signingCertificateV2, Values: [][]byte{{5, 0}}}},
	} {
		for who, test := range map[string]struct {
			c  *x509.Certificate
			ok bool
		}{"the named": {clerk.Cert, name != "one fits"}, "the other": {other, name == "unreadable"}} {
			message := must(cms.SignOptions{Attributes: attributes}.Sign([]byte("content"), as(test.c)))
			v, err := cms.Verify(message, p.trust)
			if (err == nil) != test.ok || err == nil && !v.Signers[0].Certificate.Equal(test.c) || err != nil && !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%s, %s: %+v, %v", name, who, v, err)
			}
		}
	}
}
