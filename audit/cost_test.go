package audit_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// Files of costly certificates are read, imported, listed and audited in little more time
// than crypto/x509 takes to parse them.
func TestFilesOfCostlyCertificates(t *testing.T) {
	if testcpu.Raced {
		t.Skip("the race detector makes other things slow than what is measured")
	}
	for _, a := range testpki.Costly(t, "server.example") {
		var certs, pair bytes.Buffer
		var parsed []*x509.Certificate
		for _, der := range a.ID.DERChain() {
			pem.Encode(&certs, &pem.Block{Type: "CERTIFICATE", Bytes: der})
			c, err := x509.ParseCertificate(der)
			if err != nil {
				t.Fatal(err)
			}
			parsed = append(parsed, c)
		}
		key, err := x509.MarshalPKCS8PrivateKey(a.ID.Key)
		if err != nil {
			t.Fatal(err)
		}
		pem.Encode(&pair, &pem.Block{Type: "PRIVATE KEY", Bytes: key})
		pair.Write(certs.Bytes())
		bounded := func(what string, v fmt.Stringer, err error) {
			t.Helper()
			text := ""
			if err != nil {
				text = err.Error()
			} else {
				text = v.String()
			}
			if len(text) > 8<<10 || strings.ContainsRune(text, 0x1b) {
				t.Errorf("%s: %s: %d bytes: %.300s", a.Name, what, len(text), text)
			}
		}
		for what, f := range map[string]func(){
			"truststore": func() {
				store, err := truststore.Parse(certs.Bytes(), nil)
				bounded("truststore", store, err)
			},
			"keystore": func() {
				ks, err := keystore.Parse(pair.Bytes(), nil)
				if err != nil {
					bounded("keystore", nil, err)
					return
				}
				defer ks.Close()
				for _, alias := range ks.Aliases() {
					id, err := ks.Identity(alias)
					bounded("identity", id, err)
				}
			},
			"certificate component": func() {
				c, err := component.Import(t.Context(), "c", certs.Bytes(), component.Options{Kinds: []component.Kind{keystore.ComponentKind()}})
				bounded("component", c, err)
			},
			"audit of certificates": func() {
				r := audit.Run(audit.Target{Name: "c", Certificates: parsed})
				bounded("report", r, nil)
			},
			"audit of a keystore": func() {
				ks, err := keystore.Parse(pair.Bytes(), nil)
				if err != nil {
					t.Fatal(err)
				}
				defer ks.Close()
				bounded("report", audit.Run(audit.Target{Name: "k", Keystore: ks}), nil)
			},
		} {
			f()
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			start := testcpu.Used()
			f()
			used := testcpu.Since(start)
			runtime.ReadMemStats(&after)
			allocated := after.TotalAlloc - before.TotalAlloc
			t.Logf("%-40s %-22s %v %d", a.Name, what, used, allocated)
			if used > 500*time.Millisecond || allocated > 64<<20 {
				t.Errorf("%s: %s: %v and %d bytes", a.Name, what, used, allocated)
			}
		}
	}
}
