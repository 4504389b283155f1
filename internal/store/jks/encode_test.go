package jks

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	keystore "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

func mustEncode(tb testing.TB, s *entry.Store, format entry.Format, opts entry.WriteOptions) []byte {
	tb.Helper()
	data, err := Encode(s, format, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func sameContent(tb testing.TB, got, want *entry.Store, password string, keyPasswords map[string]string) {
	tb.Helper()
	javatest.SameContent(tb, got, want, password, keyPasswords, time.Millisecond)
}

func TestRoundTrip(t *testing.T) {
	want := javatest.NewStore(t)
	keyPasswords := map[string]string{"other": "sésame 🔑"}
	data := mustEncode(t, want, entry.JKS, javatest.WriteOptions("pä€", keyPasswords))
	if cap(data) > len(data)+len(data)/8+64 {
		t.Errorf("%d bytes in a buffer of %d", len(data), cap(data))
	}
	got := mustParse(t, data, "pä€")
	sameContent(t, got, want, "pä€", keyPasswords)

	// Under a new store password, keys stay as they are.
	opts := javatest.WriteOptions("new", nil)
	opts.Keep = javatest.KeepAll
	sameContent(t, mustParse(t, mustEncode(t, got, entry.JKS, opts), "new"), want, "pä€", keyPasswords)
}

func TestEmptyPassword(t *testing.T) {
	want := javatest.NewStore(t)
	sameContent(t, mustParse(t, mustEncode(t, want, entry.JKS, javatest.WriteOptions("", nil)), ""), want, "", nil)
}

func TestReproducible(t *testing.T) {
	s := javatest.NewStore(t)
	seed := make([]byte, 4096)
	rand.Read(seed)
	opts := javatest.WriteOptions(storePassword, nil)
	encode := func() []byte {
		opts.Rand = bytes.NewReader(seed)
		return mustEncode(t, s, entry.JKS, opts)
	}
	if !bytes.Equal(encode(), encode()) {
		t.Error("same randomness, different bytes")
	}
}

// TestAliasesAsJavaFindsThem: Java's JKS looks up folded aliases only, so
// anything else would be a key that no program finds.
func TestAliasesAsJavaFindsThem(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := &entry.Store{Entries: []*entry.Entry{javatest.Anchor("MixedCase", pki.Root.DERChain()[0])}}
	find(t, mustParse(t, mustEncode(t, s, entry.JKS, javatest.WriteOptions("x", nil)), "x"), "mixedcase")
	s.Source = Source{CaseExact: true}
	find(t, mustParse(t, mustEncode(t, s, entry.JKS, javatest.WriteOptions("x", nil)), "x"), "MixedCase")
}

func TestEncodeRefuses(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	root := pki.Root.DERChain()[0]
	failing := errors.New("locked")
	for _, test := range []struct {
		name    string
		entries []*entry.Entry
		format  entry.Format
		change  func(*entry.WriteOptions)
		want    error
	}{
		{name: "no password", change: func(o *entry.WriteOptions) { o.Password = nil }, want: trustkeep.ErrUnsupported},
		{name: "other format", format: entry.PKCS12, want: trustkeep.ErrUnsupported},
		{name: "alias", entries: []*entry.Entry{javatest.Anchor("Alias", root), javatest.Anchor("aLIAS", root)}, want: trustkeep.ErrExists},
		{name: "secret", entries: []*entry.Entry{{Alias: "alias", Kind: entry.Secret, Key: &entry.PrivateKey{}}}, want: trustkeep.ErrUnsupported},
		{name: "crl", entries: []*entry.Entry{{Alias: "alias", Kind: entry.CRL, Raw: []byte{1}}}, want: trustkeep.ErrUnsupported},
		{name: "opaque certificate", entries: []*entry.Entry{{Alias: "alias", Kind: entry.Opaque, Chain: javatest.Anchor("", root).Chain}}, want: trustkeep.ErrUnsupported},
		{name: "trusted without certificate", entries: []*entry.Entry{{Alias: "alias", Kind: entry.Trusted}}, want: trustkeep.ErrUnsupported},
		{name: "alias of 64 KiB", entries: []*entry.Entry{javatest.Anchor("alias"+strings.Repeat("a", 1<<16), root)}, want: trustkeep.ErrUnsupported},
		{name: "alias that is no text", entries: []*entry.Entry{javatest.Anchor("alias\xff", root)}, want: trustkeep.ErrUnsupported},
		{
			name: "key without password", entries: []*entry.Entry{javatest.Identity("alias", pki.Server("x"))}, want: trustkeep.ErrUnsupported,
			change: func(o *entry.WriteOptions) {
				o.Key = func(e *entry.Entry) ([]byte, []byte, error) { return e.Key.Protected, nil, nil }
			},
		},
		{
			name: "nothing opens the key", entries: []*entry.Entry{javatest.Identity("alias", pki.Server("x"))}, want: trustkeep.ErrUnsupported,
			change: func(o *entry.WriteOptions) { o.Key = nil },
		},
		{
			name: "key that stays locked", entries: []*entry.Entry{javatest.Identity("alias", pki.Server("x"))}, want: failing,
			change: func(o *entry.WriteOptions) {
				o.Key = func(*entry.Entry) ([]byte, []byte, error) { return nil, nil, failing }
			},
		},
		{
			name: "randomness that ends", entries: []*entry.Entry{javatest.Identity("alias", pki.Server("x"))}, want: io.ErrUnexpectedEOF,
			change: func(o *entry.WriteOptions) { o.Rand = strings.NewReader("short") },
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			opts := javatest.WriteOptions(storePassword, nil)
			if test.change != nil {
				test.change(&opts)
			}
			if test.format == "" {
				test.format = entry.JKS
			}
			data, err := Encode(&entry.Store{Entries: test.entries}, test.format, opts)
			if !errors.Is(err, test.want) || data != nil {
				t.Fatalf("%d bytes, error %v, want %v", len(data), err, test.want)
			}
			if test.entries != nil && !strings.Contains(strings.ToLower(err.Error()), `alias "alias`) {
				t.Errorf("error %q does not name the alias", err)
			}
		})
	}
}

// TestKeystoreGo holds reader and writer to keystore-go, both ways.
func TestKeystoreGo(t *testing.T) {
	want := javatest.NewStore(t)
	want.Entries[1].Alias = "ascii" // keystore-go has no modified UTF-8
	theirs := keystore.New(keystore.WithCaseExactAliases())
	data := mustEncode(t, want, entry.JKS, javatest.WriteOptions(storePassword, map[string]string{"other": "sesame"}))
	if err := theirs.Load(bytes.NewReader(data), []byte(storePassword)); err != nil {
		t.Fatal(err)
	}
	for _, e := range want.Entries {
		if e.Kind == entry.Trusted {
			c, err := theirs.GetTrustedCertificateEntry(e.Alias)
			if err != nil || !bytes.Equal(c.Certificate.Content, e.Chain[0].Raw) {
				t.Errorf("%q: %v", e.Alias, err)
			}
			continue
		}
		password := storePassword
		if e.Alias == "other" {
			password = "sesame"
		}
		k, err := theirs.GetPrivateKeyEntry(e.Alias, []byte(password))
		if err != nil || !bytes.Equal(k.PrivateKey, e.Key.Protected) || len(k.CertificateChain) != len(e.Chain) {
			t.Errorf("%q: %v", e.Alias, err)
		}
	}
	var buf bytes.Buffer
	if err := theirs.Store(&buf, []byte("second")); err != nil {
		t.Fatal(err)
	}
	got := mustParse(t, buf.Bytes(), "second")
	ordered := &entry.Store{}
	for _, e := range want.Entries {
		ordered.Entries = append(ordered.Entries, find(t, got, e.Alias)) // theirs has no order
	}
	sameContent(t, ordered, want, storePassword, map[string]string{"other": "sesame"})
}

func TestInteropJava(t *testing.T) {
	java := javatest.NewJava(t, "")
	keyPasswords := map[string]string{"other": "sésame 🔑"}
	for _, storeType := range []string{"JKS", "CaseExactJKS"} {
		want := javatest.NewStore(t)
		if storeType == "CaseExactJKS" {
			want.Source = Source{CaseExact: true}
			want.Entries = append(want.Entries, javatest.Anchor("MixedCase", want.Entries[2].Chain[0].Raw))
		}
		data := mustEncode(t, want, entry.JKS, javatest.WriteOptions("store pä€", keyPasswords))
		seen := java.Describe(t, "", storeType, data, "store pä€", keyPasswords)
		if len(seen.Entries) != len(want.Entries) {
			t.Errorf("Java sees %d entries, want %d", len(seen.Entries), len(want.Entries))
		}
		// What Java saw, every key opened, is what was meant.
		got := mustParse(t, data, "store pä€")
		seen.Check(t, got)
		sameContent(t, got, want, "store pä€", keyPasswords)
		t.Logf("%s: Java read %d entries of ours, %d keys opened", storeType, len(seen.Entries), 3)
	}
	data := mustEncode(t, javatest.NewStore(t), entry.JKS, javatest.WriteOptions(storePassword, nil))
	list := java.List(t, "", "JKS", data, storePassword)
	for _, line := range []string{"Your keystore contains 4 entries", "Alias name: server", "Entry type: PrivateKeyEntry", "Entry type: trustedCertEntry", "Certificate chain length: 3"} {
		if !strings.Contains(list, line) {
			t.Errorf("keytool -list -v lacks %q:\n%s", line, list)
		}
	}
	t.Log("keytool -list -v: 4 entries of ours")
}
