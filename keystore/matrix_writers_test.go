package keystore_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

func TestInteropMatrixKeytoolWrites(t *testing.T) {
	testtool.Need(t, "keytool")
	m := newMatrix(t)
	for _, c := range []struct{ storeType, password string }{
		{"PKCS12", "changeit"}, {"JKS", "changeit"}, {"JCEKS", "changeit"}, {"JKS", "größe €"},
	} {
		path := m.at(c.storeType + strconv.Itoa(len(m.rows)))
		password := m.at("password")
		if err := os.WriteFile(password, []byte(c.password), 0o600); err != nil {
			t.Fatal(err)
		}
		store := []string{"-J-Dfile.encoding=UTF-8", "-keystore", path, "-storetype", c.storeType, "-storepass:file", password}
		listed := func() view {
			return keytoolView(t, m.run("keytool", append([]string{"-list", "-v"}, store...)...))
		}
		read := func(shape string) {
			t.Helper()
			m.read("keytool", shape, path, trustkeep.Password(c.password), listed())
		}
		m.run("keytool", append([]string{"-genkeypair", "-alias", "One", "-dname", "CN=one", "-keyalg", "RSA", "-keysize", "2048"}, store...)...)
		if c.password != "changeit" {
			read("one key, password beyond ASCII")
			continue
		}
		read("one key")
		m.run("keytool", append([]string{"-genkeypair", "-alias", "two", "-dname", "CN=two", "-keyalg", "EC", "-groupname", "secp256r1", "-signer", "one"}, store...)...)
		cert := m.at("one.cer")
		m.run("keytool", append([]string{"-exportcert", "-alias", "one", "-file", cert}, store...)...)
		m.run("keytool", append([]string{"-importcert", "-noprompt", "-alias", "partner", "-file", cert}, store...)...)
		read("two keys, one signed by the other, and a partner")
		if c.storeType != "JKS" {
			m.run("keytool", append([]string{"-genseckey", "-alias", "aes", "-keyalg", "AES", "-keysize", "256"}, store...)...)
			read("the same and a secret key")
		}
		trust := []string{"-keystore", path + ".trust", "-storetype", c.storeType, "-storepass", "changeit"}
		for _, alias := range []string{"a", "B"} {
			m.run("keytool", append([]string{"-importcert", "-noprompt", "-alias", alias, "-file", cert}, trust...)...)
		}
		m.read("keytool", "two partners", path+".trust", trustkeep.Password("changeit"), keytoolView(t, m.run("keytool", append([]string{"-list", "-v"}, trust...)...)))
	}
}

func TestInteropMatrixBouncyCastleWrites(t *testing.T) {
	testtool.Need(t, "keytool")
	bouncyCastle := testtool.File(t, testtool.BouncyCastle, "libbcprov-java")
	m := newMatrix(t)
	source := m.at("source")
	from := []string{"-keystore", source, "-storetype", "PKCS12", "-storepass", "changeit"}
	m.run("keytool", append([]string{"-genkeypair", "-alias", "one", "-dname", "CN=one", "-keyalg", "RSA"}, from...)...)
	m.run("keytool", append([]string{"-genkeypair", "-alias", "two", "-dname", "CN=two", "-keyalg", "EC", "-groupname", "secp384r1", "-signer", "one"}, from...)...)
	m.run("keytool", append([]string{"-exportcert", "-alias", "one", "-file", m.at("one.cer")}, from...)...)
	m.run("keytool", append([]string{"-importcert", "-noprompt", "-alias", "partner", "-file", m.at("one.cer")}, from...)...)
	provider := []string{"-providerclass", "org.bouncycastle.jce.provider.BouncyCastleProvider", "-providerpath", bouncyCastle}
	for _, storeType := range []string{"BKS", "UBER", "BCFKS", "PKCS12-3DES-3DES", "PKCS12-3DES-40RC2"} {
		path := m.at(storeType)
		destination := append([]string{"-importkeystore", "-noprompt", "-srckeystore", source, "-srcstoretype", "PKCS12", "-srcstorepass", "changeit",
			"-destkeystore", path, "-deststoretype", storeType, "-deststorepass", "changeit"}, provider...)
		if out, err := testtool.Command(t, "keytool", destination...).CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", storeType, err, out)
			continue
		}
		listed := m.run("keytool", append([]string{"-list", "-v", "-keystore", path, "-storetype", storeType, "-storepass", "changeit"}, provider...)...)
		m.read("BouncyCastle", storeType+": two keys and a partner", path, trustkeep.Password("changeit"), keytoolView(t, listed))
	}
}

var friendlyName = regexp.MustCompile(`(?m)^\s*(?i:friendly ?name): (.*)$`)

