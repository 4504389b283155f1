package bridge_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/sha1"
	"crypto/x509"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	keystorego "github.com/pavlo-v-chernykh/keystore-go/v4"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/bridge"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/truststore"
)

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
	}
}

func equalKeys(a, b *keystore.Identity) bool {
	public, ok := a.Signer().Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && public.Equal(b.Signer().Public())
}

func raw(certs []*x509.Certificate) (out [][]byte) {
	for _, c := range certs {
		out = append(out, c.Raw)
	}
	return out
}

func chainOf(certs ...*x509.Certificate) (out []keystorego.Certificate) {
	for _, c := range certs {
		out = append(out, keystorego.Certificate{Type: "X509", Content: c.Raw})
	}
	return out
}

func pkcs8Of(t *testing.T, id *keystore.Identity) []byte {
	t.Helper()
	key, _, _, err := bridge.ToPKCS12(id)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestFromKeystoreGoKeepsKeysAndTheirPasswords(t *testing.T) {
	pki := pkitest.New(t)
	ks := keystorego.New(keystorego.WithOrderedAliases(), keystorego.WithCaseExactAliases())
	made := time.UnixMilli(1_700_000_000_000)
	for alias, id := range map[string]*keystore.Identity{"A-Server": pki.Server, "client": pki.Client} {
		entry := keystorego.PrivateKeyEntry{CreationTime: made, PrivateKey: pkcs8Of(t, id), CertificateChain: chainOf(id.Chain()...)}
		if err := ks.SetPrivateKeyEntry(alias, entry, []byte("key of "+alias)); err != nil {
			t.Fatal(err)
		}
	}
	if err := ks.SetTrustedCertificateEntry("root", keystorego.TrustedCertificateEntry{CreationTime: made, Certificate: chainOf(pki.CA.Leaf())[0]}); err != nil {
		t.Fatal(err)
	}
	k, err := bridge.FromKeystoreGo(ks, trustkeep.Password("store password"))
	if err != nil {
		t.Fatal(err)
	}
	if got := k.Aliases(); !slices.Equal(got, []string{"A-Server", "client", "root"}) {
		t.Errorf("aliases %q", got)
	}
	if _, err := k.Identity("client"); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("opened with the store's password: %v", err)
	}
	id, err := k.IdentityWithPassword("a-server", trustkeep.Password("key of A-Server"))
	if err != nil {
		t.Fatal(err)
	}
	if !equalKeys(id, pki.Server) || !slices.EqualFunc(raw(id.Chain()), raw(pki.Server.Chain()), bytes.Equal) {
		t.Errorf("another identity: %v", id)
	}
	if e, err := k.Entry("root"); err != nil || e.Kind != keystore.TrustedEntry || !e.Created.Equal(made) {
		t.Errorf("%+v, %v", e, err)
	}
}

func TestToKeystoreGoAndBack(t *testing.T) {
	pki := pkitest.New(t)
	k := keystore.New()
	for alias, set := range map[string]func(string) error{
		"server": func(alias string) error { return k.SetIdentity(alias, pki.Server) },
		"root":   func(alias string) error { return k.SetTrusted(alias, pki.CA.Leaf()) },
	} {
		if err := set(alias); err != nil {
			t.Fatal(err)
		}
	}
	password := trustkeep.Password("pässword")
	ks, err := bridge.ToKeystoreGo(k, password)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := ks.GetPrivateKeyEntry("server", []byte("p\xe4ssword"))
	if err != nil || !bytes.Equal(opened.PrivateKey, pkcs8Of(t, pki.Server)) || len(opened.CertificateChain) != len(pki.Server.Chain()) {
		t.Fatalf("%d certificates, %v", len(opened.CertificateChain), err)
	}
	if c, err := ks.GetTrustedCertificateEntry("root"); err != nil || !bytes.Equal(c.Certificate.Content, pki.CA.Leaf().Raw) {
		t.Errorf("root: %v", err)
	}
	back, err := bridge.FromKeystoreGo(ks, password)
	if err != nil {
		t.Fatal(err)
	}
	if id, err := back.Identity("server"); err != nil || !equalKeys(id, pki.Server) {
		t.Errorf("%v, %v", id, err)
	}
}

