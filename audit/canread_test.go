package audit_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// obstacles are the codes of what CanRead finds, each once.
func obstacles(t *testing.T, ks *keystore.Keystore, consumer trustkeep.Profile, o trustkeep.SaveOptions) []string {
	t.Helper()
	found, err := audit.CanRead(ks, consumer, o)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, i := range found {
		if i.Code == "" || i.Text == "" || i.Remedy == "" || i.Severity != trustkeep.Warning || i.Target == "" || !strings.HasPrefix(i.String(), i.Target+": ") {
			t.Errorf("%+v", i)
		}
		if !slices.Contains(out, string(i.Code)) {
			out = append(out, string(i.Code))
		}
	}
	slices.Sort(out)
	return out
}

func generated(t *testing.T, key issue.KeyType) *keystore.Keystore {
	t.Helper()
	id, err := issue.New(issue.Options{DNSNames: []string{"a.example"}, Key: key})
	if err != nil {
		t.Fatal(err)
	}
	return holding(t, map[string]*keystore.Identity{"one": id})
}

// holding is a store of these identities.
func holding(t *testing.T, ids map[string]*keystore.Identity) *keystore.Keystore {
	t.Helper()
	ks := keystore.New()
	for alias, id := range ids {
		if err := ks.SetIdentity(alias, id); err != nil {
			t.Fatal(err)
		}
	}
	return ks
}

