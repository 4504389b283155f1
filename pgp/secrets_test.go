package pgp

import (
	"bytes"
	"errors"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/s2kcost"
)

// TestNothingPrintsSecrets prints every exported type that can hold a password,
// a private key or the content of a message.
func TestNothingPrintsSecrets(t *testing.T) {
	const canary = "canary-passphrase"
	secret, all := []byte(canary), passwords(canary)
	open := newKey(t, GenerateOptions{Passphrase: pw(canary)}, Options{})
	var bare []byte // the private part
	for _, p := range privateKeys(open.view(Legacy)) {
		p.Encrypted = false
		raw, err := grammar.Of(p)
		if err != nil {
			t.Fatal(err)
		}
		bare = raw.Body[len(raw.Body)-30:]
	}
	unlocked := open.state().unlocked
	if len(unlocked) == 0 {
		t.Fatal("the key is locked")
	}
	plain := newKey(t, GenerateOptions{}, Options{})
	scalar := plain.state().packets[0].Body
	scalar = scalar[len(scalar)-30:]
	keys := []*Key{open, plain}
	part := Skipped{Err: errDamaged, raw: func() []byte { return scalar }}
	ring := &Keyring{keys: keys}
	ring.skipped = []Skipped{part}

	testleak.Check(t, GenerateOptions{Options: quick, Passphrase: pw(canary)}, secret)
	testleak.Check(t, Decryption{Options: quick, Keys: keys, Passphrase: pw(canary), Passwords: all, Signers: keys}, secret, bare, scalar)
	testleak.Check(t, Encryption{Options: quick, To: keys, ToHidden: keys, Passwords: all, Signers: keys}, secret, bare, scalar)
	testleak.Check(t, Signing{Signers: keys}, bare, scalar)
	testleak.Check(t, Verification{Signers: keys}, bare, scalar)
	testleak.Check(t, *open, bare)
	testleak.Check(t, *plain, scalar)
	testleak.Check(t, *ring, bare, scalar)
	testleak.Check(t, part, scalar)
	testleak.Check(t, UnreadableError{[]Skipped{part}}, scalar)
	testleak.Check(t, Result{Signatures: []SignatureInfo{{Signer: plain}}}, scalar)
	testleak.Check(t, SignatureInfo{Signer: plain}, scalar)

	content := bytes.Repeat([]byte("canary of the content"), 2000)
	var message bytes.Buffer
	w, err := Encryption{Options: quick, Passwords: all, Signers: keys[1:]}.Writer(&message)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	testleak.Check(t, w, secret, scalar, content)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Decryption{Keys: keys, Passwords: all}.UnverifiedReader(&message)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(r, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	testleak.Check(t, *r, secret, scalar, content)
}

// TestPasswordsAreWiped gives out passwords in slices that it keeps, and looks
// whether anything is left in them.
func TestPasswordsAreWiped(t *testing.T) {
	var given [][]byte
	source := func(literal string) trustkeep.PasswordSource {
		return trustkeep.PasswordFunc(func() ([]byte, error) {
			password := []byte(literal)
			given = append(given, password)
			return password, nil
		})
	}
	wiped := func(what string, want int) {
		t.Helper()
		if len(given) != want {
			t.Errorf("%s: asked %d times, want %d", what, len(given), want)
		}
		for i, p := range given {
			if slices.ContainsFunc(p, func(b byte) bool { return b != 0 }) {
				t.Errorf("%s: password %d is still there: %q", what, i, p)
			}
		}
		given = nil
	}
	must := func(_ any, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	k, _, err := Generate(GenerateOptions{Options: quick, UserIDs: []string{"a"}, Passphrase: source("one")})
	must(k, err)
	wiped("Generate", 1)
	locked := k.forget()
	open, err := locked.Unlock(source("one"), quick)
	must(open, err)
	wiped("Unlock", 1)
	if _, err := locked.Unlock(source("wrong"), quick); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	wiped("Unlock with the wrong passphrase", 1)
	must(open.Unlock(source("unasked"), quick))
	wiped("Unlock of an open key", 0)
	must(open.Lock(source("two"), quick))
	wiped("Lock", 1)
	must(locked.ChangePassphrase(source("one"), source("two"), quick))
	wiped("ChangePassphrase", 2)
	var message, out bytes.Buffer
	must(nil, Encryption{Options: quick, Passwords: []trustkeep.PasswordSource{source("m"), source("n")}, To: []*Key{k}}.Encrypt(&message, strings.NewReader("content")))
	wiped("Encrypt", 2)
	data := message.Bytes()
	must(Decryption{Passwords: []trustkeep.PasswordSource{source("wrong"), source("n")}}.Decrypt(&out, bytes.NewReader(data)))
	wiped("Decrypt by password", 2)
	must(Decryption{Keys: []*Key{locked}, Passphrase: source("one")}.Decrypt(&out, bytes.NewReader(data)))
	wiped("Decrypt by key", 1)
	if err := (Encryption{Options: quick, Passwords: []trustkeep.PasswordSource{source("m"), source("")}}).Encrypt(io.Discard, strings.NewReader("")); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("empty password: %v", err)
	}
	wiped("Encrypt with an empty password", 2)
}

// TestSourceThatFails keeps the other passwords of the list in use.
func TestSourceThatFails(t *testing.T) {
	failing := trustkeep.PasswordFunc(func() ([]byte, error) { return nil, trustkeep.ErrNotFound })
	var message, out bytes.Buffer
	if err := (Encryption{Options: quick, Passwords: passwords("m")}).Encrypt(&message, strings.NewReader("content")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		passwords []trustkeep.PasswordSource
		want      error
	}{
		{[]trustkeep.PasswordSource{failing, pw("m")}, nil},
		{[]trustkeep.PasswordSource{pw("wrong"), failing}, trustkeep.ErrNotFound},
		{[]trustkeep.PasswordSource{pw("m"), nil}, trustkeep.ErrInvalid},
		{[]trustkeep.PasswordSource{}, trustkeep.ErrIncorrectPassword},
		{nil, trustkeep.ErrIncorrectPassword},
	} {
		out.Reset()
		_, err := Decryption{Passwords: tt.passwords}.Decrypt(&out, bytes.NewReader(message.Bytes()))
		if !errors.Is(err, tt.want) || tt.want == nil && (err != nil || out.String() != "content") {
			t.Errorf("%v: %q, %v, want %v", tt.passwords, out.String(), err, tt.want)
		}
	}
	if err := (Encryption{Passwords: []trustkeep.PasswordSource{failing}}).Encrypt(&message, strings.NewReader("")); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("encrypting: %v", err)
	}
	if _, _, err := Generate(GenerateOptions{UserIDs: []string{"a"}, Passphrase: failing}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("generating: %v", err)
	}
}

