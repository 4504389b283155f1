package keystore_test

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// reader is a tool that reads what this library writes. It returns the aliases of
// the private keys it could open and the number of certificates it saw.
type reader struct {
	name  string
	tools []string
	// refuses says of which profiles the version at hand knows too little.
	refuses []trustkeep.Profile
	read    func(m *matrix, path string) (keys []string, certs int, err error)
}

var readers = []reader{
	{"keytool", []string{"keytool"}, []trustkeep.Profile{trustkeep.Modern2026}, func(m *matrix, path string) (keys []string, certs int, err error) {
		out, err := m.try("keytool", "-list", "-v", "-keystore", path, "-storepass", "changeit")
		if err != nil {
			return nil, 0, err
		}
		for _, v := range keytoolView(m.t, out) {
			kind, rest, _ := strings.Cut(v, " ")
			if kind == "key" {
				alias := rest[:strings.LastIndex(rest[:strings.LastIndex(rest, " ")], " ")]
				// The key itself: a request is signed with it.
				if _, err := m.try("keytool", "-certreq", "-alias", alias, "-keystore", path, "-storepass", "changeit"); err != nil {
					return nil, 0, err
				}
				keys = append(keys, alias)
			}
		}
		return keys, strings.Count(out, "SHA256: "), nil
	}},
	{"openssl", []string{"openssl"}, []trustkeep.Profile{trustkeep.Modern2026}, func(m *matrix, path string) ([]string, int, error) {
		out, err := m.try("openssl", "pkcs12", "-in", path, "-passin", "pass:changeit", "-nodes")
		return keysWithNames(out, "-----BEGIN PRIVATE KEY"), strings.Count(out, "BEGIN CERTIFICATE"), err
	}},
	{"GnuTLS certtool", []string{"certtool"}, []trustkeep.Profile{trustkeep.Modern2026}, func(m *matrix, path string) ([]string, int, error) {
		out, err := m.try("certtool", "--p12-info", "--inder", "--infile", path, "--password", "changeit")
		return keysWithNames(out, "-----BEGIN ENCRYPTED PRIVATE KEY"), strings.Count(out, "BEGIN CERTIFICATE"), err
	}},
	{"NSS pk12util", []string{"pk12util", "certutil"}, []trustkeep.Profile{trustkeep.Modern2026}, func(m *matrix, path string) (keys []string, certs int, err error) {
		db, err := os.MkdirTemp(m.dir, "db")
		if err != nil {
			return nil, 0, err
		}
		if _, err := m.try("certutil", "-N", "-d", "sql:"+db, "--empty-password"); err != nil {
			return nil, 0, err
		}
		if _, err := m.try("pk12util", "-i", path, "-d", "sql:"+db, "-W", "changeit", "-K", ""); err != nil {
			return nil, 0, err
		}
		out, err := m.try("certutil", "-K", "-d", "sql:"+db)
		if err != nil {
			return nil, 0, err
		}
		for _, k := range regexp.MustCompile(`(?m)^<\s*\d+>\s+\S+\s+[0-9a-f]+\s+(?:NSS Certificate DB:)?(.*)$`).FindAllStringSubmatch(out, -1) {
			keys = append(keys, strings.ToLower(k[1]))
		}
		out, err = m.try("certutil", "-L", "-d", "sql:"+db)
		return keys, len(regexp.MustCompile(`(?m),[A-Za-z]*,[A-Za-z]*\s*$`).FindAllString(out, -1)), err
	}},
}

// try is run for what may fail.
func (m *matrix) try(name string, args ...string) (string, error) {
	out, err := testtool.Command(m.t, name, args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", name, err, out)
	}
	return string(out), nil
}

// keysWithNames finds the friendly name before each private key in a dump.
func keysWithNames(dump, begin string) (names []string) {
	for {
		before, after, ok := strings.Cut(dump, begin)
		if !ok {
			return names
		}
		name := ""
		if all := friendlyName.FindAllStringSubmatch(before, -1); all != nil {
			name = strings.ToLower(all[len(all)-1][1])
		}
		names = append(names, name)
		dump = after
	}
}

// TestInteropMatrixReaders writes a store of two keys in every profile and has
// each tool read it.
func TestInteropMatrixReaders(t *testing.T) {
	m := newMatrix(t)
	pki := testpki.New(t, testpki.Options{Now: time.Now(), KeyType: testpki.P256})
	ks := keystore.New()
	for _, alias := range []string{"one", "two words"} {
		if err := ks.SetIdentity(alias, newIdentity(t, pki.Server(strings.Fields(alias)[0]+".example"))); err != nil {
			t.Fatal(err)
		}
	}
	const certs = 4 // two leaves, their CA and its root
	ran := false
	for _, r := range readers {
		if !testtool.Has(t, r.tools...) {
			continue
		}
		ran = true
		for _, profile := range []trustkeep.Profile{trustkeep.Java8, trustkeep.Java17, trustkeep.OpenSSL11, trustkeep.Windows2016, trustkeep.Modern2026} {
			path := m.at(string(profile) + ".p12")
			if err := ks.Save(path, trustkeep.SaveOptions{Profile: profile, Password: trustkeep.Password("changeit")}); err != nil {
				t.Fatal(err)
			}
			keys, seen, err := r.read(m, path)
			slices.Sort(keys)
			want := []string{"one", "two words"}
			if r.name == "keytool" {
				seen = min(seen, certs) // it lists those of each chain
			}
			switch {
			case err == nil && slices.Equal(keys, want) && seen == certs:
				m.row("pkcs12 "+string(profile), r.name, "2 keys", "4 certificates", "read")
			case err != nil && slices.Contains(r.refuses, profile):
				m.row("pkcs12 "+string(profile), r.name, "", "", "too old a version for it")
			default:
				t.Errorf("%s, %s: keys %q, %d certificates, %v", r.name, profile, keys, seen, err)
			}
		}
	}
	if !ran {
		t.Skip("neither keytool nor openssl, certtool or pk12util is installed")
	}
}
