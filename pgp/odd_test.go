package pgp

import (
	"bytes"
	"crypto/aes"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"github.com/ProtonMail/go-crypto/ocb"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep/pgp/internal/symmetric"
	"io"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// TestVersion5Passwords reads what rnp -c --aead writes: passphrase packets of version 5
// before the AEAD packet of the drafts.
func TestVersion5Passwords(t *testing.T) {
	for _, name := range []string{"rnp-aead-eax.gpg", "rnp-aead-ocb.gpg", "rnp-aead-two.gpg"} {
		var out bytes.Buffer
		data := fixture(t, name)
		res, err := Decryption{Passwords: passwords("wrong", "password")}.Decrypt(&out, bytes.NewReader(data))
		if err != nil || out.String() != "hello\n" || res.Integrity != "aead" || !res.ByPassword {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
		if _, err := (Decryption{Passwords: passwords("wrong")}).Decrypt(&out, bytes.NewReader(data)); !isSentinel(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s, wrong password: %v", name, err)
		}
	}
}

// TestCiphersThatAreNotOurs: what is well formed and encrypted by another cipher says by which.
func TestCiphersThatAreNotOurs(t *testing.T) {
	me := fixtureKey(t, "gpg-ed25519_priv.asc")
	for file, cipher := range map[string]string{
		"gpg-BLOWFISH.gpg": "Blowfish", "gpg-TWOFISH.gpg": "Twofish", "gpg-CAMELLIA128.gpg": "Camellia-128",
		"gpg-CAMELLIA256.gpg": "Camellia-256", "gpg-IDEA.gpg": "IDEA",
		"gpg-symmetric-BLOWFISH.gpg": "Blowfish", "gpg-symmetric-TWOFISH.gpg": "Twofish",
		"gpg-symmetric-CAMELLIA128.gpg": "Camellia-128", "gpg-symmetric-CAMELLIA256.gpg": "Camellia-256",
		"gpg-symmetric-IDEA.gpg": "IDEA", "rnp-aead-TWOFISH.gpg": "Twofish", "rnp-aead-CAMELLIA192.gpg": "Camellia-192",
	} {
		for _, d := range []Decryption{{Keys: []*Key{me}, Passwords: passwords("password")}, {Keys: []*Key{me}}, {Passwords: passwords("password")}} {
			_, err := d.Decrypt(io.Discard, bytes.NewReader(fixture(t, file)))
			if len(d.Keys) == 0 && !strings.Contains(file, "-symmetric-") && !strings.HasPrefix(file, "rnp") {
				continue
			}
			if !isSentinel(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), cipher) {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
	// A private key protected by such a cipher.
	locked, err := me.Lock(pw("x"), quick)
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range locked.state().packets {
		if p.Tag != grammar.TagSecretKey && p.Tag != grammar.TagSecretSub {
			continue
		}
		spec, err := publicPartLength(p)
		if err != nil {
			t.Fatal(err)
		}
		body := bytes.Clone(p.Body)
		body[spec+1] = 10 // behind the usage octet 254
		locked.state().packets[i] = grammar.New(p.Tag, body)
	}
	_, err = Parse(grammar.Join(locked.state().packets))
	if !isSentinel(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "Twofish") {
		t.Errorf("key under Twofish: %v", err)
	}
}

// publicPartLength is where the secret part of a secret key packet begins.
func publicPartLength(p grammar.Raw) (int, error) {
	public, ok := publicPart(p)
	if !ok {
		return 0, errors.New("no public part")
	}
	return len(public.Body), nil
}

// TestKeybox reads GnuPG's keyring.
func TestKeybox(t *testing.T) {
	data := fixture(t, "gpg-pubring.kbx")
	ring := mustParse(t, data)
	files, err := filepath.Glob("testdata/gpg-*_pub.asc")
	if err != nil || ring.Len() != len(files) || len(ring.Skipped()) > 0 {
		t.Errorf("%d keys of %d, skipped %v", ring.Len(), len(files), ring.Skipped())
	}
	for _, f := range files {
		want := fixtureKey(t, filepath.Base(f))
		got, err := ring.Key(want.Fingerprint())
		if err != nil || !bytes.Equal(got.Marshal(), want.Marshal()) {
			t.Errorf("%s: %v", f, err)
		}
	}
	// Damage costs the key that it hits.
	for n := range len(data) / 50 {
		cut, err := Parse(data[:n*50])
		if err == nil && cut.Len() == ring.Len() || err != nil && !isSentinel(err, trustkeep.ErrCorrupt) && !isSentinel(err, trustkeep.ErrEmpty) {
			t.Errorf("%d bytes: %v", n*50, err)
		}
	}
	step := testtool.Rounds(7, 1)
	if raceEnabled { // it has nothing to find in one goroutine
		step = 7
	}
	for i := 0; i < len(data); i += step {
		flipped := bytes.Clone(data)
		flipped[i] ^= 0x40
		if r, err := Parse(flipped); err == nil && r.Len() < ring.Len()-2 && len(r.Skipped()) == 0 {
			t.Errorf("octet %d: %d keys, and nothing is reported", i, r.Len())
		}
	}
	if back, err := ring.Marshal(); err != nil || mustParse(t, back).Len() != ring.Len() {
		t.Errorf("written: %v", err)
	}
}

// TestByteOrderMark: editors put one before armor.
func TestByteOrderMark(t *testing.T) {
	me := fixtureKey(t, "gpg-ed25519_priv.asc")
	const bom = "\xef\xbb\xbf"
	message := append([]byte(bom), fixture(t, "gpg-both.msg.asc")...)
	if _, err := (Decryption{Keys: []*Key{me}}).Decrypt(io.Discard, bytes.NewReader(message)); err != nil {
		t.Errorf("message: %v", err)
	}
	if _, _, err := verified(Verification{Signers: []*Key{me}}, "message", "", append([]byte(bom), fixture(t, "gpg-ed25519-clear.msg.asc")...)); err != nil {
		t.Errorf("cleartext: %v", err)
	}
	if _, _, err := verified(Verification{Signers: []*Key{me}}, "detached", "hello\n", append([]byte(bom), fixture(t, "gpg-ed25519.sig.asc")...)); err != nil {
		t.Errorf("signature: %v", err)
	}
	if mustParse(t, append([]byte(bom), fixture(t, "gpg-ed25519_pub.asc")...)).Len() != 1 {
		t.Error("key")
	}
	for n := range 4 { // input that ends in it, or before
		_, err := Decryption{Keys: []*Key{me}}.Decrypt(io.Discard, strings.NewReader(bom[:min(n, 3)]))
		if !isSentinel(err, trustkeep.ErrEmpty) && !isSentinel(err, trustkeep.ErrCorrupt) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
}

// TestPaddingOfMainframes: records are filled up behind binary data.
func TestPaddingOfMainframes(t *testing.T) {
	me := fixtureKey(t, "gpg-ed25519_priv.asc")
	for name, padding := range map[string]string{
		"newline": "\n", "Windows": "\r\n", "NUL": strings.Repeat("\x00", 32760), "end of file": "\x1a", "all": "\r\n\x1a\x00\x00",
	} {
		pad := func(name string) []byte { return append(fixture(t, name), padding...) }
		for _, m := range []string{"gpg-to-ed25519.gpg", "gpg-bzip2.gpg"} {
			var out bytes.Buffer
			if _, err := (Decryption{Keys: []*Key{me}}).Decrypt(&out, bytes.NewReader(pad(m))); err != nil || out.String() != "hello\n" {
				t.Errorf("%s, %s: %v", m, name, err)
			}
		}
		signedMessage := append(signed(t, Signing{Signers: []*Key{me}}, "message", "hello\n"), padding...)
		if _, got, err := verified(Verification{Signers: []*Key{me}}, "message", "", signedMessage); err != nil || got != "hello\n" {
			t.Errorf("signed, %s: %v", name, err)
		}
		if _, _, err := verified(Verification{Signers: []*Key{me}}, "detached", "hello\n", pad("gpg-ed25519.sig")); err != nil {
			t.Errorf("signature, %s: %v", name, err)
		}
		ring, err := Parse(append(me.Public().Marshal(), padding...))
		if err != nil || ring.Len() != 1 || len(ring.Skipped()) > 0 {
			t.Errorf("key, %s: %v, %v", name, err, ring)
		}
	}
	for name, garbage := range map[string]string{"text": "\nmore", "packets": "\x00\xcb", "too much": strings.Repeat("\x00", 2<<20)} {
		data := append(signed(t, Signing{Signers: []*Key{me}}, "message", "hello\n"), garbage...)
		if _, _, err := verified(Verification{Signers: []*Key{me}}, "message", "", data); err == nil {
			t.Errorf("%s behind a message is accepted", name)
		}
		data = append(fixture(t, "gpg-ed25519.sig"), garbage...)
		if _, _, err := verified(Verification{Signers: []*Key{me}}, "detached", "hello\n", data); err == nil {
			t.Errorf("%s behind a signature is accepted", name)
		}
	}
	// Nor within: the padding of the encrypted content is not that of the file.
	inner := append(signed(t, Signing{Signers: []*Key{me}}, "message", "hello\n"), 0)
	if _, err := (Decryption{Keys: []*Key{me}, Signers: []*Key{me}}).Decrypt(io.Discard, bytes.NewReader(sealed(t, me, inner))); err == nil {
		t.Error("padding in encrypted content is accepted")
	}
}

// TestTextMode: gpg --textmode writes lines ending in CR LF, and hands out lines ending as the
// system has them.
func TestTextMode(t *testing.T) {
	me := fixtureKey(t, "gpg-ed25519_priv.asc")
	lines := string(fixture(t, "lines.txt"))
	res, got, err := verified(Verification{Signers: []*Key{me}}, "message", "", fixture(t, "gpg-textmode-signed.gpg"))
	if err != nil || got != lines || !res.Text || res.Size != int64(len(lines)) {
		t.Errorf("signed: %q, %v, %+v", got, err, res)
	}
	for _, name := range []string{"gpg-textmode.gpg", "gpg-textmode-unsigned.gpg"} {
		d := Decryption{Keys: []*Key{me}}
		if name == "gpg-textmode.gpg" {
			d.Signers = []*Key{me}
		}
		var out bytes.Buffer
		if res, err := d.Decrypt(&out, bytes.NewReader(fixture(t, name))); err != nil || out.String() != lines || !res.Text {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
	}
	for _, content := range []string{lines, strings.ReplaceAll(lines, "\n", "\r\n")} {
		if _, _, err := verified(Verification{Signers: []*Key{me}}, "detached", content, fixture(t, "gpg-textmode.sig")); err != nil {
			t.Errorf("detached over %q: %v", content, err)
		}
	}
	// Wherever the reads fall apart, a CR alone stays and a CR LF becomes LF.
	const odd = "a\r\r\nb\rc\r\n\r\n\r"
	literal := grammar.New(grammar.TagLiteral, []byte("t\x00\x00\x00\x00\x00"+odd)).Data
	m := newMessage(Options{}, 0)
	if err := m.start(iotestOneByte{bytes.NewReader(literal)}); err != nil {
		t.Fatal(err)
	}
	var out []byte
	for p := make([]byte, 1); ; {
		n, err := m.Read(p)
		out = append(out, p[:n]...)
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if want := strings.ReplaceAll(odd, "\r\n", "\n"); string(out) != want {
		t.Errorf("%q, want %q", out, want)
	}
}

type iotestOneByte struct{ r io.Reader }

func (o iotestOneByte) Read(p []byte) (int, error) { return o.r.Read(p[:min(1, len(p))]) }

// TestMaxBufferOfCleartext: the limit holds for cleartext messages in both directions.
func TestMaxBufferOfCleartext(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	data := signed(t, Signing{Signers: []*Key{k}}, "cleartext", strings.Repeat("line\n", 100))
	v := Verification{Signers: []*Key{k}, MaxBuffer: 100}
	if _, _, err := verified(v, "message", "", data); !isSentinel(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
	data = signed(t, Signing{Signers: []*Key{k}}, "cleartext", strings.Repeat(strings.Repeat("x", 1023)+"\n", 17<<10))
	v.MaxBuffer = 20 << 20
	if _, _, err := verified(v, "message", "", data); err != nil {
		t.Errorf("17 MiB of 20: %v", err)
	}
}

// TestDetachedThatCannotBeUsed: what is known of a signature that is not computed is told.
func TestDetachedThatCannotBeUsed(t *testing.T) {
	me := fixtureKey(t, "gpg-ed25519_pub.asc")
	whole, _, err := grammar.Next(fixture(t, "gpg-ed25519.sig"), 0)
	if err != nil {
		t.Fatal(err)
	}
	id := me.KeyID()
	// Version 3: type, time, key ID, RSA, SHA-1.
	v3 := append([]byte{3, 5, 0, 0x67, 0x74, 0x85, 0x80}, me.state().primary.Fingerprint[12:]...)
	v3 = append(v3, 1, 2, 0xAB, 0xCD, 0, 8, 0x80)
	md5 := bytes.Clone(whole.Body)
	md5[3] = 1
	ripemd := bytes.Clone(whole.Body)
	ripemd[3] = 3
	critical := bytes.Clone(whole.Body)
	hashed := int(critical[4])<<8 | int(critical[5])
	critical = append(critical[:6:6], append([]byte{2, 0x80 | 99, 1}, whole.Body[6:]...)...)
	critical[4], critical[5] = byte((hashed+3)>>8), byte(hashed+3)
	for name, tt := range map[string]struct {
		body  []byte
		state SignatureState
		want  error
		hash  string
	}{
		"MD5":          {md5, SignatureWeak, trustkeep.ErrRejected, "MD5"},
		"RIPEMD-160":   {ripemd, SignatureWeak, trustkeep.ErrRejected, "RIPEMD-160"},
		"version 3":    {v3, SignatureInvalid, trustkeep.ErrUnsupported, "SHA-1"},
		"critical":     {critical, SignatureInvalid, trustkeep.ErrUnsupported, "SHA-256"},
		"unknown hash": {func() []byte { b := bytes.Clone(whole.Body); b[3] = 99; return b }(), SignatureInvalid, trustkeep.ErrUnsupported, ""},
	} {
		data := grammar.New(grammar.TagSignature, tt.body).Data
		res, err := Verification{Signers: []*Key{me}}.Detached(strings.NewReader("hello\n"), bytes.NewReader(data))
		if res == nil || err == nil || len(res.Signatures) != 1 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got := res.Signatures[0]
		if got.State != tt.state || got.KeyID != id || got.Signer != me || !isSentinel(got.Err, tt.want) || got.Created.IsZero() || got.Hash != tt.hash {
			t.Errorf("%s: %+v", name, got)
		}
		// The same before content, in the old style, and by a stranger.
		message := append(bytes.Clone(data), grammar.New(grammar.TagLiteral, []byte("b\x00\x00\x00\x00\x00hello\n")).Data...)
		res, err = Verification{Signers: []*Key{me}}.Message(io.Discard, bytes.NewReader(message))
		if res == nil || err == nil || res.Signatures[0].KeyID != id || res.Signatures[0].State != tt.state {
			t.Errorf("%s before content: %v", name, err)
		}
		res, err = Verification{Signers: []*Key{testKeys()[PresetGnuPG22]}}.Detached(strings.NewReader("hello\n"), bytes.NewReader(data))
		if res == nil || err == nil || res.Signatures[0].KeyID != id || res.Signatures[0].State != SignatureUnknown {
			t.Errorf("%s by a stranger: %v", name, err)
		}
		for n := range tt.body { // truncations
			res, err := Verification{Signers: []*Key{me}}.Detached(strings.NewReader("hello\n"), bytes.NewReader(grammar.New(grammar.TagSignature, tt.body[:n]).Data))
			if err == nil || res == nil {
				t.Errorf("%s, %d bytes: %v", name, n, err)
			}
		}
	}
}

// TestTenthPassword: how many passwords there are to try is up to the caller, and how many
// packets to the sender. By default four to nine derivations of GnuPG's cost are within the limits; here, one or two.
func TestTenthPassword(t *testing.T) {
	o := Options{Limits: trustkeep.Limits{MaxIterations: 1_100_000}}
	var out bytes.Buffer
	d := Decryption{Options: o, Passwords: passwords("wrong", "worse", "password")}
	if _, err := d.Decrypt(&out, bytes.NewReader(fixture(t, "gpg-symmetric.gpg"))); err != nil || out.String() != "hello\n" {
		t.Errorf("third password: %v", err)
	}
	d.Passwords = passwords("a", "b", "c")
	if _, err := d.Decrypt(io.Discard, bytes.NewReader(passwordMessage(iteratedSpec(8, 0xFF), 1))); !isSentinel(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("three passwords: %v", err)
	}
	d.Passwords = d.Passwords[:1]
	if _, err := d.Decrypt(io.Discard, bytes.NewReader(passwordMessage(iteratedSpec(8, 0xFF), 3))); !isSentinel(err, trustkeep.ErrLimit) {
		t.Errorf("three packets: %v", err)
	}
}

// TestSecondPasswordOfOldCiphers: a wrong password is told from damage with every cipher.
func TestSecondPasswordOfOldCiphers(t *testing.T) {
	for _, name := range []string{"gpg-symmetric-CAST5.gpg", "gpg-symmetric-3DES.gpg", "gpg-symmetric-CAST5-no-mdc.gpg"} {
		for _, list := range [][]string{{"password"}, {"wrong", "password"}, {"wrong", "worse", "password"}} {
			var out bytes.Buffer
			d := Decryption{Options: Options{Allow: LegacyMissingMDC}, Passwords: passwords(list...)}
			if _, err := d.Decrypt(&out, bytes.NewReader(fixture(t, name))); err != nil || out.String() != "hello\n" {
				t.Errorf("%s %q: %q, %v", name, list, out.String(), err)
			}
		}
		if _, err := (Decryption{Options: Options{Allow: LegacyMissingMDC}, Passwords: passwords("wrong")}).Decrypt(io.Discard, bytes.NewReader(fixture(t, name))); !isSentinel(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s, wrong password: %v", name, err)
		}
	}
}

// TestChainedEdits: edits within a second do not make subkeys from the future.
func TestChainedEdits(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	o := Options{Clock: func() time.Time { return now }}
	for _, p := range []Preset{PresetGnuPG22, PresetRFC9580} {
		k := newKey(t, GenerateOptions{Preset: p}, o)
		var err error
		for i := range 5 {
			if k, err = k.SetExpiry(now.AddDate(1, 0, i), o); err != nil {
				t.Fatal(err)
			}
		}
		if k, err = k.AddSubkey(SubkeyOptions{Options: o, Usage: UsageSign}); err != nil {
			t.Fatal(err)
		}
		if k, err = k.RotateSubkey(k.Info(o).Subkeys[0].Fingerprint, SubkeyOptions{Options: o, RevokeOld: true, Expires: now.AddDate(0, 1, 0)}); err != nil {
			t.Fatal(err)
		}
		info := k.Info(o)
		for _, s := range info.Subkeys {
			if s.Created.After(now) {
				t.Errorf("%s: subkey %s made on %s", p, s.KeyID, s.Created)
			}
		}
		if last := info.Subkeys[2]; !last.Expires.Equal(now.AddDate(0, 1, 0)) || last.Problem != nil {
			t.Errorf("%s: %+v", p, last)
		}
		var message, out bytes.Buffer
		if err := (Encryption{Options: o, To: []*Key{k}, Signers: []*Key{k}}).Encrypt(&message, strings.NewReader("x")); err != nil {
			t.Fatal(err)
		}
		if _, err := (Decryption{Options: o, Keys: []*Key{k}, Signers: []*Key{k}}).Decrypt(&out, &message); err != nil {
			t.Errorf("%s: %v", p, err)
		}
	}
}

// sealed encrypts packets, as they are, to a key.
func sealed(t *testing.T, k *Key, packets []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	session := randomBytes(t, 32)
	r, err := k.recipient(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := packet.SerializeEncryptedKeyAEADwithHiddenOption(&out, r.public, packet.CipherAES256, false, session, false, &packet.Config{}); err != nil {
		t.Fatal(err)
	}
	w, err := symmetric.NewMDCWriter(&out, session, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	w.Write(packets)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestNewestSubkeyIsChosen: extending an old subkey, or rotating within a second, does not
// make the old one the newest.
func TestNewestSubkeyIsChosen(t *testing.T) {
	now := time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	o := Options{Clock: func() time.Time { return now }}
	for _, p := range []Preset{PresetGnuPG22, PresetRFC9580} {
		k := newKey(t, GenerateOptions{Preset: p, SigningSubkey: true}, o)
		var err error
		for _, s := range k.Info(o).Subkeys {
			if k, err = k.RotateSubkey(s.Fingerprint, SubkeyOptions{Options: o}); err != nil {
				t.Fatal(err)
			}
		}
		check := func(when string) {
			t.Helper()
			subkeys := k.Info(o).Subkeys
			message := encrypted(t, Encryption{Options: o, To: []*Key{k}, Signers: []*Key{k}}, []byte("x"))
			res, err := Decryption{Options: o, Keys: []*Key{k}, Signers: []*Key{k}}.Decrypt(io.Discard, bytes.NewReader(message))
			if err != nil || res.Recipients[0] != subkeys[2].KeyID || res.Signatures[0].KeyID != subkeys[3].KeyID {
				t.Errorf("%s, %s: %v, %+v", p, when, err, res)
			}
		}
		check("rotated at once")
		now = now.Add(time.Hour)
		for _, s := range k.Info(o).Subkeys[:2] {
			if k, err = k.SetSubkeyExpiry(s.Fingerprint, now.AddDate(1, 0, 0), o); err != nil {
				t.Fatal(err)
			}
		}
		check("old ones extended")
	}
}

// TestEveryBitOfNewStructures: a flipped bit or a cut is never taken for the message.
func TestEveryBitOfNewStructures(t *testing.T) {
	me := fixtureKey(t, "gpg-ed25519_priv.asc")
	// rnp's message under a passphrase packet of version 5 that costs next to nothing.
	session, err := Decryption{Passwords: passwords("password")}.SessionKey(bytes.NewReader(fixture(t, "rnp-aead-ocb.gpg")))
	if err != nil {
		t.Fatal(err)
	}
	text, err := session.Reveal()
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := parseSessionKey(text)
	if err != nil {
		t.Fatal(err)
	}
	_, container, err := grammar.Next(fixture(t, "rnp-aead-ocb.gpg"), 0)
	if err != nil {
		t.Fatal(err)
	}
	block, err := aes.NewCipher(sha256Of("12345678password"))
	if err != nil {
		t.Fatal(err)
	}
	sealer, err := ocb.NewOCB(block)
	if err != nil {
		t.Fatal(err)
	}
	body := append([]byte{5, 9, 2, 1, 8}, "12345678"...) // salted SHA-256
	iv := randomBytes(t, 15)
	body = append(append(body, iv...), sealer.Seal(nil, iv, key, []byte{0xC3, 5, 9, 2})...)
	version5 := append(grammar.New(grammar.TagSKESK, body).Data, container...)

	signers := []*Key{me}
	notations := []Notation{SigningContext("x"), {Name: "n@example.com", Value: "v"}}
	s := Signing{Signers: signers, Notations: notations, Lifetime: time.Hour, Text: true}
	onCards, err := me.Public().WithPrivate(onCard(t, me)...)
	if err != nil {
		t.Fatal(err)
	}
	byCard := s
	byCard.Signers = []*Key{onCards}
	v := Verification{Signers: signers, Notations: notations}
	for name, tt := range map[string]struct {
		data []byte
		read func([]byte) (string, error)
	}{
		"version 5 password": {version5, func(data []byte) (string, error) {
			var out bytes.Buffer
			_, err := Decryption{Passwords: passwords("password")}.Decrypt(&out, bytes.NewReader(data))
			return out.String(), err
		}},
		"text message": {signed(t, s, "message", "hello\n"), func(data []byte) (string, error) {
			_, got, err := verified(v, "message", "", data)
			return got, err
		}},
		"detached by a card": {signed(t, byCard, "detached", "hello\n"), func(data []byte) (string, error) {
			_, _, err := verified(v, "detached", "hello\n", data)
			return "hello\n", err
		}},
	} {
		if got, err := tt.read(tt.data); err != nil || got != "hello\n" {
			t.Fatalf("%s: %q, %v", name, got, err)
		}
		for i := range tt.data {
			for bit := range 8 {
				damaged := bytes.Clone(tt.data)
				damaged[i] ^= 1 << bit
				got, err := tt.read(damaged)
				typed(t, err)
				// What is not signed may change: names, hints, unhashed areas; and line endings,
				// which a text signature leaves out.
				if err == nil && strings.ReplaceAll(got, "\r\n", "\n") != "hello\n" {
					t.Errorf("%s: bit %d of octet %d: %q", name, bit, i, got)
				}
			}
			got, err := tt.read(tt.data[:i])
			typed(t, err)
			if err == nil {
				t.Errorf("%s: cut at %d: %q", name, i, got)
			}
		}
	}
}

// TestTextMarkIsNotSigned: whoever marks signed octets as text does not change what is handed out.
func TestTextMarkIsNotSigned(t *testing.T) {
	me := fixtureKey(t, "gpg-ed25519_priv.asc")
	const content = "one\r\ntwo\n"
	message := signed(t, Signing{Signers: []*Key{me}}, "message", content)
	at := bytes.Index(message, []byte("b\x00\x00\x00\x00\x00"+content))
	for _, mark := range []byte{'t', 'u'} {
		message[at] = mark
		res, got, err := verified(Verification{Signers: []*Key{me}}, "message", "", message)
		if err != nil || got != content || !res.Text {
			t.Errorf("%c: %q, %v", mark, got, err)
		}
		var out bytes.Buffer
		if _, err := (Decryption{Keys: []*Key{me}, Signers: []*Key{me}}).Decrypt(&out, bytes.NewReader(sealed(t, me, message))); err != nil || out.String() != content {
			t.Errorf("%c, encrypted: %q, %v", mark, out.String(), err)
		}
	}
}

func sha256Of(s string) []byte {
	sum := sha256.Sum256([]byte(s))
	return sum[:]
}
