package bcfks

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

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

func mustEncode(tb testing.TB, s *entry.Store, opts entry.WriteOptions) []byte {
	tb.Helper()
	data, err := Encode(s, opts)
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
			if s.Format != entry.BCFKS || s.Unauthenticated {
				t.Errorf("format %s, Unauthenticated %t", s.Format, s.Unauthenticated)
			}
			for _, w := range want.Entries {
				if w.Kind != "secret" {
					continue
				}
				if name := find(t, s, w.Alias).Key.AlgorithmName(); !strings.EqualFold(name, w.KeyAlgorithm) {
					t.Errorf("%s: algorithm %q, want %q", w.Alias, name, w.KeyAlgorithm)
				}
			}
		})
	}
}

func TestSigned(t *testing.T) {
	s, err := Parse(read(t, "signed.bcfks"), entry.ReadOptions{Budget: javatest.Budget()})
	if !errors.Is(err, trustkeep.ErrUnsupported) || s != nil {
		t.Errorf("store %v, error %v", s, err)
	}
}

func TestPasswords(t *testing.T) {
	for _, test := range []struct {
		file     string
		password []byte
		want     error
	}{
		{"empty.bcfks", []byte("wrong"), trustkeep.ErrIncorrectPassword},
		{"empty.bcfks", []byte{}, trustkeep.ErrIncorrectPassword},
		{"empty.bcfks", nil, trustkeep.ErrIncorrectPassword},
		{"nopassword.bcfks", []byte("x"), trustkeep.ErrIncorrectPassword},
		{"nopassword.bcfks", nil, nil},
	} {
		s, err := Parse(read(t, test.file), entry.ReadOptions{Password: test.password, Budget: javatest.Budget()})
		if !errors.Is(err, test.want) || (err != nil) != (s == nil) {
			t.Errorf("%s, %q: store %v, error %v, want %v", test.file, test.password, s, err, test.want)
		}
	}
	for _, file := range []string{"default.bcfks", "kwp.bcfks"} {
		s := mustParse(t, read(t, file), storePassword)
		for _, alias := range []string{"other password", "aes128"} {
			if plain, err := find(t, s, alias).Key.Open([]byte(storePassword)); !errors.Is(err, trustkeep.ErrIncorrectPassword) || plain != nil {
				t.Errorf("%s: %s: %x, %v", file, alias, plain, err)
			}
		}
	}
	want := map[string]string{
		"default.bcfks": "PBES2 AES-256-CCM PBKDF2-HMAC-SHA512 51200",
		"kwp.bcfks":     "PBES2 AES-256-KWP PBKDF2-HMAC-SHA512 51200",
	}
	for file, text := range want {
		if got := find(t, mustParse(t, read(t, file), storePassword), "rsa").Key.Protection; got != text {
			t.Errorf("%s: protection %q", file, got)
		}
	}
}

func TestUnlock(t *testing.T) {
	s, err := Parse(read(t, "default.bcfks"), entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget(), Unlock: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Entries {
		if e.Key == nil {
			continue
		}
		other := e.Alias == "other password" || e.Alias == "aes128"
		if other != errors.Is(e.Key.OpenErr, trustkeep.ErrIncorrectPassword) || other != (e.Key.Opened == nil) {
			t.Errorf("%s: %v", e.Alias, e.Key.OpenErr)
		}
	}
}

// cheap is a store whose keys take one iteration, so that it can be read
// thousands of times.
func cheap(tb testing.TB, objects ...[]byte) []byte {
	tb.Helper()
	salt := []byte("salt")
	k := &kdf{salt: salt, hash: newKDF(nil, 1).hash, iterations: 1}
	var data cryptobyte.Builder
	data.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		addHMAC(b)
		b.AddASN1GeneralizedTime(javatest.Now)
		b.AddASN1GeneralizedTime(javatest.Now)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, o := range objects {
				b.AddBytes(o)
			}
		})
	})
	return authenticated(tb, data.BytesOrPanic(), k)
}

