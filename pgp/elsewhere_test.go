package pgp

import (
	"bytes"
	"context"
	"crypto"
	stdecdh "crypto/ecdh"
	stdecdsa "crypto/ecdsa"
	stded25519 "crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"io"
	"math/big"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/ecdh"
	"github.com/ProtonMail/go-crypto/openpgp/ecdsa"
	"github.com/ProtonMail/go-crypto/openpgp/ed25519"
	"github.com/ProtonMail/go-crypto/openpgp/eddsa"
	"github.com/ProtonMail/go-crypto/openpgp/x25519"
	"github.com/trustkeep/trustkeep"
)

// card is a private key of which only the operations can be reached.
type card struct {
	signer    crypto.Signer
	decrypter crypto.Decrypter
	err       error
	calls     int
}

func (c *card) Public() crypto.PublicKey { return c.signer.Public() }

func (c *card) Sign(r io.Reader, digest []byte, o crypto.SignerOpts) ([]byte, error) {
	c.calls++
	if c.err != nil {
		return nil, c.err
	}
	return c.signer.Sign(r, digest, o)
}

func (c *card) Decrypt(r io.Reader, data []byte, o crypto.DecrypterOpts) ([]byte, error) {
	c.calls++
	if c.err != nil {
		return nil, c.err
	}
	return c.decrypter.Decrypt(r, data, o)
}

// exchanger is the same for a key exchange.
type exchanger struct {
	key   *stdecdh.PrivateKey
	err   error
	calls int
}

func (x *exchanger) PublicKey() *stdecdh.PublicKey { return x.key.PublicKey() }
func (x *exchanger) Curve() stdecdh.Curve          { return x.key.Curve() }
func (x *exchanger) ECDH(p *stdecdh.PublicKey) ([]byte, error) {
	x.calls++
	if x.err != nil {
		return nil, x.err
	}
	return x.key.ECDH(p)
}

// onCard takes the private parts of an unlocked key to where they can only be used.
func onCard(t testing.TB, k *Key) (cards []crypto.PrivateKey) {
	t.Helper()
	for _, p := range privateKeys(k.view(Legacy)) {
		switch key := p.PrivateKey.(type) {
		case *rsa.PrivateKey:
			cards = append(cards, &card{signer: key, decrypter: key})
		case *ecdsa.PrivateKey:
			curve := map[int]elliptic.Curve{32: elliptic.P256(), 48: elliptic.P384(), 66: elliptic.P521()}[(key.X.BitLen()+15)/16*2]
			if curve == nil {
				curve = elliptic.P256()
			}
			std, err := stdecdsa.ParseRawPrivateKey(curve, key.D.FillBytes(make([]byte, (curve.Params().BitSize+7)/8)))
			if err != nil {
				t.Fatal(err)
			}
			cards = append(cards, &card{signer: std})
		case *eddsa.PrivateKey:
			cards = append(cards, &card{signer: stded25519.NewKeyFromSeed(key.D)})
		case *ed25519.PrivateKey:
			cards = append(cards, &card{signer: stded25519.NewKeyFromSeed(key.Key[:32])})
		case *ecdh.PrivateKey:
			curve, d := stdecdh.X25519(), bytes.Clone(key.D)
			if len(key.Point) != 32 {
				curve = map[int]stdecdh.Curve{65: stdecdh.P256(), 97: stdecdh.P384(), 133: stdecdh.P521()}[len(key.MarshalPoint())]
				d = new(big.Int).SetBytes(d).FillBytes(make([]byte, len(key.MarshalPoint())/2))
			}
			std, err := curve.NewPrivateKey(d)
			if err != nil {
				t.Fatal(err)
			}
			cards = append(cards, &exchanger{key: std})
		case *x25519.PrivateKey:
			std, err := stdecdh.X25519().NewPrivateKey(key.Secret)
			if err != nil {
				t.Fatal(err)
			}
			cards = append(cards, &exchanger{key: std})
		default:
			t.Fatalf("%T", key)
		}
	}
	return cards
}

// elsewherePresets are those whose algorithms crypto.Signer and ecdh.KeyExchanger have.
var elsewherePresets = []Preset{PresetGnuPG22, PresetRSA3072, PresetNISTP256, PresetNISTP384, PresetNISTP521, PresetRFC9580}

