package keystore_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

var sha256Line = regexp.MustCompile(`(?i)SHA-?256(?: fingerprint)?[:=]\s*([0-9A-F]{2}(?::[0-9A-F]{2}){31})`)

// fingerprintsIn finds what keytool and openssl print of certificates, without repeats.
func fingerprintsIn(text string) (found []string) {
	seen := map[string]bool{}
	for _, m := range sha256Line.FindAllStringSubmatch(text, -1) {
		if sum := plainHex(m[1]); !seen[sum] {
			seen[sum] = true
			found = append(found, sum)
		}
	}
	return found
}

func fingerprintsOf(c *component.Component) (sums []string) {
	for _, info := range c.Describe() {
		sums = append(sums, info.SHA256)
	}
	return sums
}

// chainComponents are private components with chains of three, of each kind of key.
func chainComponents(t *testing.T) map[string]*component.Component {
	pki := testpki.New(t, testpki.Options{})
	out := map[string]*component.Component{}
	for name, key := range map[string]testpki.KeyType{"EC": testpki.P256, "RSA": testpki.RSA2048, "Ed25519": testpki.Ed25519} {
		id := pki.Issue(testpki.Request{Names: []string{"a.example"}, KeyType: key})
		out[name] = importFile(t, "Partner "+name, encode(t, id, trustkeep.PKCS12, "secret"), withPassword("secret"))
	}
	return out
}

func TestInteropOpenSSLOpensExportedComponents(t *testing.T) {
	f := testtool.NewFolder(t, "openssl")
	for key, c := range chainComponents(t) {
		certs := c.Describe()
		for _, suffix := range []string{keystore.SuffixP12, keystore.SuffixPFX} {
			name, data, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("chosen"), component.ExportOptions{Suffix: suffix})
			if err != nil {
				t.Fatal(err)
			}
			f.Write(name, data)
			f.Run("openssl", "pkcs12", "-in", name, "-passin", "pass:chosen", "-nodes", "-out", "all.pem")
			f.Run("openssl", "pkcs12", "-in", name, "-passin", "pass:chosen", "-nokeys", "-clcerts", "-out", "leaf.pem")
			if out := f.Run("openssl", "x509", "-in", "leaf.pem", "-noout", "-fingerprint", "-sha256"); fmt.Sprint(fingerprintsIn(out)) != fmt.Sprintf("[%s]", certs[0].SHA256) {
				t.Errorf("%s: %s", name, out)
			}
			fromKey := f.Run("openssl", "pkey", "-in", "all.pem", "-pubout")
			fromCert := f.Run("openssl", "x509", "-in", "leaf.pem", "-pubkey", "-noout")
			if fromKey != fromCert {
				t.Errorf("%s: key and certificate differ:\n%s%s", name, fromKey, fromCert)
			}
			if n := strings.Count(string(f.Read("all.pem")), "BEGIN CERTIFICATE"); n != len(certs) {
				t.Errorf("%s: %d certificates", name, n)
			}
			again := importFile(t, "again", f.Read("all.pem"), withPassword("x"))
			if fmt.Sprint(fingerprintsOf(again)) != fmt.Sprint(fingerprintsOf(c)) {
				t.Errorf("%s: openssl has %v", name, again)
			}
		}
		files := map[string][]string{
			keystore.SuffixCER: {"x509", "-noout", "-fingerprint", "-sha256"},
			keystore.SuffixDER: {"x509", "-inform", "DER", "-noout", "-fingerprint", "-sha256"},
			keystore.SuffixPEM: {"x509", "-noout", "-fingerprint", "-sha256"},
		}
		for suffix, args := range files {
			name, data, err := c.ExportPublic(suffix)
			if err != nil {
				t.Fatal(err)
			}
			f.Write(name, data)
			if out := f.Run("openssl", append(args, "-in", name)...); fmt.Sprint(fingerprintsIn(out)) != fmt.Sprintf("[%s]", certs[0].SHA256) {
				t.Errorf("%s: %s", name, out)
			}
		}
		name, data, err := c.ExportPublic(keystore.SuffixP7B)
		if err != nil {
			t.Fatal(err)
		}
		f.Write(name, data)
		inform := "DER"
		if strings.HasPrefix(string(data), "-----BEGIN") {
			inform = "PEM"
		}
		f.Run("openssl", "pkcs7", "-inform", inform, "-in", name, "-print_certs", "-out", "chain.pem")
		if again := importFile(t, "again", f.Read("chain.pem"), component.Options{}); fmt.Sprint(fingerprintsOf(again)) != fmt.Sprint(fingerprintsOf(c)) {
			t.Errorf("%s: openssl has %v", name, again)
		}
		t.Logf("%s: openssl opens .p12 and .pfx with the chosen password, key and leaf match, chain of %d; .cer, .der, .pem and .p7b (%s) have the same fingerprints", key, len(certs), inform)
	}
}