func identityOf(t *testing.T, id *testpki.Identity) *keystore.Identity {
	t.Helper()
	made, err := keystore.NewIdentity(id.Key, id.Chain...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// nameless has a self-signed certificate whose subject and issuer are empty.
func nameless(t *testing.T) *keystore.Keystore {
	t.Helper()
	id := testpki.New(t, testpki.Options{}).Issue(testpki.Request{SelfSigned: true, Names: []string{"a.example"}, Edit: func(c *x509.Certificate) { c.Subject = pkix.Name{} }})
	ks := keystore.New()
	if err := ks.SetIdentity("one", identityOf(t, id)); err != nil {
		t.Fatal(err)
	}
	return ks
}

func TestCanReadOfNothing(t *testing.T) {
	if _, err := audit.CanRead(nil, trustkeep.Java17, trustkeep.SaveOptions{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	missing := trustkeep.SaveOptions{Password: trustkeep.PasswordFromEnv("TRUSTKEEP_TEST_UNSET_VARIABLE")}
	if _, err := audit.CanRead(keystore.New(), trustkeep.Java17, missing); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Error(err)
	}
}

func TestCanRead(t *testing.T) {
	changeit := trustkeep.Password("changeit")
	load := func(file, password string) *keystore.Keystore {
		t.Helper()
		ks, err := keystore.Load(filepath.Join("../keystore/testdata", file), trustkeep.Password(password))
		if err != nil {
			t.Fatal(err)
		}
		return ks
	}
	twins := keystore.New()
	pki := testpki.New(t, testpki.Options{})
	for alias, ca := range map[string]*testpki.Identity{
		"a": pki.Issue(testpki.Request{CommonName: "Twin CA", CA: true, Issuer: pki.Root}),
		"b": pki.Issue(testpki.Request{CommonName: "Twin CA", CA: true, Issuer: pki.Root}),
	} {
		leaf := pki.Issue(testpki.Request{Names: []string{alias + ".example"}, Issuer: ca})
		if err := twins.SetIdentity(alias, identityOf(t, leaf)); err != nil {
			t.Fatal(err)
		}
	}
	all := func(codes ...string) map[trustkeep.Profile][]string {
		m := map[trustkeep.Profile][]string{}
		for _, c := range audit.Consumers() {
			m[c] = codes
		}
		return m
	}
	type want = map[trustkeep.Profile][]string
	for _, c := range []struct {
		name string
		ks   *keystore.Keystore
		o    trustkeep.SaveOptions
		want want
	}{
		{"what everybody reads", generated(t, issue.ECP256), trustkeep.SaveOptions{Profile: trustkeep.Windows2016, Password: changeit}, all()},
		{"as keytool 17 wrote it", load("keytool-1.p12", "changeit"), trustkeep.SaveOptions{}, want{trustkeep.Java8: {"algorithms"}, trustkeep.Windows2016: {"algorithms"}}},
		{"as older tools wrote it", load("keytool-legacy.p12", "changeit"), trustkeep.SaveOptions{}, want{}},
		{"the same, rewritten", load("keytool-legacy.p12", "changeit"), trustkeep.SaveOptions{Profile: trustkeep.Modern}, want{trustkeep.Java8: {"algorithms"}, trustkeep.Windows2016: {"algorithms"}}},
		{"a new store", generated(t, issue.ECP256), trustkeep.SaveOptions{Password: changeit}, want{trustkeep.Java8: {"algorithms"}, trustkeep.Windows2016: {"algorithms"}}},
		{"PBMAC1", generated(t, issue.ECP256), trustkeep.SaveOptions{Profile: trustkeep.Modern2026, Password: changeit}, all("algorithms")},
		{"password", generated(t, issue.ECP256), trustkeep.SaveOptions{Profile: trustkeep.Java8, Password: trustkeep.Password("größe")},
			want{trustkeep.Java8: {"password-not-ascii"}, trustkeep.Java17: {"password-not-ascii"}}},
		{"the same in JKS", generated(t, issue.ECP256), trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("größe")},
			want{trustkeep.OpenSSL11: {"format"}, trustkeep.Windows2016: {"format"}}},
		{"Ed25519", generated(t, issue.Ed25519), trustkeep.SaveOptions{Profile: trustkeep.Java8, Password: changeit},
			want{trustkeep.Java8: {"key-algorithm"}, trustkeep.Windows2016: {"key-algorithm"}}},
		{"authorities of one name", twins, trustkeep.SaveOptions{Profile: trustkeep.Java8, Password: changeit},
			want{trustkeep.Java8: {"duplicate-subject"}, trustkeep.Java17: {"duplicate-subject"}}},
		{"the same in JKS", twins, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: changeit}, want{trustkeep.OpenSSL11: {"format"}, trustkeep.Windows2016: {"format"}}},
		{"certificate without issuer", nameless(t), trustkeep.SaveOptions{Profile: trustkeep.Java8, Password: changeit},
			want{trustkeep.Java8: {"empty-issuer"}, trustkeep.Java17: {"empty-issuer"}}},
		{"secret key", load("keytool-secret.p12", "changeit"), trustkeep.SaveOptions{Profile: trustkeep.Java8},
			want{trustkeep.OpenSSL11: {"secret-key"}, trustkeep.Windows2016: {"secret-key"}}},
		{"without password", load("keytool-trust.p12", "changeit"), trustkeep.SaveOptions{Profile: trustkeep.Passwordless},
			want{trustkeep.OpenSSL11: {"password-missing"}, trustkeep.Windows2016: {"password-missing"}}},
		{"PEM", load("openssl.p12", "changeit"), trustkeep.SaveOptions{Format: trustkeep.PEM}, want{trustkeep.Java8: {"format"}, trustkeep.Java17: {"format"}, trustkeep.Windows2016: {"format"}}},
	} {
		for _, consumer := range audit.Consumers() {
			if got := obstacles(t, c.ks, consumer, c.o); !slices.Equal(got, c.want[consumer]) {
				t.Errorf("%s: %s: %q, want %q", c.name, consumer, got, c.want[consumer])
			}
		}
		for _, unknown := range []trustkeep.Profile{"something else", trustkeep.Modern} {
			if found, err := audit.CanRead(c.ks, unknown, c.o); !errors.Is(err, trustkeep.ErrInvalid) || found != nil {
				t.Errorf("%s: an unknown consumer: %v, %v", c.name, found, err)
			}
		}
	}
	found, err := audit.CanRead(generated(t, issue.Ed25519), "", trustkeep.SaveOptions{Password: changeit})
	if err != nil || len(found) != 4 {
		t.Errorf("everybody: %v, %v", found, err)
	}
}

// A key alone, a certificate that nothing marks as trusted, and two aliases that
// Java takes for one.
func TestCanReadWhatJavaHides(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	pem := slices.Concat(pki.SelfSigned("alone").KeyPEM(), pki.Server("a.example").KeyPEM(), pki.Server("b.example").ChainPEM())
	ks, err := keystore.Parse(pem, nil)
	if err != nil {
		t.Fatal(err)
	}
	o := trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.Java8, Password: trustkeep.Password("changeit")}
	if got := obstacles(t, ks, trustkeep.Java17, o); !slices.Equal(got, []string{"key-without-certificate", "unmarked-certificate"}) {
		t.Errorf("%q in %v", got, ks.Aliases())
	}
	if got := obstacles(t, ks, trustkeep.OpenSSL11, o); len(got) != 0 {
		t.Errorf("%q", got)
	}
}

