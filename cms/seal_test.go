package cms_test

import (
	"bytes"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

var ciphers = []cms.Cipher{cms.AES256CBC, cms.AES192CBC, cms.AES128CBC, cms.TripleDESCBC, cms.AES256GCM, cms.AES192GCM, cms.AES128GCM}

var transports = []cms.KeyTransport{cms.PKCS1v15, cms.OAEPSHA256, cms.OAEPSHA1}

func TestSealAndOpen(t *testing.T) {
	p := newPeople(t)
	for _, cipher := range ciphers {
		for _, transport := range transports {
			for _, keyIDs := range []bool{false, true} {
				o := cms.SealOptions{Cipher: cipher, KeyTransport: transport, KeyIDs: keyIDs}
				for _, names := range []string{"rsa", "p256", "rsa rsa2 p256 p384"} {
					if keyIDs && names == "rsa" && !testtool.Long() {
						continue // among the three
					}
					who := p.pick(strings.Fields(names)...)
					t.Run(fmt.Sprint(cipher, transport, keyIDs, names), func(t *testing.T) {
						testSealAndOpen(t, o, who)
					})
				}
			}
		}
	}
}

func testSealAndOpen(t *testing.T, o cms.SealOptions, who []person) {
	content := random(1000)
	sealed, err := o.Seal(content, certsOf(who)...)
	if err != nil {
		t.Fatal(err)
	}
	streamed := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, certsOf(who)...) })
	for _, id := range who {
		for form, message := range map[string][]byte{"DER": sealed, "BER": streamed} {
			before := bytes.Clone(message)
			got, err := cms.Open(message, id)
			if err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s by %s: %d bytes, %v", form, id.Cert.Subject, len(got), err)
			}
			if !bytes.Equal(before, message) {
				t.Errorf("%s: Open changed its input", form)
			}
			r, err := cms.OpenOptions{}.Reader(&drip{r: bytes.NewReader(message)}, id)
			if err != nil {
				t.Errorf("%s by %s: %v", form, id.Cert.Subject, err)
				continue
			}
			if err := iotest.TestReader(r, content); err != nil {
				t.Errorf("%s by %s: %v", form, id.Cert.Subject, err)
			}
		}
	}
}

func TestSealSizes(t *testing.T) {
	p := newPeople(t)
	for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.TripleDESCBC, cms.AES128GCM} {
		for _, n := range sizes {
			o, content := cms.SealOptions{Cipher: cipher}, random(n)
			sealed, err := o.Seal(content, p.rsa.Cert)
			if err != nil {
				t.Fatal(err)
			}
			streamed := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, p.rsa.Cert) })
			for form, message := range map[string][]byte{"DER": sealed, "BER": streamed} {
				if got, err := cms.Open(message, p.rsa); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%v, %d bytes, %s: %d bytes, %v", cipher, n, form, len(got), err)
				}
				r, err := cms.OpenOptions{}.Reader(bytes.NewReader(message), p.rsa)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%v, %d bytes, %s read: %d bytes, %v", cipher, n, form, len(got), err)
				}
			}
		}
	}
}

// Two messages of one content have nothing in common that content decides.
func TestSealIsRandomized(t *testing.T) {
	p := newPeople(t)
	for _, cipher := range ciphers {
		a, err := cms.SealOptions{Cipher: cipher}.Seal(make([]byte, 64), p.rsa.Cert)
		if err != nil {
			t.Fatal(err)
		}
		b, err := cms.SealOptions{Cipher: cipher}.Seal(make([]byte, 64), p.rsa.Cert)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Equal(a[len(a)-64:], b[len(b)-64:]) {
			t.Errorf("%v: two messages end alike", cipher)
		}
	}
}

