package pgp

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// gpgKeySpecs are the keys that GnuPG is asked to make.
func gpgKeySpecs() map[string]string {
	return map[string]string{
		"rsa":       "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\nSubkey-Type: RSA\nSubkey-Length: 2048\nSubkey-Usage: encrypt\n",
		"ed25519":   "Key-Type: EDDSA\nKey-Curve: ed25519\nKey-Usage: sign\nSubkey-Type: ECDH\nSubkey-Curve: cv25519\n",
		"nistp256":  "Key-Type: ECDSA\nKey-Curve: nistp256\nKey-Usage: sign\nSubkey-Type: ECDH\nSubkey-Curve: nistp256\n",
		"nistp384":  "Key-Type: ECDSA\nKey-Curve: nistp384\nKey-Usage: sign\nSubkey-Type: ECDH\nSubkey-Curve: nistp384\n",
		"brainpool": "Key-Type: ECDSA\nKey-Curve: brainpoolP256r1\nKey-Usage: sign\nSubkey-Type: ECDH\nSubkey-Curve: brainpoolP256r1\n",
		"dsa":       "Key-Type: DSA\nKey-Length: 2048\nSubkey-Type: ELG-E\nSubkey-Length: 2048\n",
	}
}

// generate makes a key in gpg and returns its private part as gpg exports it.
func (g *gpg) generate(name, spec, extra, passphrase string, args ...string) []byte {
	g.t.Helper()
	protection := "%no-protection\n"
	if passphrase != "" {
		protection = "Passphrase: " + passphrase + "\n"
	}
	batch := spec + "Name-Real: " + name + "\nName-Email: " + name + "@example.com\n" + extra + protection + "%commit\n"
	g.run([]byte(batch), append(args, "--generate-key")...)
	return []byte(g.run(nil, "--passphrase", passphrase, "--armor", "--export-secret-keys", name+"@example.com"))
}

