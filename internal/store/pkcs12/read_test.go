package pkcs12

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

func readOptions(password string) entry.ReadOptions {
	return entry.ReadOptions{Password: []byte(password), Budget: limits.New(trustkeep.Limits{})}
}

func noPassword() entry.ReadOptions {
	return entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})}
}

func load(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".p12"))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, name string, opts entry.ReadOptions) *entry.Store {
	t.Helper()
	s, err := Parse(load(t, name), opts)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return s
}

// describe gives one line for each entry: kind, alias and the common names of
// the chain; "!" stands for an error, "#" for a made-up alias, "*" for a mark.
func describe(s *entry.Store) string {
	var b strings.Builder
	kinds := map[entry.Kind]string{entry.Key: "key", entry.Trusted: "trusted", entry.Secret: "secret", entry.CRL: "crl", entry.Opaque: "opaque"}
	for _, e := range s.Entries {
		fmt.Fprintf(&b, "%s %s", kinds[e.Kind], e.Alias)
		if e.Unnamed {
			b.WriteString("#")
		}
		if e.Marked {
			b.WriteString("*")
		}
		if e.Err != nil {
			b.WriteString("!")
		}
		for i, c := range e.Chain {
			x, err := c.X509()
			name := "?"
			if err == nil {
				name = x.Subject.CommonName
			}
			b.WriteString([]string{": ", " < "}[min(i, 1)] + name)
		}
		b.WriteString("\n")
	}
	return strings.TrimSpace(b.String())
}

// fixture is a file of testdata and what is in it.
type fixture struct {
	name     string
	password string // "changeit" where empty
	want     string
	mac      string
	keys     string // protection of the first key
}

const (
	leafAndRoot = "key leaf: openssl leaf < openssl root"
	pbes2       = "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 "
)

var fixtures = []fixture{
	{name: "keytool-one", want: "key one: one.example", mac: "HMAC-SHA256 PKCS12 10000", keys: pbes2 + "10000"},
	{name: "keytool-chains", want: "key first: First.example < Test Intermediate < Test Root\nkey second: second.example < Test Intermediate < Test Root"},
	{name: "keytool-mixed", want: "key server: server.example < Test Intermediate < Test Root\ntrusted Trusted Root*: Test Root\ntrusted zwischen-ä-パス*: Test Intermediate"},
	{name: "keytool-legacy", want: "key old: old.example", mac: "HMAC-SHA1 PKCS12 100000", keys: "PBES1 3DES-CBC PKCS12-SHA1 50000"},
	{name: "keytool-secret", want: "key key: key.example\nsecret aes"},
	{name: "keytool-trust", want: "trusted root*: Test Root\ntrusted inter*: Test Intermediate"},
	{name: "keytool-sha384", want: "key sha: sha.example", mac: "HMAC-SHA384 PKCS12 10000", keys: "PBES2 AES-256-CBC PBKDF2-HMAC-SHA384 10000"},

	{name: "openssl-default", want: "key My Leaf: openssl leaf < openssl root", mac: "HMAC-SHA256 PKCS12 2048", keys: pbes2 + "2048"},
	{name: "openssl-unnamed", want: "key 1#: openssl leaf < openssl root"},
	{name: "openssl-legacy", want: leafAndRoot, mac: "HMAC-SHA1 PKCS12 2048"},
	{name: "openssl-sha512", want: leafAndRoot, mac: "HMAC-SHA512 PKCS12 2048", keys: "PBES2 AES-128-CBC PBKDF2-HMAC-SHA256 2048"},
	{name: "openssl-certnone", want: leafAndRoot},
	{name: "openssl-bothnone", want: leafAndRoot, keys: "none"},
	{name: "openssl-csp", want: leafAndRoot},
	{name: "openssl-camellia", want: leafAndRoot, keys: "PBES2 Camellia-256-CBC PBKDF2-HMAC-SHA256 2048"},
	{name: "openssl-camellia-certs", want: leafAndRoot, keys: pbes2 + "2048"},
	{name: "openssl-PBE-SHA1-RC4-128", want: leafAndRoot, keys: "PBES1 RC4-128 PKCS12-SHA1 2048"},
	{name: "openssl-PBE-SHA1-RC4-40", want: leafAndRoot, keys: "PBES1 RC4-40 PKCS12-SHA1 2048"},
	{name: "openssl-PBE-SHA1-2DES", want: leafAndRoot, keys: "PBES1 2-key-3DES-CBC PKCS12-SHA1 2048"},
	{name: "openssl-PBE-SHA1-RC2-128", want: leafAndRoot, keys: "PBES1 RC2-128-CBC PKCS12-SHA1 2048"},
	{name: "openssl-PBE-SHA1-RC2-40", want: leafAndRoot, keys: "PBES1 RC2-40-CBC PKCS12-SHA1 2048"},
	{name: "openssl-PBE-SHA1-3DES", want: leafAndRoot, keys: "PBES1 3DES-CBC PKCS12-SHA1 2048"},
	{name: "openssl-DES-EDE3-CBC", want: leafAndRoot, keys: "PBES2 3DES-CBC PBKDF2-HMAC-SHA256 2048"},
	{name: "openssl-umlaut", password: "pässwörd", want: leafAndRoot},
	{name: "openssl-emoji", password: "pass😀", want: leafAndRoot},
	{name: "openssl-iter1", want: leafAndRoot, mac: "HMAC-SHA256 PKCS12 1", keys: pbes2 + "1"},
	{name: "openssl-nokeys", want: "trusted openssl leaf#: openssl leaf\ntrusted openssl root#: openssl root"},
	{name: "openssl-nocerts", want: "key lonely"},
	{name: "openssl-secp256k1", want: "key k1: ?"},

	{name: "nss-default", want: "key nssleaf: openssl leaf < openssl root"},
	{name: "nss-aes-sha384", want: "key nssleaf: openssl leaf < openssl root", mac: "HMAC-SHA384 PKCS12 600000"},
	{name: "nss-3des", want: "key nssleaf: openssl leaf < openssl root"},
	{name: "nss-plaincerts", want: "key nssleaf: openssl leaf < openssl root"},

	{name: "gnutls-default", want: "key leaf: openssl leaf"},
	{name: "gnutls-ca", want: leafAndRoot},
	{name: "gnutls-rc2", want: "key leaf: openssl leaf"},

	{name: "bc-pkcs12", want: "key second: second.example < Test Intermediate < Test Root\nkey first: First.example < Test Intermediate < Test Root\ntrusted trusted*: Test Root"},
	{name: "bc-pkcs12-3des-3des", want: "key second: second.example < Test Intermediate < Test Root\nkey first: First.example < Test Intermediate < Test Root\ntrusted trusted*: Test Root"},
	{name: "bc-pkcs12-def-3des-3des", want: "key second: second.example < Test Intermediate < Test Root\nkey first: First.example < Test Intermediate < Test Root\ntrusted trusted*: Test Root"},

	{name: "rfc9579-a1", password: "1234", want: "", mac: "PBMAC1 HMAC-SHA256 PBKDF2-HMAC-SHA256 2048"},
	{name: "rfc9579-a2", password: "1234", want: "", mac: "PBMAC1 HMAC-SHA256 PBKDF2-HMAC-SHA512 2048"},
	{name: "rfc9579-a3", password: "1234", want: "", mac: "PBMAC1 HMAC-SHA512 PBKDF2-HMAC-SHA512 2048"},
}

