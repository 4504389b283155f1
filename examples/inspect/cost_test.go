package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
)

// A file of more keys than can be tried in a second is shown all the same, and says so.
func TestKeysNotTried(t *testing.T) {
	ks := keystore.New()
	if err := ks.SetIdentity("key", pkitest.New(t).Client); err != nil {
		t.Fatal(err)
	}
	data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	const begin, end = "-----BEGIN ENCRYPTED PRIVATE KEY-----", "-----END ENCRYPTED PRIVATE KEY-----\n"
	i, j := bytes.Index(data, []byte(begin)), bytes.Index(data, []byte(end))
	if i < 0 || j < i {
		t.Fatalf("%s", data)
	}
	path := filepath.Join(t.TempDir(), "many.pem")
	if err := os.WriteFile(path, bytes.Repeat(data[i:j+len(end)], 50), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	if status := run([]string{"-password", "secret", path}, &out, &errs); status != exitReadable {
		t.Errorf("status %d, %s", status, errs.String())
	}
	// 100,000 iterations each, of 2,500,000.
	if !strings.Contains(out.String(), "of 50 keys not tried") || !strings.Contains(out.String(), "2500000 (Limits.MaxIterations)") {
		t.Errorf("%.3000s", out.String())
	}
}
