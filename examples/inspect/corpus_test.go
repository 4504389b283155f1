package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
)

// corpusFile is what the manifest.json of a folder of third-party stores says of
// a file: what its own tools read.
type corpusFile struct {
	File         string
	Format       string
	Password     *string
	KeyPasswords map[string]*string
	Expect       struct {
		Error       string
		Either      any
		Unconfirmed bool
		Keys        *int
		Certs       *int
		Secrets     *int
		Entries     []struct {
			Alias       string
			Kind        string
			KeyPassword *string
			Certs       []string
		}
	}
	OpenSSL *struct{ Certs, Keys int }
}

// differences are those between this library and the tools that are meant, by
// file, with the reason.
var differences = map[string]string{
	"pyca-pkcs8-withdompar_private.pkcs8.pem":    "its curve is not known: the key is listed, and cannot be used",
	"kse-keystore.pem":                           "openssl reads the first key only; every block is an entry here",
	"jdk-x-net-ssl-etc-keystore":                 "a certificate on secp256k1 whose name is that of six others: which of them signed it cannot be checked",
	"jdk-x-management-security-keystoreAgent":    "opens without its password, which nobody knows: a JKS is not encrypted as a whole",
	"jdk-x-management-security-keystoreClient":   "opens without its password, which nobody knows: a JKS is not encrypted as a whole",
	"jdk-x-management-security-truststoreAgent":  "opens without its password, which nobody knows: a JKS is not encrypted as a whole",
	"jdk-x-management-security-truststoreClient": "opens without its password, which nobody knows: a JKS is not encrypted as a whole",
	"pyca-no-cert-no-name-pwd.p12":               "certificates without a key that nothing marks as trusted: Java hides them, here they are entries",
	"pyca-no-cert-name-all-pwd.p12":              "certificates without a key that nothing marks as trusted: Java hides them, here they are entries",
	"pyca-no-cert-name-unicode-pwd.p12":          "certificates without a key that nothing marks as trusted: Java hides them, here they are entries",
	"pyca-cert-aes256cbc-no-key.p12":             "certificates without a key that nothing marks as trusted: Java hides them, here they are entries",
	"pyca-cert-none-key-none.p12":                "a key without local key ID, which Java hides",
	"jdk-tools-keytool-SecretKeyKS.jks":          "an entry whose password nobody knows",
}

// TestCorpus reads a folder of third-party stores, where there is one.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("TRUSTKEEP_CORPUS")
	if dir == "" {
		t.Skip("TRUSTKEEP_CORPUS names no folder")
	}
	files := readManifest(t, dir)
	agree := 0
	for _, f := range files {
		problems := f.compare(dir)
		reason := differences[f.File]
		switch {
		case len(problems) == 0 && reason == "":
			agree++
		case len(problems) == 0:
			t.Errorf("%s: no longer differs (%s)", f.File, reason)
		case reason != "":
			t.Logf("%s: %s: %s", f.File, reason, strings.Join(problems, "; "))
		default:
			t.Errorf("%s: %s", f.File, strings.Join(problems, "; "))
		}
	}
	t.Logf("%d of %d files read as their own tools do, %d differ for the reasons above", agree, len(files), len(files)-agree)
}

func readManifest(t *testing.T, dir string) []corpusFile {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct{ Files []corpusFile }
	if err := json.Unmarshal(data, &manifest); err != nil || len(manifest.Files) == 0 {
		t.Fatalf("%d files, %v", len(manifest.Files), err)
	}
	return manifest.Files
}

func (f corpusFile) compare(dir string) (problems []string) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	args := []string{"-json"}
	if f.Password != nil {
		args = append(args, "-password", *f.Password)
	}
	for alias, password := range f.KeyPasswords {
		if password != nil {
			args = append(args, "-key-password", strings.ReplaceAll(alias, "=", "==")+"="+*password)
		}
	}
	status, out, errs := call(append(args, filepath.Join(dir, f.File))...)
	if f.Expect.Either != nil {
		return nil // not to crash is enough
	}
	if f.Expect.Error != "" {
		if status == exitReadable {
			problem("read, although %s", f.Expect.Error)
		}
		return problems
	}
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitReadable {
		problem("not read: %s", errs)
		return problems
	}
	// The manifest calls PKCS#8 and PKCS#7 in DER just that.
	if r.Format != f.Format && !(f.Format == "der" && (r.Format == "pkcs8" || r.Format == "pkcs7")) {
		problem("format %s, not %s", r.Format, f.Format)
	}
	kinds := map[string]int{}
	byAlias := map[string]entryReport{}
	for _, e := range r.Entries {
		kinds[e.Kind]++
		byAlias[strings.ToLower(e.Alias)] = e
	}
	for kind, want := range map[string]*int{"key": f.Expect.Keys, "trusted": f.Expect.Certs, "secret": f.Expect.Secrets} {
		if want != nil && kinds[kind] != *want {
			problem("%d %s entries, not %d", kinds[kind], kind, *want)
		}
	}
	for _, want := range f.Expect.Entries {
		e, ok := byAlias[strings.ToLower(want.Alias)]
		if !ok {
			problem("no entry %q", want.Alias)
			continue
		}
		var chain []string
		for _, c := range e.Chain {
			chain = append(chain, c.SHA256)
		}
		if !slices.Equal(chain, want.Certs) {
			problem("%q: chain of %d, not %d, or others", want.Alias, len(chain), len(want.Certs))
		}
		if want.Kind != strings.Replace(e.Kind, "trusted", "cert", 1) {
			problem("%q: %s, not %s", want.Alias, e.Kind, want.Kind)
		}
		if want.Kind == "key" && want.KeyPassword != nil && !e.Unlocked {
			problem("%q is locked: %s", want.Alias, e.Error)
		}
	}
	return problems
}

// Under GODEBUG=fips140=only each file is shown or refused: the command ends by
// itself, whatever algorithms a file needs.
func TestCorpusUnderFIPSOnly(t *testing.T) {
	dir := os.Getenv("TRUSTKEEP_CORPUS")
	if dir == "" {
		t.Skip("TRUSTKEEP_CORPUS names no folder")
	}
	if !fipstest.Only(t) {
		return
	}
	shown, refused := 0, 0
	for _, f := range readManifest(t, dir) {
		args := []string{filepath.Join(dir, f.File)}
		if f.Password != nil {
			args = append([]string{"-password", *f.Password}, args...)
		}
		var errors strings.Builder
		switch status := run(args, io.Discard, &errors); status {
		case exitReadable:
			shown++
		case exitUnreadable:
			if strings.Contains(errors.String(), "is not approved while GODEBUG=fips140=only") {
				refused++
			}
		default:
			t.Errorf("%s: status %d, %s", f.File, status, errors.String())
		}
	}
	t.Logf("%d files are shown, %d refused", shown, refused)
	if shown < 20 || refused < 20 {
		t.Errorf("%d files are shown, %d refused", shown, refused)
	}
}
