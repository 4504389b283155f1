package pgp

import (
	"bytes"
	"crypto"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// TestInteropGPGPerPartner: what is written for one partner is read by gpg, and gpg follows
// what our keys state.
func TestInteropGPGPerPartner(t *testing.T) {
	g := newGPG(t)
	const content = "one\ntwo  \n- three\n"
	for _, p := range []Preset{PresetRSA2048, PresetBrainpoolP256, PresetBrainpoolP384, PresetBrainpoolP512, PresetGnuPG22} {
		k := newKeyAsIs(t, GenerateOptions{
			Preset: p, UserIDs: []string{string(p) + " <" + string(p) + "@example.com>"}, Passphrase: pw("pw"),
			Preferences: Preferences{Ciphers: []Cipher{AES128, AES256}, Hashes: []crypto.Hash{crypto.SHA512, crypto.SHA384}, Compression: []Compression{ZIP}},
		})
		var err error
		for i := range 3 { // edits within a second
			if k, err = k.SetExpiry(time.Now().AddDate(1, 0, i), Options{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, u := range []Usage{UsageAuthenticate, UsageEncrypt, UsageSign} {
			if k, err = k.AddSubkey(SubkeyOptions{Usage: u}); err != nil {
				t.Fatal(err)
			}
		}
		if k, err = k.Lock(pw("pw"), Options{}); err != nil {
			t.Fatal(err)
		}
		private, err := k.ArmorPrivate()
		if err != nil {
			t.Fatal(err)
		}
		if k, err = k.Unlock(pw("pw"), Options{}); err != nil {
			t.Fatal(err)
		}
		g.run(private, "--passphrase", "pw", "--import")
		compareWithGPG(t, g, k, Options{})
		for name, e := range map[string]Encryption{
			"text":             {Text: true, Notations: []Notation{{Name: "order@example.com", Value: "7"}}, Lifetime: time.Hour},
			"AES-192":          {Cipher: AES192, IgnorePreferences: true, Compression: ZLIB, Hash: crypto.SHA512},
			"all subkeys":      {AllSubkeys: true},
			"also by password": {Passwords: passwords("pw"), Cipher: AES256},
		} {
			e.To, e.Signers = []*Key{k}, []*Key{k}
			var message bytes.Buffer
			if err := e.Encrypt(&message, strings.NewReader(content)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			out, stderr, err := g.try(message.Bytes(), "--passphrase", "pw", "--status-fd", "2", "--decrypt")
			if err != nil || out != content || !strings.Contains(stderr, "GOODSIG") {
				t.Errorf("%s, %s: gpg decrypts to %q\n%s", p, name, out, stderr)
			}
		}
		for _, text := range []bool{false, true} {
			inline := signed(t, Signing{Signers: []*Key{k}, Text: text, Notations: []Notation{SigningContext("x")}}, "message", content)
			out, stderr, err := g.try(inline, "--known-notation", contextNotation, "--decrypt")
			if err != nil || out != content {
				t.Errorf("%s, text %v: gpg reads %q\n%s", p, text, out, stderr)
			}
			if _, _, err := g.try(inline, "--decrypt"); err == nil {
				t.Errorf("%s: gpg takes a critical notation that it does not know", p)
			}
		}
		// gpg's to us, by the preferences of the key, to the subkey made last; of those made in
		// one second, gpg takes the first.
		message := []byte(g.run([]byte(content), "--passphrase", "pw", "-u", k.Fingerprint(), "--textmode", "--sign", "-r", k.Fingerprint(), "--encrypt"))
		var out bytes.Buffer
		d := Decryption{Keys: []*Key{k}, Signers: []*Key{k}}
		res, err := d.Decrypt(&out, bytes.NewReader(message))
		subkeys := k.Info(Options{}).Subkeys
		if err != nil || out.String() != content || !slices.Contains([]string{subkeys[0].KeyID, subkeys[2].KeyID}, res.Recipients[0]) || !res.Text {
			t.Errorf("%s: %q, %v, %+v", p, out.String(), err, res)
		}
		session, err := d.SessionKey(bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		revealed, err := session.Reveal()
		if err != nil || !strings.HasPrefix(string(revealed), "7:") {
			t.Errorf("%s: gpg took cipher %.2s", p, revealed)
		}
		if opened, _, err := g.try(message, "--override-session-key", strings.ToUpper(string(revealed)), "--decrypt"); err != nil || opened != content {
			t.Errorf("%s: gpg with our session key: %q, %v", p, opened, err)
		}
		_, stderr, _ := g.try(message, "--passphrase", "pw", "--show-session-key", "--decrypt")
		_, shown, _ := strings.Cut(stderr, "session key: '")
		shown, _, _ = strings.Cut(shown, "'")
		out.Reset()
		with := Decryption{SessionKeys: []trustkeep.PasswordSource{pw(shown)}, Signers: []*Key{k}}
		if _, err := with.Decrypt(&out, bytes.NewReader(message)); err != nil || out.String() != content {
			t.Errorf("%s: with gpg's session key %q, %v", p, out.String(), err)
		}
	}
	kbx, err := os.ReadFile(g.home + "/pubring.kbx")
	if err != nil {
		t.Fatal(err)
	}
	if ring := mustParse(t, kbx); ring.Len() != 5 || len(ring.Skipped()) > 0 {
		t.Errorf("keybox: %d keys, skipped %v", ring.Len(), ring.Skipped())
	}
}

// TestInteropGPGElsewhere: gpg takes keys, signatures and messages of private keys that never
// were in memory.
func TestInteropGPGElsewhere(t *testing.T) {
	g := newGPG(t)
	for _, p := range elsewherePresets {
		if p == PresetRFC9580 {
			continue
		}
		k, _, err := Generate(GenerateOptions{UserIDs: []string{"card <" + string(p) + "@example.com>"}}, onCard(t, testKeys()[p])...)
		if err != nil {
			t.Fatal(err)
		}
		g.run(k.Marshal(), "--import")
		compareWithGPG(t, g, k, Options{})
		for _, how := range []string{"message", "cleartext"} {
			g.run(signed(t, Signing{Signers: []*Key{k}}, how, "text\n"), "--decrypt")
		}
		message := g.run([]byte("secret"), "-r", k.Fingerprint(), "--encrypt")
		var out bytes.Buffer
		if _, err := (Decryption{Keys: []*Key{k}}).Decrypt(&out, strings.NewReader(message)); err != nil || out.String() != "secret" {
			t.Errorf("%s: %q, %v", p, out.String(), err)
		}
	}
	// secp256k1, which gpg has and OpenPGP has not.
	theirs := mustParse(t, g.generate("k1", "Key-Type: ECDSA\nKey-Curve: secp256k1\nKey-Usage: sign\nSubkey-Type: ECDH\nSubkey-Curve: secp256k1\n", "Expire-Date: 0\n", "")).Keys()[0]
	ours := testKeys()[PresetGnuPG22]
	o := Options{Allow: LegacySecp256k1}
	var message, out bytes.Buffer
	if err := (Encryption{Options: o, To: []*Key{theirs}, Signers: []*Key{ours}}).Encrypt(&message, strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	g.run(mustArmor(t, ours), "--import")
	if got := g.run(message.Bytes(), "--decrypt"); got != "x" {
		t.Errorf("%q", got)
	}
	back := g.run([]byte("y"), "-u", theirs.Fingerprint(), "--sign", "-r", theirs.Fingerprint(), "--encrypt")
	if _, err := (Decryption{Options: o, Keys: []*Key{theirs}, Signers: []*Key{theirs}}).Decrypt(&out, strings.NewReader(back)); err != nil || out.String() != "y" {
		t.Errorf("%q, %v", out.String(), err)
	}
}

// TestInteropSequoiaPerPartner is TestInteropGPGPerPartner for sq, as far as sq 0.27 goes.
func TestInteropSequoiaPerPartner(t *testing.T) {
	f := testtool.NewFolder(t, "sq")
	sq := func(args ...string) string { t.Helper(); return f.Run("sq", append([]string{"--force"}, args...)...) }
	const content = "one\ntwo  \n- three\n"
	f.Write("content", []byte(content))
	sq("key", "generate", "--userid", "sq <sq@example.com>", "--export", "sq.key")
	theirs := mustParse(t, f.Read("sq.key")).Keys()[0]
	for _, p := range []Preset{PresetGnuPG22, PresetRSA2048} {
		k := newKeyAsIs(t, GenerateOptions{Preset: p, UserIDs: []string{"k <k@example.com>"}, Preferences: Preferences{Hashes: []crypto.Hash{crypto.SHA512}}})
		var err error
		for _, u := range []Usage{UsageAuthenticate, UsageEncrypt, UsageSign | UsageAuthenticate} {
			if k, err = k.AddSubkey(SubkeyOptions{Usage: u}); err != nil {
				t.Fatal(err)
			}
		}
		elsewhere, err := k.Public().WithPrivate(onCard(t, k)...)
		if err != nil {
			t.Fatal(err)
		}
		f.Write("k.pgp", mustArmor(t, k))
		for name, s := range map[string]Signing{
			"text": {Text: true}, "notation": {Notations: []Notation{{Name: "order@example.com", Value: "7"}}, Lifetime: time.Hour}, "hash": {Hash: crypto.SHA512, Armor: true},
		} {
			s.Signers = []*Key{elsewhere}
			for _, how := range []string{"message", "cleartext"} {
				f.Write("signed", signed(t, s, how, content))
				sq("verify", "--signer-cert", "k.pgp", "--output", "out", "signed")
				if got := strings.ReplaceAll(string(f.Read("out")), "\r\n", "\n"); strings.TrimRight(got, "\n") != strings.TrimRight(content, "\n") && how == "message" {
					t.Errorf("%s, %s: sq reads %q", p, name, got)
				}
			}
			var signature bytes.Buffer
			w, err := s.DetachedWriter(&signature)
			if err != nil {
				t.Fatal(err)
			}
			w.Write([]byte(content))
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			f.Write("sig", signature.Bytes())
			sq("verify", "--signer-cert", "k.pgp", "--detached", "sig", "content")
		}
		// To all subkeys and hidden: sq opens it, and the signature names nobody.
		message := encrypted(t, Encryption{To: []*Key{k}, ToHidden: []*Key{theirs}, Signers: []*Key{elsewhere}, AllSubkeys: true, Cipher: AES128}, []byte(content))
		f.Write("message", message)
		sq("decrypt", "--recipient-key", "sq.key", "--signer-cert", "k.pgp", "--output", "out", "message")
		if got := string(f.Read("out")); got != content {
			t.Errorf("%s: sq decrypts to %q", p, got)
		}
		session, err := Decryption{Keys: []*Key{elsewhere}}.SessionKey(bytes.NewReader(message))
		if err != nil {
			t.Fatal(err)
		}
		revealed, err := session.Reveal()
		if err != nil || !strings.HasPrefix(string(revealed), "7:") {
			t.Errorf("%s: %.2s, %v", p, revealed, err)
		}
		sq("encrypt", "--recipient-cert", "k.pgp", "--signer-key", "sq.key", "--output", "enc", "content")
		var out bytes.Buffer
		if _, err := (Decryption{Keys: []*Key{elsewhere}, Signers: []*Key{theirs}, MustBeSigned: true}).Decrypt(&out, bytes.NewReader(f.Read("enc"))); err != nil || out.String() != content {
			t.Errorf("%s: %q, %v", p, out.String(), err)
		}
	}
}
