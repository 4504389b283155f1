package testpki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"testing"
	"time"
)

var fixed = time.Date(2031, 5, 6, 7, 8, 9, 123, time.UTC)

// verify asks crypto/x509, at the time of the PKI, for a server certificate.
func verify(p *PKI, id *Identity, name string) error {
	inter := x509.NewCertPool()
	for _, c := range id.Chain[1:] {
		inter.AddCert(c)
	}
	_, err := id.Cert.Verify(x509.VerifyOptions{
		Roots: p.Roots(), Intermediates: inter, DNSName: name, CurrentTime: p.Now(),
	})
	return err
}

func TestVerdictsOfCryptoX509(t *testing.T) {
	for _, clock := range []time.Time{{}, fixed} {
		p := New(t, Options{Now: clock})
		invalid := func(want x509.InvalidReason) func(error) bool {
			return func(err error) bool {
				var e x509.CertificateInvalidError
				return errors.As(err, &e) && e.Reason == want
			}
		}
		is := func(target any) func(error) bool {
			return func(err error) bool { return errors.As(err, target) }
		}
		good := func(err error) bool { return err == nil }
		tests := []struct {
			name string
			id   *Identity
			want func(error) bool
		}{
			{"server", p.Server(), good},
			{"CA leaf", p.CALeaf(), good},
			{"expired", p.Expired(), invalid(x509.Expired)},
			{"not yet valid", p.NotYetValid(), invalid(x509.Expired)},
			{"wrong usage", p.WrongUsage(), invalid(x509.IncompatibleUsage)},
			{"client as server", p.Client("localhost"), invalid(x509.IncompatibleUsage)},
			{"common name only", p.CommonNameOnly("localhost"), is(new(x509.HostnameError))},
			{"wrong name", p.WrongName(), is(new(x509.HostnameError))},
			{"self-signed", p.SelfSigned(), is(new(x509.UnknownAuthorityError))},
			{"other PKI", New(t, Options{Now: clock}).Server(), is(new(x509.UnknownAuthorityError))},
		}
		for _, test := range tests {
			if err := verify(p, test.id, "localhost"); !test.want(err) {
				t.Errorf("%s at %v: unexpected verdict %v", test.name, p.Now(), err)
			}
		}
	}
}

func TestKeyTypes(t *testing.T) {
	for typ, check := range map[KeyType]func(crypto.Signer) bool{
		0:       func(k crypto.Signer) bool { k2, ok := k.(*ecdsa.PrivateKey); return ok && k2.Params().BitSize == 256 },
		P256:    func(k crypto.Signer) bool { k2, ok := k.(*ecdsa.PrivateKey); return ok && k2.Params().BitSize == 256 },
		P384:    func(k crypto.Signer) bool { k2, ok := k.(*ecdsa.PrivateKey); return ok && k2.Params().BitSize == 384 },
		Ed25519: func(k crypto.Signer) bool { _, ok := k.(ed25519.PrivateKey); return ok },
		RSA2048: func(k crypto.Signer) bool { k2, ok := k.(*rsa.PrivateKey); return ok && k2.N.BitLen() == 2048 },
	} {
		p := New(t, Options{KeyType: typ})
		id := p.Server()
		if !check(id.Key) {
			t.Errorf("type %d: got %T", typ, id.Key)
		}
		if err := verify(p, id, "localhost"); err != nil {
			t.Errorf("type %d: %v", typ, err)
		}
		parsed, err := x509.ParsePKCS8PrivateKey(id.PKCS8())
		if err != nil || !parsed.(interface{ Equal(crypto.PrivateKey) bool }).Equal(id.Key) {
			t.Errorf("type %d: PKCS8 does not give the key back (%v)", typ, err)
		}
		if id.Key.Public().(interface{ Equal(crypto.PublicKey) bool }).Equal(p.Root.Key.Public()) {
			t.Errorf("type %d: leaf and root share a key", typ)
		}
	}
}

