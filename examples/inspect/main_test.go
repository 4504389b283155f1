package main

import (
	"bytes"
	"crypto/rand"
	"crypto/x509/pkix"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// call runs the command.
func call(args ...string) (status int, stdout, stderr string) {
	var out, err bytes.Buffer
	status = run(args, &out, &err)
	return status, out.String(), err.String()
}

// inspected runs the command with -json on one readable file.
func inspected(t *testing.T, args ...string) report {
	t.Helper()
	status, out, errs := call(append([]string{"-json"}, args...)...)
	var r report
	if err := json.Unmarshal([]byte(out), &r); err != nil || status != exitReadable || errs != "" {
		t.Fatalf("%q: %d, %v, %q", args, status, err, errs)
	}
	return r
}

// sample is a store with two keys, the second with a password of its own where
// the format has that, and a trusted certificate.
func sample(t *testing.T, format trustkeep.Format) string {
	t.Helper()
	ks := keystore.New()
	options := issue.Options{Subject: pkix.Name{CommonName: "a"}, DNSNames: []string{"a.example"}}
	one, err := issue.New(options)
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.SetIdentity("one", one); err != nil {
		t.Fatal(err)
	}
	two, err := issue.New(options)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "store")
	save := trustkeep.SaveOptions{Format: format, Password: trustkeep.Password("first")}
	if err := ks.Save(path, save); err != nil {
		t.Fatal(err)
	}
	if format == trustkeep.JKS {
		err = ks.SetIdentityWithPassword("two", two, trustkeep.Password("second"))
	} else {
		err = ks.SetIdentity("two", two)
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.SetTrusted("partner", two.Leaf()); err != nil {
		t.Fatal(err)
	}
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestEveryFormatOfManyEntries(t *testing.T) {
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS, trustkeep.PEM} {
		t.Run(string(format), func(t *testing.T) {
			path := sample(t, format)
			r := inspected(t, "-password", "first", "-key-password", "two=second", path)
			if r.File != path || r.Format != string(format) {
				t.Errorf("%s: %s", r.File, r.Format)
			}
			keys := 0
			certs := map[string]bool{}
			for _, e := range r.Entries {
				if e.Kind == "key" {
					keys++
					// Elsewhere -key-password is wrong.
					want := e.Alias == "one" || format == trustkeep.JKS
					if e.Unlocked != want || (e.Error == "") != want || e.Algorithm != "EC P-256" {
						t.Errorf("%+v", e)
					}
				}
				for _, c := range e.Chain {
					certs[c.SHA256] = true
					if len(c.SHA256) != 64 || strings.ToLower(c.SHA256) != c.SHA256 || c.KeyAlgorithm != "EC P-256" ||
						!slices.Equal(c.SANs, []string{"a.example"}) || !c.NotAfter.After(c.NotBefore) || c.Subject == "" || c.Issuer == "" || c.Serial == "" {
						t.Errorf("%+v", c)
					}
				}
			}
			if keys != 2 || len(certs) != 2 {
				t.Errorf("%d keys, %d certificates", keys, len(certs))
			}
		})
	}
}

func TestJSONHasTheFieldsThatItPromises(t *testing.T) {
	_, out, _ := call("-json", "-password", "first", sample(t, trustkeep.PKCS12))
	var r map[string]any
	if err := json.Unmarshal([]byte(out), &r); err != nil {
		t.Fatal(err)
	}
	has := func(m map[string]any, names ...string) {
		t.Helper()
		for _, n := range names {
			if _, ok := m[n]; !ok {
				t.Errorf("no field %s in %v", n, m)
			}
		}
	}
	has(r, "file", "format", "entries", "findings")
	entry := r["entries"].([]any)[0].(map[string]any)
	has(entry, "alias", "kind", "algorithm", "chain", "unlocked", "error")
	has(entry["chain"].([]any)[0].(map[string]any), "subject", "issuer", "serial", "notBefore", "notAfter", "sha256", "keyAlgorithm", "sans")
	if _, isList := r["findings"].([]any); !isList || strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
}

func TestPasswords(t *testing.T) {
	path := sample(t, trustkeep.PKCS12)
	file := filepath.Join(t.TempDir(), "password")
	if err := os.WriteFile(file, []byte("first\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("STORE_PASSWORD", "first")
	for _, args := range [][]string{{"-password", "first"}, {"-password-env", "STORE_PASSWORD"}, {"-password-file", file}} {
		if r := inspected(t, append(args, path)...); !r.Entries[0].Unlocked {
			t.Errorf("%q: %+v", args, r.Entries[0])
		}
	}
	for _, args := range [][]string{{"-password", "wrong"}, {"-password", ""}, {}} {
		if status, out, errs := call(append(args, path)...); status != exitUnreadable || out != "" || !strings.Contains(errs, "password") {
			t.Errorf("%q: %d, %q, %q", args, status, out, errs)
		}
	}
}

func TestSeveralFiles(t *testing.T) {
	good := sample(t, trustkeep.PKCS12)
	status, out, errs := call("-json", "-password", "first", good, "missing", good)
	if status != exitUnreadable || strings.Count(out, "\n") != 2 || !strings.Contains(errs, "missing") {
		t.Errorf("%d, %q, %q", status, out, errs)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{}, {"-json"}, {"-bogus", "x"}, {"-key-password", "no equals sign", "x"}, {"-password", "a", "-password-env", "B", "x"}} {
		if status, out, errs := call(args...); status != exitUsage || out != "" || !strings.Contains(errs, "usage: inspect") {
			t.Errorf("%q: %d, %q, %q", args, status, out, errs)
		}
	}
	if status, _, errs := call("-h"); status != exitReadable || !strings.Contains(errs, "usage: inspect") {
		t.Errorf("-h: %d, %q", status, errs)
	}
	if alias, password, ok := cutKeyPassword("a==b=c=d"); !ok || alias != "a=b" || password != "c=d" {
		t.Errorf("%q, %q", alias, password)
	}
}

func TestTextIsAlignedAndColouredOnlyOnATerminal(t *testing.T) {
	r := inspected(t, "-password", "first", sample(t, trustkeep.PKCS12))
	r.Entries[0].Alias = "evil\x1b[2J"
	r.Findings = []finding{{"one", "no-mac", "nothing protects it"}}
	p := &printer{now: time.Now().AddDate(20, 0, 0)}
	plain := string(p.text(r))
	if strings.Contains(plain, "\x1b") || !strings.Contains(plain, "(expired)") || !strings.Contains(plain, "no-mac") {
		t.Errorf("%q", plain)
	}
	column := -1
	for _, line := range strings.Split(plain, "\n") {
		name, value, ok := strings.Cut(strings.TrimLeft(line, " "), "  ")
		if !strings.HasPrefix(line, "    ") || !ok || name == "" || strings.HasPrefix(value, "  no-mac") {
			continue
		}
		at := strings.Index(line, strings.TrimLeft(value, " "))
		if column >= 0 && at != column && strings.Contains(line, "issuer") {
			t.Errorf("column %d, not %d: %q", at, column, line)
		}
		column = at
	}
	p.colour = true
	if coloured := string(p.text(r)); !strings.Contains(coloured, "\x1b[1m") || strings.Contains(coloured, "\x1b[2J") {
		t.Errorf("%q", coloured)
	}
	if isTerminal(new(bytes.Buffer)) {
		t.Error("a buffer is no terminal")
	}
}

// Nothing of a secret is shown, wherever it comes from.
func TestNoSecretIsPrinted(t *testing.T) {
	path := sample(t, trustkeep.JKS)
	for _, args := range [][]string{{"-json"}, {}} {
		_, out, errs := call(append(args, "-password", "first", "-key-password", "two=secondsecret", path)...)
		if strings.Contains(out+errs, "secondsecret") {
			t.Errorf("%s%s", out, errs)
		}
	}
}

func TestInteropOpenSSH(t *testing.T) {
	testtool.Need(t, "ssh-keygen")
	for _, password := range []string{"", "secret"} {
		path := filepath.Join(t.TempDir(), "id")
		testtool.Run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", password, "-f", path)
		out := testtool.Output(t, "ssh-keygen", "-l", "-f", path)
		var args []string
		if password != "" {
			args = []string{"-password", password}
		}
		r := inspected(t, append(args, path)...)
		e := r.Entries[0]
		if r.Format != "openssh" || e.Kind != "key" || e.Algorithm != "Ed25519" || !e.Unlocked || strings.Fields(out)[1] != e.SSHFingerprint {
			t.Errorf("%+v; ssh-keygen says %s", r, out)
		}
	}
}

func TestInteropOpaqueKeysAndCertificates(t *testing.T) {
	testtool.Need(t, "openssl")
	dir := t.TempDir()
	key, cert, store := filepath.Join(dir, "key"), filepath.Join(dir, "cert"), filepath.Join(dir, "store")
	for _, args := range [][]string{
		{"req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1", "-subj", "/CN=odd", "-keyout", key, "-out", cert},
		{"pkcs12", "-export", "-inkey", key, "-in", cert, "-name", "odd", "-passout", "pass:pw", "-out", store},
	} {
		testtool.Run(t, "openssl", args...)
	}
	r := inspected(t, "-password", "pw", store)
	e := r.Entries[0]
	if e.Kind != "key" || !e.Unlocked || e.Algorithm != "EC brainpoolP256r1" || len(e.Chain) != 1 || e.Chain[0].Subject != "CN=odd" {
		t.Errorf("%+v", e)
	}
	// A key without a certificate, and a certificate without a key.
	if e := inspected(t, key).Entries[0]; e.Kind != "key" || !e.Unlocked || len(e.Chain) != 0 {
		t.Errorf("%+v", e)
	}
	if e := inspected(t, cert).Entries[0]; e.Kind != "trusted" && e.Kind != "opaque" || len(e.Chain) != 1 {
		t.Errorf("%+v", e)
	}
}

func TestHostileFiles(t *testing.T) {
	junk := make([]byte, 1000)
	rand.Read(junk)
	for name, data := range map[string][]byte{
		"junk": junk, "empty": nil, "text": []byte("hello\n"), "cut": {0x30, 0x82, 0x10, 0x00, 0x02, 0x01, 0x03},
	} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if status, out, errs := call(path); status != exitUnreadable || out != "" || errs == "" {
			t.Errorf("%s: %d, %q, %q", name, status, out, errs)
		}
	}
}