// authenticated puts the MAC behind ObjectStoreData in the clear.
func authenticated(tb testing.TB, content []byte, k *kdf) []byte {
	tb.Helper()
	key, err := k.derive([]byte(storePassword), purposeIntegrity, defaultMACKey, limits.Unlimited{})
	if err != nil {
		tb.Fatal(err)
	}
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(content)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addHMAC(b)
			addCheapKDF(b, k)
			b.AddASN1OctetString(hmacSHA512(key, content))
		})
	})
	return b.BytesOrPanic()
}

func addCheapKDF(b *cryptobyte.Builder, k *kdf) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidPBKDF2)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(k.salt)
			b.AddASN1Int64(k.iterations)
			if k.keyLength != 0 {
				b.AddASN1Int64(k.keyLength)
			}
			addHMAC(b)
		})
	})
}

func object(kind int64, alias string, data []byte) []byte {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(kind)
		b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(alias)) })
		b.AddASN1GeneralizedTime(javatest.Now)
		b.AddASN1GeneralizedTime(javatest.Now)
		b.AddASN1OctetString(data)
		b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte("comment")) })
	})
	return b.BytesOrPanic()
}

func TestEveryBitIsProtected(t *testing.T) {
	data := cheap(t, object(typeCertificate, "a", []byte("certificate")))
	mustParse(t, data, storePassword)
	for i := range len(data) * 8 {
		data[i/8] ^= 1 << (i % 8)
		s, err := Parse(data, entry.ReadOptions{Password: []byte(storePassword), Budget: limits.New(trustkeep.Limits{MaxIterations: 100})})
		if err == nil || s != nil {
			t.Errorf("bit %d flipped, no error", i)
		}
		data[i/8] ^= 1 << (i % 8)
	}
}

func TestEveryTruncation(t *testing.T) {
	data := read(t, "default.bcfks")
	for n := range data {
		s, err := Parse(data[:n], entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()})
		if !errors.Is(err, trustkeep.ErrCorrupt) || s != nil {
			t.Fatalf("first %d of %d bytes: %v", n, len(data), err)
		}
	}
	if _, err := Parse(append(data, 0), entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()}); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("byte behind the store: %v", err)
	}
}