// TestInteropGPG: keys made by gpg are seen as gpg sees them, and messages of
// each kind pass in both directions.
func TestInteropGPG(t *testing.T) {
	g := newGPG(t)
	ours := testKeys()[PresetGnuPG22]
	g.run(mustArmor(t, ours), "--import")
	const passphrase = "gpg's own"
	content := bytes.Repeat([]byte("the quick brown fox\n"), 20_000)
	for name, spec := range gpgKeySpecs() {
		t.Run(name, func(t *testing.T) {
			exported := g.generate(name, spec, "Expire-Date: 2y\n", passphrase)
			ring := mustParse(t, exported)
			if ring.Len() != 1 || len(ring.Skipped()) != 0 {
				t.Fatalf("%d keys, skipped %+v", ring.Len(), ring.Skipped())
			}
			locked := ring.Keys()[0]
			c := Options{}
			if name == "dsa" {
				if err := locked.CanEncrypt(Options{}); err == nil {
					t.Error("ElGamal passes the strict policy")
				}
				c.Allow = LegacyDSAElGamal
			}
			compareWithGPG(t, g, locked, c)
			theirs, err := locked.Unlock(pw(passphrase), Options{})
			if err != nil {
				t.Fatal(err)
			}
			// Ours to gpg.
			for _, e := range []Encryption{
				{}, {Armor: true}, {Compression: ZIP}, {Compression: ZLIB, Armor: true}, {ToHidden: []*Key{theirs}},
				{Signers: []*Key{ours}}, {Signers: []*Key{ours, theirs}},
			} {
				e.Options = c
				if e.ToHidden == nil {
					e.To = []*Key{theirs}
				}
				message := encrypted(t, e, content)
				out, stderr, err := g.try(message, "--passphrase", passphrase, "--decrypt")
				if err != nil || out != string(content) {
					t.Errorf("gpg cannot decrypt %+v: %v\n%s", e, err, stderr)
				}
				if len(e.Signers) > 0 && !strings.Contains(stderr, "Good signature") {
					t.Errorf("gpg does not verify: %s", stderr)
				}
			}
			for _, how := range []string{"message", "detached", "cleartext"} {
				for _, armored := range []bool{false, true} {
					data := signed(t, Signing{Options: c, Signers: []*Key{theirs}, Armor: armored, Text: armored}, how, "some text\n- dash\n")
					args := []string{"--verify"}
					if how == "detached" {
						path := filepath.Join(g.home, "data")
						os.WriteFile(path, []byte("some text\n- dash\n"), 0o600)
						args = append(args, "-", path)
					}
					if _, stderr, err := g.try(data, args...); err != nil || !strings.Contains(stderr, "Good signature") {
						t.Errorf("gpg does not verify %s: %s", how, stderr)
					}
				}
			}
			// gpg's to us.
			g.run(nil, "--status-fd", "1", "--version")
			for _, args := range [][]string{
				{"--encrypt"}, {"--encrypt", "--armor"}, {"--encrypt", "--compress-algo", "bzip2"}, {"--encrypt", "--compress-algo", "none"},
				{"--encrypt", "--sign"}, {"--encrypt", "--sign", "--textmode"}, {"--encrypt", "--throw-keyids"},
				{"--encrypt", "--cipher-algo", "3DES"}, {"--encrypt", "--cipher-algo", "AES192"},
			} {
				all := append([]string{"--passphrase", passphrase, "-u", theirs.Fingerprint(), "-r", ours.Fingerprint(), "-r", theirs.Fingerprint()}, args...)
				message := []byte(g.run(content, all...))
				for _, k := range []*Key{ours, theirs} {
					var out bytes.Buffer
					d := Decryption{Options: c, Keys: []*Key{k}}
					if len(args) > 1 && args[1] == "--sign" {
						d.Signers = []*Key{theirs.Public()}
					}
					res, err := d.Decrypt(&out, bytes.NewReader(message))
					got := out.Bytes()
					if len(args) > 2 && args[2] == "--textmode" {
						got = bytes.ReplaceAll(got, []byte("\r\n"), []byte("\n"))
					}
					if err != nil || !bytes.Equal(got, content) {
						t.Errorf("gpg %v: %v", args, err)
						continue
					}
					if d.Signers != nil && res.Signature != SignatureValid {
						t.Errorf("gpg %v: signature %s", args, res.Signature)
					}
				}
			}
			v := Verification{Options: c, Signers: []*Key{theirs.Public()}}
			for how, arg := range map[string]string{"message": "--sign", "detached": "--detach-sign", "cleartext": "--clear-sign"} {
				const text = "hello  \n- dash\n\nend\n"
				data := g.run([]byte(text), "--passphrase", passphrase, "-u", theirs.Fingerprint(), arg)
				res, got, err := verified(v, how, text, []byte(data))
				want := text
				if how == "cleartext" {
					want = strings.ReplaceAll(text, "  \n", "\n")
				}
				if err != nil || res.Signature != SignatureValid || got != want {
					t.Errorf("gpg %s: %v, %q", arg, err, got)
				}
			}
			t.Logf("%s: key, 7 messages and 6 signatures to gpg, 9 messages and 3 signatures from gpg", name)
		})
	}
	t.Run("password", func(t *testing.T) {
		message := []byte(g.run(content, "--passphrase", "symmetric", "--symmetric"))
		var out bytes.Buffer
		res, err := Decryption{Passwords: passwords("symmetric")}.Decrypt(&out, bytes.NewReader(message))
		if err != nil || !res.ByPassword || !bytes.Equal(out.Bytes(), content) {
			t.Errorf("%v", err)
		}
		message = encrypted(t, Encryption{Passwords: passwords("symmetric")}, content)
		if got := g.run(message, "--passphrase", "symmetric", "--decrypt"); got != string(content) {
			t.Error("gpg decrypts to something else")
		}
	})
}

