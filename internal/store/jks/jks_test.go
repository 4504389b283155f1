package jks

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testtool"
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

// resign puts the right digest behind body.
func resign(body []byte, password string) []byte {
	sum := digest([]byte(password), body)
	return append(bytes.Clone(body), sum[:]...)
}

func TestFixtures(t *testing.T) {
	for _, want := range javatest.Load(t, "testdata") {
		t.Run(want.File, func(t *testing.T) {
			s := mustParse(t, want.Read(t, "testdata"), want.Password)
			want.Check(t, s)
			if s.Unauthenticated {
				t.Error("Unauthenticated, though the digest was checked")
			}
			if format := entry.Format(strings.TrimPrefix(filepath.Ext(want.File), ".")); s.Format != format {
				t.Errorf("format %s, want %s", s.Format, format)
			}
		})
	}
}

func TestAliasesAsStored(t *testing.T) {
	for name, aliases := range map[string][]string{
		"aliases.jks":   {"schlüssel", "鍵", "key 🔑", "nul\x00byte", "half \xed\xa0\xbd.", "i̇stanbul", ""},
		"caseexact.jks": {"MixedCase", "ROOT"},
	} {
		s := mustParse(t, read(t, name), storePassword)
		for _, alias := range aliases {
			find(t, s, alias)
		}
		if exact := s.Source.(Source).CaseExact; exact != (name == "caseexact.jks") {
			t.Errorf("%s: CaseExact %t", name, exact)
		}
		data, err := Encode(s, entry.JKS, entry.WriteOptions{Password: []byte(storePassword), Keep: javatest.KeepAll})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(data, read(t, name)) {
			t.Errorf("%s: rewriting changed bytes", name)
		}
	}
}

func TestPasswords(t *testing.T) {
	data := read(t, "keys.jks")
	for _, test := range []struct {
		name, password string
		none           bool
		want           error
	}{
		{name: "right", password: storePassword},
		{name: "wrong", password: "sesame", want: trustkeep.ErrIncorrectPassword},
		{name: "empty", want: trustkeep.ErrIncorrectPassword},
		{name: "none", none: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			password := []byte(test.password)
			if test.none {
				password = nil
			}
			s, err := Parse(data, entry.ReadOptions{Password: password, Budget: javatest.Budget()})
			if !errors.Is(err, test.want) || (err != nil) != (s == nil) {
				t.Fatalf("store %v, error %v, want %v", s, err, test.want)
			}
			if err == nil && s.Unauthenticated != test.none {
				t.Errorf("Unauthenticated %t", s.Unauthenticated)
			}
		})
	}
	key := find(t, mustParse(t, data, storePassword), "other password").Key
	for _, password := range [][]byte{nil, {}, []byte(storePassword)} {
		if plain, err := key.Open(password); !errors.Is(err, trustkeep.ErrIncorrectPassword) || plain != nil {
			t.Errorf("key with password %q: %x, %v", password, plain, err)
		}
	}
}

func TestLatin1Password(t *testing.T) {
	body := read(t, "empty.jks")[:headerSize]
	data := resign(body, "pässword")
	for _, password := range []string{"pässword", "p\xe4ssword"} {
		mustParse(t, data, password)
	}
}

func TestUnlock(t *testing.T) {
	s, err := Parse(read(t, "keys.jks"), entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget(), Unlock: true})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range s.Entries {
		switch {
		case e.Kind == entry.Trusted:
		case e.Alias == "other password":
			if !errors.Is(e.Key.OpenErr, trustkeep.ErrIncorrectPassword) || e.Key.Opened != nil {
				t.Errorf("%s: opened by the store password: %v", e.Alias, e.Key.OpenErr)
			}
		case e.Key.OpenErr != nil || !pkcs8.IsPrivateKeyInfo(e.Key.Opened):
			t.Errorf("%s: %x, %v", e.Alias, e.Key.Opened, e.Key.OpenErr)
		}
	}
	for _, e := range mustParse(t, read(t, "keys.jks"), storePassword).Entries {
		if e.Key != nil && (e.Key.Opened != nil || e.Key.OpenErr != nil) {
			t.Errorf("%s: opened without being asked for", e.Alias)
		}
	}
}

