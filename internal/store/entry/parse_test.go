package entry_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"math/big"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// crypto/x509 repeats in its error what does not parse, all of it.
func TestErrorsOfParsingAreBounded(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, tag := range map[string]int{"mail": 1, "host": 2, "URI": 6} {
		text := "http://%zz\x1b" + strings.Repeat("\x01", 200_000)
		san, err := asn1.Marshal([]asn1.RawValue{{Class: asn1.ClassContextSpecific, Tag: tag, Bytes: []byte(text)}})
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.CreateCertificate(rand.Reader, &x509.Certificate{
			SerialNumber: big.NewInt(1), ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: san}},
		}, &x509.Certificate{}, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		_, err = entry.NewCertificate(der).X509()
		if err == nil {
			continue // crypto/x509 takes it
		}
		if !errors.Is(err, trustkeep.ErrCorrupt) || len(err.Error()) > 2048 || strings.ContainsAny(err.Error(), "\x01\x1b") {
			t.Errorf("%s: %d bytes: %.200q", name, len(err.Error()), err.Error())
		}
	}
}
