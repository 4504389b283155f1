package formats_test

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/asn1"
	"math/big"
	"testing"
)

// traditional returns the form in which `openssl pkey -outform DER` writes a
// PrivateKeyInfo, which the manifest's sums are of: the older one where there
// is one. ok is false where openssl computes a public key on a curve that is
// not known here.
func traditional(t *testing.T, der []byte) (old []byte, ok bool) {
	t.Helper()
	var info struct {
		Version   int
		Algorithm struct {
			OID    asn1.ObjectIdentifier
			Params asn1.RawValue `asn1:"optional"`
		}
		Key []byte
	}
	if _, err := asn1.Unmarshal(der, &info); err != nil {
		t.Fatal(err)
	}
	switch info.Algorithm.OID.String() {
	case "1.2.840.113549.1.1.1":
		return info.Key, true
	case "1.2.840.10045.2.1":
		return traditionalEC(t, der, info.Key, info.Algorithm.Params)
	case "1.2.840.10040.4.1":
		var params struct{ P, Q, G *big.Int }
		x := new(big.Int)
		if _, err := asn1.Unmarshal(info.Algorithm.Params.FullBytes, &params); err != nil {
			t.Fatal(err)
		}
		if _, err := asn1.Unmarshal(info.Key, &x); err != nil {
			t.Fatal(err)
		}
		y := new(big.Int).Exp(params.G, x, params.P)
		return marshal(t, struct {
			V             int
			P, Q, G, Y, X *big.Int
		}{0, params.P, params.Q, params.G, y, x}), true
	}
	return der, true
}

type ecPrivateKey struct {
	Version int
	Private []byte
	Params  asn1.RawValue  `asn1:"optional,explicit,tag:0"`
	Public  asn1.BitString `asn1:"optional,explicit,tag:1"`
}

func traditionalEC(t *testing.T, info, key []byte, params asn1.RawValue) (old []byte, ok bool) {
	t.Helper()
	var ec ecPrivateKey
	if _, err := asn1.Unmarshal(key, &ec); err != nil {
		t.Fatal(err)
	}
	if ec.Public.BitLength == 0 {
		parsed, err := x509.ParsePKCS8PrivateKey(info)
		if err != nil {
			return nil, false
		}
		public, err := parsed.(*ecdsa.PrivateKey).PublicKey.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		ec.Public = asn1.BitString{Bytes: public, BitLength: 8 * len(public)}
	}
	ec.Params = asn1.RawValue{Class: asn1.ClassContextSpecific, Tag: 0, IsCompound: true, Bytes: params.FullBytes}
	return marshal(t, struct {
		Version int
		Private []byte
		Params  asn1.RawValue
		Public  asn1.BitString `asn1:"explicit,tag:1"`
	}{1, ec.Private, ec.Params, ec.Public}), true
}

func marshal(t *testing.T, v any) []byte {
	t.Helper()
	der, err := asn1.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
