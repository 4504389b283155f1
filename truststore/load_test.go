package truststore_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

var changeit = trustkeep.Password("changeit")

func TestLoad(t *testing.T) {
	tests := []struct {
		file     string
		password trustkeep.PasswordSource
		format   trustkeep.Format
		aliases  string // space-separated; empty: any
		subjects string
		authentic,
		keys bool
	}{
		{"trust.jks", changeit, trustkeep.JKS, "alpha beta", "Alpha CA, Beta CA", true, false},
		{"trust.jks", nil, trustkeep.JKS, "alpha beta", "Alpha CA, Beta CA", false, false},
		{"trust.p12", changeit, trustkeep.PKCS12, "alpha beta", "Alpha CA, Beta CA", true, false},
		{"passwordless.p12", nil, trustkeep.PKCS12, "alpha beta", "Alpha CA, Beta CA", false, false},
		{"trust.pem", nil, trustkeep.PEM, "", "Alpha CA, Beta CA", false, false},
		{"trust.p7b", nil, trustkeep.PKCS7, "", "Alpha CA, Beta CA", false, false},
		{"alpha.cer", nil, trustkeep.DER, "", "Alpha CA", false, false},
		{"openssl-trusted.pem", nil, trustkeep.PEM, "", "Alpha CA", false, false},
		{"mixed.p12", changeit, trustkeep.PKCS12, "beta", "Beta CA", true, true},
	}
	for _, tt := range tests {
		t.Run(tt.file, func(t *testing.T) {
			store, err := truststore.Load(filepath.Join("testdata", tt.file), tt.password)
			if err != nil {
				t.Fatal(err)
			}
			var subjects []string
			for _, e := range store.Entries() {
				subjects = append(subjects, e.Certificate.Subject.CommonName)
			}
			slices.Sort(subjects)
			if got := strings.Join(subjects, ", "); got != tt.subjects {
				t.Errorf("trusts %q, want %q", got, tt.subjects)
			}
			aliases := store.Aliases()
			slices.Sort(aliases)
			if got := strings.Join(aliases, " "); tt.aliases != "" && got != tt.aliases {
				t.Errorf("aliases %q, want %q", got, tt.aliases)
			}
			if store.Format() != tt.format || store.Authenticated() != tt.authentic || store.HasKeys() != tt.keys {
				t.Errorf("format %s, authenticated %v, keys %v", store.Format(), store.Authenticated(), store.HasKeys())
			}
			if store.Generation() != 1 || store.Len() != len(subjects) {
				t.Errorf("generation %d, length %d", store.Generation(), store.Len())
			}
		})
	}
}

// TestKeyChainsAreNoTrust: the chain of a private key makes nobody trusted, not
// even beside trusted entries.
func TestKeyChainsAreNoTrust(t *testing.T) {
	store, err := truststore.Load("testdata/keys.p12", changeit)
	if store != nil || !errors.Is(err, trustkeep.ErrEmpty) || !strings.Contains(err.Error(), "truststore.FromKeystore") {
		t.Errorf("keystore: %v, %v", store, err)
	}
	store, err = truststore.Load("testdata/mixed.p12", changeit)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range store.Certificates() {
		if strings.Contains(c.Subject.CommonName, "Partner") || c.Subject.CommonName == "server.example" {
			t.Errorf("trusts %s", c.Subject)
		}
	}
	var codes []string
	for _, p := range store.Findings() {
		codes = append(codes, p.Alias+":"+string(p.Code))
		if p.Text == "" || p.String() == "" {
			t.Errorf("problem without text: %+v", p)
		}
	}
	if !slices.Contains(codes, "server:private-key") {
		t.Errorf("problems %q", codes)
	}
	if _, err := (truststore.Options{Strict: true}).Load("testdata/mixed.p12", changeit); err == nil {
		t.Error("strict took a store with a key")
	}
	// Nor can such a store be saved: the key would be lost or published.
	if _, err := store.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("encode: %v", err)
	}
	if err := store.Save(filepath.Join(t.TempDir(), "x"), trustkeep.SaveOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("save: %v", err)
	}
}

func TestLoadEmptyStore(t *testing.T) {
	store, err := truststore.Load("testdata/empty.jks", changeit)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := store.Snapshot(); err != nil || !s.Empty() {
		t.Errorf("%v, %v", s, err)
	}
	if err := store.Add("a", testpki.New(t, testpki.Options{}).Root.Cert); err != nil || store.Len() != 1 {
		t.Errorf("add: %v", err)
	}
}

