package cms_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

func passwords(texts ...string) (out []trustkeep.PasswordSource) {
	for _, text := range texts {
		out = append(out, trustkeep.Password(text))
	}
	return out
}

func sharedKey(t testing.TB, id string, size int) *cms.SharedKey {
	t.Helper()
	k, err := cms.NewSharedKey([]byte(id), random(size))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// x25519Person has a certificate for a key that agrees and does nothing else.
func x25519Person(t testing.TB, p *people) (trustkeep.Identity, *x509.Certificate, *ecdh.PrivateKey) {
	t.Helper()
	key, err := ecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	who := p.person("x25519@example.com", testpki.P256)
	der := withPublicKey(t, who.Cert, p.Intermediate, spki(oidDER(t, "1.3.101.110"), nil, key.PublicKey().Bytes()))
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pair := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return cms.IdentityFunc(func() (*tls.Certificate, error) { return pair, nil }), c, key
}

// Recipients of all kinds at once, each of which opens the message alone.
func TestRecipientsOfEveryKind(t *testing.T) {
	p := newPeople(t)
	x, cert, _ := x25519Person(t, p)
	other, _, _ := x25519Person(t, p)
	keys := []*cms.SharedKey{sharedKey(t, "a", 16), sharedKey(t, "b", 24), sharedKey(t, "c", 32)}
	for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.AES192CBC, cms.AES128CBC, cms.TripleDESCBC, cms.AES128GCM, cms.AES256GCM} {
		content := random(70_000)
		if raceEnabled && cipher != cms.AES256CBC {
			content = content[:7_000] // which come octet by octet
		}
		o := cms.SealOptions{Cipher: cipher, SharedKeys: keys}
		if cipher == cms.AES256CBC || testtool.Long() && !raceEnabled { // the derivation takes its time
			o.Passwords = passwords("pass word", "pässwörd")
		}
		der, err := o.Seal(content, p.rsa.Cert, cert, p.p256.Cert)
		if err != nil {
			t.Fatal(err)
		}
		ber := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, p.rsa.Cert, cert, p.p256.Cert) })
		for form, message := range map[string][]byte{"DER": der, "BER": ber} {
			open := func(what string, o cms.OpenOptions, ids ...trustkeep.Identity) {
				t.Helper()
				got, err := o.Open(message, ids...)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%v, %s, %s: %d bytes, %v", cipher, form, what, len(got), err)
				}
				r, err := o.Reader(&drip{r: bytes.NewReader(message)}, ids...)
				if err == nil {
					got, err = io.ReadAll(r)
				}
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%v, %s, %s, Reader: %d bytes, %v", cipher, form, what, len(got), err)
				}
			}
			open("RSA", cms.OpenOptions{}, p.rsa)
			open("EC", cms.OpenOptions{}, p.p256)
			open("X25519", cms.OpenOptions{}, x)
			for i, k := range keys {
				open(fmt.Sprint("shared key ", i), cms.OpenOptions{SharedKeys: []*cms.SharedKey{k}})
			}
			if form == "DER" {
				for _, s := range o.Passwords {
					open("password", cms.OpenOptions{Passwords: []trustkeep.PasswordSource{s}})
				}
			}
			open("a stranger with a shared key", cms.OpenOptions{SharedKeys: keys[:1]}, p.ed)
			if got, err := cms.Open(message, other); !errors.Is(err, trustkeep.ErrNotFound) || got != nil {
				t.Errorf("another X25519 key: %v", err)
			}
			wrong := must(cms.NewSharedKey([]byte("a"), make([]byte, 16)))
			if got, err := (cms.OpenOptions{SharedKeys: []*cms.SharedKey{wrong}}).Open(message); !errors.Is(err, trustkeep.ErrCorrupt) || got != nil {
				t.Errorf("another key of that identifier: %v", err)
			}
			longer := must(cms.NewSharedKey([]byte("a"), make([]byte, 32)))
			if got, err := (cms.OpenOptions{SharedKeys: []*cms.SharedKey{longer}}).Open(message); !errors.Is(err, trustkeep.ErrKeyMismatch) || got != nil {
				t.Errorf("a longer key of that identifier: %v", err)
			}
			_, err := cms.OpenOptions{SharedKeys: []*cms.SharedKey{sharedKey(t, "d", 16)}}.Open(message)
			if !errors.Is(err, trustkeep.ErrNotFound) || !strings.Contains(err.Error(), "1 shared keys") {
				t.Errorf("another identifier: %v", err)
			}
		}
	}
}

