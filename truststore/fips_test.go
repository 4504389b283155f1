package truststore_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// Under GODEBUG=fips140=on, each kind of key is accepted in each place of a chain if and
// only if crypto/tls accepts it there.
func TestFIPSKeysAreThoseOfCryptoTLS(t *testing.T) {
	if !fipstest.On(t) {
		return
	}
	pki := testpki.New(t, testpki.Options{})
	for _, k := range []struct {
		name    string
		key     crypto.Signer
		allowed bool
	}{
		{"RSA 1024", rsaKey(t, 1024), false}, {"RSA 2040", rsaKey(t, 2040), false}, {"RSA 2048", rsaKey(t, 2048), true},
		{"P-224", ecKey(t, elliptic.P224()), false}, {"P-256", ecKey(t, elliptic.P256()), true},
		{"P-384", ecKey(t, elliptic.P384()), true}, {"P-521", ecKey(t, elliptic.P521()), true},
		{"Ed25519", edKey(t), true},
	} {
		keyOf := &testpki.Identity{Key: k.key}
		root := pki.Issue(testpki.Request{CommonName: "Root of " + k.name, CA: true, SelfSigned: true, KeyOf: keyOf})
		inter := pki.Issue(testpki.Request{CommonName: "Intermediate of " + k.name, CA: true, Issuer: pki.Root, KeyOf: keyOf})
		leaf := pki.Issue(testpki.Request{Names: []string{host}, KeyOf: keyOf})
		twice := pki.Issue(testpki.Request{CommonName: "Twice", CA: true, Issuer: root})
		other := pki.Issue(testpki.Request{CommonName: "Twice", CA: true, Issuer: pki.Root, KeyOf: twice})
		under := func(issuer *testpki.Identity) *testpki.Identity {
			return pki.Issue(testpki.Request{Names: []string{host}, Issuer: issuer})
		}
		withTwo := under(twice)
		withTwo.Chain = append(withTwo.Chain, other.Cert)
		for _, c := range []struct {
			place   string
			store   []*x509.Certificate
			peer    *testpki.Identity
			allowed bool
		}{
			{"root", []*x509.Certificate{root.Cert}, under(root), k.allowed},
			{"intermediate", []*x509.Certificate{pki.Root.Cert}, under(inter), k.allowed},
			{"intermediate that is trusted", []*x509.Certificate{inter.Cert}, under(inter), k.allowed},
			{"leaf", []*x509.Certificate{pki.Root.Cert}, leaf, k.allowed},
			{"leaf that is trusted", []*x509.Certificate{leaf.Cert}, leaf, k.allowed},
			{"one of two roots", []*x509.Certificate{root.Cert, pki.Root.Cert}, withTwo, true},
		} {
			for _, purpose := range []truststore.Purpose{truststore.Server, truststore.Client} {
				store := truststore.New(c.store...)
				o := truststore.VerifyOptions{Purpose: purpose, Time: pki.Now()}
				if purpose == truststore.Server {
					o.Name = host
				}
				_, err := store.Verify(c.peer.Chain, o)
				if (err == nil) != c.allowed || err != nil && (code(err) != truststore.CodeFIPS || !errors.Is(err, trustkeep.ErrUnsupported)) {
					t.Errorf("%s as %s of a %s: %v", k.name, c.place, purpose, err)
				}
				if theirs := shake(c.peer, store, purpose, pki); (err == nil) != (theirs == nil) {
					t.Errorf("%s as %s of a %s: %v, and crypto/tls says %v", k.name, c.place, purpose, err, theirs)
				}
			}
		}
		// Neither pins nor relaxations make a key good.
		old := pki.Issue(testpki.Request{Names: []string{host}, KeyOf: keyOf, NotBefore: pki.Now().Add(-48 * time.Hour), NotAfter: pki.Now().Add(-time.Hour)})
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: truststore.Relaxations()}
		if _, err := truststore.New(old.Cert).Verify(old.Chain, o); (err == nil) != k.allowed || err != nil && code(err) != truststore.CodeFIPS {
			t.Errorf("%s, relaxed: %v", k.name, err)
		}
		if _, err := truststore.Pinned(truststore.PinKey(leaf.Cert)).Verify(leaf.Chain, o); (err == nil) != k.allowed || err != nil && code(err) != truststore.CodeFIPS {
			t.Errorf("%s, pinned: %v", k.name, err)
		}
		// A pin counts besides a chain that the mode does not allow.
		both, err := truststore.Union(truststore.New(root.Cert), truststore.Pinned(truststore.PinCertificate(under(root).Cert))).Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := both.Verify(under(root).Chain, o); (err == nil) != k.allowed {
			t.Errorf("%s, another leaf pinned: %v", k.name, err)
		}
		pinned := under(root)
		if both, err = truststore.Union(truststore.New(root.Cert), truststore.Pinned(truststore.PinCertificate(pinned.Cert))).Snapshot(); err != nil {
			t.Fatal(err)
		}
		if _, err := both.Verify(pinned.Chain, o); err != nil {
			t.Errorf("%s, the leaf pinned: %v", k.name, err)
		}
	}
}

func rsaKey(t testing.TB, bits int) crypto.Signer {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func ecKey(t testing.TB, curve elliptic.Curve) crypto.Signer {
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func edKey(t testing.TB) crypto.Signer {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// shake asks crypto/tls about the peer, by the pool of the store.
func shake(peer *testpki.Identity, store *truststore.Truststore, purpose truststore.Purpose, pki *testpki.PKI) error {
	s, err := store.Snapshot()
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	defer l.Close()
	us, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return err
	}
	defer us.Close()
	them, err := l.Accept()
	if err != nil {
		return err
	}
	defer them.Close()
	own := pki.Server(host)
	cfg := &tls.Config{Time: pki.Now, ServerName: host, RootCAs: s.Pool(), Certificates: []tls.Certificate{own.TLSCertificate()}}
	cert := tls.Certificate{PrivateKey: peer.Key}
	for _, c := range peer.Chain {
		cert.Certificate = append(cert.Certificate, c.Raw)
	}
	theirs := &tls.Config{
		Time: pki.Now, Certificates: []tls.Certificate{cert}, ServerName: host, RootCAs: pki.Roots(),
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil },
	}
	var decides, other *tls.Conn
	if purpose == truststore.Server {
		decides, other = tls.Client(us, cfg), tls.Server(them, theirs)
	} else {
		cfg.ClientAuth, cfg.ClientCAs = tls.RequireAndVerifyClientCert, s.Pool()
		decides, other = tls.Server(us, cfg), tls.Client(them, theirs)
	}
	done := make(chan error, 1)
	go func() {
		defer them.Close()
		err := other.Handshake()
		if err == nil {
			_, err = other.Read(make([]byte, 1)) // takes tickets and the last alert
		}
		done <- err
	}()
	err = decides.Handshake()
	us.Close()
	<-done
	return err
}
