package session

import (
	"bytes"
	stdecdh "crypto/ecdh"
	"crypto/rand"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/ecdh"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// sealedTo returns the body of a session key packet and the private part that opens it.
func sealedTo(t testing.TB, c *packet.Config, version6 bool) ([]byte, *packet.PrivateKey) {
	t.Helper()
	e, err := openpgp.NewEntity("", "", "a@example.com", c)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := packet.SerializeEncryptedKeyAEADwithHiddenOption(&out, e.Subkeys[0].PublicKey, packet.CipherAES256, version6, make([]byte, 32), false, nil); err != nil {
		t.Fatal(err)
	}
	p, _, err := grammar.Next(out.Bytes(), 0)
	if err != nil {
		t.Fatal(err)
	}
	return p.Body, e.Subkeys[0].PrivateKey
}

func configs() map[string]*packet.Config {
	return map[string]*packet.Config{
		"rsa":      {Algorithm: packet.PubKeyAlgoRSA, RSABits: 2048},
		"cv25519":  {Algorithm: packet.PubKeyAlgoEdDSA, Curve: packet.Curve25519},
		"nistp256": {Algorithm: packet.PubKeyAlgoECDSA, Curve: packet.CurveNistP256},
		"x25519":   {Algorithm: packet.PubKeyAlgoEd25519, V6Keys: true},
	}
}

// TestDecrypt opens what go-crypto seals, and every bit and every octet of it counts.
func TestDecrypt(t *testing.T) {
	for name, c := range configs() {
		for _, version6 := range []bool{false, true} {
			body, private := sealedTo(t, c, version6)
			cipher, key, ok, err := Decrypt(body, private)
			if name == "x25519" {
				if ok {
					t.Errorf("%s: go-crypto's own key", name)
				}
				continue
			}
			if !ok || err != nil || !bytes.Equal(key, make([]byte, 32)) || !version6 && cipher != packet.CipherAES256 {
				t.Errorf("%s: %v, %v", name, ok, err)
			}
			first := 9 // behind version and key ID
			if version6 {
				first = 2 + int(body[1])
			}
			for i := first; i < len(body); i++ {
				damaged := bytes.Clone(body)
				damaged[i] ^= 1
				if _, _, _, err := Decrypt(damaged, private); err == nil && i > first+2 && i != first+3 {
					t.Errorf("%s: octet %d of %d", name, i, len(body))
				}
				if _, _, ok, err := Decrypt(body[:i], private); ok && err == nil {
					t.Errorf("%s: cut at %d", name, i)
				}
			}
		}
	}
}

func FuzzDecrypt(f *testing.F) {
	var keys []*packet.PrivateKey
	for _, name := range []string{"cv25519", "nistp256", "x25519"} {
		body, private := sealedTo(f, configs()[name], name == "x25519")
		f.Add(body)
		keys = append(keys, private)
		if name == "cv25519" { // the same elsewhere
			d := bytes.Clone(private.PrivateKey.(*ecdh.PrivateKey).D)
			elsewhere, err := stdecdh.X25519().NewPrivateKey(d)
			if err != nil {
				f.Fatal(err)
			}
			keys = append(keys, &packet.PrivateKey{PublicKey: private.PublicKey, PrivateKey: elsewhere})
		}
	}
	other, err := stdecdh.X25519().GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	x := *keys[len(keys)-1]
	x.PrivateKey = other
	keys = append(keys, &x)
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, k := range keys {
			_, key, _, err := Decrypt(body, k)
			if err != nil && (!fault.Typed(err) || key != nil) {
				t.Error(err)
			}
		}
	})
}

// FuzzPassword5 opens what it reads only where that is cheap: the caller has checked the cost.
func FuzzPassword5(f *testing.F) {
	f.Add(append([]byte{5, 9, 2, 0, 8}, make([]byte, 15+48)...))
	f.Add(append([]byte{5, 7, 1, 3, 8, 1, 2, 3, 4, 5, 6, 7, 8, 96}, make([]byte, 16+32)...))
	f.Add(append([]byte{5, 8, 3, 1, 8, 1, 2, 3, 4, 5, 6, 7, 8}, make([]byte, 12+40)...))
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := ParsePassword5(body)
		if err != nil {
			if !fault.Typed(err) {
				t.Error(err)
			}
			return
		}
		if body[3] > 1 {
			return
		}
		if key, err := p.Open([]byte("password")); err == nil {
			t.Errorf("opened: %x", key)
		}
	})
}