// TestVersion1 takes the certificate types out of a store, which is all that
// version 1 lacks.
func TestVersion1(t *testing.T) {
	data := read(t, "trust.jks")
	body := bytes.ReplaceAll(data[:len(data)-sha1.Size], []byte("\x00\x05X.509"), nil)
	binary.BigEndian.PutUint32(body[4:], 1)
	got, want := mustParse(t, resign(body, storePassword), storePassword), mustParse(t, data, storePassword)
	for i, e := range got.Entries {
		if e.Alias != want.Entries[i].Alias || e.Chain[0].Type != "X.509" || !bytes.Equal(e.Chain[0].Raw, want.Entries[i].Chain[0].Raw) {
			t.Errorf("entry %d differs: %q", i, e.Alias)
		}
	}
}

func TestEveryBitIsProtected(t *testing.T) {
	for _, name := range []string{"keys.jks", "secrets.jceks"} {
		data := read(t, name)
		step := testtool.Rounds(5, 1)
		if testcpu.Raced { // it has nothing to find in one goroutine
			step = 5
		}
		for i := 0; i < len(data)*8; i += step { // in the end every bit of a byte, and every byte
			data[i/8] ^= 1 << (i % 8)
			s, err := Parse(data, entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()})
			if err == nil || s != nil {
				t.Fatalf("%s: bit %d flipped, no error", name, i)
			}
			data[i/8] ^= 1 << (i % 8)
		}
	}
}

func TestEveryTruncation(t *testing.T) {
	data := read(t, "keys.jks")
	for n := range len(data) {
		s, err := Parse(data[:n], entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()})
		if !errors.Is(err, trustkeep.ErrCorrupt) || s != nil {
			t.Fatalf("first %d of %d bytes: %v", n, len(data), err)
		}
	}
}

// builder puts stores together byte by byte.
type builder []byte

func (b builder) u32(n uint32) builder { return binary.BigEndian.AppendUint32(b, n) }
func (b builder) u64(n uint64) builder { return binary.BigEndian.AppendUint64(b, n) }
func (b builder) utf(s string) builder {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}
func (b builder) block(p string) builder { return append(b.u32(uint32(len(p))), p...) }

func header(count uint32) builder { return builder{}.u32(magicJKS).u32(2).u32(count) }

func trusted(alias, certificate string) builder {
	return builder{}.u32(tagTrusted).utf(alias).u64(0).utf("X.509").block(certificate)
}

// The JDK reads the digest where the entries end, and nothing behind it.
func TestBytesBehindTheDigest(t *testing.T) {
	for _, file := range []string{"keys.jks", "keys.jceks", "trust.jks"} {
		data := read(t, file)
		want := mustParse(t, data, storePassword)
		for _, n := range []int{1, 20, 4096} {
			longer := append(bytes.Clone(data), bytes.Repeat([]byte{0xA5}, n)...)
			s := mustParse(t, longer, storePassword)
			if len(s.Entries) != len(want.Entries) || len(s.Findings) == 0 || s.Findings[len(s.Findings)-1].Code != "bytes-behind-digest" || s.Unauthenticated {
				t.Errorf("%s and %d bytes: %d entries, findings %v", file, n, len(s.Entries), s.Findings)
			}
			s, err := Parse(longer, entry.ReadOptions{Budget: javatest.Budget()})
			if err != nil {
				t.Errorf("%s and %d bytes, no password: %v", file, n, err)
			} else if len(s.Entries) != len(want.Entries) || len(s.Findings) < 2 || s.Findings[len(s.Findings)-1].Code != "bytes-behind-digest" || !s.Unauthenticated {
				t.Errorf("%s and %d bytes, no password: %d entries, findings %v", file, n, len(s.Entries), s.Findings)
			}
			longer[len(data)/2] ^= 1
			if _, err := Parse(longer, entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()}); err == nil {
				t.Errorf("%s and %d bytes: a changed octet is not found", file, n)
			}
			if _, err := Parse(longer, entry.ReadOptions{Password: []byte("wrong"), Budget: javatest.Budget()}); err == nil {
				t.Errorf("%s and %d bytes: any password opens it", file, n)
			}
		}
	}
}