// TestRottenCertificate: one that cannot be parsed is reported and hides
// nothing; strict makes it an error.
func TestRottenCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	var bundle bytes.Buffer
	for _, der := range [][]byte{pki.Root.DER, pki.NegativeSerial("x").DER, {0x30, 0x03, 0x02, 0x01, 0x01}, pki.Intermediate.DER} {
		pem.Encode(&bundle, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	}
	store, err := truststore.Parse(bundle.Bytes(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := store.Certificates(); len(got) != 2 || !got[0].Equal(pki.Root.Cert) || !got[1].Equal(pki.Intermediate.Cert) {
		t.Errorf("%d certificates", len(got))
	}
	problems := store.Findings()
	if len(problems) != 2 {
		t.Fatalf("problems %v", problems)
	}
	if !errors.Is(problems[0].Err, trustkeep.ErrUnsupported) || !strings.Contains(problems[0].String(), "negative serial") {
		t.Errorf("problem %v", problems[0])
	}
	if !errors.Is(problems[1].Err, trustkeep.ErrCorrupt) {
		t.Errorf("problem %v", problems[1])
	}
	if store, err := (truststore.Options{Strict: true}).Parse(bundle.Bytes(), nil); err == nil || store != nil {
		t.Error("strict took it")
	}
	alone := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.NegativeSerial("x").DER})
	if store, err := truststore.Parse(alone, nil); !errors.Is(err, trustkeep.ErrEmpty) || store != nil {
		t.Errorf("only rotten: %v", err)
	}
}

func TestLoadErrors(t *testing.T) {
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	jks := read("trust.jks")
	tests := []struct {
		name     string
		data     []byte
		password []byte
		err      error
	}{
		{"wrong password, jks", jks, []byte("wrong"), trustkeep.ErrIncorrectPassword},
		{"wrong password, p12", read("trust.p12"), []byte("wrong"), trustkeep.ErrIncorrectPassword},
		{"empty password, p12", read("trust.p12"), []byte{}, trustkeep.ErrIncorrectPassword},
		{"no password, p12", read("trust.p12"), nil, trustkeep.ErrIncorrectPassword},
		{"password for a password-less store", read("passwordless.p12"), []byte("changeit"), trustkeep.ErrCorrupt},
		{"truncated", jks[:len(jks)-30], []byte("changeit"), trustkeep.ErrCorrupt},
		{"nothing", nil, nil, trustkeep.ErrCorrupt},
		{"noise", []byte("hello, world"), nil, trustkeep.ErrCorrupt},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			store, err := truststore.Parse(tt.data, given(tt.password))
			if store != nil || !errors.Is(err, tt.err) {
				t.Errorf("got %v, %v; want %v", store, err, tt.err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "truststore: parse") {
				t.Errorf("text %q", err)
			}
		})
	}
	if _, err := truststore.Load("testdata/no such file", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if _, err := truststore.Load("testdata/trust.jks", trustkeep.PasswordFromEnv("TRUSTKEEP_TEST_UNSET")); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("unset variable: %v", err)
	}
	if _, err := (truststore.Options{Limits: trustkeep.Limits{MaxSize: 100}}).Load("testdata/trust.jks", changeit); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("limit of Load: %v", err)
	}
	if _, err := (truststore.Options{Limits: trustkeep.Limits{MaxSize: 100}}).Read(bytes.NewReader(jks), changeit); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("limit of Read: %v", err)
	}
	if s, err := (truststore.Options{AllowUnauthenticated: true}).Parse(read("passwordless.p12"), changeit); err != nil || s.Len() != 2 {
		t.Errorf("unauthenticated, allowed: %v", err)
	}
	if s, err := truststore.Read(bytes.NewReader(jks), changeit); err != nil || s.Len() != 2 {
		t.Errorf("read: %v", err)
	}
}

// given is a source of a password, nil for none.
func given(password []byte) trustkeep.PasswordSource {
	if password == nil {
		return nil
	}
	return trustkeep.Password(string(password))
}

// TestParseKeepsNothing: the caller may overwrite what it passed.
func TestParseKeepsNothing(t *testing.T) {
	data, err := os.ReadFile("testdata/trust.p12")
	if err != nil {
		t.Fatal(err)
	}
	password := []byte("changeit")
	store, err := truststore.Parse(data, trustkeep.PasswordFunc(func() ([]byte, error) { return password, nil }))
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	clear(password)
	for _, e := range store.Entries() {
		if _, err := x509.ParseCertificate(e.Certificate.Raw); err != nil {
			t.Error(err)
		}
	}
	again, err := store.Encode(trustkeep.SaveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := truststore.Parse(again, changeit); err != nil || s.Len() != 2 {
		t.Errorf("%v", err)
	}
}