// TestWrongCalls: what only the caller can mend is ErrInvalid, and no panic.
func TestWrongCalls(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	withNil := []*Key{k, nil}
	for name, call := range map[string]func() error{
		"to nil":          func() error { return Encryption{To: withNil}.Encrypt(io.Discard, strings.NewReader("")) },
		"to hidden nil":   func() error { return Encryption{ToHidden: withNil}.Encrypt(io.Discard, strings.NewReader("")) },
		"to an empty key": func() error { return Encryption{To: []*Key{{}}}.Encrypt(io.Discard, strings.NewReader("")) },
		"signed by nil": func() error {
			return Encryption{To: []*Key{k}, Signers: withNil}.Encrypt(io.Discard, strings.NewReader(""))
		},
		"signing by nil": func() error { return Signing{Signers: withNil}.Detached(io.Discard, strings.NewReader("")) },
		"no signer":      func() error { return Signing{}.Sign(io.Discard, strings.NewReader("")) },
		"nil password": func() error {
			return Encryption{Passwords: []trustkeep.PasswordSource{nil}}.Encrypt(io.Discard, strings.NewReader(""))
		},
		"compression": func() error {
			return Encryption{To: []*Key{k}, Compression: 9}.Encrypt(io.Discard, strings.NewReader(""))
		},
		"nil key to decrypt by": func() error {
			_, err := Decryption{Keys: withNil}.Decrypt(io.Discard, strings.NewReader("x"))
			return err
		},
		"nil signer expected": func() error {
			_, err := Decryption{Keys: []*Key{k}, Signers: withNil}.UnverifiedReader(strings.NewReader("x"))
			return err
		},
		"nil signer verified": func() error {
			_, err := Verification{Signers: withNil}.Message(io.Discard, strings.NewReader("x"))
			return err
		},
		"nil signer of a detached signature": func() error {
			_, err := Verification{Signers: withNil}.Detached(strings.NewReader("x"), strings.NewReader("x"))
			return err
		},
		"merged with nil":      func() error { _, err := k.Merge(nil); return err },
		"a ring with nil":      func() error { _, err := new(Keyring).With(k, nil); return err },
		"locked by nil":        func() error { _, err := k.Lock(nil, Options{}); return err },
		"locked by nothing":    func() error { _, err := k.Lock(pw(""), Options{}); return err },
		"a subkey for nothing": func() error { _, err := k.AddSubkey(SubkeyOptions{}); return err },
		"unknown preset":       func() error { _, _, err := Generate(GenerateOptions{UserIDs: []string{"a"}, Preset: "x"}); return err },
	} {
		if err := call(); !errors.Is(err, trustkeep.ErrInvalid) || !strings.HasPrefix(err.Error(), "pgp: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestCostOfPasswords asserts what production pays, and that tests do not.
func TestCostOfPasswords(t *testing.T) {
	specs := func(o Options, p Preset) []s2kcost.Spec {
		return specsOf(t, newKeyAsIs(t, GenerateOptions{Options: o, Preset: p, UserIDs: []string{"a"}, Passphrase: pw("x")}))
	}
	message := func(o Options, aead bool) s2kcost.Spec {
		var out bytes.Buffer
		if err := (Encryption{Options: o, AEAD: aead, Passwords: passwords("x")}).Encrypt(&out, strings.NewReader("")); err != nil {
			t.Fatal(err)
		}
		p, _, err := grammar.Next(out.Bytes(), 0)
		if err != nil {
			t.Fatal(err)
		}
		spec, _, err := s2kcost.OfMessage(p.Body)
		if err != nil {
			t.Fatal(err)
		}
		return spec
	}
	for _, s := range append(specs(Options{}, PresetGnuPG22), message(Options{}, false)) {
		if s.Mode != s2kcost.Iterated || s.Hash != 8 || s.Count != 0xFF { // 65,011,712 bytes of SHA-256
			t.Errorf("%+v", s)
		}
	}
	for _, s := range append(specs(Options{}, PresetRFC9580), message(Options{}, true)) {
		if s.Mode != s2kcost.Argon2 || s.Passes != 3 || s.Parallelism != 4 || s.Memory != 16 {
			t.Errorf("%+v", s)
		}
	}
	for _, s := range append(specs(quick, PresetGnuPG22), message(quick, false)) {
		if s.Mode != s2kcost.Iterated || s.Count != 0x60 {
			t.Errorf("quick: %+v", s)
		}
	}
	for _, s := range append(specs(quick, PresetRFC9580), message(quick, true)) {
		if s.Mode != s2kcost.Argon2 || s.Passes != 1 || s.Memory != 10 {
			t.Errorf("quick: %+v", s)
		}
	}
}

// specsOf returns how the private parts of a key are locked.
func specsOf(t *testing.T, k *Key) (out []s2kcost.Spec) {
	t.Helper()
	for _, raw := range k.state().packets {
		if raw.Tag != grammar.TagSecretKey && raw.Tag != grammar.TagSecretSub {
			continue
		}
		parsed, err := raw.Parsed()
		if err != nil {
			t.Fatal(err)
		}
		spec, _, err := s2kcost.OfKey(raw, &parsed.(*packet.PrivateKey).PublicKey)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, spec)
	}
	return out
}

// TestEveryTypeIsLookedAt fails for a new exported type until somebody has
// decided whether TestNothingPrintsSecrets has to print it.
func TestEveryTypeIsLookedAt(t *testing.T) {
	const printed = `GenerateOptions Decryption Encryption Signing Verification Key Keyring Skipped
		UnreadableError Result SignatureInfo UnverifiedReader`
	const noSecret = `Options InstallOptions Preset Relaxations SubkeyOptions Compression Cipher Preferences Notation Info UserIDInfo SubkeyInfo Usage SecretState
		SignatureState RevocationReason KeyExpiredError KeyRevokedError WeaknessError SignatureError`
	// TestComponentsDoNotPrintSecrets has these.
	const components = "Component ComponentOptions ComponentState Revision RevisionState"
	known := strings.Fields(printed + " " + noSecret + " " + components)
	files, err := filepath.Glob("*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no files", err)
	}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		tree, err := goparser.ParseFile(token.NewFileSet(), file, nil, goparser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(tree, func(n ast.Node) bool {
			if s, ok := n.(*ast.TypeSpec); ok && s.Name.IsExported() && !slices.Contains(known, s.Name.Name) {
				t.Errorf("%s: can %s hold a secret? See TestNothingPrintsSecrets", file, s.Name.Name)
			}
			return true
		})
	}
}