func TestHostile(t *testing.T) {
	join := func(parts ...builder) builder { return bytes.Join(toSlices(parts), nil) }
	head := func(tag uint32) builder { return builder{}.u32(tag).utf("a").u64(0) }
	for _, test := range []struct {
		name string
		body builder
		want error
	}{
		{"nothing", nil, trustkeep.ErrCorrupt},
		{"other magic", builder{}.u32(0xFEEDFACE).u32(2).u32(0), trustkeep.ErrCorrupt},
		{"version 0", builder{}.u32(magicJKS).u32(0).u32(0), trustkeep.ErrUnsupported},
		{"version 3", builder{}.u32(magicJKS).u32(3).u32(0), trustkeep.ErrUnsupported},
		{"2^32-1 entries", header(1<<32 - 1), trustkeep.ErrCorrupt},
		{"2^31 entries", append(header(1<<31), make([]byte, 100)...), trustkeep.ErrCorrupt},
		{"fewer entries than counted", join(header(2), trusted("a", strings.Repeat("c", 100))), trustkeep.ErrCorrupt},
		{"more than the limit", append(header(200_001), make([]byte, 200_001*minEntry)...), trustkeep.ErrLimit},
		{"bytes after the last entry", join(header(1), trusted("a", "c"), builder{0}), trustkeep.ErrCorrupt},
		{"entry type 0", join(header(1), head(0).utf("X.509").block("c")), trustkeep.ErrCorrupt},
		{"secret in a JKS", join(header(1), head(tagSecret).utf("X.509").block("c")), trustkeep.ErrCorrupt},
		{"certificate of 1 GiB", join(header(1), head(tagTrusted).utf("X.509").u32(1<<30)), trustkeep.ErrCorrupt},
		{"certificate of 4 GiB", join(header(1), head(tagTrusted).utf("X.509").u32(1<<32-1)), trustkeep.ErrCorrupt},
		{"key of 4 GiB", join(header(1), head(tagKey).u32(1<<32-1), make(builder, 20)), trustkeep.ErrCorrupt},
		{"chain of 2^28", join(header(1), head(tagKey).block("").u32(1<<28)), trustkeep.ErrCorrupt},
		{"chain of 2^32-1", join(header(1), head(tagKey).block("").u32(1<<32-1)), trustkeep.ErrCorrupt},
		{"chain over the limit", join(header(1), head(tagKey).block("").u32(200_000), make(builder, 200_000*6)), trustkeep.ErrLimit},
		{"alias that is no text", join(header(1), trusted("\xff", "c")), trustkeep.ErrCorrupt},
		{"alias cut within a letter", join(header(1), trusted("\xe9\x80", "c")), trustkeep.ErrCorrupt},
		{"alias longer than the file", join(header(1), builder{}.u32(tagTrusted), builder{0xff, 0xff}, make(builder, 20)), trustkeep.ErrCorrupt},
		{"same alias twice", join(header(2), trusted("a", "c"), trusted("a", "d")), trustkeep.ErrCorrupt},
		{"aliases that fold equal", join(header(2), trusted("Key", "c"), trusted("kEY", "d")), trustkeep.ErrExists},
	} {
		t.Run(test.name, func(t *testing.T) {
			data := resign(test.body, storePassword)
			for _, password := range [][]byte{[]byte(storePassword), nil, []byte("wrong")} {
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				s, err := Parse(data, entry.ReadOptions{Password: password, Budget: javatest.Budget()})
				runtime.ReadMemStats(&after)
				if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
					t.Errorf("%d bytes allocated", n)
				}
				if test.name == "bytes after the last entry" && password == nil {
					// The JDK does not look there then.
					if err != nil || s.Findings[len(s.Findings)-1].Code != "bytes-behind-digest" {
						t.Errorf("without a password: %v", err)
					}
					continue
				}
				if !errors.Is(err, test.want) || s != nil {
					t.Errorf("password %q: store %v, error %v, want %v", password, s, err, test.want)
				}
				if err != nil && !strings.HasPrefix(err.Error(), "jks: ") {
					t.Errorf("error %q without prefix", err)
				}
			}
		})
	}
}

