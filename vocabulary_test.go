package trustkeep_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/x509"
	"encoding/base64"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
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
	var out bytes.Buffer
	for _, v := range []any{e, &e, []trustkeep.Encoded{e}, struct{ E trustkeep.Encoded }{e}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		if text, err := xml.Marshal(v); err == nil {
			out.Write(text)
		}
		_ = gob.NewEncoder(&out).Encode(v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary)), base64.StdEncoding.EncodeToString([]byte(canary))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("printed %q", form)
		}
	}
	if !strings.Contains(out.String(), "pem store, 0 entries, 15 bytes") {
		t.Errorf("no summary in %s", out.String())
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
