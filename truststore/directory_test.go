package truststore_test

import (
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestLoadDirectory(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	dir := t.TempDir()
	put := func(name string, data []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := func(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
	if _, err := truststore.Load(dir, nil); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("nothing there: %v", err)
	}
	put("root.pem", text(pki.Root.DER))
	put("two.CRT", append(text(pki.Root.DER), text(pki.Intermediate.DER)...))
	put("partner.cer", pki.SelfSigned("partner.example").DER)
	put("0123abcd.0", text(pki.SelfSigned("hashed.example").DER))
	put("rotten.pem", []byte("rotten"))
	put("key.pem", pki.Server("x.example").KeyPEM())
	put("README", text(pki.SelfSigned("not meant.example").DER))
	put(".hidden.pem", text(pki.SelfSigned("not meant.example").DER))
	put("0123abcd.x", text(pki.SelfSigned("not meant.example").DER))
	if err := os.Mkdir(filepath.Join(dir, "sub.pem"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("missing", filepath.Join(dir, "broken.crt")); err != nil {
		t.Fatal(err)
	}
	store, err := truststore.Load(dir, nil)
	if err != nil || store.Len() != 4 {
		t.Fatalf("%v, %v", store, err)
	}
	for _, c := range []*testpki.Identity{pki.Root, pki.Intermediate} {
		if s, _ := store.Snapshot(); !s.Contains(c.Cert) {
			t.Errorf("%s is missing", c.Cert.Subject)
		}
	}
	found := map[string]bool{}
	for _, p := range store.Findings() {
		found[p.Alias] = p.Err != nil
	}
	if len(found) != 3 || !found["rotten.pem"] || !found["broken.crt"] || !found["key.pem"] {
		t.Errorf("%v", store.Findings())
	}
	if _, err := (truststore.Options{Strict: true}).Load(dir, nil); err == nil {
		t.Error("Strict")
	}
	if _, err := (truststore.Options{Limits: trustkeep.Limits{MaxSize: 1500}}).Load(dir, nil); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
	if _, err := truststore.AsDirectory(filepath.Join(dir, "root.pem")); err == nil {
		t.Error("a file is no directory")
	}
	out := filepath.Join(t.TempDir(), "one.p12")
	if err := store.Save(out, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: trustkeep.Password("changeit")}); err != nil {
		t.Error(err)
	}
}
