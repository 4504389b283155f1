package redact

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"testing"
)

// wholeMessages is a key in hardware that hashes by itself.
type wholeMessages struct{ ed25519.PrivateKey }

func (wholeMessages) Sign(io.Reader, []byte, crypto.SignerOpts) ([]byte, error) {
	panic("asked for the signature of a digest")
}

func (k wholeMessages) SignMessage(_ io.Reader, msg []byte, _ crypto.SignerOpts) ([]byte, error) {
	return ed25519.Sign(k.PrivateKey, msg), nil
}

// A wrapped key can do what the key can: sign whole messages and, for EC, agree on keys.
func TestKeyKeepsMethods(t *testing.T) {
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	msg := []byte("message")
	sig, err := crypto.SignMessage(Key(wholeMessages{ed}), rand.Reader, msg, crypto.SHA256)
	if err != nil || !ed25519.Verify(ed.Public().(ed25519.PublicKey), msg, sig) {
		t.Errorf("SignMessage: %v", err)
	}
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	digest := sha256.Sum256(msg)
	if sig, err := crypto.SignMessage(Key(ec), rand.Reader, msg, crypto.SHA256); err != nil || !ecdsa.VerifyASN1(&ec.PublicKey, digest[:], sig) {
		t.Errorf("SignMessage of a key without it: %v", err)
	}
	type agreeing interface {
		ECDH() (*ecdh.PrivateKey, error)
	}
	agrees, ok := Key(ec).(agreeing)
	if !ok {
		t.Fatal("a wrapped EC key has no method ECDH")
	}
	got, err := agrees.ECDH()
	if err != nil {
		t.Fatal(err)
	}
	if want, err := ec.ECDH(); err != nil || !got.Equal(want) {
		t.Errorf("ECDH gives another key, %v", err)
	}
	if _, ok := Key(ed).(agreeing); ok {
		t.Error("an Ed25519 key has the method ECDH")
	}
}
