package main

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509/pkix"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// call runs the command.
func call(args ...string) (status int, stderr string) {
	var out bytes.Buffer
	status = run(args, &out)
	return status, out.String()
}

func must(t *testing.T, args ...string) string {
	t.Helper()
	status, stderr := call(args...)
	if status != exitWritten {
		t.Fatalf("%q: %d, %s", args, status, stderr)
	}
	return stderr
}

// extensions name the formats of several entries.
var extensions = []string{"p12", "jks", "jceks", "bks", "ubr", "bcfks", "pem"}

// identities is a store of two identities of one CA; partners one of two trusted
// certificates.
func identities(t *testing.T) *keystore.Keystore {
	t.Helper()
	root, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: "CA"}, Purposes: issue.ForCA})
	if err != nil {
		t.Fatal(err)
	}
	ks := keystore.New()
	for _, alias := range []string{"zwei", "eins"} {
		id, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: alias}, DNSNames: []string{alias + ".example"}, Issuer: root})
		if err != nil {
			t.Fatal(err)
		}
		if err := ks.SetIdentity(alias, id); err != nil {
			t.Fatal(err)
		}
	}
	return ks
}

func partners(t *testing.T) *keystore.Keystore {
	t.Helper()
	ks := keystore.New()
	for _, e := range identities(t).Entries() {
		if err := ks.SetTrusted(e.Alias, e.Chain[0]); err != nil {
			t.Fatal(err)
		}
	}
	return ks
}

// saved writes a store by its extension.
func saved(t *testing.T, ks *keystore.Keystore, ext string) string {
	t.Helper()
	format, err := formatOf("", "x."+ext)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "in."+ext)
	if err := ks.Save(path, trustkeep.SaveOptions{Format: format, Password: trustkeep.Password("before")}); err != nil {
		t.Fatal(err)
	}
	return path
}

// content sums up a store: what a conversion has to keep.
func content(t *testing.T, path, password string) []string {
	t.Helper()
	var pw trustkeep.PasswordSource
	if password != "" {
		pw = trustkeep.Password(password)
	}
	ks, err := keystore.Load(path, pw)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range ks.Entries() {
		s := e.Kind.String() + " " + strings.ToLower(e.Alias)
		for _, raw := range e.RawChain {
			s += fmt.Sprintf(" %x", sha256.Sum256(raw))
		}
		if e.Kind == keystore.KeyEntry {
			if _, err := ks.Identity(e.Alias); err != nil {
				t.Errorf("%s: %v", path, err)
			}
		}
		out = append(out, s)
	}
	slices.Sort(out) // Java's formats keep no order
	return out
}

func TestEveryFormatIntoEveryOther(t *testing.T) {
	for name, ks := range map[string]*keystore.Keystore{"identities": identities(t), "partners": partners(t)} {
		for _, from := range extensions {
			in := saved(t, ks, from)
			want := content(t, in, "before")
			for _, to := range extensions {
				out := filepath.Join(t.TempDir(), "out."+to)
				if stderr := must(t, "-in", in, "-in-password", "before", "-out", out, "-out-password", "afterwards"); strings.Contains(stderr, "left out") {
					t.Errorf("%s: %s", name, stderr)
				}
				if got := content(t, out, "afterwards"); !slices.Equal(got, want) {
					t.Errorf("%s, %s to %s: %q, want %q", name, from, to, got, want)
				}
				if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
					t.Errorf("%v, %v", info, err)
				}
			}
		}
	}
}

func TestCertificatesAlone(t *testing.T) {
	in := saved(t, partners(t), "jks")
	want := content(t, in, "before")
	p7b := filepath.Join(t.TempDir(), "out.p7b")
	must(t, "-in", in, "-in-password", "before", "-out", p7b)
	if got := content(t, p7b, ""); len(got) != len(want) {
		t.Errorf("%q", got)
	}
	der := filepath.Join(t.TempDir(), "out.der")
	must(t, "-in", in, "-in-password", "before", "-out", der, "-alias", "EINS")
	if got := content(t, der, ""); len(got) != 1 {
		t.Errorf("%q", got)
	}
	// And back, where the certificates are entries again.
	for _, from := range []string{p7b, der} {
		for _, to := range extensions {
			out := filepath.Join(t.TempDir(), "out."+to)
			must(t, "-in", from, "-out", out, "-out-password", "afterwards")
			if _, err := truststore.Load(out, trustkeep.Password("afterwards")); err != nil {
				t.Errorf("%s to %s: %v", from, to, err)
			}
		}
	}
}