func TestKeystoreGoIsRefusedWithTheReason(t *testing.T) {
	pki := pkitest.New(t)
	k := keystore.New()
	if err := k.SetIdentity("server", pki.Server); err != nil {
		t.Fatal(err)
	}
	_, err := bridge.ToKeystoreGo(nil, trustkeep.Password("x"))
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = bridge.ToKeystoreGo(k, nil)
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = bridge.ToKeystoreGo(k, trustkeep.Password("日本"))
	wantError(t, err, trustkeep.ErrUnsupported)
	_, err = bridge.FromKeystoreGo(keystorego.New(), nil)
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = bridge.FromKeystoreGo(keystorego.New(keystorego.WithMinPasswordLen(6)), trustkeep.Password("short"))
	wantError(t, err, trustkeep.ErrInvalid)
	secret, err := keystore.NewSecretKey("AES", make([]byte, 16))
	if err != nil {
		t.Fatal(err)
	}
	if err := k.SetSecretKey("secret", secret); err != nil {
		t.Fatal(err)
	}
	_, err = bridge.ToKeystoreGo(k, trustkeep.Password("x"))
	wantError(t, err, trustkeep.ErrUnsupported)
	// The zero KeyStore has no map; it is empty.
	if k, err := bridge.FromKeystoreGo(keystorego.KeyStore{}, trustkeep.Password("x")); err != nil || k.Len() != 0 {
		t.Errorf("%v, %v", k, err)
	}
}

func TestPKCS12ThereAndBack(t *testing.T) {
	pki := pkitest.New(t)
	key, cert, issuers, err := bridge.ToPKCS12(pki.Server)
	if err != nil {
		t.Fatal(err)
	}
	data, err := pkcs12.Modern.Encode(key, cert, issuers, "secret")
	if err != nil {
		t.Fatal(err)
	}
	key, cert, issuers, err = pkcs12.DecodeChain(data, "secret")
	if err != nil {
		t.Fatal(err)
	}
	// The wrong certificate first, as go-pkcs12 returns it for some files.
	for _, order := range [][]*x509.Certificate{append([]*x509.Certificate{cert}, issuers...), append(slices.Clone(issuers), cert)} {
		id, err := bridge.FromPKCS12(key, order[0], order[1:])
		if err != nil {
			t.Fatal(err)
		}
		if !equalKeys(id, pki.Server) || !slices.EqualFunc(raw(id.Chain()), raw(pki.Server.Chain()), bytes.Equal) {
			t.Errorf("another identity: %v", id)
		}
	}
	_, err = bridge.FromPKCS12(key, pki.Client.Leaf(), nil)
	wantError(t, err, trustkeep.ErrKeyMismatch)
	_, err = bridge.FromPKCS12(nil, cert, nil)
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = bridge.FromPKCS12(key, cert, []*x509.Certificate{nil})
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = bridge.FromPKCS12("key", cert, nil)
	wantError(t, err, trustkeep.ErrUnsupported)
	_, _, _, err = bridge.ToPKCS12(nil)
	wantError(t, err, trustkeep.ErrInvalid)
	inHardware, err := keystore.NewIdentity(token{pki.Server.Signer()}, pki.Server.Chain()...)
	if err != nil {
		t.Fatal(err)
	}
	_, _, _, err = bridge.ToPKCS12(inHardware)
	wantError(t, err, trustkeep.ErrUnsupported)
}

// token is a key that cannot be had.
type token struct{ crypto.Signer }

// TestToPKCS12KeepsTheWholeChain, also an issuer that crypto/x509 refuses.
func TestToPKCS12KeepsTheWholeChain(t *testing.T) {
	server := pkitest.New(t).Server
	refused := &x509.Certificate{Raw: []byte{0x30, 3, 2, 1, 0}}
	id, err := keystore.NewIdentity(server.Signer(), append(server.Chain(), refused)...)
	if err != nil {
		t.Fatal(err)
	}
	key, leaf, issuers, err := bridge.ToPKCS12(id)
	if err != nil || len(issuers) != len(server.Chain()) || !bytes.Equal(issuers[len(issuers)-1].Raw, refused.Raw) {
		t.Fatalf("%d issuers, %v", len(issuers), err)
	}
	back, err := bridge.FromPKCS12(key, leaf, issuers)
	if err != nil {
		t.Fatal(err)
	}
	want, _ := id.TLSCertificate()
	if got, _ := back.TLSCertificate(); !slices.EqualFunc(got.Certificate, want.Certificate, bytes.Equal) {
		t.Errorf("%d certificates", len(got.Certificate))
	}
}

