package pkcs12

import (
	"bytes"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// elem builds DER from its parts.
func elem(tag byte, parts ...[]byte) []byte {
	return appendElement(nil, tag, bytes.Join(parts, nil))
}

func seq(parts ...[]byte) []byte      { return elem(tagSequence, parts...) }
func explicit(parts ...[]byte) []byte { return elem(tagExplicit0, parts...) }
func octets(parts ...[]byte) []byte   { return elem(tagOctetString, parts...) }
func oid(s string) []byte             { return appendElement(nil, tagOID, s) }
func integer(b ...byte) []byte        { return elem(tagInteger, b) }
func data(content []byte) []byte      { return seq(oid(oidData), explicit(octets(content))) }
func bag(typ string, value []byte, attributes ...[]byte) []byte {
	return seq(append([][]byte{oid(typ), explicit(value)}, attributes...)...)
}

func encrypted(algorithm, ciphertext []byte) []byte {
	return seq(oid(oidEncryptedData), explicit(seq(integer(0), seq(oid(oidData), algorithm, elem(tagImplicit0, ciphertext)))))
}

// pfxOf makes a file of safes, without MAC unless one is given.
func pfxOf(mac []byte, safes ...[]byte) []byte {
	return seq(integer(3), data(seq(safes...)), mac)
}

func plainSafe(bags ...[]byte) []byte { return data(seq(bags...)) }

const oidSHA1 = "\x2b\x0e\x03\x02\x1a"

func macOf(iterations ...byte) []byte {
	return seq(seq(seq(oid(oidSHA1)), octets(make([]byte, 20))), octets([]byte("saltsalt")), integer(iterations...))
}

func pbes1(iterations ...byte) []byte {
	return seq(oid("\x2a\x86\x48\x86\xf7\x0d\x01\x0c\x01\x03"), seq(octets([]byte("saltsalt")), integer(iterations...)))
}

// parseBounded parses within the promised time and memory.
func parseBounded(t *testing.T, name string, data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	start := testcpu.Used()
	s, err := Parse(data, opts)
	elapsed := testcpu.Since(start)
	runtime.ReadMemStats(&after)
	if elapsed > time.Second {
		t.Errorf("%s: took %v", name, elapsed)
	}
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
		t.Errorf("%s: allocated %d MiB", name, n>>20)
	}
	return s, err
}