func toSlices(parts []builder) (out [][]byte) {
	for _, p := range parts {
		out = append(out, p)
	}
	return out
}

func TestDuplicateAliasIsNamed(t *testing.T) {
	data := resign(bytes.Join([][]byte{header(2), trusted("Büro\x1b", "c"), trusted("bürO\x1b", "d")}, nil), storePassword)
	// The bytes above are UTF-8, which for these letters is modified UTF-8 too.
	_, err := Parse(data, entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()})
	if !errors.Is(err, trustkeep.ErrCorrupt) || !errors.Is(err, trustkeep.ErrExists) || !strings.Contains(err.Error(), `bürO\\x1b`) {
		t.Errorf("error %v", err)
	}
}

func TestHostileKeys(t *testing.T) {
	sun := func(n int) string {
		der, err := joinEncrypted(oidSun, derNull, make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		return string(der)
	}
	short, err := protectSun([]byte("no key"), []byte("x"), make([]byte, sha1.Size))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name, key string
		want      error
	}{
		{"empty", "", trustkeep.ErrCorrupt},
		{"no DER", "garbage", trustkeep.ErrCorrupt},
		{"bytes behind", sun(60) + "x", trustkeep.ErrCorrupt},
		{"0 bytes", sun(0), trustkeep.ErrCorrupt},
		{"19 bytes", sun(19), trustkeep.ErrCorrupt},
		{"39 bytes", sun(39), trustkeep.ErrCorrupt},
		{"40 bytes", sun(40), trustkeep.ErrIncorrectPassword},
		{"unknown algorithm", "\x30\x0a\x30\x05\x06\x03\x2a\x03\x04\x04\x01\x00", trustkeep.ErrUnsupported},
		{"protected, but no key", string(short), trustkeep.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := append(header(1), builder{}.u32(tagKey).utf("a").u64(0).block(test.key).u32(0)...)
			s := mustParse(t, resign(body, storePassword), storePassword)
			key := s.Entries[0].Key
			if plain, err := key.Open([]byte("x")); !errors.Is(err, test.want) || plain != nil {
				t.Errorf("%x, %v, want %v", plain, err, test.want)
			}
			again, err := Encode(s, entry.JKS, entry.WriteOptions{Password: []byte("new"), Keep: javatest.KeepAll})
			if err != nil {
				t.Fatal(err)
			}
			if kept := mustParse(t, again, "new").Entries[0].Key.Protected; string(kept) != test.key {
				t.Errorf("rewriting changed the key to %x", kept)
			}
		})
	}
}

func TestCreationTimes(t *testing.T) {
	for _, ms := range []int64{0, 1, -1, 1795225310405, -1 << 63, 1<<63 - 1} {
		body := append(header(1), builder{}.u32(tagTrusted).utf("a").u64(uint64(ms)).utf("X.509").block("c")...)
		s := mustParse(t, resign(body, storePassword), storePassword)
		if created := s.Entries[0].Created; created.UnixMilli() != ms || created.Location() != time.UTC {
			t.Errorf("%d ms read as %v", ms, created)
		}
	}
}
