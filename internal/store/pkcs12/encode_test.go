package pkcs12

import (
	"bytes"
	"crypto"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

func seeded() *rand.ChaCha8 { return rand.NewChaCha8([32]byte{1}) }

// writeOptions reads keys with one password and writes everything under
// another.
func writeOptions(old, password string) entry.WriteOptions {
	return entry.WriteOptions{
		Password: []byte(password), Rand: seeded(),
		Key: func(e *entry.Entry) (plain, pass []byte, err error) {
			plain, err = e.Key.Open([]byte(old))
			return plain, []byte(password), err
		},
	}
}

// quick is the profile with few iterations.
func quick(p Profile) Profile {
	for _, n := range []*int64{&p.MAC.Iterations, &p.Certs.Iterations, &p.Keys.Iterations} {
		*n = min(*n, 20)
	}
	return p
}

func profiles() []Profile {
	scrypt := Modern()
	scrypt.Name, scrypt.Keys = "scrypt", pbe.Params{KDF: pbe.Scrypt, N: 16, R: 1, P: 1, Cipher: pbe.AES256CBC}
	sha512 := Modern()
	sha512.Name, sha512.MAC.Hash = "sha512", crypto.SHA512
	return []Profile{quick(Modern()), quick(Legacy()), quick(LegacyRC2()), quick(Modern2026()), quick(scrypt), quick(sha512)}
}

func encoded(t testing.TB, s *entry.Store, p Profile, opts entry.WriteOptions) []byte {
	t.Helper()
	data, err := Encode(s, p, opts)
	if err != nil {
		t.Fatalf("%s: %v", p.Name, err)
	}
	return data
}

// attributesOf collects the uninterpreted attributes of everything.
func attributesOf(s *entry.Store) (all []string) {
	for _, e := range s.Entries {
		for _, a := range e.Attributes {
			all = append(all, string(a))
		}
		for _, c := range e.Chain {
			if len(e.Attributes) == 0 || e.Kind == entry.Key {
				for _, a := range c.Attributes {
					all = append(all, string(a))
				}
			}
		}
	}
	slices.Sort(all)
	return all
}

func TestRoundTrip(t *testing.T) {
	for _, f := range fixtures {
		if f.slow() {
			continue
		}
		before := parse(t, f.name, readOptions(f.pass()))
		before.Source = nil
		plain := make([][]byte, len(before.Entries))
		for i, e := range before.Entries {
			if e.Key != nil {
				var err error
				if plain[i], err = e.Key.Open([]byte(f.pass())); err != nil {
					t.Errorf("%s: %s: %v", f.name, e.Alias, err)
				}
			}
		}
		for _, p := range profiles() {
			p = quick(p)
			data := encoded(t, before, p, writeOptions(f.pass(), "new päss"))
			after, err := Parse(data, readOptions("new päss"))
			if err != nil {
				t.Errorf("%s as %s: %v", f.name, p.Name, err)
				continue
			}
			got, want := strings.ReplaceAll(describe(after), "*", ""), strings.NewReplacer("#", "", "*", "").Replace(describe(before))
			if got != want {
				t.Errorf("%s as %s: got\n%s\nwant\n%s", f.name, p.Name, got, want)
			}
			for i, e := range after.Entries {
				b := before.Entries[i]
				if !e.Created.Equal(b.Created) {
					t.Errorf("%s as %s: %s created %v, was %v", f.name, p.Name, e.Alias, e.Created, b.Created)
				}
				if e.Key == nil {
					continue
				}
				if is, err := e.Key.Open([]byte("new päss")); err != nil || !bytes.Equal(plain[i], is) {
					t.Errorf("%s as %s: %s: keys differ (%v)", f.name, p.Name, e.Alias, err)
				}
				if want := p.Keys.String(); e.Key.Protection != want {
					t.Errorf("%s as %s: protected by %s, want %s", f.name, p.Name, e.Key.Protection, want)
				}
			}
			if f.name == "openssl-nokeys" {
				continue // gained the mark
			}
			if a, b := attributesOf(after), attributesOf(before); !slices.Equal(a, b) {
				t.Errorf("%s as %s: attributes %x, were %x", f.name, p.Name, a, b)
			}
		}
	}
}

// A store that is saved under the password that it had keeps its algorithms,
// its keys to the octet, and entries that nobody understands or names.
func TestRewriteInKind(t *testing.T) {
	unknown := map[string][]byte{
		"unknown cipher of keys": unknownCipher(t, "openssl-camellia"), "unknown cipher of certificates": unknownCipher(t, "openssl-camellia-certs"),
	}
	all := slices.Clone(fixtures)
	for name := range unknown {
		all = append(all, fixture{name: name})
	}
	for _, f := range all {
		if f.slow() {
			continue
		}
		file := unknown[f.name]
		if file == nil {
			file = load(t, f.name)
		}
		before, err := Parse(file, readOptions(f.pass()))
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		opts := writeOptions(f.pass(), f.pass())
		opts.Keep = func(*entry.Entry) bool { return true }
		opts.Key = func(e *entry.Entry) ([]byte, []byte, error) { return nil, nil, errors.New("was asked for " + e.Alias) }
		after, err := Parse(encoded(t, before, FromSource(before), opts), readOptions(f.pass()))
		if err != nil {
			t.Errorf("%s: %v", f.name, err)
			continue
		}
		if got, want := describe(after), describe(before); got != want {
			t.Errorf("%s: got\n%s\nwant\n%s", f.name, got, want)
		}
		if after.Source != before.Source {
			t.Errorf("%s: written as %+v, was %+v", f.name, after.Source, before.Source)
		}
		for i, e := range after.Entries {
			b := before.Entries[i]
			if e.Key != nil && !bytes.Equal(e.Key.Protected, b.Key.Protected) || !bytes.Equal(e.Raw, b.Raw) || !bytes.Equal(e.LocalKeyID, b.LocalKeyID) {
				t.Errorf("%s: %s changed", f.name, e.Alias)
			}
			for j, c := range e.Chain {
				if c.Label != b.Chain[j].Label {
					t.Errorf("%s: %s: label %q, was %q", f.name, e.Alias, c.Label, b.Chain[j].Label)
				}
			}
		}
		if a, b := attributesOf(after), attributesOf(before); !slices.Equal(a, b) {
			t.Errorf("%s: attributes %x, were %x", f.name, a, b)
		}
	}
}

func TestReproducible(t *testing.T) {
	for _, p := range profiles() {
		s := parse(t, "keytool-mixed", readOptions("changeit"))
		a := encoded(t, s, p, writeOptions("changeit", "x"))
		b := encoded(t, s, p, writeOptions("changeit", "x"))
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two results from the same random bytes", p.Name)
		}
	}
}