func TestHostile(t *testing.T) {
	good := load(t, "keytool-chains")
	most := []byte{0x7f, 0xff, 0xff, 0xff}
	deep := func(n int) []byte { return bytes.Repeat([]byte{0x30, 0x80}, n) }
	nested := bag(oidSafeBag, seq())
	for range 40 {
		nested = bag(oidSafeBag, seq(nested))
	}
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, trustkeep.ErrCorrupt},
		{"one octet", []byte{0x30}, trustkeep.ErrCorrupt},
		{"random", []byte("this is no key store at all"), trustkeep.ErrCorrupt},
		{"4 GiB", []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0}, trustkeep.ErrCorrupt},
		{"2^63", []byte{0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, trustkeep.ErrCorrupt},
		{"empty sequence", seq(), trustkeep.ErrCorrupt},
		{"version 4", seq(integer(4), data(seq()), macOf(1)), trustkeep.ErrUnsupported},
		{"signed", seq(integer(3), seq(oid(oidSignedData), explicit(seq()))), trustkeep.ErrUnsupported},
		{"no content (CVE-2024-0727)", seq(integer(3), seq(oid(oidData)), macOf(1)), trustkeep.ErrCorrupt},
		{"NULL for content", seq(integer(3), seq(oid(oidData), explicit([]byte{5, 0})), macOf(1)), trustkeep.ErrCorrupt},
		{"authenticated safe is no sequence", seq(integer(3), data([]byte{5, 0}), macOf(1)), trustkeep.ErrCorrupt},
		{"trailing bytes in the frame", seq(integer(3), data(seq()), macOf(1), []byte{5, 0}), trustkeep.ErrCorrupt},
		{"MAC of 2^31 iterations", pfxOf(macOf(most...)), trustkeep.ErrLimit},
		{"MAC of 2^62 iterations", pfxOf(macOf(0x40, 0, 0, 0, 0, 0, 0, 0)), trustkeep.ErrLimit},
		{"MAC of 2^80 iterations", pfxOf(macOf(append([]byte{1}, make([]byte, 10)...)...)), trustkeep.ErrLimit},
		{"MAC of no iterations", pfxOf(macOf(0)), trustkeep.ErrCorrupt},
		{"MAC of -1 iterations", pfxOf(macOf(0xff)), trustkeep.ErrCorrupt},
		{"MAC does not verify", pfxOf(macOf(1)), trustkeep.ErrIncorrectPassword},
		{"open nesting", deep(1_000_000), trustkeep.ErrLimit},
		{"nesting that ends", append(deep(1_000_000), make([]byte, 2_000_000)...), trustkeep.ErrLimit},
		{"nesting in the safe", pfxOf(macOf(1), deep(100_000)), trustkeep.ErrLimit},
	} {
		if s, err := parseBounded(t, c.name, c.data, readOptions("changeit")); s != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	unauthenticated := readOptions("changeit")
	unauthenticated.AllowUnauthenticated = true
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"safe of 2^31 iterations", pfxOf(nil, encrypted(pbes1(most...), make([]byte, 16))), trustkeep.ErrLimit},
		{"empty ciphertext", pfxOf(nil, encrypted(pbes1(1), nil)), trustkeep.ErrCorrupt},
		{"ciphertext of another password", pfxOf(nil, encrypted(pbes1(1), make([]byte, 16))), trustkeep.ErrIncorrectPassword},
		{"nested safes", pfxOf(nil, plainSafe(nested)), trustkeep.ErrLimit},
		{"bag that is no sequence", pfxOf(nil, plainSafe([]byte{5, 0})), trustkeep.ErrCorrupt},
		{"safe with bytes behind", pfxOf(nil, data(append(seq(), 5, 0))), trustkeep.ErrCorrupt},
		{"safe without content", pfxOf(nil, seq(oid(oidData))), trustkeep.ErrCorrupt},
		{"too many bags", pfxOf(nil, plainSafe(bytes.Repeat(seq(), 200_001))), trustkeep.ErrLimit},
	} {
		opts := unauthenticated
		opts.Budget = limits.New(trustkeep.Limits{})
		if s, err := parseBounded(t, c.name, c.data, opts); s != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for n := range good {
		if _, err := Parse(good[:n], readOptions("changeit")); err == nil {
			t.Fatalf("read when cut to %d of %d bytes", n, len(good))
		} else if !typed(err) {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
}

func typed(err error) bool {
	for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrIncorrectPassword} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

// One rotten bag never hides the rest.
func TestRottenBags(t *testing.T) {
	cert := newStore(t, 0, 1).Entries[0].Chain[0].Raw
	certBag := func(raw []byte, attributes ...[]byte) []byte {
		return bag(oidCertBag, seq(oid(oidX509Cert), explicit(octets(raw))), attributes...)
	}
	name := func(units ...byte) []byte {
		return elem(tagSet, seq(oid(oidFriendlyName), elem(tagSet, elem(tagBMPString, units))))
	}
	rotten := map[string][]byte{
		"no content":              seq(),
		"unknown type":            bag("\x2a\x03\x04", seq()),
		"NULL value":              bag(oidCertBag, []byte{5, 0}),
		"certificate is NULL":     bag(oidCertBag, seq(oid(oidX509Cert), explicit([]byte{5, 0}))),
		"sdsi certificate":        bag(oidCertBag, seq(oid("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x16\x02"), explicit([]byte{0x16, 1, 'x'}))),
		"key is garbage":          bag(oidKeyBag, seq(integer(1))),
		"shrouded key is garbage": bag(oidShroudedBag, seq(integer(1))),
		"attributes are garbage":  certBag(cert, elem(tagSet, integer(1))),
		"secret of another kind":  bag(oidSecretBag, seq(oid("\x2a\x03"), explicit(octets(nil)))),
		"CRL is NULL":             bag(oidCRLBag, seq(oid(oidX509CRL), explicit([]byte{5, 0}))),
		"safe is no sequence":     bag(oidSafeBag, octets(nil)),
		"two values":              seq(oid(oidCertBag), explicit(seq(), seq())),
	}
	for what, r := range rotten {
		s, err := Parse(pfxOf(nil, plainSafe(r, certBag(cert))), noPassword())
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if len(s.Entries) != 2 {
			t.Errorf("%s: %s", what, describe(s))
			continue
		}
		good, bad := s.Entries[0], s.Entries[1]
		if good.Err != nil || good.Kind != entry.Trusted || bad.Kind != entry.Opaque || bad.Err == nil || !bytes.Equal(bad.Raw, r) {
			t.Errorf("%s: %s (%v), raw %x", what, describe(s), bad.Err, bad.Raw)
		}
		// It survives a rewrite, unless it cannot be told what it is.
		out, err := Encode(s, FromSource(s), entry.WriteOptions{})
		if what == "no content" {
			if !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("%s: written again: %v", what, err)
			}
			continue
		}
		if err != nil || !bytes.Contains(out, r) {
			t.Errorf("%s: written again: %v", what, err)
		}
	}
	s, err := Parse(pfxOf(nil, plainSafe(certBag([]byte("garbage")), certBag(cert))), noPassword())
	if err != nil || len(s.Entries) != 2 || !errors.Is(s.Entries[0].Err, trustkeep.ErrCorrupt) || s.Entries[1].Err != nil {
		t.Errorf("garbage for a certificate: %v", err)
	}

	for what, c := range map[string]struct {
		units []byte
		alias string
		bad   bool
	}{
		"Samaritan, U+0800":    {[]byte{0x08, 0x00}, "\u0800", false},
		"surrogate pair":       {[]byte{0xd8, 0x3d, 0xde, 0x00}, "😀", false},
		"lone high surrogate":  {[]byte{0xd8, 0x3d}, "", true},
		"lone low surrogate":   {[]byte{0xde, 0x00, 0, 'x'}, "", true},
		"odd number of octets": {[]byte{0, 'x', 0}, "", true},
		"empty":                {nil, "", true},
	} {
		s, err := Parse(pfxOf(nil, plainSafe(certBag(cert, name(c.units...)))), noPassword())
		if err != nil || len(s.Entries) != 1 {
			t.Errorf("%s: %v", what, err)
			continue
		}
		e := s.Entries[0]
		if !c.bad && (e.Alias != c.alias || e.Unnamed || len(s.Findings) != 1) {
			t.Errorf("%s: alias %q, findings %v", what, e.Alias, s.Findings)
		}
		if c.bad && (!e.Unnamed || len(s.Findings) != 2 || s.Findings[0].Code != "invalid-name") {
			t.Errorf("%s: alias %q, findings %v", what, e.Alias, s.Findings)
		}
		out, err := Encode(s, FromSource(s), entry.WriteOptions{})
		if err != nil || !bytes.Contains(out, name(c.units...)) {
			t.Errorf("%s: not written again as it was: %v", what, err)
		}
	}
}

func TestDuplicateAliases(t *testing.T) {
	s := newStore(t, 1, 4)
	var bags [][]byte
	for i, alias := range []string{"a", "A", "a (2)", "\u0130", "i\u0307"} {
		attributes := encodeAttributes(alias, nil, true, nil)
		bags = append(bags, bag(oidCertBag, seq(oid(oidX509Cert), explicit(octets(s.Entries[i].Chain[0].Raw))), attributes))
	}
	got, err := Parse(pfxOf(nil, plainSafe(bags...)), noPassword())
	if err != nil {
		t.Fatal(err)
	}
	var aliases, found []string
	for _, e := range got.Entries {
		aliases = append(aliases, e.Alias)
	}
	for _, f := range got.Findings {
		if f.Code == "duplicate-alias" {
			found = append(found, f.Alias)
		}
	}
	if a := strings.Join(aliases, ","); a != "a,A (3),a (2),\u0130,i\u0307 (2)" {
		t.Errorf("aliases %q", a)
	}
	if f := strings.Join(found, ","); f != "A (3),i\u0307 (2)" {
		t.Errorf("findings about %q", f)
	}
}

func TestUnnamedAreNumbered(t *testing.T) {
	s := newStore(t, 0, 3)
	var bags [][]byte
	for i, alias := range []string{"", "named", ""} {
		bags = append(bags, bag(oidCertBag, seq(oid(oidX509Cert), explicit(octets(s.Entries[i].Chain[0].Raw))), encodeAttributes(alias, nil, true, nil)))
	}
	got, err := Parse(pfxOf(nil, plainSafe(bags...)), noPassword())
	if err != nil || !got.Entries[0].Unnamed || got.Entries[0].Alias != "1" || got.Entries[1].Alias != "named" || got.Entries[2].Alias != "2" {
		t.Fatalf("%v", err)
	}
	// Without the first, the last must not change its name when it is read
	// again.
	got.Entries = got.Entries[1:]
	again, err := Parse(encoded(t, got, FromSource(got), entry.WriteOptions{}), noPassword())
	if err != nil || again.Entries[0].Alias != "named" || again.Entries[1].Alias != "2" {
		t.Errorf("%s, %v", describe(again), err)
	}
}

// Limits are of the operation, not of the bag: one for reading a store, with its keys
// if they are to be unlocked, and one for each key that is opened later.
func TestOneBudgetForAll(t *testing.T) {
	p := Modern()
	p.MAC.Iterations, p.Certs.Iterations, p.Keys.Iterations = 100, 100, 100
	opts := readOptions("x")
	opts.Budget = limits.New(trustkeep.Limits{MaxIterations: 199})
	if _, err := Parse(encoded(t, newStore(t, 0, 1), p, writeOptions("", "x")), opts); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("MAC and safe over the limit: %v", err)
	}
	store := encoded(t, newStore(t, 3, 0), p, writeOptions("", "x"))
	for limit, wantOpen := range map[int]int{200: 0, 350: 1, 499: 2, 500: 3} {
		opts.Budget = limits.New(trustkeep.Limits{MaxIterations: limit})
		opts.Unlock = true
		s, err := Parse(store, opts)
		if err != nil {
			t.Fatal(err)
		}
		open := 0
		for _, e := range s.Entries {
			switch {
			case e.Key.OpenErr == nil:
				open++
			case !errors.Is(e.Key.OpenErr, trustkeep.ErrLimit) || !strings.Contains(e.Key.OpenErr.Error(), fmt.Sprintf("of %d (Limits.MaxIterations)", limit)):
				t.Errorf("%s: %v", e.Alias, e.Key.OpenErr)
			}
			e.Key.Limits = trustkeep.Limits{MaxIterations: 100}
			if _, err := e.Key.Open([]byte("x")); err != nil {
				t.Errorf("%s, later: %v", e.Alias, err)
			}
		}
		if open != wantOpen {
			t.Errorf("%d iterations: %d keys are open, want %d", limit, open, wantOpen)
		}
	}
}

