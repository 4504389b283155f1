package pgp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/clearsign"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/symmetric"
)

func signed(t testing.TB, s Signing, how string, content string) []byte {
	t.Helper()
	var buf bytes.Buffer
	var err error
	switch how {
	case "message":
		err = s.Sign(&buf, strings.NewReader(content))
	case "detached":
		err = s.Detached(&buf, strings.NewReader(content))
	case "cleartext":
		err = s.Cleartext(&buf, strings.NewReader(content))
	}
	if err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func verified(v Verification, how, content string, data []byte) (*Result, string, error) {
	var out bytes.Buffer
	if how == "detached" {
		res, err := v.Detached(strings.NewReader(content), bytes.NewReader(data))
		return res, content, err
	}
	res, err := v.Message(&out, bytes.NewReader(data))
	return res, out.String(), err
}

func TestSignAndVerify(t *testing.T) {
	const content = "Dear partner,\n- the -dash- line\n\nFrom me\n  trailing  \t\nend\n"
	for profile, k := range testKeys() {
		for _, how := range []string{"message", "detached", "cleartext"} {
			for _, armored := range []bool{false, true} {
				s := Signing{Signers: []*Key{k}, Armor: armored, Text: armored}
				res, got, err := verified(Verification{Signers: []*Key{k.Public()}}, how, content, signed(t, s, how, content))
				if err != nil || res.Signature != SignatureValid || res.SignedBy()[0].Fingerprint() != k.Fingerprint() {
					t.Errorf("%s %s: %v", profile, how, err)
					continue
				}
				want := content
				if how == "cleartext" {
					want = strings.ReplaceAll(content, "trailing  \t", "trailing")
				}
				if got != want {
					t.Errorf("%s %s: %q", profile, how, got)
				}
			}
		}
	}
}

// TestSignatureStates has one row for each verdict, and each is reached by each
// kind of signature.
func TestSignatureStates(t *testing.T) {
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	clock := func(t time.Time) Options { return Options{Clock: func() time.Time { return t }} }
	then, later := clock(start), clock(start.Add(48*time.Hour))
	good := newKey(t, GenerateOptions{}, then)
	other := newKey(t, GenerateOptions{}, then)
	expiring := newKey(t, GenerateOptions{Expires: start.Add(time.Hour)}, then)
	revoked, err := good.Revoke(ReasonSuperseded, "", later)
	if err != nil {
		t.Fatal(err)
	}
	extended, err := expiring.SetExpiry(start.Add(1000*time.Hour), then)
	if err != nil {
		t.Fatal(err)
	}
	const content = "text\n"
	for name, tt := range map[string]struct {
		signer   *Key
		signers  []*Key
		now      Options
		changed  bool
		want     SignatureState
		sentinel error
	}{
		"valid":                 {good, []*Key{other, good}, later, false, SignatureValid, nil},
		"nobody expected":       {good, nil, later, false, SignatureUnknown, trustkeep.ErrRejected},
		"somebody else":         {good, []*Key{other}, later, false, SignatureUnknown, trustkeep.ErrRejected},
		"changed content":       {good, []*Key{good}, later, true, SignatureInvalid, trustkeep.ErrRejected},
		"expired":               {expiring, []*Key{expiring}, later, false, SignatureExpired, trustkeep.ErrRejected},
		"as of its day":         {expiring, []*Key{expiring}, then, false, SignatureValid, nil},
		"extended since":        {expiring, []*Key{extended}, later, false, SignatureValid, nil},
		"revoked":               {good, []*Key{revoked}, later, false, SignatureRevoked, trustkeep.ErrRejected},
		"from the future":       {good, []*Key{good}, clock(start.Add(-time.Hour)), false, SignatureInvalid, trustkeep.ErrRejected},
		"clock a minute behind": {good, []*Key{good}, clock(start.Add(-time.Minute)), false, SignatureValid, nil},
	} {
		for _, how := range []string{"message", "detached", "cleartext"} {
			data := signed(t, Signing{Options: then, Signers: []*Key{tt.signer}}, how, content)
			text := content
			if tt.changed {
				text = "test\n"
				data = bytes.Replace(data, []byte("text\n"), []byte("test\n"), 1)
			}
			res, got, err := verified(Verification{Options: tt.now, Signers: tt.signers}, how, text, data)
			if !errors.Is(err, tt.sentinel) || res == nil || res.Signature != tt.want {
				t.Errorf("%s, %s: %v, %+v", name, how, err, res)
				continue
			}
			var serr *SignatureError
			if tt.want != SignatureValid && (!errors.As(err, &serr) || serr.State != tt.want) {
				t.Errorf("%s, %s: %v", name, how, err)
			}
			if how != "detached" && (got != "") != (tt.want == SignatureValid) {
				t.Errorf("%s, %s: handed out %q", name, how, got)
			}
		}
	}
	// Not signed at all.
	literal := grammar.New(grammar.TagLiteral, []byte("b\x00\x00\x00\x00\x00hi")).Data
	res, got, err := verified(Verification{Signers: []*Key{good}}, "message", "", literal)
	if res == nil || res.Signature != SignatureNone || err == nil || got != "" {
		t.Errorf("unsigned: %v, %+v", err, res)
	}
	if (&Result{}).Signature == SignatureValid || new(Result).Signature.String() != "unverified" {
		t.Error("the zero Result claims a valid signature")
	}
}

func TestSignedWithinEncryption(t *testing.T) {
	keys := testKeys()
	me, partner, third := keys[PresetGnuPG22], keys[PresetNISTP256], keys[PresetRFC9580]
	message := encrypted(t, Encryption{To: []*Key{me}, Signers: []*Key{partner}}, []byte("order"))
	unsigned := encrypted(t, Encryption{To: []*Key{me}}, []byte("order"))
	for name, tt := range map[string]struct {
		message []byte
		d       Decryption
		want    SignatureState
		ok      bool
	}{
		"expected signer":      {message, Decryption{Signers: []*Key{partner}}, SignatureValid, true},
		"somebody else":        {message, Decryption{Signers: []*Key{third}}, SignatureUnknown, false},
		"no expectation":       {message, Decryption{}, SignatureUnknown, true},
		"unsigned":             {unsigned, Decryption{Signers: []*Key{partner}}, SignatureNone, false},
		"unsigned but allowed": {unsigned, Decryption{Signers: []*Key{partner}, AllowUnsigned: true}, SignatureNone, true},
		"signed by somebody else though unsigned is allowed": {message, Decryption{Signers: []*Key{third}, AllowUnsigned: true}, SignatureUnknown, false},
	} {
		tt.d.Keys = []*Key{me}
		var out bytes.Buffer
		res, err := tt.d.Decrypt(&out, bytes.NewReader(tt.message))
		if res == nil || (err == nil) != tt.ok || res.Signature != tt.want || (out.Len() > 0) != tt.ok {
			t.Errorf("%s: %v, %+v", name, err, res)
		}
	}
	clear := signed(t, Signing{Signers: []*Key{partner}}, "message", "order")
	if _, err := (Decryption{Keys: []*Key{me}, Signers: []*Key{partner}}).Decrypt(io.Discard, bytes.NewReader(clear)); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("unencrypted: %v", err)
	}
	if res, err := (Decryption{Signers: []*Key{partner}, AllowUnencrypted: true}).Decrypt(io.Discard, bytes.NewReader(clear)); err != nil || res.Encrypted {
		t.Errorf("unencrypted but allowed: %v", err)
	}
}