func TestHostile(t *testing.T) {
	replace := func(file, old, with string) []byte {
		data := read(t, file)
		if !bytes.Contains(data, []byte(old)) || len(old) != len(with) {
			t.Fatalf("%s: no %x", file, old)
		}
		return bytes.ReplaceAll(data, []byte(old), []byte(with))
	}
	k := func(iterations, keyLength int64) *kdf {
		return &kdf{salt: []byte("salt"), hash: newKDF(nil, 1).hash, iterations: iterations, keyLength: keyLength}
	}
	macOnly := func(stated *kdf) []byte {
		content := cheap(t)
		var outer, data cryptobyte.String
		in := cryptobyte.String(content)
		if !in.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&data, cbasn1.SEQUENCE) {
			t.Fatal("cheap store")
		}
		var b cryptobyte.Builder
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddBytes(data)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addHMAC(b)
				addCheapKDF(b, stated)
				b.AddASN1OctetString(make([]byte, 64))
			})
		})
		return b.BytesOrPanic()
	}
	scryptN := "\x02\x02\x04\x00\x02\x01\x08\x02\x01\x01"
	for _, test := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, trustkeep.ErrCorrupt},
		{"empty sequence", []byte{0x30, 0}, trustkeep.ErrCorrupt},
		{"length of 4 GiB", []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x30}, trustkeep.ErrCorrupt},
		{"no iteration", macOnly(k(0, 0)), trustkeep.ErrCorrupt},
		{"negative iterations", macOnly(k(-1, 0)), trustkeep.ErrCorrupt},
		{"2^31-1 iterations", macOnly(k(1<<31-1, 0)), trustkeep.ErrLimit},
		{"2^62 iterations", macOnly(k(1<<62, 0)), trustkeep.ErrLimit},
		{"MAC key of 1 byte", macOnly(k(1, 1)), trustkeep.ErrCorrupt},
		{"MAC key of 19 bytes", macOnly(k(1, 19)), trustkeep.ErrCorrupt},
		{"MAC key of 2^31 bytes", macOnly(k(1, 1<<31)), trustkeep.ErrUnsupported},
		{"MAC that does not match", macOnly(k(1, 0)), trustkeep.ErrIncorrectPassword},
		{"scrypt with N of 0", replace("scrypt.bcfks", scryptN, "\x02\x02\x00\x00\x02\x01\x08\x02\x01\x01"), trustkeep.ErrCorrupt},
		{"scrypt with N of 1,025", replace("scrypt.bcfks", scryptN, "\x02\x02\x04\x01\x02\x01\x08\x02\x01\x01"), trustkeep.ErrCorrupt},
		{"scrypt with r of 0", replace("scrypt.bcfks", scryptN, "\x02\x02\x04\x00\x02\x01\x00\x02\x01\x01"), trustkeep.ErrCorrupt},
		{"scrypt with much memory", replace("scrypt.bcfks", scryptN, "\x02\x02\x40\x00\x02\x01\x7f\x02\x01\x01"), trustkeep.ErrLimit},
		{"certificate twice", cheap(t, object(typeCertificate, "a", []byte("c")), object(typeCertificate, "a", []byte("d"))), trustkeep.ErrExists},
		{"alias that is no text", cheap(t, object(typeCertificate, "\xff", []byte("c"))), trustkeep.ErrCorrupt},
		{"no object", cheap(t, []byte{0x30, 0}), trustkeep.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse(test.data, entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()})
			if !errors.Is(err, test.want) || s != nil {
				t.Errorf("store %v, error %v, want %v", s, err, test.want)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "bcfks: ") {
				t.Errorf("error %q without prefix", err)
			}
		})
	}
	_, err := Parse(cheap(t, object(typeCertificate, "a", nil), object(typeCertificate, "b", nil)),
		entry.ReadOptions{Password: []byte(storePassword), Budget: limits.New(trustkeep.Limits{MaxEntries: 1})})
	if !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("entries over the limit: %v", err)
	}
}

// TestRottenEntries: what makes no sense does not hide the rest, and is written
// again as it was.
func TestRottenEntries(t *testing.T) {
	objects := [][]byte{
		object(typeCertificate, "good", []byte("certificate")),
		object(9, "unknown type", []byte("x")),
		object(typePrivateKey, "no key", []byte("x")),
		object(typeSecretKey, "no secret", []byte("x")),
	}
	s := mustParse(t, cheap(t, objects...), storePassword)
	for alias, want := range map[string]error{"unknown type": trustkeep.ErrUnsupported, "no key": trustkeep.ErrCorrupt} {
		if e := find(t, s, alias); e.Kind != entry.Opaque || !errors.Is(e.Err, want) {
			t.Errorf("%s: kind %d, %v", alias, e.Kind, e.Err)
		}
	}
	if _, err := find(t, s, "no secret").Key.Open([]byte("x")); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("no secret: %v", err)
	}
	opts := javatest.WriteOptions(storePassword, nil)
	opts.Keep = javatest.KeepAll
	data, err := (&encoder{opts: opts, own: true}).storeData(s.Entries)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if !bytes.Contains(data, o) {
			t.Errorf("rewriting changed %q", o)
		}
	}
}

func TestRoundTrip(t *testing.T) {
	want := javatest.NewStore(t)
	want.Entries = append(want.Entries, javatest.Secret("aes", "AES", []byte("0123456789abcdef")),
		javatest.Anchor("ROOT", want.Entries[2].Chain[0].Raw), javatest.Secret("odd", "1.2.3.4", []byte("key")))
	keyPasswords := map[string]string{"other": "sésame 🔑"}
	got := mustParse(t, mustEncode(t, want, javatest.WriteOptions("pä€", keyPasswords)), "pä€")
	javatest.SameContent(t, got, want, "pä€", keyPasswords, time.Second)

	opts := javatest.WriteOptions("", nil)
	opts.Keep = javatest.KeepAll
	javatest.SameContent(t, mustParse(t, mustEncode(t, got, opts), ""), want, "pä€", keyPasswords, time.Second)
}