// A key may have another password than the store.
func TestKeyPassword(t *testing.T) {
	opts := writeOptions("", "store")
	opts.Key = func(e *entry.Entry) ([]byte, []byte, error) {
		plain, err := e.Key.Open(nil)
		return plain, []byte("key"), err
	}
	read := readOptions("store")
	read.Unlock = true
	s, err := Parse(encoded(t, newStore(t, 1, 0), quick(Modern()), opts), read)
	if err != nil {
		t.Fatal(err)
	}
	k := s.Entries[0].Key
	if !errors.Is(k.OpenErr, trustkeep.ErrIncorrectPassword) || k.Opened != nil {
		t.Errorf("unlocked with the password of the store: %v", k.OpenErr)
	}
	if _, err := k.Open([]byte("store")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("password of the store: %v", err)
	}
	if _, err := k.Open([]byte("key")); err != nil {
		t.Errorf("password of the key: %v", err)
	}
}

// TestFlippedBits changes single bits of stores that a MAC protects: what is
// read then is either an error or the same content. The latter happens in the
// frame only: a MacData in other words, the name of the type.
func TestFlippedBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, name := range []string{"keytool-mixed", "openssl-iter1", "keytool-secret", "bc-pkcs12", "pbmac1"} {
		var file []byte
		if name == "pbmac1" {
			file = encoded(t, newStore(t, 2, 2), quick(Modern2026()), writeOptions("", "changeit"))
		} else {
			s := parse(t, name, readOptions("changeit"))
			file = encoded(t, s, quick(Modern()), writeOptions("changeit", "changeit"))
			if name == "bc-pkcs12" {
				file = load(t, name) // BER
			}
		}
		want := content(t, file)
		flips := testtool.Rounds(200, 2000)
		if name == "bc-pkcs12" {
			flips /= 10 // slow
		}
		for range flips {
			bit := r.IntN(8 * len(file))
			changed := bytes.Clone(file)
			changed[bit/8] ^= 1 << (bit % 8)
			s, err := Parse(changed, readOptions("changeit"))
			if err != nil {
				if !typed(err) {
					t.Errorf("%s: bit %d: %v", name, bit, err)
				}
				continue
			}
			if got := contentOf(s); got != want {
				t.Errorf("%s: bit %d of octet %d changes the content unnoticed", name, bit%8, bit/8)
			}
		}
	}
}

