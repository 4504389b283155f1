package pemfile

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

func options(password string) entry.ReadOptions {
	o := entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})}
	if password != "-" {
		o.Password = []byte(password)
	}
	return o
}

const none = "-" // no password

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func mustParse(tb testing.TB, data []byte, password string) *entry.Store {
	tb.Helper()
	s, err := Parse(data, options(password))
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func sum(der []byte) string {
	s := sha256.Sum256(der)
	return hex.EncodeToString(s[:])
}

// summary is one line for each entry: kind, alias, names in the chain.
func summary(s *entry.Store) string {
	kinds := map[entry.Kind]string{entry.Key: "key", entry.Trusted: "trusted", entry.CRL: "crl", entry.Opaque: "opaque"}
	var lines []string
	for _, e := range s.Entries {
		line := kinds[e.Kind] + " " + e.Alias
		for _, c := range e.Chain {
			line += " > " + entry.NameFor(c)
		}
		if e.Err != nil {
			line += " ! " + e.Err.Error()
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

// Every spelling of a private key is opened to the PKCS#8 that OpenSSL makes of
// it, and names the public key that OpenSSL computes, where the key has it.
func TestKeysAsOpenSSL(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(string(fixture(t, "keys.txt"))), "\n")
	if len(lines) < 30 {
		t.Fatalf("only %d keys", len(lines))
	}
	for _, line := range lines {
		f := strings.Fields(line)
		name, password, wantKey, wantPublic := f[0], f[1], f[2], f[3]
		t.Run(name, func(t *testing.T) {
			s := mustParse(t, fixture(t, name), password)
			if len(s.Entries) != 1 || s.Entries[0].Kind != entry.Key || len(s.Findings) != 0 {
				t.Fatalf("got %s, %v", summary(s), s.Findings)
			}
			k := s.Entries[0].Key
			if k.Encrypted != (password != none) || k.Encrypted == (k.Protection == "none") || k.Protection == "" {
				t.Errorf("encrypted %v, protection %q", k.Encrypted, k.Protection)
			}
			der, err := k.Open(options(password).Password)
			if err != nil {
				t.Fatal(err)
			}
			if got := sum(der); got != wantKey {
				t.Errorf("PKCS#8 %s, want %s", got, wantKey)
			}
			public, err := pkcs8.PublicKeyInfo(der, limits.Unlimited{})
			if err != nil {
				t.Error(err)
			}
			if public == nil && !strings.HasPrefix(name, "dsa") && !strings.Contains(name, "448") {
				t.Error("no public key")
			}
			if public != nil && sum(public) != wantPublic {
				t.Errorf("public key %s, want %s", sum(public), wantPublic)
			}
			if !k.Encrypted {
				return
			}
			for _, wrong := range [][]byte{nil, {}, []byte("wrong")} {
				if _, err := k.Open(wrong); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
					t.Errorf("password %q: %v", wrong, err)
				}
			}
			if _, err := Parse(fixture(t, name), options("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
				t.Errorf("reading with a wrong password: %v", err)
			}
			if _, err := Parse(fixture(t, name), options(none)); err != nil {
				t.Errorf("reading without password: %v", err)
			}
		})
	}
}

func TestBundles(t *testing.T) {
	const chain = " > www.example.com > Test Intermediate > Test Root"
	tests := []struct {
		file, password, want string
		findings             []string
	}{
		{"chain.bundle", none, "key www.example.com" + chain, nil},
		{"shuffled.bundle", none, "key www.example.com" + chain, nil},
		{"encrypted.bundle", "secret", "key www.example.com" + chain, nil},
		{"encrypted.bundle", none, "key www.example.com" + chain, nil}, // by exclusion
		{"pkcs12-nodes.bundle", none, "key Web Server" + chain, nil},
		{"pkcs12-encrypted.bundle", none, "key Web Server" + chain, nil}, // by local key ID
		{"certificates.bundle", none, "trusted Test Root > Test Root\ntrusted Test Intermediate > Test Intermediate", nil},
		{"text.bundle", none, "trusted Test Root > Test Root", nil},
		{"trusted.bundle", none, "trusted My Root > Test Root", []string{"limited-trust"}},
		{"rejected.bundle", none, "opaque Test Root > Test Root", []string{"rejected-certificate"}},
		{"trusted-without-settings.bundle", none, "trusted Test Root > Test Root", nil},
		{"crl.bundle", none, "crl Test Root crl", nil},
		{"pkcs7.bundle", none, "trusted www.example.com > www.example.com\ntrusted Test Intermediate > Test Intermediate\n" +
			"trusted Test Root > Test Root\ncrl Test Root crl", nil},
		{"request.bundle", none, "opaque certificate request", nil},
		{"publickey.bundle", none, "opaque public key", nil},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			s := mustParse(t, fixture(t, test.file), test.password)
			got := strings.Split(summary(s), "\n")
			want := strings.Split(test.want, "\n")
			if test.file == "pkcs7.bundle" { // a SET has no order
				slices.Sort(got)
				slices.Sort(want)
			}
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s", summary(s), test.want)
			}
			var codes []string
			for _, f := range s.Findings {
				codes = append(codes, f.Code)
			}
			if !slices.Equal(codes, test.findings) {
				t.Errorf("findings %v, want %v", s.Findings, test.findings)
			}
			if s.Format != entry.PEM || !s.Unauthenticated {
				t.Errorf("format %q, unauthenticated %v", s.Format, s.Unauthenticated)
			}
		})
	}
}