// refused calls the command, which must say why and write nothing.
func refused(t *testing.T, want string, args ...string) {
	t.Helper()
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	status, stderr := call(append(args, "-out", out)...)
	if status != exitRefused || !strings.Contains(stderr, want) {
		t.Errorf("%q: %d, %q, want %q", args, status, stderr, want)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 0 {
		t.Errorf("%q left %v, %v", args, left, err)
	}
}

func TestWhatDoesNotFitIsRefusedUnlessDropped(t *testing.T) {
	in := saved(t, identities(t), "p12")
	out := filepath.Join(t.TempDir(), "out")
	for _, format := range []string{"p7b", "der"} {
		refused(t, `cannot carry the private key "eins"; -drop keys`, "-in", in, "-in-password", "before", "-out-format", format)
	}
	must(t, "-in", in, "-in-password", "before", "-out-format", "p7b", "-out", out, "-drop", "keys")
	if got := content(t, out, ""); len(got) != 3 {
		t.Errorf("%q: two leaves and their CA were expected", got)
	}
	refused(t, "choose one with -alias", "-in", in, "-in-password", "before", "-out-format", "der", "-drop", "keys")
	refused(t, "issuers of", "-in", in, "-in-password", "before", "-out-format", "der", "-drop", "keys", "-alias", "eins")
	must(t, "-in", in, "-in-password", "before", "-out-format", "der", "-out", out, "-drop", "keys,chain", "-alias", "eins", "-force")
	if got := content(t, out, ""); len(got) != 1 {
		t.Errorf("%q", got)
	}
	// An alias names an entry.
	refused(t, `"zwei"`, "-in", in, "-in-password", "before", "-out-format", "p7b", "-drop", "eins")

	ks := identities(t)
	key, err := keystore.NewSecretKey("AES", []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.SetSecretKey("aes", key); err != nil {
		t.Fatal(err)
	}
	in = saved(t, ks, "p12")
	for _, format := range []string{"jks", "pem"} {
		refused(t, `cannot carry the secret key "aes"; -drop secrets`, "-in", in, "-in-password", "before", "-out-format", format, "-out-password", "afterwards")
		for _, drop := range []string{"secrets", "aes"} {
			if stderr := must(t, "-in", in, "-in-password", "before", "-out-format", format, "-out-password", "afterwards", "-out", out, "-force", "-drop", drop); !strings.Contains(stderr, "1 secrets left out") {
				t.Errorf("%q", stderr)
			}
		}
	}
	must(t, "-in", in, "-in-password", "before", "-out-format", "jceks", "-out-password", "afterwards", "-out", out, "-force")
}

// A certificate that nobody marked as trusted must not become so in passing.
func TestUnmarkedCertificatesDoNotBecomeTrusted(t *testing.T) {
	pem := filepath.Join(t.TempDir(), "in.pem")
	must(t, "-in", saved(t, identities(t), "p12"), "-in-password", "before", "-out", pem, "-out-password", "before")
	other := filepath.Join(t.TempDir(), "other.pem")
	must(t, "-in", saved(t, partners(t), "jks"), "-in-password", "before", "-out", other, "-alias", "eins")
	var both []byte
	for _, path := range []string{pem, other} {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(string(data), "\n") {
			if !strings.HasPrefix(line, "#") { // without what this library notes there
				both = append(both, line+"\n"...)
			}
		}
	}
	if err := os.WriteFile(pem, both, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, "without trusting it", "-in", pem, "-in-password", "before", "-out-format", "jks", "-out-password", "afterwards")
	out := filepath.Join(t.TempDir(), "out.jks")
	must(t, "-in", pem, "-in-password", "before", "-out", out, "-out-password", "afterwards", "-drop", "opaque")
	for _, e := range content(t, out, "afterwards") {
		if !strings.HasPrefix(e, "key ") {
			t.Errorf("%q", e)
		}
	}
}

func TestFilesAreNotWrittenOver(t *testing.T) {
	in := saved(t, identities(t), "p12")
	out := filepath.Join(t.TempDir(), "out.jks")
	if err := os.WriteFile(out, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"-in", in, "-in-password", "before", "-out", out, "-out-password", "afterwards"}
	if status, stderr := call(args...); status != exitRefused || !strings.Contains(stderr, "-force") {
		t.Errorf("%d, %q", status, stderr)
	}
	if data, err := os.ReadFile(out); err != nil || string(data) != "precious" {
		t.Fatalf("%q, %v", data, err)
	}
	// Nor does a failure with -force.
	if status, _ := call("-in", in, "-in-password", "wrong", "-out", out, "-out-password", "afterwards", "-force"); status != exitRefused {
		t.Errorf("%d", status)
	}
	if data, err := os.ReadFile(out); err != nil || string(data) != "precious" {
		t.Fatalf("%q, %v", data, err)
	}
	must(t, append(args, "-force")...)
	if left, err := os.ReadDir(filepath.Dir(out)); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	content(t, out, "afterwards")
}

func TestPasswords(t *testing.T) {
	in := saved(t, identities(t), "jks")
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("before\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("AFTER", "afterwards")
	out := filepath.Join(t.TempDir(), "out.p12")
	must(t, "-in", in, "-in-password-file", file, "-out", out, "-out-password-env", "AFTER")
	content(t, out, "afterwards")
	// Keys in the clear only when that is said.
	clear := filepath.Join(t.TempDir(), "out.pem")
	if status, stderr := call("-in", in, "-in-password", "before", "-out", clear); status != exitUsage || !strings.Contains(stderr, "-no-out-password") {
		t.Errorf("%d, %q", status, stderr)
	}
	must(t, "-in", in, "-in-password", "before", "-out", clear, "-no-out-password")
	content(t, clear, "")
	// A trust store without password.
	trust := filepath.Join(t.TempDir(), "out.p12")
	must(t, "-in", saved(t, partners(t), "pem"), "-in-password", "before", "-out", trust, "-profile", "passwordless")
	if store, err := truststore.Load(trust, nil); err != nil || store.Len() != 2 {
		t.Errorf("%v, %v", store, err)
	}
}

func TestProfileAndItsReader(t *testing.T) {
	in := saved(t, identities(t), "jks")
	out := filepath.Join(t.TempDir(), "out.p12")
	must(t, "-in", in, "-in-password", "before", "-out", out, "-out-password", "afterwards", "-profile", "windows2016")
	ks, err := keystore.Load(out, trustkeep.Password("afterwards"))
	if err != nil || ks.Entries()[0].Protection != "PBES1 3DES-CBC PKCS12-SHA1 2000" {
		t.Errorf("%v, %v", ks, err)
	}
	if stderr := must(t, "-in", in, "-in-password", "before", "-out", out, "-force", "-out-password", "größe", "-profile", "java17"); !strings.Contains(stderr, "ASCII") {
		t.Errorf("%q", stderr)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{
		{}, {"-in", "a"}, {"-out", "a.p12", "-out-password", "x"}, {"-in", "a", "-out", "b"}, {"-in", "a", "-out", "b.p12"},
		{"-in", "a", "-out", "b", "-out-format", "zip"}, {"-in", "a", "-out", "b.p12", "-out-password", "x", "-profile", "java9"},
		{"-in", "a", "-out", "b.p12", "-out-password", "x", "-out-password-env", "Y"}, {"-in", "a", "-out", "b.p12", "-out-password", "x", "c"},
		{"-in", "a", "-out", "b.p12", "-out-password", "x", "-no-out-password"}, {"-bogus"},
	} {
		if status, stderr := call(args...); status != exitUsage || !strings.Contains(stderr, "usage: convert") {
			t.Errorf("%q: %d, %q", args, status, stderr)
		}
	}
	if status, stderr := call("-h"); status != exitWritten || !strings.Contains(stderr, "usage: convert") {
		t.Errorf("-h: %d, %q", status, stderr)
	}
	refused(t, "no such file", "-in", "missing", "-out-format", "pem")
	refused(t, "not found", "-in", saved(t, identities(t), "p12"), "-in-password", "before", "-alias", "nobody", "-out-format", "jks", "-out-password", "afterwards")
}

// The real tools open what was converted, from each format into each other.
func TestInteropConverted(t *testing.T) {
	testtool.Need(t, "keytool", "openssl")
	output := func(name string, args ...string) string {
		t.Helper()
		var stderr bytes.Buffer
		cmd := testtool.Command(t, name, args...)
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			t.Errorf("%s %q: %v: %s%s", name, args, err, out, &stderr)
		}
		return string(out)
	}
	n := 0
	for _, from := range []string{"p12", "jks", "jceks", "pem"} {
		in := saved(t, identities(t), from)
		convert := func(ext string, more ...string) string {
			t.Helper()
			out := filepath.Join(t.TempDir(), "out."+ext)
			must(t, append([]string{"-in", in, "-in-password", "before", "-out", out, "-out-password", "afterwards"}, more...)...)
			n++
			return out
		}
		for ext, storeType := range map[string]string{"p12": "PKCS12", "jks": "JKS", "jceks": "JCEKS"} {
			listed := output("keytool", "-list", "-v", "-keystore", convert(ext), "-storetype", storeType, "-storepass", "afterwards")
			if strings.Count(listed, "Entry type: PrivateKeyEntry") != 2 || strings.Count(listed, "Certificate chain length: 2") != 2 || !strings.Contains(listed, "Alias name: eins") {
				t.Errorf("%s to %s: %s", from, ext, listed)
			}
		}
		for _, profile := range []string{"java8", "java17", "openssl11", "windows2016"} {
			dump := output("openssl", "pkcs12", "-in", convert("p12", "-profile", profile), "-passin", "pass:afterwards", "-nodes")
			if strings.Count(dump, "BEGIN PRIVATE KEY") != 2 || strings.Count(dump, "BEGIN CERTIFICATE") != 3 {
				t.Errorf("%s to PKCS#12 %s: %s", from, profile, dump)
			}
		}
		output("openssl", "pkey", "-in", convert("pem", "-alias", "eins"), "-passin", "pass:afterwards", "-noout")
		if printed := output("openssl", "pkcs7", "-inform", "DER", "-print_certs", "-noout", "-in", convert("p7b", "-drop", "keys")); strings.Count(printed, "subject=") != 3 {
			t.Errorf("%s to PKCS#7: %s", from, printed)
		}
		if printed := output("openssl", "x509", "-inform", "DER", "-noout", "-subject", "-in", convert("der", "-alias", "eins", "-drop", "keys,chain")); !strings.Contains(printed, "eins") {
			t.Errorf("%s to DER: %s", from, printed)
		}
	}
	t.Logf("keytool and openssl open %d conversions", n)
}
