package redact

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"encoding/base64"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

func TestNothingPrintsTheKey(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	canary := ed.Seed()
	key := Key(ed)
	secret := NewSecret(canary)
	nested := struct {
		TLS    tls.Certificate
		Secret *Secret
		Any    any

		cert   tls.Certificate
		key    crypto.Signer
		secret *Secret
		whole  Secret
	}{tls.Certificate{PrivateKey: key}, secret, key, tls.Certificate{PrivateKey: key}, key, secret, *secret}

	var out bytes.Buffer
	log := slog.New(slog.NewJSONHandler(&out, nil))
	for _, v := range []any{key, secret, nested, &nested, []any{key}, map[string]any{"k": secret}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%o", "%b", "%c", "%U", "%t", "%e"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		log.Info("key", "value", v)
		_ = gob.NewEncoder(&out).Encode(v)
	}
	printed := out.String()
	if !strings.Contains(printed, text) {
		t.Fatal("nothing was printed")
	}
	for name, form := range map[string]string{
		"raw": string(canary), "hex": hex.EncodeToString(canary), "HEX": strings.ToUpper(hex.EncodeToString(canary)),
		"base64":  base64.StdEncoding.EncodeToString(canary)[:40],
		"decimal": strings.Trim(fmt.Sprint(canary[:8]), "[]"),
		"go":      strings.Trim(fmt.Sprintf("%#v", canary[:8]), "[]byte{}"),
	} {
		if strings.Contains(printed, form) {
			t.Errorf("the key was printed, as %s", name)
		}
	}
}

func TestKeyWorks(t *testing.T) {
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	ecKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := make([]byte, 32)
	for _, key := range []crypto.Signer{rsaKey, ecKey} {
		wrapped := Key(key)
		_, canDecrypt := key.(crypto.Decrypter)
		if _, ok := wrapped.(crypto.Decrypter); ok != canDecrypt {
			t.Errorf("%T: decrypts: %v", key, ok)
		}
		sig, err := wrapped.Sign(rand.Reader, digest, crypto.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		switch pub := wrapped.Public().(type) {
		case *rsa.PublicKey:
			if err := rsa.VerifyPKCS1v15(pub, crypto.SHA256, digest, sig); err != nil {
				t.Error(err)
			}
		case *ecdsa.PublicKey:
			if !ecdsa.VerifyASN1(pub, digest, sig) {
				t.Error("ECDSA signature does not verify")
			}
		}
		if wrapped.(Revealer).Reveal() != key || Key(wrapped) != wrapped {
			t.Errorf("%T: wrapped twice or lost", key)
		}
	}
}

func TestSecret(t *testing.T) {
	in := []byte("changeit")
	s := NewSecret(in)
	in[0] = 'X'
	if string(s.Bytes()) != "changeit" {
		t.Error("the secret shares the caller's memory")
	}
	var none *Secret
	if NewSecret(nil) != nil || NewSecret([]byte{}) == nil || none.Bytes() != nil || NewSecret([]byte{}).Bytes() == nil {
		t.Error("no secret and the empty secret are mixed up")
	}
	if none.Equal(NewSecret([]byte{})) || !s.Equal(NewSecret([]byte("changeit"))) || s.Equal(none) {
		t.Error("Equal")
	}
	b := s.Bytes()
	s.Wipe()
	none.Wipe()
	if !bytes.Equal(b, make([]byte, 8)) || len(s.Bytes()) != 0 {
		t.Errorf("after Wipe: %q", b)
	}
}
