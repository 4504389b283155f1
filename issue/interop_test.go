package issue_test

import (
	"net"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// generate is put by the clock of the tools.
func generate(t *testing.T, ks *keystore.Keystore, alias string, o issue.Options) *keystore.Identity {
	t.Helper()
	o.Clock = time.Now
	return put(t, ks, alias, o)
}

var everyKey = []issue.KeyType{issue.ECP256, issue.ECP384, issue.ECP521, issue.RSA2048, issue.RSA3072, issue.RSA4096, issue.Ed25519}

// TestInteropOpenSSLVerifiesEveryPurpose has openssl judge the chains that are
// generated here, in its strict mode, which is the linter used.
func TestInteropOpenSSLVerifiesEveryPurpose(t *testing.T) {
	f := testtool.NewFolder(t, "openssl")
	u, _ := url.Parse("urn:partner:a")
	host := issue.Options{DNSNames: []string{"a.example"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, URIs: []*url.URL{u}}
	email := issue.Options{EmailAddresses: []string{"as2@a.example"}}
	tests := []struct {
		purposes issue.Purposes
		o        issue.Options
		openssl  []string
		subject  string
	}{
		{issue.ForServer, host, []string{"sslserver"}, "a.example"},
		{issue.ForClient, email, []string{"sslclient"}, "client"},
		{issue.ForEmail, email, []string{"smimesign", "smimeencrypt"}, ""},
		{issue.ForServer | issue.ForClient | issue.ForEmail, issue.Options{DNSNames: host.DNSNames, EmailAddresses: email.EmailAddresses},
			[]string{"sslserver", "sslclient", "smimesign"}, "all"},
	}
	for _, key := range everyKey {
		ks := keystore.New()
		root := generate(t, ks, "root", issue.Options{Subject: cn("Root"), Purposes: issue.ForCA, Key: key})
		intermediate := generate(t, ks, "ca", issue.Options{Subject: cn("Intermediate"), Purposes: issue.ForCA, Issuer: root})
		f.Write("root.pem", pemOf(root.Leaf()))
		f.Write("ca.pem", pemOf(intermediate.Leaf()))
		f.Run("openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", "root.pem", "root.pem")
		checked := 0
		for i, test := range tests {
			if key == issue.RSA4096 && i > 0 {
				continue // the time goes into making keys
			}
			o := test.o
			o.Subject, o.Purposes, o.Key, o.Issuer = cn(test.subject), test.purposes, key, intermediate
			id := generate(t, ks, test.purposes.String(), o)
			f.Write("leaf.pem", pemOf(id.Leaf()))
			for _, purpose := range test.openssl {
				isRSA := key == issue.RSA2048 || key == issue.RSA3072 || key == issue.RSA4096
				if purpose == "smimeencrypt" && !isRSA {
					continue // openssl asks for keyEncipherment, which is for RSA alone
				}
				f.Run("openssl", "verify", "-x509_strict", "-check_ss_sig", "-purpose", purpose, "-CAfile", "root.pem", "-untrusted", "ca.pem", "leaf.pem")
				checked++
			}
		}
		t.Logf("openssl verify -x509_strict accepts %d combinations of %s certificate and purpose", checked, key)
	}
}

// TestInteropOpenSSLRequests has openssl verify requests made here and sign
// them; the replies install in several forms.
func TestInteropOpenSSLRequests(t *testing.T) {
	f := testtool.NewFolder(t, "openssl")
	f.Run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=OpenSSL Root", "-days", "2")
	f.Run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.csr", "-subj", "/CN=OpenSSL Intermediate")
	f.Write("ca.ext", []byte("basicConstraints=critical,CA:true,pathlen:0\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n"))
	f.Run("openssl", "x509", "-req", "-in", "ca.csr", "-CA", "root.pem", "-CAkey", "root.key", "-CAcreateserial", "-days", "2", "-extfile", "ca.ext", "-out", "ca.pem")
	f.Run("openssl", "crl2pkcs7", "-nocrl", "-certfile", "root.pem", "-certfile", "ca.pem", "-outform", "DER", "-out", "cas.p7b")
	roots, err := truststore.Load(filepath.Join(f.Dir, "root.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range everyKey {
		ks := keystore.New()
		generate(t, ks, "a", issue.Options{Subject: cn("a.example"), DNSNames: []string{"a.example"}, Key: key})
		f.Write("a.csr", mustRequest(t, ks, "a"))
		out := f.Run("openssl", "req", "-verify", "-noout", "-text", "-in", "a.csr")
		for _, want := range []string{"verify OK", "DNS:a.example", "TLS Web Server Authentication", "Digital Signature"} {
			if !strings.Contains(out, want) {
				t.Errorf("%s: openssl req -verify does not say %q:\n%s", key, want, out)
			}
		}
		f.Run("openssl", "x509", "-req", "-in", "a.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1", "-copy_extensions", "copyall", "-out", "a.pem")
		f.Run("openssl", "crl2pkcs7", "-nocrl", "-certfile", "ca.pem", "-certfile", "a.pem", "-certfile", "root.pem", "-outform", "DER", "-out", "a.p7b")
		f.Run("openssl", "crl2pkcs7", "-nocrl", "-certfile", "root.pem", "-certfile", "a.pem", "-certfile", "ca.pem", "-out", "a.p7b.pem")
		_, err := issue.Install(ks, "a", f.Read("a.pem"), issue.InstallOptions{Trust: roots})
		wantError(t, err, trustkeep.ErrNotFound, `"CN=OpenSSL Intermediate"`)
		for _, reply := range []string{"a.p7b", "a.p7b.pem"} {
			id, err := issue.Install(ks, "a", f.Read(reply), issue.InstallOptions{Trust: roots})
			if err != nil || len(id.Chain()) != 3 || id.SelfSigned() {
				t.Fatalf("%s: %v, %v", reply, id, err)
			}
		}
		t.Logf("%s: openssl req -verify accepts the request; the reply of openssl x509 installs as .p7b in DER and PEM", key)
	}
}

// TestInteropOpenSSLRequestSignedHere is the other direction.
func TestInteropOpenSSLRequestSignedHere(t *testing.T) {
	f := testtool.NewFolder(t, "openssl")
	_, root, intermediate := newCA(t, time.Now)
	f.Write("root.pem", pemOf(root.Leaf()))
	f.Write("ca.pem", pemOf(intermediate.Leaf()))
	for _, alg := range []string{"rsa:2048", "ec -pkeyopt ec_paramgen_curve:P-256", "ed25519"} {
		args := append([]string{"req", "-newkey"}, strings.Fields(alg)...)
		args = append(args, "-nodes", "-keyout", "a.key", "-out", "a.csr", "-subj", "/C=DE/O=Partner/CN=a.example/emailAddress=a@a.example", "-addext", "subjectAltName=DNS:a.example")
		f.Run("openssl", args...)
		reply, err := issue.Sign(intermediate, f.Read("a.csr"), issue.Options{Purposes: issue.ForServer})
		if err != nil {
			t.Fatal(err)
		}
		f.Write("a.pem", reply)
		f.Run("openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "a.example", "-CAfile", "root.pem", "-untrusted", "ca.pem", "a.pem")
		if out := f.Run("openssl", "x509", "-in", "a.pem", "-noout", "-subject"); !strings.Contains(out, "emailAddress = a@a.example") {
			t.Errorf("subject: %s", out)
		}
		f.Run("openssl", "pkcs12", "-export", "-inkey", "a.key", "-in", "a.pem", "-passout", "pass:secret", "-out", "a.p12") // fails unless they match
		t.Logf("a request of openssl for %s, signed here, passes openssl verify -x509_strict and goes with its key", alg)
	}
}

func TestInteropKeytoolRequestSignedHere(t *testing.T) {
	f := testtool.NewFolder(t, "keytool")
	_, root, intermediate := newCA(t, time.Now)
	f.Write("root.pem", pemOf(root.Leaf()))
	store := []string{"-keystore", "a.jks", "-storepass", "changeit", "-alias"}
	f.Run("keytool", append([]string{"-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=a.example, O=Partner, C=DE", "-storetype", "JKS", "-keypass", "changeit"}, append(store, "a")...)...)
	f.Run("keytool", append([]string{"-certreq", "-ext", "san=dns:a.example", "-file", "a.csr"}, append(store, "a")...)...)
	reply, err := issue.Sign(intermediate, f.Read("a.csr"), issue.Options{Validity: 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	f.Write("a.pem", reply)
	f.Run("keytool", append([]string{"-importcert", "-noprompt", "-file", "root.pem"}, append(store, "root")...)...)
	if out := f.Run("keytool", append([]string{"-importcert", "-noprompt", "-file", "a.pem"}, append(store, "a")...)...); !strings.Contains(out, "reply was installed") {
		t.Errorf("keytool -importcert: %s", out)
	}
	loaded, err := keystore.Load(filepath.Join(f.Dir, "a.jks"), trustkeep.Password("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	id, err := loaded.Identity("a")
	if err != nil || len(id.Chain()) != 3 || id.Leaf().DNSNames[0] != "a.example" {
		t.Errorf("%v, %v", id, err)
	}
	t.Log("keytool -importcert accepts the reply made here to its -certreq, as PEM chain against its trusted root")
}

func TestInteropKeytoolSignsRequest(t *testing.T) {
	f := testtool.NewFolder(t, "keytool")
	store := []string{"-keystore", "ca.p12", "-storepass", "changeit", "-alias"}
	f.Run("keytool", append([]string{"-genkeypair", "-keyalg", "RSA", "-keysize", "2048", "-dname", "CN=Keytool Root", "-ext", "bc:c", "-ext", "ku:c=keyCertSign"}, append(store, "root")...)...)
	f.Run("keytool", append([]string{"-exportcert", "-rfc", "-file", "root.pem"}, append(store, "root")...)...)
	ks := keystore.New()
	generate(t, ks, "a", issue.Options{Subject: cn("a.example"), DNSNames: []string{"a.example"}})
	f.Write("a.csr", mustRequest(t, ks, "a"))
	f.Run("keytool", append([]string{"-gencert", "-ext", "honored=all", "-infile", "a.csr", "-outfile", "a.der"}, append(store, "root")...)...)
	f.Run("keytool", append([]string{"-gencert", "-rfc", "-ext", "honored=all", "-infile", "a.csr", "-outfile", "a.pem"}, append(store, "root")...)...)
	roots, err := truststore.Load(filepath.Join(f.Dir, "root.pem"), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, reply := range []string{"a.der", "a.pem"} {
		id, err := issue.Install(ks, "a", f.Read(reply), issue.InstallOptions{Trust: roots})
		if err != nil || len(id.Chain()) != 2 || id.SelfSigned() || id.Leaf().DNSNames[0] != "a.example" {
			t.Errorf("%s: %v, %v", reply, id, err)
		}
	}
	t.Log("the reply of keytool -gencert to a request made here installs, in DER and PEM")
	// A store with a renewed chain is readable by keytool.
	if err := ks.Save(filepath.Join(f.Dir, "a.p12"), trustkeep.SaveOptions{Password: trustkeep.Password("changeit")}); err != nil {
		t.Fatal(err)
	}
	if out := f.Run("keytool", "-list", "-v", "-keystore", "a.p12", "-storepass", "changeit", "-alias", "a"); !strings.Contains(out, "Certificate chain length: 2") {
		t.Errorf("keytool -list:\n%s", out)
	}
	t.Log("keytool lists the store with the installed chain")
}