// TestInteropLifecycleGPG: what becomes of a key here is what gpg sees.
func TestInteropLifecycleGPG(t *testing.T) {
	g := newGPG(t)
	past := Options{Clock: func() time.Time { return time.Now().Add(-100 * 24 * time.Hour) }}
	base := newKey(t, GenerateOptions{
		UserIDs: []string{"One <one@example.com>", "Two <two@example.com>"}, Expires: time.Now().Add(-time.Hour), SigningSubkey: true,
	}, past)
	subkeys := base.Info(Options{}).Subkeys
	// Each step is an hour later: two self-signatures of the same second have
	// no order.
	at := time.Now().Add(-50 * 24 * time.Hour)
	c := Options{Clock: func() time.Time { return at }}
	step := func(name string, k *Key, err error) *Key {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		g.run(mustArmor(t, k), "--import", "--import-options", "import-clean")
		compareWithGPG(t, g, k, Options{})
		t.Logf("%s: as in gpg", name)
		at = at.Add(time.Hour)
		return k
	}
	k := step("expired", base, nil)
	if !k.Info(Options{}).Expired {
		t.Error("not expired")
	}
	k, err := k.SetExpiry(time.Now().Add(30*24*time.Hour), c)
	k = step("extended", k, err)
	k, err = k.AddSubkey(SubkeyOptions{Options: c, Usage: UsageEncrypt, Expires: time.Now().Add(24 * time.Hour)})
	k = step("subkey added", k, err)
	if r, err := k.recipient(Options{}); err != nil || r.public.KeyId == base.state().ids[1] {
		t.Errorf("the new subkey is not used: %v", err)
	}
	k, err = k.SetExpiry(time.Now().Add(60*24*time.Hour), c)
	k = step("extended with its subkeys", k, err)
	k, err = k.RotateSubkey(subkeys[1].Fingerprint, SubkeyOptions{Options: c, RevokeOld: true})
	k = step("signing subkey rotated", k, err)
	if sig := signed(t, Signing{Signers: []*Key{k}}, "detached", "x"); len(sig) == 0 {
		t.Error("cannot sign")
	}
	k, err = k.RevokeSubkey(subkeys[0].Fingerprint, ReasonCompromised, "lost", c)
	k = step("subkey revoked", k, err)
	k, err = k.AddUserID("Three <three@example.com>", c)
	k = step("user ID added", k, err)
	k, err = k.RevokeUserID("One <one@example.com>", "left", c)
	k = step("user ID revoked", k, err)
	k, err = k.SetSubkeyExpiry(k.Info(Options{}).Subkeys[2].Fingerprint, time.Now().Add(48*time.Hour), c)
	k = step("subkey expiry", k, err)
	k, err = k.SetExpiry(time.Time{}, c)
	k = step("never expires", k, err)
	certificate, err := k.RevocationCertificate(ReasonRetired, "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	g.try(certificate, "--import") // it imports, then complains that it has no trust database
	k, err = k.ApplyRevocation(certificate)
	if err != nil {
		t.Fatal(err)
	}
	compareWithGPG(t, g, k, Options{})
}

// TestInteropLegacyGPG: what old partners send passes under the policy that
// names it, and only there.
func TestInteropLegacyGPG(t *testing.T) {
	g := newGPG(t)
	sha1 := mustParse(t, g.generate("old", gpgKeySpecs()["rsa"], "Expire-Date: 0\n", "", "--cert-digest-algo", "SHA1")).Keys()[0]
	if info := sha1.Info(Options{}); info.Problem == nil || len(info.Findings) == 0 || len(info.UserIDs) != 1 {
		t.Errorf("%+v", info)
	}
	var policy *WeaknessError
	if err := sha1.CanEncrypt(Options{}); !asError(err, &policy) || policy.Needs != LegacySHA1SelfSignatures {
		t.Errorf("%v", err)
	}
	c := Options{Allow: LegacySHA1SelfSignatures}
	compareWithGPG(t, g, sha1, c)
	if err := sha1.CanEncrypt(c); err != nil {
		t.Error(err)
	}
	signature := []byte(g.run([]byte("x"), "-u", sha1.Fingerprint(), "--detach-sign"))
	sha1Signature := []byte(g.run([]byte("x"), "-u", sha1.Fingerprint(), "--digest-algo", "SHA1", "--detach-sign"))
	for _, tt := range []struct {
		signature []byte
		policy    Relaxations
		want      SignatureState
		relaxed   Relaxations
	}{
		{signature, Strict, SignatureWeak, Strict},
		{signature, LegacySHA1SelfSignatures, SignatureValid, LegacySHA1SelfSignatures},
		{sha1Signature, LegacySHA1SelfSignatures, SignatureWeak, Strict},
		{sha1Signature, Legacy, SignatureValid, LegacySHA1SelfSignatures | LegacySHA1Signatures},
	} {
		v := Verification{Options: Options{Allow: tt.policy}, Signers: []*Key{sha1}}
		res, _ := v.Detached(strings.NewReader("x"), bytes.NewReader(tt.signature))
		if res == nil || res.Signature != tt.want || res.Needed != tt.relaxed {
			t.Errorf("policy %s: %+v", tt.policy, res)
		}
	}
	// A message without integrity protection, which gpg makes for old ciphers
	// when told to.
	noMDC := []byte(g.run([]byte("old"), "--rfc2440", "--cipher-algo", "AES256", "--disable-mdc", "-r", sha1.Fingerprint(), "--encrypt"))
	tag, _, err := readPacketTags(noMDC)
	if err != nil || tag != grammar.TagEncrypted {
		t.Logf("gpg still protects the message (packet type %d)", tag)
	} else {
		if _, err := (Decryption{Keys: []*Key{sha1}}).Decrypt(&bytes.Buffer{}, bytes.NewReader(noMDC)); !asError(err, &policy) || policy.Needs != LegacyMissingMDC {
			t.Errorf("%v", err)
		}
		var out bytes.Buffer
		res, err := Decryption{Options: Options{Allow: LegacyMissingMDC}, Keys: []*Key{sha1}}.Decrypt(&out, bytes.NewReader(noMDC))
		if err != nil || out.String() != "old" || res.Needed != LegacyMissingMDC || res.Integrity != "" {
			t.Errorf("%v, %+v", err, res)
		}
	}
	small := mustParse(t, g.generate("small", "Key-Type: RSA\nKey-Length: 1024\nSubkey-Type: RSA\nSubkey-Length: 1024\n", "Expire-Date: 0\n", "")).Keys()[0]
	if err := small.CanEncrypt(Options{}); !asError(err, &policy) || policy.Needs != LegacyRSA1024 {
		t.Errorf("%v", err)
	}
	if err := small.CanEncrypt(Options{Allow: LegacyRSA1024}); err != nil {
		t.Errorf("%v", err)
	}
	// Wrong passphrase: one try, typed.
	locked := mustParse(t, g.generate("locked", gpgKeySpecs()["ed25519"], "Expire-Date: 0\n", "right")).Keys()[0]
	if _, err := locked.Unlock(pw("wrong"), Options{}); fmt.Sprint(err) == "" || !isSentinel(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	changed, err := locked.ChangePassphrase(pw("right"), pw("new"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	data, err := changed.ArmorPrivate()
	if err != nil {
		t.Fatal(err)
	}
	other := newGPG(t)
	other.run(data, "--import")
	if _, _, err := other.try([]byte("x"), "--passphrase", "right", "-u", locked.Fingerprint(), "--detach-sign"); err == nil {
		t.Error("gpg still takes the old passphrase")
	}
	other.run([]byte("x"), "--passphrase", "new", "-u", locked.Fingerprint(), "--detach-sign")
}

// readPacketTags returns the type of the last packet of a binary message.
func readPacketTags(data []byte) (last byte, n int, err error) {
	for len(data) > 0 {
		p, rest, err := grammar.Next(data, 0)
		if err != nil {
			if data[0]&0x40 != 0 { // a partial length: the encrypted data
				return data[0] & 0x3F, n + 1, nil
			}
			return 0, n, err
		}
		last, data = p.Tag, rest
		n++
	}
	return last, n, nil
}