func (f fixture) pass() string {
	if f.password == "" {
		return "changeit"
	}
	return f.password
}

// slow: NSS and GnuTLS derive with 600,000 iterations.
func (f fixture) slow() bool {
	return strings.HasPrefix(f.name, "nss-") || strings.HasPrefix(f.name, "gnutls-")
}

func TestParseFixtures(t *testing.T) {
	for _, f := range fixtures {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			slow := f.slow()
			if slow && !testtool.Long() && f.name != "nss-default" {
				t.Skip("in the long form: it costs a second")
			}
			for _, unlock := range []bool{true, false} {
				if slow && !unlock {
					break
				}
				opts := readOptions(f.pass())
				opts.Unlock = unlock
				s := parse(t, f.name, opts)
				if got := describe(s); f.want != "" && got != f.want {
					t.Errorf("got\n%s\nwant\n%s", got, f.want)
				}
				if s.Format != entry.PKCS12 || s.Unauthenticated {
					t.Errorf("format %q, unauthenticated %v", s.Format, s.Unauthenticated)
				}
				source := s.Source.(Source)
				if f.mac != "" && source.MAC.String() != f.mac {
					t.Errorf("MAC %s, want %s", source.MAC, f.mac)
				}
				protection := ""
				for _, e := range s.Entries {
					if e.Key == nil {
						continue
					}
					if protection == "" {
						protection = e.Key.Protection
					}
					checkKey(t, e, f.pass(), unlock)
				}
				if f.keys != "" && protection != f.keys {
					t.Errorf("keys protected by %s, want %s", protection, f.keys)
				}
			}
			if f.name == "openssl-bothnone" {
				return
			}
			for _, wrong := range [][]byte{[]byte("wrong"), []byte(f.pass() + "x"), {}, nil} {
				if slow {
					break
				}
				opts := readOptions("")
				opts.Password = wrong
				if s, err := Parse(load(t, f.name), opts); s != nil || !errors.Is(err, trustkeep.ErrIncorrectPassword) {
					t.Errorf("password %q: %v", wrong, err)
				}
			}
		})
	}
}

