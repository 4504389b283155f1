package pemfile

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// keyOf is WriteOptions.Key for stores that are read with password and written
// with another one.
func keyOf(password, next []byte) func(*entry.Entry) ([]byte, []byte, error) {
	return func(e *entry.Entry) ([]byte, []byte, error) {
		plain, err := e.Key.Open(password)
		return plain, bytes.Clone(next), err
	}
}

func write(tb testing.TB, s *entry.Store, o entry.WriteOptions) []byte {
	tb.Helper()
	o.Rand = rand.NewChaCha8([32]byte{1})
	out, err := Encode(s, o)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

// What is written reads back as the same entries, with and without a password.
func TestRoundTrip(t *testing.T) {
	bundles, err := filepath.Glob("testdata/*.bundle")
	if err != nil || len(bundles) == 0 {
		t.Fatal("no fixtures")
	}
	for _, path := range bundles {
		for _, password := range []string{none, "other"} {
			t.Run(filepath.Base(path)+" "+password, func(t *testing.T) {
				s := mustParse(t, fixture(t, filepath.Base(path)), "secret")
				next := options(password).Password
				out := write(t, s, entry.WriteOptions{Key: keyOf([]byte("secret"), next)})
				if again := write(t, s, entry.WriteOptions{Key: keyOf([]byte("secret"), next)}); !bytes.Equal(out, again) {
					t.Error("the same randomness gave another file")
				}
				back := mustParse(t, out, password)
				if got, want := summary(back), summary(s); got != want {
					t.Errorf("got\n%s\nwant\n%s\n%s", got, want, out)
				}
				for i, e := range back.Entries {
					was := s.Entries[i]
					if e.Unnamed != was.Unnamed || !bytes.Equal(e.Raw, was.Raw) || len(e.Attributes) != len(was.Attributes) {
						t.Errorf("got %+v\nwant %+v", e, was)
					}
					if e.Key == nil {
						continue
					}
					got, err1 := e.Key.Open(next)
					want, err2 := was.Key.Open([]byte("secret"))
					if err1 != nil || err2 != nil || !bytes.Equal(got, want) || e.Key.Encrypted != (next != nil) {
						t.Errorf("key differs: %v, %v", err1, err2)
					}
				}
			})
		}
	}
}

// Keys that may be kept are copied to the octet, whatever protects them, also
// when nobody has the password.
func TestKeep(t *testing.T) {
	for _, name := range []string{"encrypted.bundle", "rsa-pkcs1-aes256.pem", "ec-sec1-with-parameters.pem"} {
		s := mustParse(t, fixture(t, name), none)
		out := write(t, s, entry.WriteOptions{Keep: func(*entry.Entry) bool { return true }})
		for _, e := range s.Entries {
			if e.Key != nil && !bytes.Contains(out, e.Key.Protected) {
				t.Errorf("%s: key not kept", name)
			}
		}
	}
}

// Aliases, creation times and trust survive, whatever is in an alias.
func TestNotes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	aliases := []string{
		"plain", "Ünïcode 鍵", " blanks ", "", `"quoted"`, "two\nlines", "\x1b[31m", "a\x00b", "bad \xff utf-8",
		"-----BEGIN CERTIFICATE-----", "------", `back\slash`, "# alias: x", strings.Repeat("long", 10_000), "trailing\t",
	}
	created := time.Date(2026, 11, 21, 1, 2, 3, 4_000_000, time.UTC)
	s := &entry.Store{Format: entry.PEM}
	for i, alias := range aliases {
		cert := entry.NewCertificate(pki.Server("a.example").DERChain()[0])
		s.Entries = append(s.Entries, &entry.Entry{Kind: entry.Trusted, Alias: alias, Chain: []*entry.Certificate{cert}, Created: created.Add(time.Duration(i) * time.Second)})
	}
	s.Entries[3].Unnamed = true // PEM has no empty alias of its own
	id := pki.Client("client")
	chain := []*entry.Certificate{}
	for _, der := range id.DERChain() {
		chain = append(chain, entry.NewCertificate(der))
	}
	chain[1].Label = "label of the issuer"
	key := &entry.PrivateKey{Unlock: func([]byte, limits.Spender) ([]byte, error) { return id.PKCS8(), nil }}
	s.Entries = append(s.Entries, &entry.Entry{Kind: entry.Key, Alias: "Key", Key: key, Chain: chain, Created: created})
	for _, password := range []string{none, "secret"} {
		next := options(password).Password
		back := mustParse(t, write(t, s, entry.WriteOptions{Key: keyOf(nil, next)}), none)
		if len(back.Entries) != len(s.Entries) || len(back.Findings) != 0 {
			t.Fatalf("%d entries of %d, %v", len(back.Entries), len(s.Entries), back.Findings)
		}
		for i, e := range back.Entries {
			was := s.Entries[i]
			if e.Kind != was.Kind || e.Alias != was.Alias && !was.Unnamed || !e.Created.Equal(was.Created) || len(e.Chain) != len(was.Chain) {
				t.Errorf("got %v %q %v, want %v %q %v", e.Kind, e.Alias, e.Created, was.Kind, was.Alias, was.Created)
			}
		}
		if got := back.Entries[len(aliases)].Chain[1].Label; got != "label of the issuer" {
			t.Errorf("label %q", got)
		}
	}
}