func TestSealedByPassword(t *testing.T) {
	p := newPeople(t)
	content := []byte("content")
	message, err := cms.SealOptions{Passwords: passwords("right")}.Seal(content)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := (cms.OpenOptions{Passwords: passwords("right")}).Open(message); err != nil || !bytes.Equal(got, content) {
		t.Errorf("%q, %v", got, err)
	}
	// The fixture is cheap to try.
	if got, err := (cms.OpenOptions{Passwords: passwords("1", "2", "3", "4", "5", "6", "7", "8", "9", "secret")}).Open(fixture(t, "sealed-password.der")); err != nil || len(got) == 0 {
		t.Errorf("the tenth password: %q, %v", got, err)
	}
	if got, err := (cms.OpenOptions{Passwords: passwords("wrong", "")}).Open(message); !errors.Is(err, trustkeep.ErrIncorrectPassword) || got != nil {
		t.Errorf("wrong passwords: %v", err)
	}
	if got, err := (cms.OpenOptions{Passwords: passwords("right"), Limits: trustkeep.Limits{MaxIterations: 100_000}}).Open(message); !errors.Is(err, trustkeep.ErrLimit) || got != nil {
		t.Errorf("limit: %v", err)
	}
	boom := errors.New("boom")
	failing := []trustkeep.PasswordSource{trustkeep.PasswordFunc(func() ([]byte, error) { return nil, boom })}
	if _, err := (cms.OpenOptions{Passwords: failing}).Open(message); !errors.Is(err, boom) {
		t.Errorf("failing source: %v", err)
	}
	asked := []trustkeep.PasswordSource{trustkeep.PasswordFunc(func() ([]byte, error) { t.Error("asked"); return nil, boom })}
	if _, err := (cms.OpenOptions{Passwords: asked}).Open(must(cms.Seal(content, p.p256.Cert)), p.p256); err != nil {
		t.Error(err)
	}
	if _, err := (cms.SealOptions{Passwords: failing}).Seal(content); !errors.Is(err, boom) {
		t.Errorf("failing source: %v", err)
	}
	for name, o := range map[string]cms.SealOptions{
		"empty password": {Passwords: passwords("")},
		"nil password":   {Passwords: []trustkeep.PasswordSource{nil}},
		"nil key":        {SharedKeys: []*cms.SharedKey{nil}},
		"zero key":       {SharedKeys: []*cms.SharedKey{{}}},
	} {
		if got, err := o.Seal(content); !errors.Is(err, trustkeep.ErrInvalid) || got != nil {
			t.Errorf("%s: %v", name, err)
		}
		if name == "empty password" {
			continue
		}
		open := cms.OpenOptions{Passwords: o.Passwords, SharedKeys: o.SharedKeys}
		if got, err := open.Open(message, p.rsa); !errors.Is(err, trustkeep.ErrInvalid) || got != nil {
			t.Errorf("%s: opened: %v", name, err)
		}
	}
	if _, err := (cms.SealOptions{Passwords: passwords("1", "2", "3", "4", "5", "6", "7", "8", "9")}).Seal(content); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("nine passwords: %v", err)
	}
	if _, err := cms.Open(message); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("nothing to open it with: %v", err)
	}
	for name, test := range map[string]struct{ id, key []byte }{
		"no identifier": {nil, make([]byte, 16)}, "short": {[]byte("a"), make([]byte, 15)}, "none": {[]byte("a"), nil}, "long": {[]byte("a"), make([]byte, 64)},
	} {
		if k, err := cms.NewSharedKey(test.id, test.key); !errors.Is(err, trustkeep.ErrInvalid) || k != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	k := must(cms.NewSharedKey([]byte("name"), []byte("0123456789abcdef")))
	testleak.Check(t, k, []byte("0123456789abcdef"))
	testleak.Check(t, cms.SealOptions{SharedKeys: []*cms.SharedKey{k}, Passwords: passwords("canary of a password")}, []byte("0123456789abcdef"), []byte("canary of a password"))
}