func TestPasswordless(t *testing.T) {
	s := parse(t, "openssl-nokeys", readOptions("changeit"))
	data := encoded(t, s, Passwordless(), entry.WriteOptions{})
	after, err := Parse(data, noPassword())
	if err != nil {
		t.Fatal(err)
	}
	if got := describe(after); got != "trusted openssl leaf*: openssl leaf\ntrusted openssl root*: openssl root" {
		t.Errorf("got\n%s", got)
	}
	s = parse(t, "keytool-one", readOptions("changeit"))
	if _, err := Encode(s, Passwordless(), writeOptions("changeit", "x")); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a key: %v", err)
	}
}

func TestPlainKeys(t *testing.T) {
	s := parse(t, "keytool-one", readOptions("changeit"))
	opts := writeOptions("changeit", "")
	opts.Password = nil
	opts.Key = func(e *entry.Entry) ([]byte, []byte, error) {
		plain, err := e.Key.Open([]byte("changeit"))
		return plain, nil, err
	}
	after, err := Parse(encoded(t, s, Modern(), opts), noPassword())
	if err != nil {
		t.Fatal(err)
	}
	if e := after.Entries[0]; e.Key.Encrypted || len(e.Chain) != 1 || !after.Unauthenticated {
		t.Errorf("%s, encrypted %v, unauthenticated %v", describe(after), e.Key.Encrypted, after.Unauthenticated)
	}
}

