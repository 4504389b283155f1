package smime_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
)

// opaqueBody is an entity whose body is a message of package cms.
func opaqueBody(kind string, der []byte) string {
	return fmt.Sprintf("Content-Type: application/pkcs7-mime; smime-type=%s\r\nContent-Transfer-Encoding: base64\r\n\r\n%s\r\n",
		kind, base64.StdEncoding.EncodeToString(der))
}

// TestErrorsShowNothingSealed: what was sealed in CBC mode can be rearranged by anybody, so that a
// secret comes to stand in a header field. An error must not show it to whoever gets that.
func TestErrorsShowNothingSealed(t *testing.T) {
	p := newPeople(t)
	for name, test := range map[string]struct {
		entity string
		want   error
	}{
		"protocol":           {"Content-Type: multipart/signed; protocol=\"hush\"; boundary=b\r\n\r\n--b\r\n", trustkeep.ErrUnsupported},
		"encoding":           {"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: hush\r\n\r\nx", trustkeep.ErrUnsupported},
		"of a multipart":     {"Content-Type: multipart/signed; boundary=b\r\nContent-Transfer-Encoding: hush\r\n\r\nx", trustkeep.ErrCorrupt},
		"quotes":             {"Content-Type: application/pkcs7-mime; / hush=\"\r\n\r\nx", trustkeep.ErrCorrupt},
		"parameter twice":    {"Content-Type: application/pkcs7-mime; / x=a; hush=b; hush=c\r\n\r\nx", trustkeep.ErrCorrupt},
		"of the signature":   {"Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\nx\r\n--b\r\nContent-Transfer-Encoding: hush\r\n\r\nx\r\n--b--\r\n", trustkeep.ErrUnsupported},
		"quoted-printable":   {"Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n=0= hush\r\n", trustkeep.ErrCorrupt},
		"header that is not": {"hush\r\n\r\nx", trustkeep.ErrCorrupt},
	} {
		_, err := read(p.options(), test.entity)
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v", name, err)
		}
		for _, layers := range []int{1, 2} {
			entity := test.entity
			for range layers {
				der, err := cms.Seal([]byte(entity), p.rsa.Cert)
				if err != nil {
					t.Fatal(err)
				}
				entity = opaqueBody("enveloped-data", der)
			}
			_, err := read(p.options(), entity)
			if !errors.Is(err, test.want) || strings.Contains(err.Error(), "hush") {
				t.Errorf("%s, %d times sealed: %v", name, layers, err)
			}
		}
	}
}

// TestSignedForSomethingElse: a signature over content of another type, such as a time stamp or a
// firmware package, says nothing about a MIME entity (RFC 8551 section 2.4.2).
func TestSignedForSomethingElse(t *testing.T) {
	p := newPeople(t)
	const data, firmware = "1.2.840.113549.1.7.1", "1.2.840.113549.1.9.16.1.16"
	content := []byte(hello)
	o := p.options()
	o.Verify.Certificates = p.ec.Chain
	for kind, want := range map[string]error{data: nil, firmware: trustkeep.ErrUnsupported} {
		for name, message := range map[string]string{
			"opaque": opaqueBody("signed-data", signedAs(t, p.ec, kind, content, true)),
			"apart": "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=b\r\n\r\n--b\r\n" + hello +
				"\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
				base64.StdEncoding.EncodeToString(signedAs(t, p.ec, kind, content, false)) + "\r\n--b--\r\n",
		} {
			if got, err := read(o, message); !errors.Is(err, want) || err == nil && got != hello {
				t.Errorf("%s, %s: %q, %v", kind, name, got, err)
			}
		}
	}
}

// signedAs makes a SignedData over content of a type.
func signedAs(t testing.TB, by person, kind string, content []byte, attached bool) []byte {
	t.Helper()
	marshal := func(v any, params string) []byte {
		der, err := asn1.MarshalWithParams(v, params)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	id := func(s string) asn1.RawValue {
		var out asn1.ObjectIdentifier
		for _, part := range strings.Split(s, ".") {
			var n int
			fmt.Sscan(part, &n)
			out = append(out, n)
		}
		return asn1.RawValue{FullBytes: marshal(out, "")}
	}
	join := func(parts ...[]byte) asn1.RawValue { return asn1.RawValue{FullBytes: bytes.Join(parts, nil)} }
	tlv := func(class, tag int, parts ...[]byte) []byte {
		return marshal(asn1.RawValue{Class: class, Tag: tag, IsCompound: true, Bytes: bytes.Join(parts, nil)}, "")
	}
	const sequence, set = asn1.TagSequence, asn1.TagSet
	sum := sha256.Sum256(content)
	attributes := [][]byte{
		tlv(0, sequence, id("1.2.840.113549.1.9.3").FullBytes, tlv(0, set, id(kind).FullBytes)),
		tlv(0, sequence, id("1.2.840.113549.1.9.4").FullBytes, tlv(0, set, marshal(sum[:], ""))),
	}
	if len(attributes[0]) > len(attributes[1]) {
		attributes[0], attributes[1] = attributes[1], attributes[0]
	}
	digest := sha256.Sum256(tlv(0, set, attributes...))
	signature, err := by.Key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		t.Fatal(err)
	}
	hash := tlv(0, sequence, id("2.16.840.1.101.3.4.2.1").FullBytes)
	encapsulated := id(kind).FullBytes
	if attached {
		encapsulated = join(encapsulated, tlv(2, 0, marshal(content, ""))).FullBytes
	}
	signer := tlv(0, sequence, marshal(1, ""),
		tlv(0, sequence, by.Cert.RawIssuer, marshal(by.Cert.SerialNumber, "")),
		hash, tlv(2, 0, attributes...), tlv(0, sequence, id("1.2.840.10045.4.3.2").FullBytes), marshal(signature, ""))
	return tlv(0, sequence, id("1.2.840.113549.1.7.2").FullBytes, tlv(2, 0, tlv(0, sequence,
		marshal(3, ""), tlv(0, set, hash), tlv(0, sequence, encapsulated), tlv(2, 0, by.Cert.Raw), tlv(0, set, signer))))
}