func content(t *testing.T, file []byte) string {
	t.Helper()
	s, err := Parse(file, readOptions("changeit"))
	if err != nil {
		t.Fatal(err)
	}
	return contentOf(s)
}

// contentOf is everything that a store holds.
func contentOf(s *entry.Store) string {
	var b strings.Builder
	b.WriteString(describe(s))
	for _, e := range s.Entries {
		if e.Key != nil {
			b.Write(e.Key.Protected)
		}
		b.Write(e.Raw)
		b.Write(e.LocalKeyID)
		for _, c := range e.Chain {
			b.Write(c.Raw)
			b.WriteString(c.Label)
		}
	}
	for _, a := range attributesOf(s) {
		b.WriteString(a)
	}
	return b.String()
}

// FuzzParse also gives what it finds a valid MAC, so that mutations reach what
// is behind it.
func FuzzParse(f *testing.F) {
	seeds := 0
	for _, x := range fixtures {
		if x.slow() {
			continue
		}
		f.Add(load(f, x.name), false)
		f.Add(withoutMAC(f, load(f, x.name)), true)
		// The same with everything but the keys in the clear and cheap to
		// derive.
		opts := writeOptions(x.pass(), "changeit")
		opts.Keep = func(e *entry.Entry) bool { return e.Key.Protection == "unknown" }
		p := quick(Modern())
		p.Certs = pbe.Params{}
		f.Add(withoutMAC(f, encoded(f, parse(f, x.name, readOptions(x.pass())), p, opts)), true)
		seeds++
	}
	if seeds == 0 {
		f.Fatal("no seeds")
	}
	tight := trustkeep.Limits{MaxIterations: 500, MaxKDFMemory: 1 << 20, MaxEntries: 1000}
	mac := pbe.MACParams{KDF: pbe.PKCS12, Hash: crypto.SHA1, Iterations: 1}
	f.Fuzz(func(t *testing.T, file []byte, authenticate bool) {
		opts := entry.ReadOptions{Password: []byte("changeit"), Budget: limits.New(tight), Unlock: true}
		if authenticate {
			file = withMAC(file, mac)
		}
		s, err := Parse(file, opts)
		if err != nil {
			if !typed(err) || s != nil {
				t.Fatalf("%v", err)
			}
			return
		}
		opts.Budget = limits.New(tight)
		out, err := Encode(s, Passwordless(), entry.WriteOptions{Keep: func(*entry.Entry) bool { return true }})
		if err != nil {
			if !typed(err) && !errors.Is(err, trustkeep.ErrExists) {
				t.Fatalf("%v", err)
			}
			return
		}
		opts.Budget, opts.Password = limits.New(tight), nil
		if _, err := Parse(out, opts); err != nil {
			t.Fatalf("what was read cannot be written and read again: %v", err)
		}
	})
}

// withMAC puts a MAC on a file that begins with version and safe; others are
// returned as they are.
func withMAC(file []byte, params pbe.MACParams) []byte {
	r := &reader{opts: entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})}}
	p, err := r.parsePFX(file)
	if err != nil {
		return file
	}
	m, err := params.NewMAC(bytes.NewReader(make([]byte, 16)))
	if err != nil {
		return file
	}
	key, err := m.Derive([]byte("changeit"), limits.Unlimited{})
	if err != nil {
		return file
	}
	mac, err := m.Authenticate(key, p.authSafe).Marshal()
	if err != nil {
		return file
	}
	return seq(integer(3), data(p.authSafe), mac)
}