// TestPrivateKeysElsewhere signs, decrypts and changes keys whose private parts can only be
// used, and compares with what the key in memory makes.
func TestPrivateKeysElsewhere(t *testing.T) {
	const content = "content\n"
	for _, p := range elsewherePresets {
		inMemory := testKeys()[p]
		cards := onCard(t, inMemory)
		k, err := inMemory.Public().WithPrivate(cards...)
		if err != nil {
			t.Fatalf("%s: %v", p, err)
		}
		if err := errors.Join(k.CanSign(Options{}), k.CanEncrypt(Options{})); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if k.IsLocked() || k.IsPrivate() || k.Info(Options{}).Secret != SecretOpen {
			t.Errorf("%s: %+v", p, k.Info(Options{}))
		}
		for _, how := range []string{"message", "detached", "cleartext"} {
			if res, _, err := verified(Verification{Signers: []*Key{inMemory}}, how, content, signed(t, Signing{Signers: []*Key{k}}, how, content)); err != nil || res.Signature != SignatureValid {
				t.Errorf("%s %s: %v", p, how, err)
			}
		}
		message := encrypted(t, Encryption{To: []*Key{inMemory.Public()}, ToHidden: []*Key{inMemory.Public()}, Signers: []*Key{k}}, []byte(content))
		var out bytes.Buffer
		if _, err := (Decryption{Keys: []*Key{k}, Signers: []*Key{inMemory}}).Decrypt(&out, bytes.NewReader(message)); err != nil || out.String() != content {
			t.Errorf("%s: %q, %v", p, out.String(), err)
		}
		// Every change of the key that makes no new private part.
		at := time.Now().Add(time.Minute)
		o := Options{Clock: func() time.Time { return at }}
		changed, err := k.SetExpiry(at.AddDate(1, 0, 0), o)
		if err == nil {
			changed, err = changed.AddUserID("Second <2@example.com>", o)
		}
		if err == nil {
			changed, err = changed.RevokeUserID("Second <2@example.com>", "", o)
		}
		if err == nil {
			changed, err = changed.RevokeSubkey(changed.Info(o).Subkeys[0].Fingerprint, ReasonRetired, "", o)
		}
		if err == nil {
			changed, err = changed.Revoke(ReasonRetired, "", o)
		}
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		if info := mustParse(t, changed.Marshal()).Keys()[0].Info(o); !info.Revoked || info.Expires.IsZero() || !info.UserIDs[1].Revoked || !info.Subkeys[0].Revoked {
			t.Errorf("%s: %+v", p, info)
		}
		more := onCard(t, newKeyAsIs(t, GenerateOptions{Preset: PresetNISTP256, UserIDs: []string{"x"}}))
		withSubkeys, err := k.AddSubkey(SubkeyOptions{Usage: UsageSign}, more[0])
		if err == nil {
			withSubkeys, err = withSubkeys.AddSubkey(SubkeyOptions{Usage: UsageEncrypt}, more[1])
		}
		if err != nil {
			t.Errorf("%s: subkeys elsewhere: %v", p, err)
			continue
		}
		message = encrypted(t, Encryption{To: []*Key{withSubkeys}, Signers: []*Key{withSubkeys}}, []byte(content))
		res, err := Decryption{Keys: []*Key{withSubkeys}, Signers: []*Key{mustParse(t, withSubkeys.Marshal()).Keys()[0]}}.Decrypt(io.Discard, bytes.NewReader(message))
		if subkeys := withSubkeys.Info(Options{}).Subkeys; err != nil || res.Recipients[0] != subkeys[len(subkeys)-1].KeyID {
			t.Errorf("%s: to subkeys elsewhere: %v, %v", p, err, res)
		}
		if _, err := k.AddSubkey(SubkeyOptions{Usage: UsageEncrypt}, more[0]); !invalidCall(err) {
			t.Errorf("%s: what signs does not decrypt: %v", p, err)
		}
		if _, err := k.AddSubkey(SubkeyOptions{Usage: UsageSign}); !isSentinel(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: subkey in memory of a public key: %v", p, err)
		}
		for i, c := range cards {
			if c, ok := c.(*card); ok && c.calls == 0 {
				t.Errorf("%s: card %d was not asked", p, i)
			}
		}
		if err := k.Public().CanSign(Options{}); !isSentinel(err, trustkeep.ErrNotFound) {
			t.Errorf("%s: the public part signs: %v", p, err)
		}
		if merged, err := k.Merge(changed.Public()); err != nil || merged.state().elsewhere == nil {
			t.Errorf("%s: merged: %v", p, err)
		}
		// Nothing of it is written.
		if _, err := k.MarshalPrivate(); !isSentinel(err, trustkeep.ErrNotFound) {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// TestPrivateKeyElsewhereFails: the error of a card is passed on, whatever it signs, and
// what it decrypts is told only where that says nothing about the padding.
func TestPrivateKeyElsewhereFails(t *testing.T) {
	broken := errors.New("card removed")
	for _, p := range elsewherePresets {
		inMemory := testKeys()[p]
		cards := onCard(t, inMemory)
		for _, c := range cards {
			switch c := c.(type) {
			case *card:
				c.err = broken
			case *exchanger:
				c.err = broken
			}
		}
		k, err := inMemory.Public().WithPrivate(cards...)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		if err := (Signing{Signers: []*Key{k}}).Detached(&out, bytes.NewReader(nil)); !errors.Is(err, broken) || out.Len() > 0 {
			t.Errorf("%s: signed: %v", p, err)
		}
		if _, err := k.SetExpiry(time.Now().Add(time.Hour), Options{}); !errors.Is(err, broken) {
			t.Errorf("%s: changed: %v", p, err)
		}
		message := encrypted(t, Encryption{To: []*Key{inMemory}}, []byte("x"))
		_, err = Decryption{Keys: []*Key{k}}.Decrypt(&out, bytes.NewReader(message))
		if err == nil || errors.Is(err, broken) != (p != PresetRSA3072) || p == PresetRSA3072 && !isSentinel(err, trustkeep.ErrCorrupt) {
			t.Errorf("%s: decrypted: %v", p, err)
		}
		for _, c := range cards {
			if c, ok := c.(*card); ok {
				c.err = context.DeadlineExceeded
			}
		}
		if p == PresetRSA3072 {
			if _, err := (Decryption{Keys: []*Key{k}}).Decrypt(&out, bytes.NewReader(message)); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %v", p, err)
			}
		}
		// The signature of another key.
		if signer, ok := cards[0].(*card); ok {
			other := onCard(t, newKeyAsIs(t, GenerateOptions{Preset: p, UserIDs: []string{"x"}}))[0].(*card)
			liar := struct{ crypto.Signer }{&card{signer: &impostor{other.signer, signer.signer.Public()}}}
			lied, err := inMemory.Public().WithPrivate(liar)
			if err != nil {
				t.Fatalf("%s: %v", p, err)
			}
			if err := (Signing{Signers: []*Key{lied}}).Detached(&out, bytes.NewReader(nil)); !isSentinel(err, trustkeep.ErrKeyMismatch) || out.Len() > 0 {
				t.Errorf("%s: signature of another key: %v", p, err)
			}
		}
	}
	k := testKeys()[PresetGnuPG22].Public()
	for name, tt := range map[string]struct {
		private crypto.PrivateKey
		want    error
	}{
		"nil":             {nil, trustkeep.ErrInvalid},
		"typed nil":       {(*card)(nil), trustkeep.ErrInvalid},
		"something":       {"key", trustkeep.ErrInvalid},
		"another key":     {onCard(t, testKeys()[PresetNISTP256])[0], trustkeep.ErrKeyMismatch},
		"another in kind": {onCard(t, testKeys()[PresetRFC9580])[1], trustkeep.ErrKeyMismatch},
	} {
		if _, err := k.WithPrivate(tt.private); !isSentinel(err, tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type impostor struct {
	crypto.Signer
	public crypto.PublicKey
}

func (i *impostor) Public() crypto.PublicKey { return i.public }

// TestStubWithCard: a private key whose primary part GnuPG left out, and which is on a card.
func TestStubWithCard(t *testing.T) {
	whole := newKey(t, GenerateOptions{SigningSubkey: true}, Options{})
	cards := onCard(t, whole)
	k, err := whole.WithPrivate(cards[0]) // the primary key, while the subkeys are in memory
	if err != nil {
		t.Fatal(err)
	}
	locked, err := k.Lock(pw("x"), quick)
	if err != nil {
		t.Fatal(err)
	}
	if locked.state().elsewhere == nil || !locked.IsLocked() {
		t.Error("the card was lost, or the subkeys are open")
	}
	if _, err := locked.SetExpiry(time.Now().Add(time.Hour), Options{}); err != nil {
		t.Errorf("the card certifies while the subkeys are locked: %v", err)
	}
	if cards[0].(*card).calls == 0 {
		t.Error("not asked")
	}
}

// TestGenerateElsewhere makes keys of private keys that never were in memory.
func TestGenerateElsewhere(t *testing.T) {
	for _, p := range elsewherePresets {
		cards := onCard(t, testKeys()[p])
		preset := PresetGnuPG22
		if p == PresetRFC9580 {
			preset = p
		}
		at := testKeys()[p].NotBefore()
		o := GenerateOptions{Options: Options{Clock: func() time.Time { return at }}, Preset: preset, UserIDs: []string{"KMS <kms@example.com>"}, Expires: at.AddDate(1, 0, 0)}
		k, revocation, err := Generate(o, cards...)
		if err != nil {
			t.Errorf("%s: %v", p, err)
			continue
		}
		if k.Fingerprint() != testKeys()[p].Fingerprint() { // same material, time and algorithm
			t.Errorf("%s: %s, %s", p, k.Fingerprint(), testKeys()[p].Fingerprint())
		}
		public := mustParse(t, k.Marshal()).Keys()[0]
		if info := public.Info(o.Options); info.Problem != nil || info.Expires.IsZero() || len(info.Subkeys) != 1 || info.Subkeys[0].Problem != nil || info.Subkeys[0].Usage != UsageEncrypt {
			t.Errorf("%s: %+v", p, info)
		}
		message := encrypted(t, Encryption{To: []*Key{public}, Signers: []*Key{k}}, []byte("x"))
		if _, err := (Decryption{Keys: []*Key{k}, Signers: []*Key{public}}).Decrypt(io.Discard, bytes.NewReader(message)); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		if revoked, err := public.ApplyRevocation(revocation); err != nil || !revoked.Revoked() {
			t.Errorf("%s: %v", p, err)
		}
		if single, _, err := Generate(o, cards[0]); err != nil || single.CanSign(o.Options) != nil || single.CanEncrypt(o.Options) == nil {
			t.Errorf("%s, signing alone: %v", p, err)
		}
	}
	cards := onCard(t, testKeys()[PresetGnuPG22])
	ids := []string{"x"}
	for name, f := range map[string]func() error{
		"three": func() error {
			_, _, err := Generate(GenerateOptions{UserIDs: ids}, cards[0], cards[1], cards[1])
			return err
		},
		"nil":          func() error { _, _, err := Generate(GenerateOptions{UserIDs: ids}, nil); return err },
		"no signer":    func() error { _, _, err := Generate(GenerateOptions{UserIDs: ids}, cards[1]); return err },
		"no decrypter": func() error { _, _, err := Generate(GenerateOptions{UserIDs: ids}, cards[0], cards[0]); return err },
		"passphrase": func() error {
			_, _, err := Generate(GenerateOptions{UserIDs: ids, Passphrase: pw("x")}, cards...)
			return err
		},
		"another subkey": func() error {
			_, _, err := Generate(GenerateOptions{UserIDs: ids, SigningSubkey: true}, cards...)
			return err
		},
	} {
		if err := f(); !invalidCall(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSecp256k1 has a relaxation of its own.
func TestSecp256k1(t *testing.T) {
	k := fixtureKey(t, "gpg-secp256k1_pub.asc")
	for allow, want := range map[Relaxations]SignatureState{Strict: SignatureWeak, Legacy &^ LegacySecp256k1: SignatureWeak, LegacySecp256k1: SignatureValid} {
		o := Options{Allow: allow}
		res, err := Verification{Options: o, Signers: []*Key{k}}.Detached(bytes.NewReader(fixture(t, "hello.txt")), bytes.NewReader(fixture(t, "gpg-secp256k1.sig")))
		var weak *WeaknessError
		if res == nil || res.Signature != want || (err == nil) != (want == SignatureValid) || err != nil && (!asError(res.Signatures[0].Err, &weak) || weak.Needs != LegacySecp256k1) {
			t.Errorf("%s: %v, %+v", allow, err, res)
		}
		if err == nil && res.Needed != LegacySecp256k1 {
			t.Errorf("needed %s", res.Needed)
		}
		if err := k.CanEncrypt(o); (err == nil) != (want == SignatureValid) {
			t.Errorf("%s: %v", allow, err)
		}
	}
}