func TestInteropMatrixOpenSSLWrites(t *testing.T) {
	testtool.Need(t, "openssl")
	m := newMatrix(t)
	algorithms := map[string][]string{"ed25519": {"ed25519"}, "ed448": {"ed448"}, "brainpool": {"ec", "-pkeyopt", "ec_paramgen_curve:brainpoolP256r1"}, "pss": {"rsa-pss", "-pkeyopt", "rsa_keygen_bits:2048"}}
	for name, args := range rsaAndEC {
		algorithms[name] = args
	}
	m.pki(algorithms)
	for name := range algorithms {
		m.openssl(name, name+" and its CA", "pkcs12-secret")
	}
	for shape, more := range map[string][]string{
		"3DES and RC2":               {"-legacy"},
		"3DES":                       {"-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES", "-macalg", "sha1"},
		"AES-128, SHA-512":           {"-keypbe", "AES-128-CBC", "-certpbe", "AES-192-CBC", "-macalg", "sha512", "-iter", "3000"},
		"certificates not encrypted": {"-certpbe", "NONE"},
		"nothing encrypted":          {"-certpbe", "NONE", "-keypbe", "NONE"},
		"an odd name":                {"-name", "Odd = 'name', and more"},
	} {
		m.openssl("rsa", shape, "pkcs12-secret", more...)
	}
	m.openssl("ec", "password beyond the BMP", "größe 🔑")
	m.openssl("ec", "empty password", "")

	// Certificates and keys alone, and the other formats.
	leaf := certificateOf(m.run("openssl", "x509", "-in", m.at("ec.pem")))
	ca := certificateOf(m.run("openssl", "x509", "-in", m.at("ca.pem")))
	m.run("openssl", "crl2pkcs7", "-nocrl", "-certfile", m.at("ec.pem"), "-certfile", m.at("ca.pem"), "-outform", "DER", "-out", m.at("two.p7b"))
	m.read("openssl", "two certificates", m.at("two.p7b"), nil, view{line("trusted", "ec", 1, leaf), line("trusted", "matrix ca", 1, ca)})
	m.run("openssl", "x509", "-in", m.at("ec.pem"), "-outform", "DER", "-out", m.at("ec.cer"))
	m.read("openssl", "a certificate", m.at("ec.cer"), nil, view{line("trusted", "ec", 1, leaf)})
	for name, args := range map[string][]string{
		"PKCS#8":                 {"pkcs8", "-topk8", "-nocrypt"},
		"PKCS#8, PBKDF2 SHA-512": {"pkcs8", "-topk8", "-v2", "aes-256-cbc", "-v2prf", "hmacWithSHA512", "-passout", "pass:pkcs12-secret"},
		"PKCS#8, scrypt":         {"pkcs8", "-topk8", "-scrypt", "-scrypt_N", "4096", "-passout", "pass:pkcs12-secret"},
		"PKCS#8, PBES1":          {"pkcs8", "-topk8", "-v1", "PBE-SHA1-3DES", "-passout", "pass:pkcs12-secret"},
		"SEC 1":                  {"ec"},
		"SEC 1, encrypted":       {"ec", "-aes256", "-passout", "pass:pkcs12-secret"},
	} {
		path := m.at("key.pem")
		m.run("openssl", append(args, "-in", m.at("ec.key"), "-out", path)...)
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		certs, err := os.ReadFile(m.at("ec.pem"))
		if err != nil {
			t.Fatal(err)
		}
		// The certificate first, as nobody expects.
		if err := os.WriteFile(path, append(certs, data...), 0o600); err != nil {
			t.Fatal(err)
		}
		m.read("openssl", name+" after its certificate", path, trustkeep.Password("pkcs12-secret"), view{line("key", "ec", 1, leaf)})
	}
}

// openssl exports a key with its certificate and CA, and reads what openssl says
// of the file.
func (m *matrix) openssl(name, shape, password string, more ...string) {
	m.t.Helper()
	path := m.at("store.p12")
	args := []string{"pkcs12", "-export", "-inkey", m.at(name + ".key"), "-in", m.at(name + ".pem"), "-certfile", m.at("ca.pem"), "-name", name, "-out", path}
	args = append(args, more...)
	m.t.Setenv("MATRIX_PASSWORD", password)
	m.run("openssl", append(args, "-passout", "env:MATRIX_PASSWORD")...)
	legacy := []string{"pkcs12", "-in", path, "-passin", "env:MATRIX_PASSWORD", "-nodes"}
	if shape == "3DES and RC2" {
		legacy = append(legacy, "-legacy")
	}
	dump := m.run("openssl", legacy...)
	names := friendlyName.FindAllStringSubmatch(dump, -1)
	if len(names) == 0 || strings.Count(dump, "PRIVATE KEY-----") != 2 {
		m.t.Fatalf("openssl: %s", dump)
	}
	leaf := certificateOf(m.run("openssl", append(legacy, "-clcerts", "-nokeys")...))
	m.read("openssl", shape, path, trustkeep.Password(password), view{line("key", names[0][1], strings.Count(dump, "BEGIN CERTIFICATE"), leaf)})
}