func TestInteropKeytoolOpensExportedComponents(t *testing.T) {
	f := testtool.NewFolder(t, "keytool")
	for key, c := range chainComponents(t) {
		want := fingerprintsOf(c)
		for _, suffix := range []string{keystore.SuffixP12, keystore.SuffixPFX} {
			name, data, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("chosen"), component.ExportOptions{Suffix: suffix})
			if err != nil {
				t.Fatal(err)
			}
			f.Write(name, data)
			out := f.Run("keytool", "-list", "-v", "-keystore", name, "-storepass", "chosen")
			if fmt.Sprint(fingerprintsIn(out)) != fmt.Sprint(want) || !strings.Contains(out, "PrivateKeyEntry") ||
				!strings.Contains(out, "Certificate chain length: 3") || !strings.Contains(out, "Alias name: partner_"+strings.ToLower(key)) {
				t.Errorf("%s: %s", name, out)
			}
			if key != "RSA" {
				break // Java takes its time
			}
			// keytool takes the key over with the password, which proves that it opens.
			target := name + ".jks"
			f.Run("keytool", "-importkeystore", "-noprompt", "-srckeystore", name, "-srcstorepass", "chosen", "-destkeystore", target, "-deststoretype", "JKS", "-deststorepass", "changeit", "-destkeypass", "changeit")
			again := importFile(t, "again", f.Read(target), withPassword("changeit"))
			if fmt.Sprint(fingerprintsOf(again)) != fmt.Sprint(want) || !equalKeys(opens(t, again, "changeit"), opens(t, c, "secret")) {
				t.Errorf("%s: keytool has %v", name, again)
			}
		}
		if key != "RSA" {
			t.Logf("%s: keytool opens .p12 with the chosen password and lists the chain of 3", key)
			continue
		}
		for suffix, n := range map[string]int{keystore.SuffixCER: 1, keystore.SuffixDER: 1, keystore.SuffixPEM: 3, keystore.SuffixP7B: 3} {
			name, data, err := c.ExportPublic(suffix)
			if err != nil {
				t.Fatal(err)
			}
			f.Write(name, data)
			have, certs := fingerprintsIn(f.Run("keytool", "-printcert", "-file", name)), slices.Clone(want[:n])
			slices.Sort(have) // PKCS#7 has a set of certificates
			slices.Sort(certs)
			if !slices.Equal(have, certs) {
				t.Errorf("%s: %s, want %s", name, have, certs)
			}
		}
		t.Logf("%s: keytool opens .p12 and .pfx with the chosen password and lists the chain of 3; -printcert shows .cer, .der, .pem and .p7b", key)
	}
}

