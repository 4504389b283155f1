package truststore_test

import (
	"crypto/x509"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// FuzzParse: whatever the bytes, there is a store or a typed error.
func FuzzParse(f *testing.F) {
	seeds, err := filepath.Glob("testdata/*.*")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data, true)
		f.Add(data, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, withPassword bool) {
		var password trustkeep.PasswordSource
		if withPassword {
			password = trustkeep.Password("changeit")
		}
		store, err := (truststore.Options{Limits: trustkeep.Limits{MaxIterations: 100_000}}).Parse(data, password)
		if err != nil {
			var typed *trustkeep.Error
			if store != nil || !errors.As(err, &typed) {
				t.Fatalf("%v, %v", store, err)
			}
			return
		}
		for _, e := range store.Entries() {
			if e.Certificate == nil {
				t.Fatal("entry without certificate")
			}
		}
		for _, p := range store.Findings() {
			if strings.ContainsAny(p.String(), "\n\x1b") {
				t.Fatalf("problem %q", p)
			}
		}
	})
}

// FuzzVerify: whatever a certificate holds, a refusal is explained in one short
// line, and crypto/x509's verdict stands.
func FuzzVerify(f *testing.F) {
	pki := testpki.New(f, testpki.Options{Seed: "fuzz", Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	for _, id := range []*testpki.Identity{
		pki.Server(host), pki.Expired(host), pki.SelfSigned(host), pki.CommonNameOnly(host), pki.WrongUsage(host), pki.CALeaf(host), pki.Root,
	} {
		f.Add(id.DER, pki.Intermediate.DER, host, byte(0))
		f.Add(id.DER, id.DER, "127.0.0.1", byte(3))
	}
	store, err := truststore.New(pki.Root.Cert).Snapshot()
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, leaf, second []byte, name string, purpose byte) {
		var chain []*x509.Certificate
		for _, der := range [][]byte{leaf, second} {
			if c, err := x509.ParseCertificate(der); err == nil {
				chain = append(chain, c)
			}
		}
		o := truststore.VerifyOptions{Purpose: truststore.Purpose(purpose % 5), Name: name, Time: pki.Now()}
		verdict, err := store.Verify(chain, o)
		if err == nil {
			if !store.Contains(verdict.Anchor) {
				t.Fatal("trusted by an anchor that is not in the store")
			}
			return
		}
		var e *truststore.VerifyError
		if verdict != nil || !errors.As(err, &e) {
			t.Fatalf("%v, %v", verdict, err)
		}
		if text := e.Error(); len(text) > 2048 || strings.ContainsAny(text, "\n\r\x1b\x00") || e.Code == "" || e.Text == "" {
			t.Fatalf("%q", text)
		}
		if _, err := json.Marshal(e); err != nil {
			t.Fatal(err)
		}
	})
}
