package certinfo_test

import (
	"crypto/x509"
	"encoding/pem"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

func TestDescribe(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	good := pki.Server("a.example", "192.0.2.1", "me@a.example")
	names := []string{"a.example", "192.0.2.1", "me@a.example"}
	i := certinfo.Describe(good.DER)
	if !i.Usable || i.KeyAlgorithm != "EC P-256" || !slices.Equal(i.Names, names) || !i.NotAfter.Equal(good.Cert.NotAfter) {
		t.Errorf("%+v", i)
	}
	// crypto/x509 refuses its serial number.
	bad := pki.NegativeSerial("a.example", "192.0.2.1")
	i = certinfo.Describe(bad.DER)
	if _, err := x509.ParseCertificate(bad.DER); err == nil {
		t.Fatal("crypto/x509 parses it")
	}
	if i.Usable || i.KeyAlgorithm != "EC P-256" || !slices.Equal(i.Names, names[:2]) || !strings.HasPrefix(i.Serial, "-") ||
		!strings.Contains(i.Subject, "CN=a.example") || i.Issuer != pki.Intermediate.Cert.Subject.String() || i.NotAfter.IsZero() {
		t.Errorf("%+v", i)
	}
	for _, junk := range [][]byte{nil, {0x30}, []byte("junk"), good.DER[:100]} {
		if i := certinfo.Describe(junk); len(i.SHA256) != 64 || i.Usable || i.Subject != "" {
			t.Errorf("%x: %+v", junk, i)
		}
	}
}

// openssl makes certificates whose keys crypto/x509 does not know.
func TestInteropDescribe(t *testing.T) {
	testtool.Need(t, "openssl")
	for want, args := range map[string][]string{
		"EC brainpoolP256r1": {"ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"},
		"EC secp256k1":       {"ec", "-pkeyopt", "ec_paramgen_curve:secp256k1"},
		"EC explicit":        {"ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt", "ec_param_enc:explicit"},
		"Ed448":              {"ed448"},
		"RSA-PSS 2048":       {"rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"},
	} {
		dir := t.TempDir()
		args = append([]string{"req", "-x509", "-nodes", "-subj", "/CN=odd", "-addext", "subjectAltName=DNS:odd.example", "-keyout", filepath.Join(dir, "key"), "-newkey"}, args...)
		out := testtool.Output(t, "openssl", args...)
		block, _ := pem.Decode([]byte(out))
		if block == nil {
			t.Fatalf("%v: %s", args, out)
		}
		i := certinfo.Describe(block.Bytes)
		if i.KeyAlgorithm != want || !strings.Contains(i.Subject, "CN=odd") || !slices.Equal(i.Names, []string{"odd.example"}) {
			t.Errorf("%+v", i)
		}
		t.Logf("%s: understood by crypto/x509: %v", i.KeyAlgorithm, i.Usable)
	}
}