// checkKey opens a key, compares it with its certificate and sees that another
// password is refused.
func checkKey(t *testing.T, e *entry.Entry, password string, unlocked bool) {
	t.Helper()
	plain, err := e.Key.Open([]byte(password))
	if e.Key.Protection == "unknown" {
		if !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", e.Alias, err)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", e.Alias, err)
		return
	}
	if e.Kind == entry.Key && len(e.Chain) > 0 {
		o, ok := e.Chain[0].Outline()
		public, err := pkcs8.PublicKeyInfo(plain, limits.Unlimited{})
		if !ok || err != nil || string(public) != string(o.PublicKey) {
			t.Errorf("%s: key does not match its certificate", e.Alias)
		}
	}
	if unlocked && e.Key.Encrypted && string(e.Key.Opened) != string(plain) {
		t.Errorf("%s: not unlocked: %v", e.Alias, e.Key.OpenErr)
	}
	if e.Key.Encrypted && !strings.HasSuffix(e.Key.Protection, " 600000") {
		if _, err := e.Key.Open([]byte("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s: wrong password: %v", e.Alias, err)
		}
	}
}

func TestSecretKey(t *testing.T) {
	s := parse(t, "keytool-secret", readOptions("changeit"))
	for _, e := range s.Entries {
		if e.Kind != entry.Secret {
			continue
		}
		plain, err := e.Key.Open([]byte("changeit"))
		if err != nil || len(plain) != 16 && len(plain) != 32 || e.Key.AlgorithmName() != "AES" {
			t.Errorf("%x, %v, algorithm %q", plain, err, e.Key.AlgorithmName())
		}
		if e.Created.IsZero() {
			t.Error("no creation time")
		}
		return
	}
	t.Error("no secret entry")
}