func TestTrustStoreEntriesThereAndBack(t *testing.T) {
	pki := pkitest.New(t)
	store := truststore.New()
	for alias, cert := range map[string]*x509.Certificate{"root": pki.CA.Leaf(), "partner": pki.Server.Leaf()} {
		if err := store.Add(alias, cert); err != nil {
			t.Fatal(err)
		}
	}
	entries := bridge.ToTrustStoreEntries(store)
	if _, err := pkcs12.Modern.EncodeTrustStoreEntries(entries, "secret"); err != nil {
		t.Fatal(err)
	}
	back, err := bridge.FromTrustStoreEntries(entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range store.Entries() {
		if got, err := back.Entry(e.Alias); err != nil || !got.Certificate.Equal(e.Certificate) {
			t.Errorf("%q: %v", e.Alias, err)
		}
	}
	unnamed, err := bridge.FromTrustStoreEntries([]pkcs12.TrustStoreEntry{{Cert: pki.CA.Leaf()}, {Cert: pki.Server.Leaf()}})
	if err != nil || unnamed.Len() != 2 {
		t.Errorf("%v, %v", unnamed, err)
	}
	_, err = bridge.FromTrustStoreEntries([]pkcs12.TrustStoreEntry{{FriendlyName: "none"}})
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = bridge.FromTrustStoreEntries([]pkcs12.TrustStoreEntry{{Cert: pki.CA.Leaf(), FriendlyName: "a"}, {Cert: pki.CA.Leaf(), FriendlyName: "A"}})
	wantError(t, err, trustkeep.ErrExists)
	if bridge.ToTrustStoreEntries(nil) != nil {
		t.Error("entries of nil")
	}
}

// shortKeyJKS is a JKS store whose key is shorter than its salt, on which keystore-go
// panics.
func shortKeyJKS(t *testing.T, password string) []byte {
	t.Helper()
	ks := keystorego.New()
	key := make([]byte, 64)
	rand.Read(key)
	pki := pkitest.New(t)
	if err := ks.SetPrivateKeyEntry("k", keystorego.PrivateKeyEntry{PrivateKey: key, CertificateChain: chainOf(pki.CA.Leaf())}, []byte(password)); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := ks.Store(&out, []byte(password)); err != nil {
		t.Fatal(err)
	}
	b := out.Bytes()
	// The encrypted key: SEQUENCE { AlgorithmIdentifier, OCTET STRING of 20+64+20 }.
	at := bytes.Index(b, []byte{0x04, 20 + 64 + 20})
	if at < 0 {
		t.Fatal("no key found")
	}
	// A shorter octet string; what it loses is left out of every length around it.
	const cut = 20 + 64 + 20 - 4
	start := bytes.LastIndex(b[:at], []byte{0x30, 0x0e})
	seq := start - 2 // SEQUENCE, short form of length
	if seq < 4 || b[seq] != 0x30 {
		seq = start - 3
	}
	body := append([]byte{}, b[start:at]...)
	body = append(body, 0x04, 4, 1, 2, 3, 4)
	der := append([]byte{0x30, byte(len(body))}, body...)
	var edited []byte
	edited = append(edited, b[:seq-4]...)
	edited = append(edited, 0, 0, 0, byte(len(der)))
	edited = append(edited, der...)
	edited = append(edited, b[at+2+cut+4:len(b)-sha1.Size]...)
	h := sha1.New()
	for _, c := range []byte(password) {
		h.Write([]byte{0, c})
	}
	h.Write([]byte("Mighty Aphrodite"))
	h.Write(edited)
	return h.Sum(edited)
}

func TestOpinionsPrint(t *testing.T) {
	for _, v := range []bridge.Outcome{bridge.Agreed, bridge.Disagreed, bridge.NotAsked} {
		if v.String() == "invalid" {
			t.Error(v)
		}
	}
	if got := (bridge.Opinion{Peer: "keystore-go", Outcome: bridge.Disagreed, Reason: "why"}).String(); got != "keystore-go disagreed: why" {
		t.Error(got)
	}
	if !strings.Contains(bridge.Ask(trustkeep.Encoded{Container: trustkeep.PEM}).String(), "not asked") {
		t.Error("PEM")
	}
}