func TestOpenPEM(t *testing.T) {
	p := newPeople(t)
	content := random(100_000)
	sealed, err := cms.Seal(content, p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	armored := pem.EncodeToMemory(&pem.Block{Type: "CMS", Bytes: sealed})
	for name, text := range map[string][]byte{
		"LF":        armored,
		"CRLF":      bytes.ReplaceAll(armored, []byte("\n"), []byte("\r\n")),
		"old label": bytes.ReplaceAll(armored, []byte(" CMS-----"), []byte(" PKCS7-----")),
	} {
		if got, err := cms.Open(text, p.rsa); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for name, text := range map[string][]byte{
		"no end":     bytes.TrimSuffix(armored, []byte("-----END CMS-----\n")),
		"cut":        armored[:len(armored)/2],
		"first line": []byte("-----BEGIN CMS-----"),
		"empty":      []byte("-----BEGIN CMS-----\n-----END CMS-----\n"),
		"no base64":  bytes.Replace(armored, []byte("MI"), []byte("M*"), 1),
	} {
		if got, err := cms.Open(text, p.rsa); !errors.Is(err, trustkeep.ErrCorrupt) || got != nil {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}

// Old and new identities are offered together while a certificate is replaced.
func TestOpenWithSeveralIdentities(t *testing.T) {
	p := newPeople(t)
	successor := p.person("rsa@example.com", testpki.RSA2048)
	for _, to := range []person{p.rsa, successor, p.p384} {
		sealed, err := cms.Seal([]byte("content"), to.Cert)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cms.Open(sealed, p.rsa, p.p384, successor); err != nil || string(got) != "content" {
			t.Errorf("%s: %q, %v", to.Cert.Subject, got, err)
		}
	}
}

// A renewal with the same key opens what names the key.
func TestKeyIDsSurviveRenewal(t *testing.T) {
	p := newPeople(t)
	request := p.request("rsa@example.com", testpki.RSA2048)
	request.KeyOf = p.rsa.Identity
	renewed := person{p.Issue(request)}
	sealed, err := cms.SealOptions{KeyIDs: true}.Seal([]byte("content"), p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cms.Open(sealed, renewed); err != nil || string(got) != "content" {
		t.Errorf("by key ID: %q, %v", got, err)
	}
	sealed, err = cms.Seal([]byte("content"), p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cms.Open(sealed, renewed); !errors.Is(err, trustkeep.ErrNotFound) || got != nil {
		t.Errorf("by issuer and serial: %q, %v", got, err)
	}
}

func TestOpenNamesRecipientsAndIdentities(t *testing.T) {
	p := newPeople(t)
	for _, keyIDs := range []bool{false, true} {
		sealed, err := cms.SealOptions{KeyIDs: keyIDs}.Seal([]byte("content"), p.rsa.Cert, p.p256.Cert)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cms.Open(sealed, p.rsa2, p.ed)
		var none *cms.NoRecipientError
		if !errors.As(err, &none) || !errors.Is(err, trustkeep.ErrNotFound) || got != nil {
			t.Fatalf("%q, %v", got, err)
		}
		if none.Total != 2 || len(none.Recipients) != 2 || len(none.Offered) != 2 || none.Unsupported != 0 {
			t.Errorf("%+v", none)
		}
		expected := []string{fmt.Sprintf("%x", p.rsa.Cert.SerialNumber), fmt.Sprintf("%x", p.p256.Cert.SerialNumber)}
		if keyIDs {
			expected = []string{fmt.Sprintf("key ID %x", p.rsa.Cert.SubjectKeyId), fmt.Sprintf("key ID %x", p.p256.Cert.SubjectKeyId)}
		}
		for _, part := range append(expected, "Test Intermediate CA", fmt.Sprintf("%x", p.rsa2.Cert.SerialNumber), fmt.Sprintf("%x", p.ed.Cert.SerialNumber)) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%q is not in %q", part, err)
			}
		}
	}
}

func TestSealRefuses(t *testing.T) {
	p := newPeople(t)
	small := trustkeep.Limits{MaxSize: 1000}
	noKeyID := person{p.Issue(testpki.Request{Names: []string{"x@example.com"}, KeyType: testpki.RSA2048})}
	for name, test := range map[string]struct {
		o    cms.SealOptions
		to   []*x509.Certificate
		want error
	}{
		"nobody":           {cms.SealOptions{}, nil, trustkeep.ErrEmpty},
		"nil":              {cms.SealOptions{}, []*x509.Certificate{p.rsa.Cert, nil}, trustkeep.ErrInvalid},
		"Ed25519":          {cms.SealOptions{}, certsOf(p.pick("rsa", "ed")), trustkeep.ErrUnsupported},
		"empty":            {cms.SealOptions{}, []*x509.Certificate{{}}, trustkeep.ErrInvalid},
		"cipher":           {cms.SealOptions{Cipher: 99}, certsOf(p.pick("rsa")), trustkeep.ErrInvalid},
		"key transport":    {cms.SealOptions{KeyTransport: 99}, certsOf(p.pick("rsa")), trustkeep.ErrInvalid},
		"key ID":           {cms.SealOptions{KeyIDs: true}, []*x509.Certificate{noKeyID.Cert}, trustkeep.ErrUnsupported},
		"size":             {cms.SealOptions{Limits: small}, certsOf(p.pick("rsa")), trustkeep.ErrLimit},
		"size with GCM":    {cms.SealOptions{Limits: small, Cipher: cms.AES256GCM}, certsOf(p.pick("rsa")), trustkeep.ErrLimit},
		"recipients":       {cms.SealOptions{Limits: trustkeep.Limits{MaxEntries: 1}}, certsOf(p.pick("rsa", "rsa2")), trustkeep.ErrLimit},
		"recipients (GCM)": {cms.SealOptions{Limits: trustkeep.Limits{MaxEntries: 1}, Cipher: cms.AES128GCM}, certsOf(p.pick("rsa", "rsa2")), trustkeep.ErrLimit},
	} {
		out, err := test.o.Seal(random(1000), test.to...)
		if !errors.Is(err, test.want) || out != nil || !strings.HasPrefix(err.Error(), "cms: seal: ") {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
	// A stream has no limit but where content is held.
	w, err := cms.SealOptions{Limits: small, Cipher: cms.AES256GCM}.Writer(io.Discard, p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(random(1000)); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("GCM stream: %v", err)
	}
	if err := w.Close(); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("GCM stream, Close: %v", err)
	}
	if got := stream(t, random(100_000), func(w io.Writer) (io.WriteCloser, error) {
		return cms.SealOptions{Limits: small}.Writer(w, p.rsa.Cert)
	}); len(got) < 100_000 {
		t.Errorf("CBC stream: %d bytes", len(got))
	}
}

func TestOpenRefusesIdentities(t *testing.T) {
	p := newPeople(t)
	sealed, err := cms.Seal([]byte("content"), p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	swapped := person{&testpki.Identity{Cert: p.rsa.Cert, DER: p.rsa.DER, Key: p.rsa2.Key, Chain: p.rsa.Chain}}
	boom := errors.New("token unplugged")
	for name, test := range map[string]struct {
		ids  []trustkeep.Identity
		want error
	}{
		"none":      {nil, trustkeep.ErrEmpty},
		"nil":       {[]trustkeep.Identity{nil}, trustkeep.ErrInvalid},
		"typed nil": {[]trustkeep.Identity{(*person)(nil)}, trustkeep.ErrInvalid},
		"no key":    {[]trustkeep.Identity{cms.IdentityFunc(func() (*tls.Certificate, error) { return &tls.Certificate{Certificate: [][]byte{{1}}}, nil })}, trustkeep.ErrInvalid},
		"rotten": {[]trustkeep.Identity{cms.IdentityFunc(func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: p.rsa.Key}, nil
		})}, trustkeep.ErrCorrupt},
		"another key": {[]trustkeep.Identity{swapped}, trustkeep.ErrKeyMismatch},
		"error":       {[]trustkeep.Identity{cms.IdentityFunc(func() (*tls.Certificate, error) { return nil, boom })}, boom},
	} {
		if got, err := cms.Open(sealed, test.ids...); !errors.Is(err, test.want) || got != nil {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// Keys come out of a keystore in a wrapping that does not print.
func TestRedactedKeys(t *testing.T) {
	p := newPeople(t)
	for _, who := range p.pick("rsa", "p256", "p384") {
		id := cms.IdentityFunc(func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: who.DERChain(), PrivateKey: redact.Key(who.Key)}, nil
		})
		protected, err := cms.Protect([]byte("secret"), id)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := cms.Unprotect(protected, id); err != nil || string(got) != "secret" {
			t.Errorf("%v: %q, %v", who.Cert.PublicKeyAlgorithm, got, err)
		}
		signed, err := cms.Sign([]byte("content"), id)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := cms.Verify(signed, p.trust); err != nil {
			t.Errorf("%v: %v", who.Cert.PublicKeyAlgorithm, err)
		}
	}
}

// A key that only agrees on keys, as hardware may hold it.
func TestKeyExchangers(t *testing.T) {
	p := newPeople(t)
	key, err := p.p256.Key.(*ecdsa.PrivateKey).ECDH()
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := cms.Seal([]byte("content"), p.p256.Cert, p.p384.Cert)
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		key  crypto.PrivateKey
		cert person
		want error
	}{
		"ecdh":          {key, p.p256, nil},
		"exchanger":     {struct{ ecdh.KeyExchanger }{key}, p.p256, nil},
		"other EC key":  {key, p.p384, trustkeep.ErrKeyMismatch},
		"not EC":        {key, p.rsa, trustkeep.ErrKeyMismatch},
		"only signs":    {struct{ crypto.Signer }{p.p256.Key}, p.p256, trustkeep.ErrUnsupported},
		"wrong and sly": {struct{ ecdh.KeyExchanger }{key}, p.p384, trustkeep.ErrCorrupt},
	} {
		id := cms.IdentityFunc(func() (*tls.Certificate, error) {
			return &tls.Certificate{Certificate: test.cert.DERChain(), PrivateKey: test.key}, nil
		})
		if got, err := cms.Open(sealed, id); !errors.Is(err, test.want) || (err == nil) != (string(got) == "content") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}

// faulty fails from its nth Write on.
type faulty struct {
	n   int
	err error
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestFaultyDestinations(t *testing.T) {
	p := newPeople(t)
	boom := errors.New("disk full")
	for name, open := range map[string]func(io.Writer) (io.WriteCloser, error){
		"CBC": func(w io.Writer) (io.WriteCloser, error) { return cms.SealOptions{}.Writer(w, p.p256.Cert) },
		"GCM": func(w io.Writer) (io.WriteCloser, error) {
			return cms.SealOptions{Cipher: cms.AES256GCM}.Writer(w, p.p256.Cert)
		},
		"sign": func(w io.Writer) (io.WriteCloser, error) { return cms.SignOptions{}.Writer(w, p.p256) },
	} {
		failed := false
		for n := range 100 {
			w, err := open(&faulty{n, boom})
			if err == nil {
				_, err = w.Write(random(1_000_000))
				closed := w.Close()
				if err != nil && !errors.Is(closed, boom) {
					t.Errorf("%s, %d: Write: %v, but Close: %v", name, n, err, closed)
				}
				err = errors.Join(err, closed)
			}
			if err == nil {
				break
			}
			failed = true
			if !errors.Is(err, boom) || !strings.HasPrefix(err.Error(), "cms: ") {
				t.Errorf("%s, %d: %v", name, n, err)
			}
		}
		if !failed {
			t.Errorf("%s: no failure", name)
		}
	}
}

// The settings belong to the call: calls for several partners do not meet.
func TestConcurrentOptions(t *testing.T) {
	p := newPeople(t)
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			o := cms.SealOptions{Cipher: ciphers[i%len(ciphers)], KeyTransport: transports[i%len(transports)], KeyIDs: i%2 == 0}
			who := p.pick("rsa", "p256")[i%2]
			content := random(100 * i)
			sealed, err := o.Seal(content, who.Cert)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := cms.Open(sealed, p.p256, p.rsa); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%v: %v", o, err)
			}
			signed, err := cms.SignOptions{Hash: sha2[i%len(sha2)]}.Sign(content, who)
			if err != nil {
				t.Error(err)
				return
			}
			if got, err := cms.Verify(signed, p.trust); err != nil || got.Signers[0].Hash != sha2[i%len(sha2)] {
				t.Errorf("%v: %v", sha2[i%len(sha2)], err)
			}
		})
	}
	wg.Wait()
}

func TestProtect(t *testing.T) {
	p := newPeople(t)
	noKeyID := person{p.Issue(testpki.Request{Names: []string{"x@example.com"}, KeyType: testpki.RSA2048})}
	secret := []byte("jdbc password")
	for k, names := range [][]trustkeep.Identity{{p.rsa}, {p.p256}, {p.rsa, p.p384}, {noKeyID, p.rsa}} {
		protected, err := cms.Protect(secret, names...)
		if err != nil {
			t.Fatal(err)
		}
		for _, id := range names {
			if got, err := cms.Unprotect(protected, id); err != nil || !bytes.Equal(got, secret) {
				t.Errorf("%q, %v", got, err)
			}
		}
		step := testtool.Rounds(10, 1)
		if k == 1 {
			step = 1 // costs no RSA
		}
		for i := 0; i < len(protected); i += step {
			changed := bytes.Clone(protected)
			changed[i] ^= 4
			got, err := cms.Unprotect(changed, names[0])
			if err == nil && !bytes.Equal(got, secret) || err != nil && got != nil {
				t.Fatalf("byte %d of %d changed: %q, %v", i, len(protected), got, err)
			}
		}
	}
	if got, err := cms.Protect(secret, p.ed); !errors.Is(err, trustkeep.ErrUnsupported) || got != nil {
		t.Errorf("for Ed25519: %x, %v", got, err)
	}
	sealed, err := cms.Seal(secret, p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cms.Unprotect(sealed, p.rsa); !errors.Is(err, trustkeep.ErrUnsupported) || got != nil {
		t.Errorf("not authenticated: %q, %v", got, err)
	}
}