func TestNegativeSerial(t *testing.T) {
	for _, typ := range []KeyType{P256, P384, Ed25519, RSA2048} {
		p := New(t, Options{KeyType: typ})
		id := p.NegativeSerial()
		if _, err := x509.ParseCertificate(id.DER); err == nil {
			t.Errorf("type %d: crypto/x509 parses it, so it proves nothing", typ)
		}
		var outer struct {
			TBS struct {
				Raw     asn1.RawContent
				Version int `asn1:"explicit,tag:0"`
				Serial  *big.Int
			}
			Algorithm asn1.RawValue
			Signature asn1.BitString
		}
		if rest, err := asn1.Unmarshal(id.DER, &outer); err != nil || len(rest) > 0 {
			t.Fatalf("type %d: %v, %d octets left", typ, err, len(rest))
		}
		if outer.TBS.Serial.Sign() >= 0 {
			t.Errorf("type %d: serial number %v is not negative", typ, outer.TBS.Serial)
		}
		issuer := p.Intermediate.Cert
		algorithm := p.Server().Cert.SignatureAlgorithm
		if err := issuer.CheckSignature(algorithm, outer.TBS.Raw, outer.Signature.Bytes); err != nil {
			t.Errorf("type %d: %v", typ, err)
		}
		if chain := id.DERChain(); len(chain) != 3 || !bytes.Equal(chain[0], id.DER) {
			t.Errorf("type %d: chain of %d", typ, len(chain))
		}
	}
}

func TestCrossSign(t *testing.T) {
	old, young := New(t, Options{Name: "Old"}), New(t, Options{Name: "Young"})
	leaf := young.Server()
	cross := old.CrossSign(young.Root)
	if !bytes.Equal(cross.Cert.RawSubject, young.Root.Cert.RawSubject) {
		t.Error("subject differs")
	}
	leaf.Chain = append(leaf.Chain[:len(leaf.Chain):len(leaf.Chain)], cross.Cert)
	if err := verify(old, leaf, "localhost"); err != nil {
		t.Errorf("by the cross-certificate: %v", err)
	}
	if err := verify(young, leaf, "localhost"); err != nil {
		t.Errorf("by its own root: %v", err)
	}
}

func TestChainAndPEM(t *testing.T) {
	p := New(t, Options{})
	id := p.Server()
	if len(id.Chain) != 3 || id.Chain[0] != id.Cert || id.Chain[1] != p.Intermediate.Cert || id.Chain[2] != p.Root.Cert {
		t.Fatalf("chain %v", id.Chain)
	}
	if c := id.TLSCertificate(); len(c.Certificate) != 2 || c.Leaf != id.Cert {
		t.Errorf("a handshake presents %d certificates", len(c.Certificate))
	}
	if c := p.SelfSigned().TLSCertificate(); len(c.Certificate) != 1 {
		t.Errorf("a self-signed handshake presents %d certificates", len(c.Certificate))
	}
	if _, err := tls.X509KeyPair(id.ChainPEM(), id.KeyPEM()); err != nil {
		t.Error(err)
	}
	var n int
	for block, rest := pem.Decode(id.ChainPEM()); block != nil; block, rest = pem.Decode(rest) {
		n++
	}
	if n != 3 {
		t.Errorf("%d blocks", n)
	}
}

func TestNames(t *testing.T) {
	c := New(t, Options{}).Server("a.example", "192.0.2.7", "x@a.example").Cert
	if c.Subject.CommonName != "a.example" || len(c.DNSNames) != 1 || c.DNSNames[0] != "a.example" ||
		len(c.IPAddresses) != 1 || !c.IPAddresses[0].Equal(net.IPv4(192, 0, 2, 7)) ||
		len(c.EmailAddresses) != 1 || c.EmailAddresses[0] != "x@a.example" {
		t.Errorf("%v %v %v %v", c.Subject, c.DNSNames, c.IPAddresses, c.EmailAddresses)
	}
}

func TestSeed(t *testing.T) {
	sum := func(o Options) [32]byte {
		p := New(t, o)
		return sha256.Sum256(append(p.Server().ChainPEM(), p.SelfSigned().KeyPEM()...))
	}
	for _, typ := range []KeyType{P256, P384, Ed25519, RSA2048} {
		o := Options{Now: fixed, KeyType: typ, Seed: "same"}
		if first, second := sum(o), sum(o); first != second {
			t.Errorf("type %d: the same seed gives different certificates", typ)
		}
		random := Options{Now: fixed, KeyType: typ}
		if first, second := sum(random), sum(random); first == second {
			t.Errorf("type %d: without seed, certificates repeat", typ)
		}
	}
}

func TestPreparedRSAKeysRunOut(t *testing.T) {
	p := New(t, Options{KeyType: RSA2048})
	seen := map[string]bool{}
	all := []*Identity{p.Root, p.Intermediate}
	for len(all) < 9 {
		all = append(all, p.Server())
	}
	for _, id := range all {
		seen[string(id.PKCS8())] = true
	}
	if len(seen) != 9 {
		t.Errorf("%d different keys of 9", len(seen))
	}
}

func BenchmarkPKI(b *testing.B) {
	for b.Loop() {
		New(b, Options{}).Server()
	}
}