// A password that is given always comes with a MAC, so that the file can be
// read again with it.
func TestPasswordBringsMAC(t *testing.T) {
	s := parse(t, "keytool-passwordless", noPassword())
	after, err := Parse(encoded(t, s, FromSource(s), writeOptions("", "x")), readOptions("x"))
	if err != nil || after.Unauthenticated {
		t.Errorf("%v", err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	store := func() *entry.Store { return parse(t, "keytool-chains", readOptions("changeit")) }
	folded := store()
	folded.Entries[1].Alias = "FIRST"
	if _, err := Encode(folded, Modern(), writeOptions("changeit", "x")); !errors.Is(err, trustkeep.ErrExists) || !strings.Contains(err.Error(), `"FIRST"`) {
		t.Errorf("aliases that fold equal: %v", err)
	}
	for name, change := range map[string]func(*entry.Store, *entry.WriteOptions){
		"alias is not UTF-8": func(s *entry.Store, _ *entry.WriteOptions) { s.Entries[0].Alias = "\xff" },
		"certificate type":   func(s *entry.Store, _ *entry.WriteOptions) { s.Entries[0].Chain[0].Type = "X.400" },
		"opaque of another codec": func(s *entry.Store, _ *entry.WriteOptions) {
			s.Entries[0] = &entry.Entry{Kind: entry.Opaque, Raw: []byte("blob")}
		},
		"trusted without certificate": func(s *entry.Store, _ *entry.WriteOptions) {
			s.Entries[0] = &entry.Entry{Kind: entry.Trusted, Alias: "t"}
		},
		"nobody opens keys": func(_ *entry.Store, o *entry.WriteOptions) { o.Key = nil },
		"no private key": func(_ *entry.Store, o *entry.WriteOptions) {
			o.Key = func(*entry.Entry) ([]byte, []byte, error) { return []byte("0"), []byte("x"), nil }
		},
	} {
		s, opts := store(), writeOptions("changeit", "x")
		change(s, &opts)
		if _, err := Encode(s, quick(Modern()), opts); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
	broken := errors.New("broken")
	opts := writeOptions("changeit", "x")
	opts.Key = func(*entry.Entry) ([]byte, []byte, error) { return nil, nil, broken }
	if _, err := Encode(store(), Modern(), opts); !errors.Is(err, broken) {
		t.Errorf("error of Key: %v", err)
	}
	opts = writeOptions("changeit", "x")
	opts.Rand = bytes.NewReader(make([]byte, 30))
	if _, err := Encode(store(), Modern(), opts); err == nil {
		t.Error("no error when the random bytes run out")
	}
}

// Java's local key IDs are times. Keys of the same millisecond must not share
// one, and a key that has none gets its creation time, or what stands in.
func TestLocalKeyIDs(t *testing.T) {
	s := parse(t, "keytool-chains", readOptions("changeit"))
	now := time.UnixMilli(1_800_000_000_123).UTC()
	for _, e := range s.Entries {
		e.LocalKeyID, e.Created = nil, time.Time{}
	}
	opts := writeOptions("changeit", "x")
	opts.Now = now
	after, err := Parse(encoded(t, s, quick(Modern()), opts), readOptions("x"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := after.Entries[0].Created, after.Entries[1].Created; !a.Equal(now) || !b.Equal(now.Add(time.Millisecond)) {
		t.Errorf("created %v and %v, want %v and the next millisecond", a, b, now)
	}
	if got, want := describe(after), describe(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	opts.Now = time.Time{}
	opts.Rand = seeded()
	after, err = Parse(encoded(t, s, quick(Modern()), opts), readOptions("x"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := after.Entries[0].LocalKeyID, after.Entries[1].LocalKeyID; len(a) != 20 || len(b) != 20 || bytes.Equal(a, b) {
		t.Errorf("IDs %x and %x", a, b)
	}
}

// Chains that share issuers carry them once, and a certificate that is trusted
// as well is written as that.
func TestChainsAreWrittenOnce(t *testing.T) {
	s := parse(t, "keytool-chains", readOptions("changeit"))
	root := s.Entries[0].Chain[2]
	root.Label = "" // a name that differs from the alias would be written as well
	s.Entries = append(s.Entries, &entry.Entry{Kind: entry.Trusted, Alias: "the root", Marked: true, Chain: []*entry.Certificate{root}})
	opts := writeOptions("changeit", "x")
	p := quick(Modern())
	p.Certs = pbe.Params{} // to look into the file
	data := encoded(t, s, p, opts)
	for _, c := range []*entry.Certificate{root, s.Entries[0].Chain[1], s.Entries[0].Chain[0]} {
		if n := bytes.Count(data, c.Raw); n != 1 {
			t.Errorf("certificate written %d times", n)
		}
	}
	after, err := Parse(data, readOptions("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(after), describe(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A self-signed certificate can be the leaf of a key and trusted.
func TestTrustedLeaf(t *testing.T) {
	s := parse(t, "keytool-one", readOptions("changeit"))
	s.Entries = append(s.Entries, &entry.Entry{Kind: entry.Trusted, Alias: "me", Marked: true, Chain: []*entry.Certificate{entry.NewCertificate(s.Entries[0].Chain[0].Raw)}})
	after, err := Parse(encoded(t, s, quick(Modern()), writeOptions("changeit", "x")), readOptions("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(after), describe(s); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// newStore makes a store of keys with chains of three, and of trusted
// certificates.
func newStore(t testing.TB, keys, trusted int) *entry.Store {
	t.Helper()
	pki := testpki.New(t, testpki.Options{})
	s := &entry.Store{Format: entry.PKCS12}
	for i := range keys {
		id := pki.Server("localhost")
		e := &entry.Entry{Kind: entry.Key, Alias: "key" + string(rune('a'+i%26)) + strings.Repeat("x", i/26)}
		plain := id.PKCS8()
		e.Key = &entry.PrivateKey{Protected: plain, Unlock: func([]byte, limits.Spender) ([]byte, error) { return bytes.Clone(plain), nil }}
		for _, der := range id.DERChain() {
			e.Chain = append(e.Chain, entry.NewCertificate(der))
		}
		s.Entries = append(s.Entries, e)
	}
	for i := range trusted {
		id := pki.Server("localhost")
		s.Entries = append(s.Entries, &entry.Entry{
			Kind: entry.Trusted, Marked: true, Alias: "trusted " + strings.Repeat("y", i), Chain: []*entry.Certificate{entry.NewCertificate(id.DER)},
		})
	}
	return s
}

// What the model can hold besides keys and certificates survives too: CRLs,
// and aliases as awkward as a user likes.
func TestAwkwardContent(t *testing.T) {
	s := newStore(t, 1, 3)
	s.Entries[1].Alias = "😀 emoji"
	s.Entries[2].Alias = "\u0130stanbul\x1b[31m"
	s.Entries[3].Alias = strings.Repeat("long", 5000)
	s.Entries = append(s.Entries, &entry.Entry{Kind: entry.CRL, Alias: "crl", Raw: []byte{0x30, 0}})
	after, err := Parse(encoded(t, s, quick(Modern()), writeOptions("", "x")), readOptions("x"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := describe(after), describe(s); got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
	if raw := after.Entries[4].Raw; !bytes.Equal(raw, []byte{0x30, 0}) {
		t.Errorf("CRL %x", raw)
	}
}