func TestInteropOpenSSLFilesBecomeComponents(t *testing.T) {
	f := testtool.NewFolder(t, "openssl")
	pki := testpki.New(t, testpki.Options{})
	f.Write("chain.pem", append(pemOf(pki.Intermediate.Cert), pemOf(pki.Root.Cert)...))
	for key, kind := range map[string]testpki.KeyType{"EC": testpki.P256, "RSA": testpki.RSA2048, "Ed25519": testpki.Ed25519} {
		id := pki.Issue(testpki.Request{Names: []string{"a.example"}, KeyType: kind})
		f.Write("key.pem", id.KeyPEM())
		f.Write("leaf.pem", pemOf(id.Cert))
		f.Run("openssl", "pkcs12", "-export", "-inkey", "key.pem", "-in", "leaf.pem", "-certfile", "chain.pem", "-passout", "pass:secret", "-out", "all.p12")
		f.Run("openssl", "pkcs12", "-export", "-inkey", "key.pem", "-in", "leaf.pem", "-certfile", "chain.pem", "-passout", "pass:secret", "-out", "old.p12",
			"-certpbe", "PBE-SHA1-3DES", "-keypbe", "PBE-SHA1-3DES", "-macalg", "sha1")
		f.Run("openssl", "crl2pkcs7", "-nocrl", "-certfile", "chain.pem", "-certfile", "leaf.pem", "-out", "all.p7b")
		f.Run("openssl", "crl2pkcs7", "-nocrl", "-certfile", "chain.pem", "-certfile", "leaf.pem", "-outform", "DER", "-out", "all.der.p7b")
		f.Run("openssl", "pkcs8", "-topk8", "-in", "key.pem", "-passout", "pass:secret", "-out", "key.enc")
		f.Write("all.pem", append(append(f.Read("chain.pem"), f.Read("key.enc")...), f.Read("leaf.pem")...))
		f.Run("openssl", "x509", "-in", "leaf.pem", "-outform", "DER", "-out", "leaf.cer")
		want := fingerprintsIn(f.Run("openssl", "x509", "-in", "leaf.pem", "-noout", "-fingerprint", "-sha256"))
		for file, shape := range map[string]struct {
			visibility trustkeep.Visibility
			certs      int
		}{"all.p12": {trustkeep.Private, 3}, "old.p12": {trustkeep.Private, 3}, "all.pem": {trustkeep.Private, 3},
			"all.p7b": {trustkeep.Public, 3}, "all.der.p7b": {trustkeep.Public, 3}, "leaf.cer": {trustkeep.Public, 1}, "leaf.pem": {trustkeep.Public, 1}} {
			c := importFile(t, file, f.Read(file), withPassword("secret"))
			if c.Visibility() != shape.visibility || c.Fingerprint() != want[0] {
				t.Errorf("%s: %v, want %s", file, c, want)
			}
			sameChain(t, c, id.Chain[:shape.certs]...)
			if c.Visibility() == trustkeep.Private {
				opens(t, c, "secret")
			}
		}
		t.Logf("%s: openssl pkcs12 -export (current and old algorithms), encrypted PEM, crl2pkcs7, x509 in PEM and DER: same fingerprints, chain whole", key)
	}
}

func TestInteropKeytoolFilesBecomeComponents(t *testing.T) {
	f := testtool.NewFolder(t, "keytool")
	for format, algorithm := range map[string][]string{"PKCS12": {"EC", "-groupname", "secp256r1"}, "JKS": {"RSA", "-keysize", "2048"}} {
		file := "store." + format
		keytool := func(args ...string) string {
			return f.Run("keytool", append(args, "-keystore", file, "-storetype", format, "-storepass", "changeit")...)
		}
		pair := append([]string{"-genkeypair", "-keyalg"}, algorithm...)
		if format == "JKS" {
			pair = append(pair, "-keypass", "changeit")
		}
		keytool(append(pair, "-alias", "ca", "-dname", "CN=Keytool CA", "-ext", "bc:c", "-ext", "ku:c=keyCertSign")...)
		keytool(append(pair, "-alias", "leaf", "-dname", "CN=a.example", "-ext", "san=dns:a.example")...)
		keytool("-certreq", "-alias", "leaf", "-file", "leaf.csr")
		keytool("-gencert", "-alias", "ca", "-infile", "leaf.csr", "-outfile", "leaf.der", "-ext", "honored=all")
		keytool("-importcert", "-noprompt", "-alias", "leaf", "-file", "leaf.der")
		keytool("-exportcert", "-rfc", "-alias", "leaf", "-file", "leaf.cer")
		keytool("-exportcert", "-alias", "leaf", "-file", "leaf.exported.der")
		want := fingerprintsIn(keytool("-list", "-v", "-alias", "leaf"))
		if len(want) != 2 {
			t.Fatalf("keytool lists %v", want)
		}
		o := withPassword("changeit")
		_, err := importComponent(t.Context(), "a", f.Read(file), o)
		wantError(t, err, trustkeep.ErrUnsupported, "2 private keys", "Alias")
		o.Alias = "leaf"
		c := importFile(t, "a", f.Read(file), o)
		if c.Visibility() != trustkeep.Private || fmt.Sprint(fingerprintsOf(c)) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", file, fingerprintsOf(c), want)
		}
		opens(t, c, "changeit")
		for _, exported := range []string{"leaf.cer", "leaf.exported.der"} {
			if p := importFile(t, "a", f.Read(exported), component.Options{}); p.Visibility() != trustkeep.Public || p.Fingerprint() != want[0] {
				t.Errorf("%s: %v", exported, p)
			}
		}
		t.Logf("%s: key and chain of %d from a %s of keytool, chosen by alias, and -exportcert in PEM and DER: same fingerprints", algorithm[0], len(want), format)
	}
}