// The claims about the JDK and OpenSSL that are here: what CanRead says of a
// store is what happens to it.
func TestInteropCanRead(t *testing.T) {
	if !strings.Contains(testtool.Version(t, "keytool"), `"17.`) || !strings.Contains(testtool.Version(t, "openssl"), " 3.0.") {
		t.Skip("the claims are about JDK 17 and what OpenSSL 3.0 has in common with 1.1")
	}

	// brainpool keys are made by openssl.
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, args := range [][]string{
		{"req", "-x509", "-nodes", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1", "-subj", "/CN=odd", "-keyout", at("key"), "-out", at("cert")},
		{"pkcs12", "-export", "-inkey", at("key"), "-in", at("cert"), "-name", "one", "-passout", "pass:changeit", "-out", at("brainpool.p12")},
	} {
		testtool.Run(t, "openssl", args...)
	}
	brainpool, err := keystore.Load(at("brainpool.p12"), trustkeep.Password("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	pki := testpki.New(t, testpki.Options{})
	alone, err := keystore.Parse(pki.SelfSigned("alone").KeyPEM(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name     string
		ks       *keystore.Keystore
		profile  trustkeep.Profile
		password string
	}{
		{"ordinary", generated(t, issue.ECP256), trustkeep.Java17, "changeit"},
		{"old algorithms", generated(t, issue.ECP256), trustkeep.Java8, "changeit"},
		{"Ed25519", generated(t, issue.Ed25519), trustkeep.Java17, "changeit"},
		{"certificate without issuer", nameless(t), trustkeep.Java17, "changeit"},
		{"PBMAC1", generated(t, issue.ECP256), trustkeep.Modern2026, "changeit"},
		{"password beyond ASCII", generated(t, issue.ECP256), trustkeep.Java17, "größe"},
		{"brainpool", brainpool, trustkeep.Java17, "changeit"},
		{"key alone", alone, trustkeep.Java17, "changeit"},
	} {
		data, err := c.ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: c.profile, Password: trustkeep.Password(c.password)})
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		path := at("store.p12")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		o := trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: c.profile, Password: trustkeep.Password(c.password)}

		// A certificate request takes the key and its certificate.
		cmd := testtool.Command(t, "keytool", "-J-Dfile.encoding=UTF-8", "-J-Dsun.jnu.encoding=UTF-8", "-certreq", "-keystore", path, "-storepass:env", "STORE_PASSWORD", "-alias", c.ks.Aliases()[0])
		cmd.Env = append(os.Environ(), "STORE_PASSWORD="+c.password, "LC_ALL=C.UTF-8")
		out, err := cmd.CombinedOutput()
		if want := len(obstacles(t, c.ks, trustkeep.Java17, o)) == 0; (err == nil) != want {
			t.Errorf("%s: keytool: %v, although CanRead says %v: %s", c.name, err, want, out)
		} else {
			t.Logf("%s: keytool reads it: %v", c.name, err == nil)
		}
		cmd = testtool.Command(t, "openssl", "pkcs12", "-in", path, "-passin", "env:STORE_PASSWORD", "-nodes")
		cmd.Env = append(os.Environ(), "STORE_PASSWORD="+c.password)
		out, err = cmd.CombinedOutput()
		if want := len(obstacles(t, c.ks, trustkeep.OpenSSL11, o)) == 0; (err == nil) != want {
			t.Errorf("%s: openssl: %v, although CanRead says %v: %s", c.name, err, want, out)
		} else {
			t.Logf("%s: openssl reads it: %v", c.name, err == nil)
		}
	}
}
