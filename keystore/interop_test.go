package keystore_test

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"

	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// javaCases are the stores that Java is to read back whole.
var javaCases = []struct {
	format  trustkeep.Format
	profile trustkeep.Profile
	java    string
}{
	{trustkeep.PKCS12, trustkeep.Java8, "PKCS12"},
	{trustkeep.PKCS12, trustkeep.Java17, "PKCS12"},
	{trustkeep.PKCS12, trustkeep.OpenSSL11, "PKCS12"},
	{trustkeep.PKCS12, trustkeep.Windows2016, "PKCS12"},
	{trustkeep.JKS, "", "JKS"},
	{trustkeep.JCEKS, "", "JCEKS"},
}

// TestInteropJava writes stores here and has java.security.KeyStore and
// keytool read them, every key included.
func TestInteropJava(t *testing.T) {
	java := javatest.NewJava(t, "")
	ks, pki := sample(t)
	if err := ks.SetIdentity("schlüssel 鍵", newIdentity(t, pki.SelfSigned("localhost"))); err != nil {
		t.Fatal(err)
	}
	for _, c := range javaCases {
		t.Run(fmt.Sprint(c.format, " ", c.profile), func(t *testing.T) {
			data, err := ks.Encode(trustkeep.SaveOptions{Format: c.format, Profile: c.profile, Password: trustkeep.Password("changeit")})
			if err != nil {
				t.Fatal(err)
			}
			sameAsJava(t, ks, java.Describe(t, "", c.java, data, "changeit", nil))
			listed := java.List(t, "", c.java, data, "changeit")
			for _, want := range []string{"Your keystore contains 4 entries", "Alias name: server", "Alias name: partner", "Certificate chain length: 3"} {
				if !strings.Contains(listed, want) {
					t.Errorf("keytool does not list %q:\n%s", want, listed)
				}
			}
			t.Logf("java.security.KeyStore and keytool read %d entries of %s %s, keys included", ks.Len(), c.format, c.profile)
		})
	}
}

// TestInteropJavaKeyPassword writes a JKS in which one key has a password of
// its own.
func TestInteropJavaKeyPassword(t *testing.T) {
	java := javatest.NewJava(t, "")
	ks, pki := sample(t)
	jks, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("store€")})
	if err != nil {
		t.Fatal(err)
	}
	if ks, err = keystore.Parse(jks, trustkeep.Password("store€")); err != nil {
		t.Fatal(err)
	}
	if err := ks.SetIdentityWithPassword("own", newIdentity(t, pki.Server("own")), trustkeep.Password("keypass")); err != nil {
		t.Fatal(err)
	}
	if jks, err = ks.Encode(trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	sameAsJava(t, ks, java.Describe(t, "", "JKS", jks, "store€", map[string]string{"own": "keypass"}))
	t.Log("java.security.KeyStore reads JKS with a key password of its own and a store password outside Latin-1")
}

func sameAsJava(t *testing.T, ks *keystore.Keystore, java javatest.Store) {
	t.Helper()
	if len(java.Entries) != ks.Len() {
		t.Errorf("Java reads %d entries, want %d", len(java.Entries), ks.Len())
	}
	for _, e := range java.Entries {
		want, err := ks.Entry(e.Alias)
		if err != nil {
			t.Error(err)
			continue
		}
		var certs []string
		for _, raw := range want.RawChain {
			certs = append(certs, fingerprint(raw))
		}
		if e.Kind != want.Kind.String() || !slices.Equal(e.Certificates, certs) {
			t.Errorf("%s: Java reads %s %v, want %s %v", e.Alias, e.Kind, e.Certificates, want.Kind, certs)
		}
		if e.Kind == "key" && len(e.KeySHA256) != 64 {
			t.Errorf("%s: Java got no key", e.Alias)
		}
	}
}