func TestReproducible(t *testing.T) {
	s := &entry.Store{Entries: javatest.NewStore(t).Entries[:1]}
	opts := javatest.WriteOptions(storePassword, nil)
	encode := func() []byte {
		opts.Rand = strings.NewReader(strings.Repeat("random ", 100))
		return mustEncode(t, s, opts)
	}
	if !bytes.Equal(encode(), encode()) {
		t.Error("same randomness, different bytes")
	}
}

func TestEncodeRefuses(t *testing.T) {
	id := testpki.New(t, testpki.Options{}).Server("x")
	bare := javatest.Identity("alias", id)
	bare.Chain = nil
	pgp := javatest.Anchor("alias", []byte{1})
	pgp.Chain[0].Type = "PGP"
	far := javatest.Anchor("alias", []byte{1})
	far.Created = time.UnixMilli(1<<63 - 1)
	for name, test := range map[string]struct {
		entries []*entry.Entry
		change  func(*entry.WriteOptions)
		want    error
	}{
		"same alias":                  {[]*entry.Entry{javatest.Anchor("alias", nil), javatest.Anchor("alias", nil)}, nil, trustkeep.ErrExists},
		"key without certificate":     {[]*entry.Entry{bare}, nil, trustkeep.ErrUnsupported},
		"secret of unknown algorithm": {[]*entry.Entry{javatest.Secret("alias", "Skipjack", []byte{1})}, nil, trustkeep.ErrUnsupported},
		"CRL":                         {[]*entry.Entry{{Alias: "alias", Kind: entry.CRL, Raw: []byte{1}}}, nil, trustkeep.ErrUnsupported},
		"opaque of another format":    {[]*entry.Entry{{Alias: "alias", Kind: entry.Opaque, Raw: []byte{1}}}, nil, trustkeep.ErrUnsupported},
		"certificate of another type": {[]*entry.Entry{pgp}, nil, trustkeep.ErrUnsupported},
		"far future":                  {[]*entry.Entry{far}, nil, trustkeep.ErrUnsupported},
		"alias that is no text":       {[]*entry.Entry{javatest.Anchor("alias\xff", []byte{1})}, nil, trustkeep.ErrUnsupported},
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
		data, err := Encode(&entry.Store{Entries: test.entries}, opts)
		if !errors.Is(err, test.want) || data != nil {
			t.Errorf("%s: %d bytes, error %v, want %v", name, len(data), err, test.want)
		}
		if test.entries != nil && !strings.Contains(err.Error(), `alias "alias`) {
			t.Errorf("%s: error %q does not name the alias", name, err)
		}
	}
}

func TestInteropBouncyCastle(t *testing.T) {
	java := javatest.NewJava(t, "BC")
	want := javatest.NewStore(t)
	want.Entries = append(want.Entries, javatest.Secret("aes", "AES", []byte("0123456789abcdef")),
		javatest.Anchor("ROOT", want.Entries[2].Chain[0].Raw))
	keyPasswords := map[string]string{"other": "sésame 🔑"}
	data := mustEncode(t, want, javatest.WriteOptions("store pä€", keyPasswords))
	seen := java.Describe(t, "BC", "BCFKS", data, "store pä€", keyPasswords)
	got := mustParse(t, data, "store pä€")
	seen.Check(t, got)
	javatest.SameContent(t, got, want, "store pä€", keyPasswords, time.Second)
	t.Logf("BCFKS: BouncyCastle read %d entries of ours, 3 private keys and 1 secret key opened", len(seen.Entries))
}

func TestCorpus(t *testing.T) { javatest.CheckCorpus(t, Parse, entry.BCFKS) }