func TestInteropMatrixNSSWrites(t *testing.T) {
	testtool.Need(t, "openssl", "certutil", "pk12util")
	m := newMatrix(t)
	m.pki(rsaAndEC)
	db := m.at("db")
	if err := os.Mkdir(db, 0o700); err != nil {
		t.Fatal(err)
	}
	m.run("certutil", "-N", "-d", "sql:"+db, "--empty-password")
	for name := range rsaAndEC {
		m.run("openssl", "pkcs12", "-export", "-inkey", m.at(name+".key"), "-in", m.at(name+".pem"), "-certfile", m.at("ca.pem"), "-name", name, "-out", m.at("in.p12"), "-passout", "pass:changeit")
		m.run("pk12util", "-i", m.at("in.p12"), "-d", "sql:"+db, "-W", "changeit", "-K", "")
		for shape, args := range map[string][]string{
			"as it comes":  nil,
			"3DES and RC2": {"-c", "PKCS #12 V2 PBE With SHA-1 And 3KEY Triple DES-CBC", "-C", "PKCS #12 V2 PBE With SHA-1 And 40 Bit RC2 CBC", "-M", "SHA-1"},
			"AES-256":      {"-c", "AES-256-CBC", "-C", "AES-256-CBC", "-M", "SHA-512"},
		} {
			path := m.at("nss.p12")
			m.run("pk12util", append([]string{"-o", path, "-n", name, "-d", "sql:" + db, "-K", "", "-W", "changeit"}, args...)...)
			listed := m.run("pk12util", "-l", path, "-d", "sql:"+db, "-W", "changeit", "-K", "")
			_, own, ok := strings.Cut(listed, "Certificate(has private key):")
			sha := regexp.MustCompile(`Fingerprint \(SHA-256\):\s+([0-9A-F:]+)`).FindStringSubmatch(own)
			alias := friendlyName.FindStringSubmatch(listed)
			if !ok || sha == nil || alias == nil {
				t.Fatalf("pk12util: %s", listed)
			}
			m.read("NSS pk12util", name+", "+shape, path, trustkeep.Password("changeit"), view{line("key", alias[1], strings.Count(listed, "\nCertificate"), plainHex(sha[1]))})
		}
	}
}

func TestInteropMatrixGnuTLSWrites(t *testing.T) {
	testtool.Need(t, "openssl", "certtool")
	m := newMatrix(t)
	m.pki(rsaAndEC)
	for name := range rsaAndEC {
		for shape, args := range map[string][]string{
			"as it comes": nil, "3DES": {"--pkcs-cipher", "3des", "--hash", "sha1"}, "RC2": {"--pkcs-cipher", "rc2-40"},
			// 600,000 iterations each, of which 3DES takes three blocks.
			"3DES of RFC 7292": {"--pkcs-cipher", "3des-pkcs12"}, "RC4": {"--pkcs-cipher", "arcfour"}, "AES-256": {"--pkcs-cipher", "aes-256"},
		} {
			path := m.at("gnutls.p12")
			m.run("certtool", append([]string{"--to-p12", "--load-privkey", m.at(name + ".key"), "--load-certificate", m.at(name + ".pem"), "--load-ca-certificate", m.at("ca.pem"),
				"--p12-name", name, "--password", "changeit", "--outder", "--outfile", path}, args...)...)
			info := m.run("certtool", "--p12-info", "--inder", "--infile", path, "--password", "changeit")
			alias := friendlyName.FindStringSubmatch(info)
			if alias == nil {
				t.Fatalf("certtool: %s", info)
			}
			m.read("GnuTLS certtool", name+", "+shape, path, trustkeep.Password("changeit"), view{line("key", alias[1], strings.Count(info, "BEGIN CERTIFICATE"), certificateOf(info))})
		}
	}
}

func TestInteropMatrixSSHKeygenWrites(t *testing.T) {
	testtool.Need(t, "ssh-keygen")
	m := newMatrix(t)
	for _, kind := range []string{"rsa", "ecdsa", "ed25519"} {
		for shape, password := range map[string]string{"plain": "", "with a passphrase": "größe"} {
			for _, format := range []string{"RFC4716", "PKCS8", "PEM"} {
				if format != "RFC4716" && kind == "ed25519" {
					continue // ssh-keygen writes these in its own format only
				}
				path := filepath.Join(t.TempDir(), "id")
				m.run("ssh-keygen", "-q", "-t", kind, "-m", format, "-N", password, "-C", "me", "-f", path)
				printed := strings.Fields(m.run("ssh-keygen", "-l", "-f", path+".pub"))
				var source trustkeep.PasswordSource
				if password != "" {
					source = trustkeep.Password(password)
				}
				ks, err := keystore.Load(path, source)
				if err != nil {
					t.Errorf("%s %s %s: %v", kind, format, shape, err)
					continue
				}
				info, err := ks.CheckKey(ks.Aliases()[0])
				if err != nil || len(printed) < 2 || info.SSHFingerprint != printed[1] || ks.Len() != 1 {
					t.Errorf("%s %s %s: %+v, %v, ssh-keygen prints %q", kind, format, shape, info, err, printed)
					continue
				}
				m.row("ssh-keygen", string(ks.Format()), kind+", "+format+", "+shape, "1 entries", "read")
			}
		}
	}
}
