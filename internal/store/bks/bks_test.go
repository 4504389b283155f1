package bks

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

const storePassword = "changeit"

func read(tb testing.TB, name string) []byte {
	tb.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func mustParse(tb testing.TB, data []byte, password string) *entry.Store {
	tb.Helper()
	s, err := Parse(data, entry.ReadOptions{Password: []byte(password), Budget: javatest.Budget()})
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func find(tb testing.TB, s *entry.Store, alias string) *entry.Entry {
	tb.Helper()
	for _, e := range s.Entries {
		if e.Alias == alias {
			return e
		}
	}
	tb.Fatalf("no alias %q", alias)
	return nil
}

func mustEncode(tb testing.TB, s *entry.Store, format entry.Format, opts entry.WriteOptions) []byte {
	tb.Helper()
	data, err := Encode(s, format, opts)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func TestFixtures(t *testing.T) {
	for _, want := range javatest.Load(t, "testdata") {
		t.Run(want.File, func(t *testing.T) {
			s := mustParse(t, want.Read(t, "testdata"), want.Password)
			want.Check(t, s)
			if s.Unauthenticated {
				t.Error("Unauthenticated, though the MAC was checked")
			}
			format := entry.BKS
			if want.Type == "UBER" {
				format = entry.UBER
			}
			if s.Format != format {
				t.Errorf("format %s, want %s", s.Format, format)
			}
			if weak := len(s.Findings) == 1 && s.Findings[0].Code == "weak-mac"; weak != (want.Type == "BKS-V1") {
				t.Errorf("findings %v", s.Findings)
			}
			for _, w := range want.Entries {
				if w.Kind != "secret" {
					continue
				}
				if name := find(t, s, w.Alias).Key.AlgorithmName(); name != w.KeyAlgorithm {
					t.Errorf("%s: algorithm %q, want %q", w.Alias, name, w.KeyAlgorithm)
				}
			}
		})
	}
}

func TestPasswords(t *testing.T) {
	for _, test := range []struct {
		file     string
		password []byte
		want     error
	}{
		{"keys.bks", []byte("wrong"), trustkeep.ErrIncorrectPassword},
		{"keys.bks", []byte{}, trustkeep.ErrIncorrectPassword},
		{"keys.bks", nil, nil},
		{"keys.bks-v1", []byte("wrong"), trustkeep.ErrIncorrectPassword},
		{"keys.uber", []byte("wrong"), trustkeep.ErrIncorrectPassword},
		{"keys.uber", []byte{}, trustkeep.ErrIncorrectPassword},
		{"keys.uber", nil, trustkeep.ErrIncorrectPassword},
		{"nopassword.bks", []byte("x"), trustkeep.ErrIncorrectPassword},
		{"nopassword.bks", nil, nil},
		{"nopassword.uber", nil, nil},
	} {
		s, err := Parse(read(t, test.file), entry.ReadOptions{Password: test.password, Budget: javatest.Budget()})
		if !errors.Is(err, test.want) || (err != nil) != (s == nil) {
			t.Errorf("%s, %q: store %v, error %v, want %v", test.file, test.password, s, err, test.want)
		}
		if err == nil && s.Unauthenticated != (s.Format == entry.BKS) {
			t.Errorf("%s, %q: Unauthenticated %t", test.file, test.password, s.Unauthenticated)
		}
	}
	for _, file := range []string{"keys.bks", "keys.uber"} {
		key := find(t, mustParse(t, read(t, file), storePassword), "other password").Key
		for _, password := range [][]byte{nil, {}, []byte(storePassword)} {
			if plain, err := key.Open(password); !errors.Is(err, trustkeep.ErrIncorrectPassword) || plain != nil {
				t.Errorf("key with password %q: %x, %v", password, plain, err)
			}
		}
	}
}

func TestUnlock(t *testing.T) {
	s, err := Parse(read(t, "keys.bks"), entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget(), Unlock: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Entries {
		switch {
		case e.Kind == entry.Trusted:
		case e.Alias == "other password" || e.Alias == "desede":
			if !errors.Is(e.Key.OpenErr, trustkeep.ErrIncorrectPassword) || e.Key.Opened != nil {
				t.Errorf("%s: opened by the store password: %v", e.Alias, e.Key.OpenErr)
			}
		case e.Key.OpenErr != nil || len(e.Key.Opened) == 0:
			t.Errorf("%s: %v", e.Alias, e.Key.OpenErr)
		}
	}
}

// TestEveryByteIsProtected flips one bit of each byte; every bit would take
// long, since each try derives keys.
func TestEveryByteIsProtected(t *testing.T) {
	for _, name := range []string{"nopassword.bks", "nopassword.uber"} {
		data := read(t, name)
		for i := range data {
			data[i] ^= 1 << (i % 8)
			s, err := Parse(data, entry.ReadOptions{Password: []byte{}, Budget: javatest.Budget()})
			if err == nil || s != nil {
				t.Errorf("%s: byte %d changed, no error", name, i)
			}
			data[i] ^= 1 << (i % 8)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	for _, name := range []string{"nopassword.bks", "nopassword.uber"} {
		data := read(t, name)
		for n := range data {
			s, err := Parse(data[:n], entry.ReadOptions{Password: []byte{}, Budget: javatest.Budget()})
			// An UBER cut at a block is no different from a wrong password.
			if s != nil || !errors.Is(err, trustkeep.ErrCorrupt) && (name != "nopassword.uber" || !errors.Is(err, trustkeep.ErrIncorrectPassword)) {
				t.Errorf("%s: first %d of %d bytes: %v", name, n, len(data), err)
			}
		}
	}
}

// builder puts contents together byte by byte.
type builder []byte

func (b builder) u8(n byte) builder    { return append(b, n) }
func (b builder) u32(n uint32) builder { return binary.BigEndian.AppendUint32(b, n) }
func (b builder) u64(n uint64) builder { return binary.BigEndian.AppendUint64(b, n) }
func (b builder) utf(s string) builder {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
func (b builder) block(p string) builder { return append(b.u32(uint32(len(p))), p...) }

func (b builder) head(kind byte, alias string, chain uint32) builder {
	return b.u8(kind).utf(alias).u64(1).u32(chain)
}

func (b builder) trusted(alias string) builder {
	return b.head(typeCertificate, alias, 0).utf("X.509").block("c")
}

// sign makes a BKS of the content.
func sign(tb testing.TB, content []byte) []byte {
	tb.Helper()
	h := header{version: 2, salt: []byte("salt"), iterations: 1}
	mac, err := h.mac([]byte(storePassword), content, limits.Unlimited{})
	if err != nil {
		tb.Fatal(err)
	}
	return bytes.Join([][]byte{builder{}.u32(2).block("salt").u32(1), content, mac}, nil)
}

func TestHostile(t *testing.T) {
	const max = 1<<32 - 1
	signed := func(content builder) []byte { return sign(t, content) }
	many := builder{}.head(typeSealed, "a", 200_000)
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, trustkeep.ErrCorrupt},
		{"version 3", builder{}.u32(3).block("salt").u32(1).u8(0), trustkeep.ErrUnsupported},
		{"salt of 4 GiB", builder{}.u32(2).u32(max).u32(1), trustkeep.ErrCorrupt},
		{"no salt", builder{}.u32(2).u32(0).u32(1).u8(0), trustkeep.ErrCorrupt},
		{"header alone", builder{}.u32(2).block("salt").u32(1), trustkeep.ErrCorrupt},
		{"no end", signed(builder{}.trusted("a")), trustkeep.ErrCorrupt},
		{"bytes after the end", signed(builder{}.trusted("a").u8(0).u8(0)), trustkeep.ErrCorrupt},
		{"entry type 5", signed(builder{}.trusted("a").head(5, "b", 0).u8(0)), trustkeep.ErrCorrupt},
		{"certificate of 4 GiB", signed(builder{}.head(typeCertificate, "a", 0).utf("X.509").u32(max)), trustkeep.ErrCorrupt},
		{"chain of 2^32-1", signed(builder{}.head(typeSealed, "a", max)), trustkeep.ErrCorrupt},
		{"chain of 2^28", signed(builder{}.head(typeSealed, "a", 1<<28)), trustkeep.ErrCorrupt},
		{"chain over the limit", signed(append(many, make([]byte, 200_000*minCertificate)...)), trustkeep.ErrLimit},
		{"sealed key of 4 GiB", signed(builder{}.head(typeSealed, "a", 0).u32(max)), trustkeep.ErrCorrupt},
		{"key in the clear, cut", signed(builder{}.head(typeKey, "a", 0).u8(0).utf("PKCS#8").utf("RSA").u32(max)), trustkeep.ErrCorrupt},
		{"second alias that is no text", signed(builder{}.trusted("a").trusted("\xff").u8(0)), trustkeep.ErrCorrupt},
		{"same alias twice", signed(builder{}.trusted("a").trusted("a").u8(0)), trustkeep.ErrExists},
		{"BKS, 2^31-1 iterations", append(builder{}.u32(2).block("salt").u32(1<<31-1).trusted("a").u8(0), make([]byte, sha1.Size)...), trustkeep.ErrLimit},
		{"BKS, negative iterations", append(builder{}.u32(2).block("salt").u32(max).trusted("a").u8(0), make([]byte, sha1.Size)...), trustkeep.ErrCorrupt},
		{"UBER, 2^31-1 iterations", append(builder{}.u32(1).block("salt").u32(1<<31-1), bytes.Repeat([]byte{0xff}, 32)...), trustkeep.ErrLimit},
		{"UBER, negative iterations", append(builder{}.u32(1).block("salt").u32(max), bytes.Repeat([]byte{0xff}, 32)...), trustkeep.ErrCorrupt},
		{"UBER, half a block", append(builder{}.u32(1).block("salt").u32(1), bytes.Repeat([]byte{0xff}, 40)...), trustkeep.ErrCorrupt},
		{"UBER, version 0", append(builder{}.u32(0).block("salt").u32(1), bytes.Repeat([]byte{0xff}, 32)...), trustkeep.ErrUnsupported},
		{"UBER, garbage", append(builder{}.u32(1).block("salt").u32(1), bytes.Repeat([]byte{0xff}, 32)...), trustkeep.ErrIncorrectPassword},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse(test.data, entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()})
			if !errors.Is(err, test.want) || s != nil {
				t.Errorf("store %v, error %v, want %v", s, err, test.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "bks: ") {
				t.Errorf("error %q without prefix", err)
			}
		})
	}
}

// TestRareEntries: kinds of entry that BouncyCastle's KeyStore does not write
// but reads.
func TestRareEntries(t *testing.T) {
	pkcs8 := string(testpki.New(t, testpki.Options{}).Server("x").PKCS8())
	content := builder{}.
		head(typeKey, "private", 1).utf("X.509").block("c").u8(0).utf("PKCS#8").utf("EC").block(pkcs8).
		head(typeKey, "secret", 0).u8(2).utf("RAW").utf("AES").block("key").
		head(typeKey, "public", 0).u8(1).utf("X.509").utf("EC").block("spki").
		head(typeKey, "no key", 1).utf("X.509").block("c").u8(0).utf("PKCS#8").utf("EC").block("garbage").
		head(typeSecret, "protected elsewhere", 0).block("bytes").
		head(typeSealed, "too short", 0).block("x").
		head(typeSealed, "2^31-1 iterations", 0).block(string(builder{}.block("salt").u32(1<<31-1)) + "ciphertxt8bytes.").
		u8(0)
	s := mustParse(t, sign(t, content), storePassword)
	open := func(alias string) (string, error) {
		b, err := find(t, s, alias).Key.Open(nil)
		return string(b), err
	}
	for alias, want := range map[string]string{"private": pkcs8, "secret": "key"} {
		e := find(t, s, alias)
		if plain, err := open(alias); plain != want || err != nil || e.Key.Encrypted || e.Key.Protection != "none" {
			t.Errorf("%s: %v, encrypted %t", alias, err, e.Key.Encrypted)
		}
	}
	if e := find(t, s, "public"); e.Kind != entry.Opaque || !errors.Is(e.Err, trustkeep.ErrUnsupported) {
		t.Errorf("public key: kind %d, %v", e.Kind, e.Err)
	}
	if e := find(t, s, "protected elsewhere"); e.Kind != entry.Opaque || e.Err != nil {
		t.Errorf("foreign bytes: kind %d, %v", e.Kind, e.Err)
	}
	for alias, want := range map[string]error{"no key": trustkeep.ErrCorrupt, "too short": trustkeep.ErrCorrupt, "2^31-1 iterations": trustkeep.ErrLimit} {
		if _, err := open(alias); !errors.Is(err, want) {
			t.Errorf("%s: %v, want %v", alias, err, want)
		}
	}
	opts := javatest.WriteOptions(storePassword, nil)
	opts.Keep = javatest.KeepAll
	again := mustEncode(t, s, entry.BKS, opts)
	if !bytes.Contains(again, content) {
		t.Error("rewriting changed entries")
	}
}

func TestRoundTrip(t *testing.T) {
	for _, format := range []entry.Format{entry.BKS, entry.UBER} {
		want := javatest.NewStore(t)
		want.Entries = append(want.Entries, javatest.Secret("aes", "AES", []byte("0123456789abcdef")),
			javatest.Anchor("ROOT", want.Entries[2].Chain[0].Raw))
		keyPasswords := map[string]string{"other": "sésame 🔑"}
		data := mustEncode(t, want, format, javatest.WriteOptions("pä€", keyPasswords))
		got := mustParse(t, data, "pä€")
		if got.Format != format {
			t.Errorf("format %s, want %s", got.Format, format)
		}
		javatest.SameContent(t, got, want, "pä€", keyPasswords, time.Millisecond)

		opts := javatest.WriteOptions("", nil)
		opts.Keep = javatest.KeepAll
		again := mustEncode(t, got, format, opts)
		javatest.SameContent(t, mustParse(t, again, ""), want, "pä€", keyPasswords, time.Millisecond)
	}
}

func TestReproducible(t *testing.T) {
	s := javatest.NewStore(t)
	opts := javatest.WriteOptions(storePassword, nil)
	encode := func() []byte {
		opts.Rand = strings.NewReader(strings.Repeat("random ", 100))
		return mustEncode(t, s, entry.BKS, opts)
	}
	if !bytes.Equal(encode(), encode()) {
		t.Error("same randomness, different bytes")
	}
}

func TestEncodeRefuses(t *testing.T) {
	id := testpki.New(t, testpki.Options{}).Server("x")
	bare := javatest.Identity("alias", id)
	bare.Chain = nil
	noKey := javatest.Identity("alias", id)
	noKey.Key.Protected = []byte("garbage")
	for name, test := range map[string]struct {
		entries []*entry.Entry
		change  func(*entry.WriteOptions)
		want    error
	}{
		"same alias":                  {[]*entry.Entry{javatest.Anchor("alias", nil), javatest.Anchor("alias", nil)}, nil, trustkeep.ErrExists},
		"key without certificate":     {[]*entry.Entry{bare}, nil, trustkeep.ErrUnsupported},
		"key that is no PKCS#8":       {[]*entry.Entry{noKey}, nil, trustkeep.ErrCorrupt},
		"secret of unknown algorithm": {[]*entry.Entry{javatest.Secret("alias", "", []byte{1})}, nil, trustkeep.ErrUnsupported},
		"CRL":                         {[]*entry.Entry{{Alias: "alias", Kind: entry.CRL, Raw: []byte{1}}}, nil, trustkeep.ErrUnsupported},
		"opaque of another format":    {[]*entry.Entry{{Alias: "alias", Kind: entry.Opaque, Raw: []byte{1}}}, nil, trustkeep.ErrUnsupported},
		"opaque certificate":          {[]*entry.Entry{{Alias: "alias", Kind: entry.Opaque, Chain: bare.Chain}}, nil, trustkeep.ErrUnsupported},
		"no password":                 {nil, func(o *entry.WriteOptions) { o.Password = nil }, trustkeep.ErrUnsupported},
		"nothing opens the key":       {[]*entry.Entry{javatest.Identity("alias", id)}, func(o *entry.WriteOptions) { o.Key = nil }, trustkeep.ErrUnsupported},
		"key without password": {[]*entry.Entry{javatest.Identity("alias", id)}, func(o *entry.WriteOptions) {
			o.Key = func(e *entry.Entry) ([]byte, []byte, error) { return e.Key.Protected, nil, nil }
		}, trustkeep.ErrUnsupported},
	} {
		opts := javatest.WriteOptions(storePassword, nil)
		if test.change != nil {
			test.change(&opts)
		}
		data, err := Encode(&entry.Store{Entries: test.entries}, entry.BKS, opts)
		if !errors.Is(err, test.want) || data != nil {
			t.Errorf("%s: %d bytes, error %v, want %v", name, len(data), err, test.want)
		}
		if test.entries != nil && !strings.Contains(err.Error(), `alias "alias"`) {
			t.Errorf("%s: error %q does not name the alias", name, err)
		}
	}
	if _, err := Encode(&entry.Store{}, entry.JKS, javatest.WriteOptions(storePassword, nil)); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("other format: %v", err)
	}
}

func TestInteropBouncyCastle(t *testing.T) {
	java := javatest.NewJava(t, "BC")
	for _, format := range []entry.Format{entry.BKS, entry.UBER} {
		want := javatest.NewStore(t)
		want.Entries = append(want.Entries, javatest.Secret("aes", "AES", []byte("0123456789abcdef")),
			javatest.Anchor("ROOT", want.Entries[2].Chain[0].Raw))
		keyPasswords := map[string]string{"other": "sésame 🔑"}
		data := mustEncode(t, want, format, javatest.WriteOptions("store pä€", keyPasswords))
		seen := java.Describe(t, "BC", strings.ToUpper(string(format)), data, "store pä€", keyPasswords)
		got := mustParse(t, data, "store pä€")
		seen.Check(t, got)
		javatest.SameContent(t, got, want, "store pä€", keyPasswords, time.Millisecond)
		t.Logf("%s: BouncyCastle read %d entries of ours, 3 private keys and 1 secret key opened", format, len(seen.Entries))
	}
}

func TestCorpus(t *testing.T) { javatest.CheckCorpus(t, Parse, entry.UBER) }
