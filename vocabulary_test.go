package trustkeep_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
)

func TestCertificateTextsAreSafe(t *testing.T) {
	c := &x509.Certificate{Raw: []byte("x"), SerialNumber: big.NewInt(0x1f), DNSNames: []string{"a\x1b[31m"},
		PublicKey: &ecdsa.PublicKey{Curve: elliptic.P256()}, NotAfter: time.Unix(0, 0)}
	c.Subject.CommonName = strings.Repeat("n", 10_000) + "\n"
	d := trustkeep.DescribeCertificate(c)
	if len(d.Subject) > 1100 || d.Serial != "1f" || d.Names[0] != `a\x1b[31m` || d.KeyAlgorithm != "EC P-256" || !d.Usable || len(d.SHA256) != 64 {
		t.Errorf("%+v", d)
	}
	if trustkeep.DescribeCertificate(nil).Usable {
		t.Error("no certificate is usable")
	}
}

func TestChangePrints(t *testing.T) {
	c := trustkeep.Change{Generation: 2, Added: []trustkeep.Changed{{Alias: "b\n", Certificate: trustkeep.Certificate{Subject: "CN=b"}}},
		Removed: []trustkeep.Changed{{Certificate: trustkeep.Certificate{Subject: "CN=c"}}}}
	for range 9 {
		c.Replaced = append(c.Replaced, trustkeep.Changed{Alias: "r"})
	}
	want := `generation 2: added "b\n" (CN=b); replaced ` + strings.Repeat(`"r", `, 7) + `"r" and 1 more; removed CN=c`
	if got := c.String(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if c.Empty() || !(trustkeep.Change{Generation: 3}).Empty() {
		t.Error("Empty")
	}
}

func TestFindingPrints(t *testing.T) {
	f := trustkeep.Finding{Target: "a.p12", Alias: "x\n", Subject: "CN=x", Code: "expired", Text: "expired yesterday", Remedy: "renew it"}
	if got, want := f.String(), `a.p12: alias "x\n": CN=x: expired yesterday; renew it`; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestEncodedPrintsNoSecret(t *testing.T) {
	const canary = "canary-of-a-key"
	e := trustkeep.Encoded{Container: trustkeep.PEM, Data: []byte(canary), Password: trustkeep.Password(canary)}
	testleak.CheckExported(t, e, []byte(canary))
	if got, want := e.String(), "pem store, 0 entries, 15 bytes"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestCertificateString(t *testing.T) {
	for want, c := range map[string]trustkeep.Certificate{
		"CN=a":     {Subject: "CN=a", Names: []string{"b"}, Serial: "1"},
		"b":        {Names: []string{"b"}, Serial: "1"},
		"serial 1": {Serial: "1"},
		"":         {},
	} {
		if got := c.String(); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
