package pkcs8

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// An EC key names its curve in the AlgorithmIdentifier and may name it inside (RFC 5915
// section 3). crypto/x509 takes the one outside, whatever is inside.
func TestCurveInsideAndOutside(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	traditional, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	p256, p384 := asn1.ObjectIdentifier{1, 2, 840, 10045, 3, 1, 7}, asn1.ObjectIdentifier{1, 3, 132, 0, 34}
	for _, test := range []struct {
		outside asn1.ObjectIdentifier
		want    error
	}{{p256, nil}, {p384, trustkeep.ErrCorrupt}} {
		params, err := asn1.Marshal(test.outside)
		if err != nil {
			t.Fatal(err)
		}
		info, err := marshalInfo(oidEC, params, traditional)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseKey(info, limits.Unlimited{}); !errors.Is(err, test.want) {
			t.Errorf("%v outside: %v", test.outside, err)
		}
	}
}
