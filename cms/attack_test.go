package cms

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// message puts a SignedData together from parts, as an attacker may.
func message(kind oid, content []byte, s *signature, info []byte) []byte {
	after := append(berio.SetOf(berio.ContextConstructed(0), s.certificates...), berio.SetOf(berio.Set, info)...)
	frames := s.frames(after)
	frames[3].Before = kind.der()
	head, tail := berio.Definite(len(content), frames...)
	return bytes.Join([][]byte{head, content, tail}, nil)
}

// parts puts a SignerInfo together; attributes may be nil.
func (s *signer) parts(attributes, signature []byte) []byte {
	return berio.TLV(berio.Sequence,
		berio.TLV(berio.Integer, []byte{1}), s.ref.der(), algorithm{id: s.hash.id}.der(),
		attributes, s.algorithm.der(), berio.TLV(berio.OctetString, signature))
}

func TestForgedAttributes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.SelfSigned("a@example.com")
	identity := IdentityFunc(func() (*tls.Certificate, error) { c := id.TLSCertificate(); return &c, nil })
	s, err := SignOptions{}.signature([]trustkeep.Identity{identity})
	if err != nil {
		t.Fatal(err)
	}
	sg := s.signers[0]
	sum := func(b []byte) []byte {
		h := sg.hash.hash.New()
		h.Write(b)
		return h.Sum(nil)
	}
	sign := func(b []byte) []byte {
		signature, err := sg.key.Sign(nil, sum(b), sg.options)
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	under0 := func(set []byte) []byte {
		out := bytes.Clone(set)
		out[0] = berio.ContextConstructed(0)
		return out
	}
	content := []byte("content")
	kindAttr := attribute(oidContentType, oidData.der())
	digestAttr := attribute(oidMessageDigest, berio.TLV(berio.OctetString, sum(content)))
	otherAttr := attribute(oidMessageDigest, berio.TLV(berio.OctetString, sum([]byte("other"))))
	sorted := berio.SetOf(berio.Set, kindAttr, digestAttr)
	unsorted := berio.TLV(berio.Set, digestAttr, kindAttr)
	if bytes.Equal(sorted, unsorted) {
		unsorted = berio.TLV(berio.Set, kindAttr, digestAttr)
	}
	withAttrs := func(sent, signed []byte) []byte { return sg.parts(under0(sent), sign(signed)) }
	for _, test := range []struct {
		name    string
		kind    oid
		content []byte
		info    []byte
		want    error
	}{
		{"good", oidData, content, withAttrs(sorted, sorted), nil},
		{"no attributes", oidData, content, sg.parts(nil, sign(content)), nil},
		{"text that starts as a SET", oidData, []byte("1 text"), sg.parts(nil, sign([]byte("1 text"))), nil},
		{"sent and signed unsorted", oidData, content, withAttrs(unsorted, unsorted), nil},
		{"sent unsorted, signed sorted", oidData, content, withAttrs(unsorted, sorted), nil},
		// The signature over attributes, passed off as one over content.
		{"attributes as content", oidData, sorted, sg.parts(nil, sign(sorted)), trustkeep.ErrCorrupt},
		{"no attributes for another type", oidSignedData, content, sg.parts(nil, sign(content)), trustkeep.ErrCorrupt},
		{"another type", oidSignedData, content, withAttrs(sorted, sorted), trustkeep.ErrCorrupt},
		{"no digest", oidData, content, withAttrs(berio.SetOf(berio.Set, kindAttr), berio.SetOf(berio.Set, kindAttr)), trustkeep.ErrCorrupt},
		{"no type", oidData, content, withAttrs(berio.SetOf(berio.Set, digestAttr), berio.SetOf(berio.Set, digestAttr)), trustkeep.ErrCorrupt},
		{"empty attributes", oidData, content, withAttrs(berio.SetOf(berio.Set), berio.SetOf(berio.Set)), trustkeep.ErrCorrupt},
		{"two digests", oidData, content, withAttrs(berio.SetOf(berio.Set, kindAttr, digestAttr, otherAttr), berio.SetOf(berio.Set, kindAttr, digestAttr, otherAttr)), trustkeep.ErrCorrupt},
		{"digest of other content", oidData, content, withAttrs(berio.SetOf(berio.Set, kindAttr, otherAttr), berio.SetOf(berio.Set, kindAttr, otherAttr)), trustkeep.ErrCorrupt},
		{"attributes changed", oidData, content, withAttrs(sorted, berio.SetOf(berio.Set, kindAttr, otherAttr)), trustkeep.ErrCorrupt},
		{"two values", oidData, content, withAttrs(
			berio.SetOf(berio.Set, kindAttr, berio.TLV(berio.Sequence, oidMessageDigest.der(), berio.TLV(berio.Set, berio.TLV(berio.OctetString, sum(content)), berio.TLV(berio.OctetString, sum(content))))), sorted), trustkeep.ErrCorrupt},
	} {
		got, err := VerifyOptions{Trust: truststore.New(id.Cert), AnyPurpose: true}.Verify(message(test.kind, test.content, s, test.info))
		if !errors.Is(err, test.want) || (err == nil) != (got != nil) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestUnbearableKeys(t *testing.T) {
	key := func(bits uint, e int) *x509.Certificate {
		return &x509.Certificate{PublicKey: &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), bits-1), E: e}}
	}
	for _, test := range []struct {
		c    *x509.Certificate
		want bool
	}{
		{key(4096, 65537), true}, {key(8192, 65537), true}, {key(8193, 65537), false}, {key(2048, 1<<31-1), false}, {&x509.Certificate{}, true},
	} {
		if got := new(verifier).bearable(test.c); got != test.want {
			t.Errorf("%v: %v", test.c.PublicKey, got)
		}
		strict := verifier{o: VerifyOptions{Limits: trustkeep.Limits{MaxKeyBits: 2048}}}
		if got := strict.bearable(test.c); got && test.c.PublicKey != nil {
			t.Errorf("%v, at most 2048 bits", test.c.PublicKey)
		}
	}
}

func TestUnpad(t *testing.T) {
	for _, test := range []struct {
		block []byte
		n     int
		ok    bool
	}{
		{[]byte{1, 2, 3, 4, 5, 6, 7, 1}, 1, true},
		{[]byte{1, 2, 3, 4, 5, 6, 2, 2}, 2, true},
		{bytes.Repeat([]byte{8}, 8), 8, true},
		{[]byte{1, 2, 3, 4, 5, 6, 7, 0}, 0, false},
		{[]byte{1, 2, 3, 4, 5, 6, 3, 2}, 2, false},
		{bytes.Repeat([]byte{9}, 8), 9, false},
		{bytes.Repeat([]byte{255}, 8), 255, false},
		{append([]byte{7}, bytes.Repeat([]byte{8}, 7)...), 8, false},
	} {
		if n, ok := unpad(test.block); ok != test.ok || n != test.n {
			t.Errorf("%v: %d, %v", test.block, n, ok)
		}
	}
}