// TestInteropOpenSSL writes stores here and has openssl print what it reads.
func TestInteropOpenSSL(t *testing.T) {
	testtool.Need(t, "openssl")
	ks, _ := sample(t)
	for _, profile := range []trustkeep.Profile{trustkeep.Java8, trustkeep.Java17, trustkeep.OpenSSL11, trustkeep.Windows2016} {
		t.Run(string(profile), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store.p12")
			if err := ks.Save(path, trustkeep.SaveOptions{Profile: profile, Password: trustkeep.Password("changeit")}); err != nil {
				t.Fatal(err)
			}
			args := []string{"pkcs12", "-in", path, "-passin", "pass:changeit", "-nodes"}
			out := testtool.Output(t, "openssl", args...)
			keys, certs := 0, map[string]bool{}
			for block, rest := pem.Decode([]byte(out)); block != nil; block, rest = pem.Decode(rest) {
				switch block.Type {
				case "PRIVATE KEY":
					key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
					if err != nil || !holds(t, ks, key) {
						t.Errorf("openssl read another key (%v)", err)
					}
					keys++
				case "CERTIFICATE":
					certs[fingerprint(block.Bytes)] = true
				}
			}
			if keys != 2 || len(certs) != len(ks.Certificates()) {
				t.Errorf("openssl read %d keys and %d certificates, want 2 and %d", keys, len(certs), len(ks.Certificates()))
			}
			for _, name := range []string{"friendlyName: Server", "friendlyName: partner"} {
				if !strings.Contains(out, name) {
					t.Errorf("openssl does not print %q", name)
				}
			}
			t.Logf("openssl pkcs12 reads %d keys and %d certificates of %s", keys, len(certs), profile)
		})
	}
}

func holds(t *testing.T, ks *keystore.Keystore, key any) bool {
	t.Helper()
	for _, e := range ks.Entries() {
		if e.Kind != keystore.KeyEntry {
			continue
		}
		id, err := ks.Identity(e.Alias)
		if err != nil {
			t.Fatal(err)
		}
		if k, ok := key.(interface{ Equal(crypto.PrivateKey) bool }); ok && k.Equal(reveal(id)) {
			return true
		}
	}
	return false
}

// TestInteropKeytoolWrites lets keytool write anew what the fixtures hold, so
// that a new release of the tool is met here and not at a user.s, and changes
// the result here for keytool to list.
func TestInteropKeytoolWrites(t *testing.T) {
	testtool.Need(t, "keytool")
	for _, c := range []struct{ name, storeType, keyPassword string }{
		{"pkcs12", "PKCS12", "changeit"}, {"jks", "JKS", "otherpass"}, {"jceks", "JCEKS", "otherpass"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			for _, alias := range []string{"one", "two"} {
				testtool.Run(t, "keytool", "-genkeypair", "-alias", alias, "-dname", "CN="+alias, "-keyalg", "EC", "-groupname", "secp256r1",
					"-keystore", path, "-storetype", c.storeType, "-storepass", "changeit", "-keypass", c.keyPassword)
			}
			ks, err := keystore.Load(path, trustkeep.Password("changeit"))
			if err != nil {
				t.Fatal(err)
			}
			for _, alias := range []string{"one", "two"} {
				id, err := ks.IdentityWithPassword(alias, trustkeep.Password(c.keyPassword))
				if err != nil {
					t.Error(err)
				} else if !id.SelfSigned() || id.Leaf().Subject.CommonName != alias {
					t.Errorf("%s: %v", alias, id)
				}
			}
			// Add a key here and let keytool list all three.
			added, err := keystore.Load("testdata/keytool-three.p12", trustkeep.Password("changeit"))
			if err != nil {
				t.Fatal(err)
			}
			server, err := added.Identity("server")
			if err != nil {
				t.Fatal(err)
			}
			if err := ks.SetIdentity("three", server); err != nil {
				t.Fatal(err)
			}
			if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			out := testtool.Run(t, "keytool", "-J-Duser.language=en", "-list", "-keystore", path, "-storetype", c.storeType, "-storepass", "changeit")
			if !strings.Contains(out, "contains 3 entries") {
				t.Errorf("keytool -list: %s", out)
			}
			t.Logf("keytool wrote %s; read here, one key added, listed by keytool", c.storeType)
		})
	}
}