// Which encoding a writer chose for "no password" shows in the MAC only.
func TestNoPasswordAndEmpty(t *testing.T) {
	for _, name := range []string{"openssl-empty", "gnutls-empty", "gnutls-null"} {
		if name == "gnutls-empty" && !testtool.Long() {
			continue // as openssl-empty, with 600,000 iterations
		}
		for _, password := range [][]byte{nil, {}} {
			opts := noPassword()
			opts.Password, opts.Unlock = password, true
			s := parse(t, name, opts)
			if !strings.HasPrefix(describe(s), "key leaf: openssl leaf") {
				t.Errorf("%s: %s", name, describe(s))
			}
			checkKey(t, s.Entries[0], string(password), true)
			if plain, err := s.Entries[0].Key.Open(password); err != nil || len(plain) == 0 {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestWithoutMAC(t *testing.T) {
	for _, c := range []struct {
		name, password string
		none           bool // no password at all
		allow          bool
		strip          bool // of its MAC
		want           error
	}{
		{name: "keytool-passwordless", none: true},
		{name: "keytool-passwordless", password: "changeit", want: trustkeep.ErrCorrupt},
		{name: "keytool-passwordless", password: "", want: trustkeep.ErrCorrupt},
		{name: "keytool-passwordless", password: "changeit", allow: true},
		{name: "openssl-nomac-plain", none: true},
		{name: "openssl-nomac", none: true}, // certificates are not encrypted
		{name: "openssl-nomac", password: "changeit", want: trustkeep.ErrCorrupt},
		{name: "openssl-nomac", password: "changeit", allow: true},
		{name: "keytool-one", strip: true, none: true, want: trustkeep.ErrIncorrectPassword},
		{name: "keytool-one", strip: true, password: "changeit", want: trustkeep.ErrCorrupt},
		{name: "keytool-one", strip: true, password: "changeit", allow: true},
		{name: "keytool-one", strip: true, password: "wrong", allow: true, want: trustkeep.ErrIncorrectPassword},
		{name: "gnutls-null", strip: true, none: true},
	} {
		opts := readOptions(c.password)
		if c.none {
			opts.Password = nil
		}
		opts.AllowUnauthenticated = c.allow
		data := load(t, c.name)
		if c.strip {
			data = withoutMAC(t, data)
		}
		s, err := Parse(data, opts)
		if !errors.Is(err, c.want) {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		if err != nil {
			if s != nil {
				t.Errorf("%+v: a store and an error", c)
			}
			if c.want == trustkeep.ErrCorrupt && !strings.Contains(err.Error(), "AllowUnauthenticated") {
				t.Errorf("%+v: the error does not name the option: %v", c, err)
			}
			continue
		}
		if !s.Unauthenticated || len(s.Findings) == 0 || s.Findings[0].Code != "no-mac" {
			t.Errorf("%+v: unauthenticated %v, findings %v", c, s.Unauthenticated, s.Findings)
		}
	}
	s := parse(t, "keytool-passwordless", noPassword())
	if got := describe(s); got != "trusted root*: Test Root\ntrusted inter*: Test Intermediate" {
		t.Errorf("got\n%s", got)
	}
}

func withoutMAC(t testing.TB, data []byte) []byte {
	t.Helper()
	in := ber.New(data, ber.Rules{MaxDepth: 32})
	pfx, err := in.Read(ber.Sequence)
	if err != nil {
		t.Fatal(err)
	}
	seq, err := pfx.Children()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := seq.Next(); err != nil {
			t.Fatal(err)
		}
	}
	return appendElement(nil, tagSequence, pfx.Content[:len(pfx.Content)-len(seq.Rest())])
}

// unknownCipher is a fixture with an identifier in place of Camellia's that nobody has
// given away.
func unknownCipher(t testing.TB, name string) []byte {
	t.Helper()
	camellia := []byte("\x06\x0b\x2a\x83\x08\x8c\x9a\x4b\x3d\x01\x01\x01\x04")
	file := load(t, name)
	if !bytes.Contains(file, camellia) {
		t.Fatalf("%s: no Camellia", name)
	}
	unknown := append(camellia[:len(camellia)-1:len(camellia)-1], 0x7f)
	return withMAC(bytes.ReplaceAll(file, camellia, unknown), pbe.MACParams{KDF: pbe.PKCS12, Hash: crypto.SHA256, Iterations: 1})
}

func TestUnsupportedPartsAreKept(t *testing.T) {
	s, err := Parse(unknownCipher(t, "openssl-camellia-certs"), readOptions("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(s); !strings.HasPrefix(got, "key leaf\nopaque ") || !errors.Is(s.Entries[1].Err, trustkeep.ErrUnsupported) {
		t.Errorf("got\n%s", got)
	}
	s, err = Parse(unknownCipher(t, "openssl-camellia"), readOptions("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	key := s.Entries[0].Key
	if _, err := key.Open([]byte("changeit")); key.Protection != "unknown" || !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%s: %v", key.Protection, err)
	}
	if _, err := Parse(load(t, "openssl-sha3"), readOptions("changeit")); err != nil {
		t.Errorf("MAC of SHA-3: %v", err)
	}
	s = parse(t, "openssl-csp", readOptions("changeit"))
	if n := len(s.Entries[0].Attributes); n != 2 {
		t.Errorf("%d attributes kept, want LocalKeySet and the name of the provider", n)
	}
}

// RFC 9579 appendix A.4 to A.6.
func TestRFC9579Bad(t *testing.T) {
	for name, want := range map[string]error{
		"rfc9579-a4": trustkeep.ErrIncorrectPassword,
		"rfc9579-a5": trustkeep.ErrIncorrectPassword,
		"rfc9579-a6": trustkeep.ErrCorrupt,
	} {
		if _, err := Parse(load(t, name), readOptions("1234")); !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestFindings(t *testing.T) {
	s := parse(t, "openssl-nocerts", readOptions("changeit"))
	if len(s.Findings) != 1 || s.Findings[0].Code != "key-without-certificate" || s.Findings[0].Alias != "lonely" {
		t.Errorf("%v", s.Findings)
	}
}

func TestTrailingBytes(t *testing.T) {
	data := load(t, "keytool-one")
	for tail, ok := range map[string]bool{"\n": true, "\r\n": true, "\x00\x00\x00": true, "x": false, "\x00x": false, "\x30\x00": false} {
		_, err := Parse(append(data[:len(data):len(data)], tail...), readOptions("changeit"))
		if ok && err != nil || !ok && !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%q: %v", tail, err)
		}
	}
}

func TestInputIsNotKept(t *testing.T) {
	for _, name := range []string{"keytool-passwordless", "openssl-bothnone", "nss-default"} {
		data := load(t, name)
		opts := readOptions("changeit")
		opts.AllowUnauthenticated = true
		s, err := Parse(data, opts)
		if err != nil {
			t.Fatal(err)
		}
		for i := range data {
			data[i] = 0xaa
		}
		if got := describe(s); strings.Contains(got, "?") || strings.Contains(got, "!") {
			t.Errorf("%s: after the input changed:\n%s", name, got)
		}
		for _, e := range s.Entries {
			if e.Key != nil {
				checkKey(t, e, "changeit", false)
			}
		}
	}
}