// TestIntendedRecipient: a partner takes what we signed and encrypted for them
// and encrypts it again to a third, who must not believe that we wrote to them.
func TestIntendedRecipient(t *testing.T) {
	keys := testKeys()
	sender, partner, third := keys[PresetGnuPG22], keys[PresetNISTP256], keys[PresetNISTP384]
	message := encrypted(t, Encryption{To: []*Key{partner}, Signers: []*Key{sender}}, []byte("you are fired"))
	// Open the outer layer and keep the signed packets.
	inner := innerPackets(t, partner, message)
	var forwarded bytes.Buffer
	pc := Options{}.packetConfig(time.Now())
	session := make([]byte, 32)
	r, err := third.recipient(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := packet.SerializeEncryptedKeyAEADwithHiddenOption(&forwarded, r.public, packet.CipherAES256, false, session, false, pc); err != nil {
		t.Fatal(err)
	}
	w, err := symmetric.NewMDCWriter(&forwarded, session, pc.Random())
	if err != nil {
		t.Fatal(err)
	}
	w.Write(inner)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	res, err := Decryption{Keys: []*Key{third}, Signers: []*Key{sender}}.Decrypt(io.Discard, bytes.NewReader(forwarded.Bytes()))
	if err == nil || res.Signature != SignatureInvalid {
		t.Errorf("%v", err)
	}
}

// innerPackets decrypts a message to the packets within.
func innerPackets(t *testing.T, k *Key, message []byte) []byte {
	t.Helper()
	p, rest, err := grammar.Next(message, 0)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := p.Parsed()
	if err != nil {
		t.Fatal(err)
	}
	ek := parsed.(*packet.EncryptedKey)
	pc := Options{}.packetConfig(time.Now())
	private := k.decryptionKeys(ek.KeyId, pc)[0]
	if err := ek.Decrypt(private, pc); err != nil {
		t.Fatal(err)
	}
	se, err := packet.Read(bytes.NewReader(rest))
	if err != nil {
		t.Fatal(err)
	}
	r, err := se.(*packet.SymmetricallyEncrypted).Decrypt(ek.CipherFunc, ek.Key)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return inner
}

func TestCleartextSpoofing(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	message := string(signed(t, Signing{Signers: []*Key{k}}, "cleartext", "pay 10\n"))
	detached := signed(t, Signing{Signers: []*Key{k}, Armor: true}, "detached", "pay 10")
	v := Verification{Signers: []*Key{k}}
	check := func(name, data, want string) {
		t.Helper()
		_, got, err := verified(v, "message", "", []byte(data))
		if want == "" && err == nil || want != "" && err != nil || got != want {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	check("as signed", message, "pay 10\n")
	check("CRLF", strings.ReplaceAll(message, "\n", "\r\n"), "pay 10\n")
	check("text before", "pay 1000\n"+message, "pay 10\n")
	check("text after", message+"pay 1000\n", "pay 10\n")
	check("another header", strings.Replace(message, "Hash: SHA256\n", "Hash: SHA256\nComment: pay 1000\n", 1), "")
	check("unknown hash", strings.Replace(message, "SHA256", "pay 1000", 1), "")
	check("NotDashEscaped", strings.Replace(message, "Hash: SHA256\n", "NotDashEscaped: yes\n", 1), "")
	check("text in front", strings.Replace(message, "\n\npay", "\n\npay 1000\npay", 1), "")
	check("white space in front of the header end", strings.Replace(message, "Hash: SHA256\n\n", "Hash: SHA256\n \n", 1), "pay 10\n")
	check("form feed", strings.Replace(message, "pay 10", "pay 10\f00", 1), "")
	check("NUL", strings.Replace(message, "pay 10", "pay 10\x00", 1), "")
	check("escape sequence", strings.Replace(message, "pay 10", "pay 10\x1b[2K", 1), "")
	check("unescaped dash", strings.Replace(message, "\npay", "\n-pay", 1), "")
	check("binary signature", strings.Replace(message, message[strings.Index(message, "-----BEGIN PGP SIG"):], string(detached), 1), "")
	check("two texts", message+message, "pay 10\n")
	check("no signature", message[:strings.Index(message, "-----BEGIN PGP SIG")], "")
	if _, err := v.Message(io.Discard, bytes.NewReader(detached)); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("detached signature as a message: %v", err)
	}
	if _, err := v.Detached(strings.NewReader("pay 10"), strings.NewReader(message)); err == nil {
		t.Error("a cleartext message passes for a detached signature")
	}
}

// TestCleartextAgainstGoCrypto reads what the other implementation in Go writes
// and the reverse.
func TestCleartextAgainstGoCrypto(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	for _, text := range []string{"", "one line", "a\nb\n\nc", "- dash\n  indented"} {
		ours := signed(t, Signing{Signers: []*Key{k}}, "cleartext", text+"\n")
		block, _ := clearsign.Decode(ours)
		if block == nil {
			t.Fatalf("%q: go-crypto does not read it", text)
		}
		res, err := Verification{Signers: []*Key{k}}.Detached(bytes.NewReader(block.Bytes), block.ArmoredSignature.Body)
		if err != nil || res.Signature != SignatureValid {
			t.Errorf("%q: %v", text, err)
		}
		private, err := k.signingKey(Options{})
		if err != nil {
			t.Fatal(err)
		}
		var theirs bytes.Buffer
		w, err := clearsign.Encode(&theirs, private, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, text)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		want := text + "\n"
		if text == "" {
			want = ""
		}
		if _, got, err := verified(Verification{Signers: []*Key{k}}, "message", "", theirs.Bytes()); err != nil || got != want {
			t.Errorf("%q: %q, %v", text, got, err)
		}
	}
}

func TestNamesOfRelaxations(t *testing.T) {
	for p, want := range map[Relaxations]string{
		Strict: "strict", LegacyMissingMDC: "missing-mdc",
		LegacySHA1SelfSignatures | LegacyDSAElGamal: "sha1-self-signatures+dsa-elgamal",
		Legacy: "sha1-self-signatures+sha1-signatures+missing-mdc+dsa-elgamal+rsa-1024+no-key-flags+secp256k1",
	} {
		if p.String() != want {
			t.Errorf("%d: %s", p, p)
		}
	}
}