// Every octet of what was sealed for a password, a shared key or an X25519 key is changed, and
// the message is cut everywhere.
func TestDamagedRecipients(t *testing.T) {
	p := newPeople(t)
	x, cert, _ := x25519Person(t, p)
	content := []byte("content")
	key := sharedKey(t, "a", 32)
	// The fixture is cheap to try.
	byPassword := fixture(t, "sealed-password.der")
	for name, test := range map[string]struct {
		message []byte
		o       cms.OpenOptions
		ids     []trustkeep.Identity
		content []byte
	}{
		"X25519":     {must(cms.SealOptions{Cipher: cms.AES256GCM}.Seal(content, cert)), cms.OpenOptions{}, []trustkeep.Identity{x}, content},
		"shared key": {must(cms.SealOptions{Cipher: cms.AES256GCM, SharedKeys: []*cms.SharedKey{key}}.Seal(content)), cms.OpenOptions{SharedKeys: []*cms.SharedKey{key}}, nil, content},
		"password":   {byPassword, cms.OpenOptions{Passwords: passwords("secret"), Limits: trustkeep.Limits{MaxIterations: 10_000}}, nil, fixture(t, "content.txt")},
	} {
		known := func(err error) bool {
			return typed(err) || errors.Is(err, trustkeep.ErrIncorrectPassword) || errors.Is(err, trustkeep.ErrKeyMismatch)
		}
		if got, err := test.o.Open(test.message, test.ids...); err != nil || !bytes.Equal(got, test.content) {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		same := 0
		for n := range test.message {
			if got, err := test.o.Open(test.message[:n], test.ids...); err == nil || got != nil || !known(err) {
				t.Fatalf("%s cut at %d: %v", name, n, err)
			}
			for _, bit := range []byte{1, 0x80} {
				changed := bytes.Clone(test.message)
				changed[n] ^= bit
				got, err := test.o.Open(changed, test.ids...)
				if err != nil && !known(err) {
					t.Fatalf("%s, octet %d changed: %v", name, n, err)
				}
				if err == nil && bytes.Equal(got, test.content) {
					same++
				}
			}
		}
		t.Logf("%s: %d of %d changes do not matter", name, same, 2*len(test.message))
	}
}

func TestInteropOpenSSLPasswordsAndSharedKeys(t *testing.T) {
	p := newPeople(t)
	ssl := newOpenSSL(t, p)
	content := random(10_000)
	for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.AES128CBC, cms.TripleDESCBC, cms.AES256GCM} {
		ours := must(cms.SealOptions{Cipher: cipher, Passwords: passwords("pass wörd")}.Seal(content))
		if got, err := ssl.cms(ours, "-decrypt", "-binary", "-inform", "DER", "-pwri_password", "pass wörd"); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%v: openssl by password: %v", cipher, err)
		}
		if got, err := ssl.cms(ours, "-decrypt", "-binary", "-inform", "DER", "-pwri_password", "wrong"); err == nil && bytes.Equal(got, content) {
			t.Error("openssl opens by a wrong password")
		}
	}
	for _, cipher := range []string{"-aes-256-cbc", "-aes-128-cbc", "-des3"} {
		theirs, err := ssl.cms(content, "-encrypt", "-binary", "-outform", "DER", cipher, "-pwri_password", "pass wörd")
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (cms.OpenOptions{Passwords: passwords("wrong", "pass wörd")}).Open(theirs); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%s by password: %v", cipher, err)
		}
		t.Logf("passwords, %s: both ways", cipher)
	}
	for _, size := range []int{16, 24, 32} {
		id, key := []byte{0, 1, 2, 3}, random(size)
		shared := []*cms.SharedKey{must(cms.NewSharedKey(id, key))}
		secret := []string{"-secretkey", hex.EncodeToString(key), "-secretkeyid", hex.EncodeToString(id)}
		for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.AES128CBC, cms.AES256GCM} {
			for form, ours := range map[string][]byte{
				"DER": must(cms.SealOptions{Cipher: cipher, SharedKeys: shared}.Seal(content)),
				"BER": stream(t, content, func(w io.Writer) (io.WriteCloser, error) {
					return cms.SealOptions{Cipher: cipher, SharedKeys: shared}.Writer(w)
				}),
			} {
				if got, err := ssl.cms(ours, append([]string{"-decrypt", "-binary", "-inform", "DER"}, secret...)...); err != nil || !bytes.Equal(got, content) {
					t.Errorf("%v, %s: openssl by shared key: %v", cipher, form, err)
				}
			}
		}
		theirs, err := ssl.cms(content, append([]string{"-encrypt", "-binary", "-outform", "DER", "-aes-256-cbc"}, secret...)...)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := (cms.OpenOptions{SharedKeys: shared}).Open(theirs); err != nil || !bytes.Equal(got, content) {
			t.Errorf("shared key of %d bytes: %v", size, err)
		}
		t.Logf("shared keys of %d bytes: both ways", size)
	}
}