func TestEncodeRefuses(t *testing.T) {
	cert := func() []*entry.Certificate {
		return mustParse(t, fixture(t, "trusted.bundle"), none).Entries[0].Chain
	}
	failing := errors.New("no key today")
	tests := []struct {
		name    string
		entries []*entry.Entry
		want    error
	}{
		{"aliases that fold equal", []*entry.Entry{{Kind: entry.Trusted, Alias: "a", Chain: cert()}, {Kind: entry.Trusted, Alias: "A", Chain: cert()}}, trustkeep.ErrExists},
		{"secret key", []*entry.Entry{{Kind: entry.Secret, Alias: "s", Key: &entry.PrivateKey{}}}, trustkeep.ErrUnsupported},
		{"foreign opaque entry", []*entry.Entry{{Kind: entry.Opaque, Alias: "o", Raw: []byte{0x30, 0}}}, trustkeep.ErrUnsupported},
		{"block without its end", []*entry.Entry{{Kind: entry.Opaque, Alias: "o", Raw: []byte("-----BEGIN X-----\nAAAA")}}, trustkeep.ErrUnsupported},
		{"foreign certificate", []*entry.Entry{{Kind: entry.Trusted, Alias: "c", Chain: []*entry.Certificate{{Type: "PGP"}}}}, trustkeep.ErrUnsupported},
		{"key that cannot be opened", []*entry.Entry{{Kind: entry.Key, Alias: "k", Key: &entry.PrivateKey{}}}, failing},
	}
	for _, test := range tests {
		out, err := Encode(&entry.Store{Entries: test.entries}, entry.WriteOptions{
			Key: func(*entry.Entry) ([]byte, []byte, error) { return nil, nil, failing }})
		if !errors.Is(err, test.want) || out != nil {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

// OpenSSL and keytool read what is written here.
func TestInteropTools(t *testing.T) {
	dir := t.TempDir()
	s := mustParse(t, fixture(t, "pkcs12-nodes.bundle"), none)
	plain, sealed, trust := filepath.Join(dir, "plain.pem"), filepath.Join(dir, "sealed.pem"), filepath.Join(dir, "trust.pem")
	for path, data := range map[string][]byte{
		plain:  write(t, s, entry.WriteOptions{Key: keyOf(nil, nil)}),
		sealed: write(t, s, entry.WriteOptions{Key: keyOf(nil, []byte("pass word"))}),
		trust:  write(t, mustParse(t, fixture(t, "certificates.bundle"), none), entry.WriteOptions{}),
	} {
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(t *testing.T, want string, args ...string) {
		t.Helper()
		out, err := testtool.Command(t, args[0], args[1:]...).CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) {
			t.Errorf("%v: %v, want %q in\n%s", args, err, want, out)
		}
		t.Logf("%s: %q found", strings.Join(args, " "), want)
	}
	t.Run("openssl", func(t *testing.T) {
		run(t, "OpenSSL", "openssl", "version")
		run(t, "BEGIN PRIVATE KEY", "openssl", "pkey", "-in", plain)
		run(t, "BEGIN PRIVATE KEY", "openssl", "pkey", "-in", sealed, "-passin", "pass:pass word")
		run(t, "www.example.com", "openssl", "x509", "-in", sealed, "-noout", "-subject")
		run(t, "OK", "openssl", "verify", "-CAfile", trust, "-untrusted", plain, plain)
		run(t, "", "openssl", "pkcs12", "-export", "-in", sealed, "-passin", "pass:pass word", "-passout", "pass:x", "-out", filepath.Join(dir, "x.p12"))
	})
	t.Run("keytool", func(t *testing.T) {
		run(t, "version", "java", "-version")
		run(t, "Test Root", "keytool", "-printcert", "-file", trust)
	})
}