// The same content in other layouts is the same store.
func TestLayouts(t *testing.T) {
	original := string(fixture(t, "shuffled.bundle"))
	replace := func(old, new string) string { return strings.ReplaceAll(original, old, new) }
	tests := []struct{ name, text string }{
		{"CRLF", replace("\n", "\r\n")},
		{"CR", replace("\n", "\r")},
		{"CR, and one LF at the end", replace("\n", "\r") + "\n"},
		{"byte order mark", "\xef\xbb\xbf" + original},
		{"UTF-16 little endian", "\xff\xfe" + strings.Join(strings.Split(original, ""), "\x00") + "\x00"},
		{"UTF-16 big endian", "\xfe\xff\x00" + strings.Join(strings.Split(original, ""), "\x00")},
		{"no final line end", strings.TrimSpace(original)},
		{"indented", "\t" + replace("\n", "\n\t")},
		{"blanks at line ends", replace("\n", "   \n")},
		{"blank lines within blocks", replace("\n", "\n\n")},
		{"comments", replace("-----BEGIN", "# a comment - with --- dashes: and colons\n-----BEGIN")},
		{"joined by cat without line ends", replace("-----\n-----", "----------")},
		{"all in one line", replace("\n", " ")},
		{"long lines", longLines(original)},
		{"other label", replace(" CERTIFICATE-", " X509 CERTIFICATE-")},
		{"wrong key label", replace(" PRIVATE KEY-", " RSA PRIVATE KEY-")},
	}
	want := summary(mustParse(t, []byte(original), none))
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse([]byte(test.text), options(none))
			if err != nil {
				t.Fatal(err)
			}
			if got := summary(s); got != want || len(s.Findings) > 0 {
				t.Errorf("got %s, %v\nwant %s", got, s.Findings, want)
			}
		})
	}
}

func longLines(text string) string {
	var b strings.Builder
	for _, line := range strings.SplitAfter(text, "\n") {
		if !strings.HasPrefix(line, "-----") {
			line = strings.TrimSpace(line)
		} else if strings.HasPrefix(line, "-----END") {
			line = "\n" + line
		}
		b.WriteString(line)
	}
	return b.String()
}

// Unlock leaves the opened keys behind, and the errors.
func TestUnlock(t *testing.T) {
	data := slices.Concat(fixture(t, "encrypted.bundle"), fixture(t, "ed25519-pkcs8.pem"))
	o := options("secret")
	o.Unlock = true
	s, err := Parse(data, o)
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for _, e := range s.Entries {
		if e.Key != nil && pkcs8.IsPrivateKeyInfo(e.Key.Opened) && e.Key.OpenErr == nil {
			opened++
		}
	}
	if opened != 2 {
		t.Errorf("%d of 2 keys opened: %s", opened, summary(s))
	}
	s = mustParse(t, data, "secret")
	for _, e := range s.Entries {
		if e.Key != nil && e.Key.Opened != nil {
			t.Error("opened without Unlock")
		}
	}
}

// A key that matches no certificate is reported, and certificates that belong to
// no key are not trusted beside keys.
func TestUnpairedKey(t *testing.T) {
	s := mustParse(t, slices.Concat(fixture(t, "certificates.bundle"), fixture(t, "ed25519-pkcs8.pem")), none)
	want := "opaque Test Root > Test Root\nopaque Test Intermediate > Test Intermediate\nkey key"
	if got := summary(s); got != want {
		t.Errorf("got %s", got)
	}
	if len(s.Findings) != 1 || s.Findings[0].Code != "unpaired-key" || s.Findings[0].Alias != "key" {
		t.Errorf("findings %v", s.Findings)
	}
}

// The key of another certificate is never given a certificate by exclusion.
func TestNoGuessForReadableKey(t *testing.T) {
	certs := fixture(t, "chain.bundle")
	certs = certs[strings.Index(string(certs), "-----BEGIN CERT"):]
	s := mustParse(t, slices.Concat(certs, fixture(t, "ed25519-pkcs8.pem")), none)
	for _, e := range s.Entries {
		if e.Kind == entry.Key && len(e.Chain) > 0 {
			t.Errorf("paired: %s", summary(s))
		}
	}
}

// OpenSSL takes lines for headers up to a blank one, and so finds nothing in an
// encrypted block without it.
func TestEncryptedBlockWithoutBlankLine(t *testing.T) {
	data, err := os.ReadFile("testdata/rsa-pkcs1-aes128.pem")
	if err != nil {
		t.Fatal(err)
	}
	for name, end := range map[string]string{"LF": "\n", "CRLF": "\r\n", "CR": "\r"} {
		text := strings.ReplaceAll(string(data), "\n", end)
		if _, err := Parse([]byte(text), entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		without := strings.Replace(text, end+end, end, 1)
		if _, err := Parse([]byte(without), entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})}); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%s without its blank line: %v", name, err)
		}
	}
}
