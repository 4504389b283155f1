package pgp

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

func TestSafeFileName(t *testing.T) {
	for name, want := range map[string]string{
		"report.pdf": "report.pdf", "über größe.txt": "über größe.txt", "a b": "a b",
		"../../etc/passwd": "passwd", `C:\Windows\system32\x.dll`: "x.dll", "/etc/": "", "..": "", ".": "", "": "", ".bashrc": "bashrc",
		"a\x00b": "a_b", "a\nb": "a_b", "con": "", "NUL.txt": "", "com1.log": "", "LPT¹": "", "common.txt": "common.txt", "con .txt": "",
		"x\u202egpj.exe": "x_gpj.exe", "a:b": "a_b", "name.": "name", "name . ": "name", "\xff\xfe": "", "_CONSOLE": "_CONSOLE", "CONSOLE": "", "???": "",
		strings.Repeat("ü", 200): strings.Repeat("ü", 127),
		"~/x":                    "x", "..\\..\\x": "x", "a/..": "", "\u2028": "",
	} {
		if want == "" {
			want = "fallback"
		}
		if got := (&Result{FileName: name}).SafeFileName("fallback"); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func FuzzSafeFileName(f *testing.F) {
	f.Add("../../etc/passwd")
	f.Add("x\u202egpj.exe")
	f.Fuzz(func(t *testing.T, name string) {
		got := (&Result{FileName: name}).SafeFileName("fallback")
		if got == "" || got == "." || got == ".." || len(got) > 255 || strings.ContainsAny(got, "/\\:\x00\r\n") || isDevice(got) {
			t.Errorf("%q: %q", name, got)
		}
		if again := (&Result{FileName: got}).SafeFileName("fallback"); again != got {
			t.Errorf("%q: %q, then %q", name, got, again)
		}
	})
}

func TestWKD(t *testing.T) {
	if urls, err := wkdURLs("Joe.Doe@Example.ORG"); err != nil || urls[0] != "https://openpgpkey.example.org/.well-known/openpgpkey/example.org/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe" ||
		urls[1] != "https://example.org/.well-known/openpgpkey/hu/iy9q119eutrkn8s1mk4r39qejnbu3n5q?l=Joe.Doe" { // the example of the draft
		t.Errorf("%q, %v", urls, err)
	}
	ctx := context.Background()
	k := newKey(t, GenerateOptions{UserIDs: []string{"Joe <joe.doe@example.org>", "other@example.org"}}, Options{})
	stranger := newKey(t, GenerateOptions{UserIDs: []string{"Eve <eve@example.org>"}}, Options{})
	notFound := fmt.Errorf("404: %w", trustkeep.ErrNotFound)
	down := errors.New("connection refused")
	answer := func(first, second any) func(context.Context, string) ([]byte, error) {
		return func(_ context.Context, u string) ([]byte, error) {
			a := second
			if strings.HasPrefix(u, "https://openpgpkey.") {
				a = first
			}
			if err, ok := a.(error); ok {
				return nil, err
			}
			return a.([]byte), nil
		}
	}
	for name, tt := range map[string]struct {
		address string
		fetch   func(context.Context, string) ([]byte, error)
		want    error
	}{
		"advanced":         {"Joe.Doe@example.org", answer(k.Marshal(), down), nil},
		"direct":           {"joe.doe@example.org", answer(notFound, k.Marshal()), nil},
		"nowhere":          {"joe.doe@example.org", answer(notFound, notFound), trustkeep.ErrNotFound},
		"down":             {"joe.doe@example.org", answer(down, k.Marshal()), down},
		"another's key":    {"joe.doe@example.org", answer(stranger.Marshal(), k.Marshal()), trustkeep.ErrNotFound},
		"among others":     {"other@example.org", answer(append(stranger.Marshal(), k.Marshal()...), down), nil},
		"garbage":          {"joe.doe@example.org", answer([]byte("<html>"), k.Marshal()), trustkeep.ErrEmpty},
		"no address":       {"joe", nil, trustkeep.ErrInvalid},
		"no local part":    {"@example.org", answer(down, down), trustkeep.ErrInvalid},
		"a path":           {"joe@example.org/../x", answer(down, down), trustkeep.ErrInvalid},
		"an IP address":    {"joe@127.0.0.1", answer(down, down), trustkeep.ErrInvalid},
		"a port":           {"joe@example.org:8080", answer(down, down), trustkeep.ErrInvalid},
		"a user":           {"joe@x@example.org", answer(down, down), trustkeep.ErrInvalid},
		"a host alone":     {"joe@localhost", answer(down, down), trustkeep.ErrInvalid},
		"no way to get it": {"joe.doe@example.org", nil, trustkeep.ErrInvalid},
	} {
		ring, err := Options{}.LookupWKD(ctx, tt.address, tt.fetch)
		if !errors.Is(err, tt.want) || err == nil && (ring.Len() != 1 || ring.Keys()[0].Fingerprint() != k.Fingerprint()) {
			t.Errorf("%s: %v, %v", name, ring, err)
		}
	}
	revoked, err := k.RevokeUserID("Joe <joe.doe@example.org>", "", Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (Options{}).LookupWKD(ctx, "joe.doe@example.org", answer(revoked.Marshal(), down)); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a revoked user ID: %v", err)
	}
	gone, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := (Options{}).LookupWKD(gone, "joe.doe@example.org", answer(k.Marshal(), down)); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	// What is private in a directory, by mistake, does not come along.
	locked, err := k.Lock(pw("x"), quick)
	if err != nil {
		t.Fatal(err)
	}
	private, err := locked.MarshalPrivate()
	if err != nil {
		t.Fatal(err)
	}
	if ring, err := (Options{}).LookupWKD(ctx, "joe.doe@example.org", answer(private, down)); err != nil || ring.Keys()[0].IsPrivate() {
		t.Errorf("%v", err)
	}
}

// TestSessionKeys: a session key opens its message, and no other.
func TestSessionKeys(t *testing.T) {
	v4, v6 := testKeys()[PresetGnuPG22], testKeys()[PresetRFC9580]
	for name, e := range map[string]Encryption{
		"mdc": {To: []*Key{v4}}, "aead": {To: []*Key{v6}}, "hidden": {ToHidden: []*Key{v4}}, "armored": {To: []*Key{v4}, Armor: true},
		"password": {Passwords: passwords("x")}, "password, aead": {Passwords: passwords("x"), AEAD: true},
	} {
		e.Signers = []*Key{v4}
		message := encrypted(t, e, []byte("content"))
		other := encrypted(t, e, []byte("another"))
		d := Decryption{Keys: []*Key{v4, v6}, Passwords: passwords("x"), Options: quick}
		session, err := d.SessionKey(bytes.NewReader(message))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		text, err := session.Reveal()
		if err != nil || strings.Contains(fmt.Sprintf("%v %+v %#v", session, session, session), string(text)) {
			t.Errorf("%s: the session key prints, or %v", name, err)
		}
		with := Decryption{SessionKeys: []trustkeep.PasswordSource{session}, Signers: []*Key{v4}}
		var out bytes.Buffer
		res, err := with.Decrypt(&out, bytes.NewReader(message))
		if err != nil || out.String() != "content" || !res.Encrypted || !res.BySessionKey || res.DecryptedWith != "" || res.ByPassword {
			t.Errorf("%s: %q, %v", name, out.String(), err)
		}
		if _, err := with.Decrypt(&out, bytes.NewReader(other)); err == nil {
			t.Errorf("%s: opens another message", name)
		}
		if _, err := (Decryption{Passwords: passwords("wrong"), Options: quick}).SessionKey(bytes.NewReader(message)); err == nil {
			t.Errorf("%s: session key without the key", name)
		}
		for _, bad := range []string{"", "9", "9:", "x:00", "9:0", "9:zz", "999:00", "9:" + strings.Repeat("00", 33), ":00", "-9:00"} {
			if _, err := (Decryption{SessionKeys: passwords(bad)}).Decrypt(io.Discard, bytes.NewReader(message)); !invalidCall(err) {
				t.Errorf("%s, %q: %v", name, bad, err)
			}
		}
	}
	message := encrypted(t, Encryption{To: []*Key{v4}}, []byte("content"))
	if _, err := (Decryption{SessionKeys: []trustkeep.PasswordSource{nil}}).Decrypt(io.Discard, bytes.NewReader(message)); !invalidCall(err) {
		t.Errorf("nil: %v", err)
	}
	plain := signed(t, Signing{Signers: []*Key{v4}}, "message", "x")
	if _, err := (Decryption{Keys: []*Key{v4}}).SessionKey(bytes.NewReader(plain)); !isSentinel(err, trustkeep.ErrRejected) {
		t.Errorf("not encrypted: %v", err)
	}
}
