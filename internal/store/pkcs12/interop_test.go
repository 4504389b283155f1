package pkcs12

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// writtenStore is a file of ours and what is in it.
type writtenStore struct {
	name     string
	profile  Profile
	password string
	store    *entry.Store
	path     string
}

// writtenStores writes a store of every kind in every profile.
func writtenStores(t *testing.T) []writtenStore {
	t.Helper()
	var all []writtenStore
	mixed := newStore(t, 3, 2)
	mixed.Entries[0].Alias = "Gemischt-ä-パス"
	for i, e := range mixed.Entries {
		if i > 2 {
			e.Alias = "Trusted " + e.Alias
		}
	}
	for _, p := range []Profile{Modern(), Legacy(), LegacyRC2(), Modern2026()} {
		all = append(all, writtenStore{name: p.Name, profile: p, password: "changeit", store: mixed})
	}
	all = append(all, writtenStore{name: "passwordless", profile: Passwordless(), store: newStore(t, 0, 3)})
	dir := t.TempDir()
	for i := range all {
		w := &all[i]
		opts := writeOptions("", w.password)
		if w.password == "" {
			opts.Password = nil
		}
		w.path = filepath.Join(dir, w.name+".p12")
		if err := os.WriteFile(w.path, encoded(t, w.store, w.profile, opts), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// asJava is what Dump.java should print.
func asJava(t *testing.T, s *entry.Store) string {
	t.Helper()
	var lines []string
	for _, e := range s.Entries {
		line := "trusted " + entry.Fold(e.Alias)
		if e.Kind == entry.Key {
			plain, err := e.Key.Open(nil)
			if err != nil {
				t.Fatal(err)
			}
			line = "key " + entry.Fold(e.Alias) + " " + fingerprint(encodedByJava(plain))
		}
		for _, c := range e.Chain {
			line += " " + fingerprint(c.Raw)
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

func TestInteropJavaReads(t *testing.T) {
	dump := testtool.JavaArgs(t, "testdata/Dump.java")
	for _, w := range writtenStores(t) {
		if w.name == "modern2026" {
			continue // needs JDK 26
		}
		args := append(slices.Clone(dump), w.path)
		if w.password != "" {
			args = append(args, w.password)
		}
		out, err := testtool.Command(t, "java", args...).CombinedOutput()
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		slices.Sort(lines)
		if got, want := strings.Join(lines, "\n"), asJava(t, w.store); err != nil || got != want {
			t.Errorf("%s: %v, got\n%s\nwant\n%s", w.name, err, got, want)
			continue
		}
		t.Logf("KeyStore.getKey and getCertificateChain: %s, %d entries", w.name, len(lines))
	}
}

func TestInteropKeytoolLists(t *testing.T) {
	for _, w := range writtenStores(t) {
		if w.name == "modern2026" {
			continue
		}
		args := []string{"-J-Dfile.encoding=UTF-8", "-J-Duser.language=en", "-list", "-v", "-keystore", w.path, "-storetype", "PKCS12"}
		cmd := testtool.Command(t, "keytool", append(args, "-storepass", w.password)...)
		if w.password == "" {
			cmd = testtool.Command(t, "keytool", args...)
			cmd.Stdin = strings.NewReader("\n")
		}
		out, err := cmd.CombinedOutput()
		keys := strings.Count(string(out), "Entry type: PrivateKeyEntry")
		trusted := strings.Count(string(out), "Entry type: trustedCertEntry")
		if err != nil || keys+trusted != len(w.store.Entries) {
			t.Errorf("%s: %v, %d keys and %d trusted of %d\n%s", w.name, err, keys, trusted, len(w.store.Entries), out)
			continue
		}
		if n := strings.Count(string(out), "Certificate chain length: 3"); n != keys {
			t.Errorf("%s: %d chains of three for %d keys", w.name, n, keys)
		}
		t.Logf("keytool -list -v: %s, %d keys, %d trusted", w.name, keys, trusted)
	}
}

func TestInteropOpenSSLReads(t *testing.T) {
	for _, w := range writtenStores(t) {
		if w.name == "modern2026" {
			continue // needs OpenSSL 3.4
		}
		args := []string{"pkcs12", "-in", w.path, "-nodes", "-info", "-passin", "pass:" + w.password}
		if w.name == "legacy-rc2" {
			args = append(args, "-legacy")
		}
		out, err := testtool.Command(t, "openssl", args...).CombinedOutput()
		text := string(out)
		keys, certs := 0, map[string]bool{}
		for _, e := range w.store.Entries {
			if e.Kind == entry.Key {
				keys++
			}
			for _, c := range e.Chain {
				certs[string(c.Raw)] = true
			}
		}
		if gotKeys, gotCerts := strings.Count(text, "BEGIN PRIVATE KEY"), strings.Count(text, "BEGIN CERTIFICATE"); err != nil || gotKeys != keys || gotCerts != len(certs) {
			t.Errorf("%s: %v, %d keys of %d, %d certificates of %d\n%s", w.name, err, gotKeys, keys, gotCerts, len(certs), text)
			continue
		}
		for _, e := range w.store.Entries {
			name := e.Alias
			if strings.HasPrefix(name, "Gemischt") {
				name = "Gemischt-" // OpenSSL escapes the rest, Java shows it
			}
			if !strings.Contains(text, "friendlyName: "+name) {
				t.Errorf("%s: no friendlyName %q in %.300s", w.name, name, text)
			}
		}
		t.Logf("openssl pkcs12 -info: %s, %d keys, %d certificates", w.name, keys, len(certs))
	}
}

// TestInteropGoPKCS12 reads with another implementation what this one wrote,
// and the other way round.
func TestInteropGoPKCS12(t *testing.T) {
	one := newStore(t, 1, 0)
	plain, err := one.Entries[0].Key.Open(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range []Profile{Modern(), Legacy(), LegacyRC2(), Modern2026()} {
		key, cert, cas, err := pkcs12.DecodeChain(encoded(t, one, p, writeOptions("", "pass")), "pass")
		if err != nil {
			t.Errorf("%s: %v", p.Name, err)
			continue
		}
		if !bytes.Equal(cert.Raw, one.Entries[0].Chain[0].Raw) || len(cas) != 2 {
			t.Errorf("%s: another leaf, or %d issuers", p.Name, len(cas))
		}
		for _, enc := range []*pkcs12.Encoder{pkcs12.LegacyRC2, pkcs12.LegacyDES, pkcs12.Modern2023, pkcs12.Modern2026} {
			data, err := enc.WithRand(seeded()).Encode(key, cert, cas, "pass")
			if err != nil {
				t.Fatal(err)
			}
			s, err := Parse(data, readOptions("pass"))
			if err != nil {
				t.Errorf("%v", err)
				continue
			}
			got, err := s.Entries[0].Key.Open([]byte("pass"))
			if len(s.Entries) != 1 || len(s.Entries[0].Chain) != 3 || err != nil || !bytes.Equal(got, plain) {
				t.Errorf("%s, %v", describe(s), err)
			}
		}
	}
	trusted := newStore(t, 0, 5)
	certs, err := pkcs12.DecodeTrustStore(encoded(t, trusted, Modern(), writeOptions("", "pass")), "pass")
	if err != nil || len(certs) != 5 {
		t.Errorf("%d trusted certificates, %v", len(certs), err)
	}
}
