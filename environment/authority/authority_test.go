package authority_test

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

func key(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func public(t testing.TB, s crypto.Signer) authority.PublicKey {
	t.Helper()
	return got(authority.NewPublicKey(s.Public()))(t)
}

func id(t testing.TB, s crypto.Signer) string { return public(t, s).ID() }

func got[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func signed[T authority.Statement](t testing.TB, statement T, by ...crypto.Signer) *authority.Signed[T] {
	t.Helper()
	s := got(authority.Make(statement))(t)
	for _, k := range by {
		s = got(s.Sign(nil, k))(t)
	}
	return s
}

// The keys of tests: two of three roots, administrators of everything and of test alone, two
// releases of production, a dating key.
var (
	root1, root2, root3 = key(1), key(2), key(3)
	anna, ben           = key(4), key(5)
	release1, release2  = key(6), key(7)
	dating              = key(8)
	stranger            = key(9)
)

func document(t testing.TB) authority.Document {
	member := func(name string, k crypto.Signer) authority.Member {
		return authority.Member{Name: name, Key: public(t, k)}
	}
	ids := func(keys ...crypto.Signer) (out []string) {
		for _, k := range keys {
			out = append(out, id(t, k))
		}
		return out
	}
	return authority.Document{
		Registry: "tests", Number: 1,
		Keys: []authority.Member{
			member("root 1", root1), member("root 2", root2), member("root 3", root3), member("anna", anna), member("ben", ben),
			member("release 1", release1), member("release 2", release2), member("dating", dating),
		},
		Root: authority.Role{Keys: ids(root1, root2, root3), Threshold: 2},
		Grants: []authority.Grant{
			{Keys: ids(anna), Kinds: authority.Kinds(), Environments: []string{authority.Everywhere}},
			{Keys: ids(ben), Kinds: []authority.Kind{authority.Connections}, Environments: []string{"test"}},
		},
		Environments: map[string]authority.Environment{
			authority.Everywhere: {Release: authority.Role{Keys: ids(anna), Threshold: 1}, Dating: ids(dating), Lifetime: time.Hour},
			"production":         {Release: authority.Role{Keys: ids(release1, release2), Threshold: 2}, Dating: ids(dating), Lifetime: 2 * time.Hour},
		},
	}
}

func trusted(t testing.TB) *authority.Authority {
	return got(authority.Trust(signed(t, document(t), root1, root2).Encode()))(t)
}

func record(t testing.TB, by crypto.Signer) authority.Record {
	return authority.Record{Registry: "tests", Key: "connections/c", Number: 1, Signer: id(t, by), Time: now, Document: json.RawMessage(`{"a":"<b>"}`)}
}

func index(r *authority.Signed[authority.Record]) authority.Index {
	return authority.Index{
		Registry: "tests", Environment: "production", Authority: 1, Number: 1, Time: now,
		Entries: []authority.Entry{{Key: "connections/c", Number: 1, Digest: r.Digest()}},
	}
}

func dateOf(i *authority.Signed[authority.Index]) authority.Date {
	return authority.Date{
		Registry: "tests", Environment: "production", Authority: 1, Index: 1, Digest: i.Digest(),
		Time: now.Add(time.Hour), Expires: now.Add(3 * time.Hour),
	}
}

func wantCode(t *testing.T, name string, err error, code trustkeep.Code) {
	t.Helper()
	e, ok := errors.AsType[*authority.Error](err)
	if !ok || e.Code != code || !errors.Is(err, trustkeep.ErrUntrusted) {
		t.Errorf("%s: %v, want code %s", name, err, code)
	}
}

func TestEveryStatementIsVerified(t *testing.T) {
	a := trusted(t)
	r := signed(t, record(t, anna), anna)
	i := signed(t, index(r), release1, release2)
	d := signed(t, dateOf(i), dating)
	r = got(authority.Parse[authority.Record](r.Encode()))(t)
	i = got(authority.Parse[authority.Index](i.Encode()))(t)
	d = got(authority.Parse[authority.Date](d.Encode()))(t)
	for name, err := range map[string]error{
		"record": a.VerifyRecord(r, "connections/c"), "index": a.VerifyIndex(i, "production"), "date": a.VerifyDate(d, i),
	} {
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if e, ok := i.Statement().Find("connections/c"); !ok || e.Digest != r.Digest() {
		t.Errorf("entry %v", e)
	}
	if _, ok := i.Statement().Find("connections/d"); ok {
		t.Error("an entry that there is not")
	}
	if until := a.FreshUntil(i, nil, now); !until.Equal(now.Add(2 * time.Hour)) {
		t.Errorf("an index alone counts until %v", until)
	}
	if until := a.FreshUntil(i, d, now.Add(time.Hour)); !until.Equal(now.Add(3 * time.Hour)) {
		t.Errorf("a dated index counts until %v", until)
	}
	if until := a.FreshUntil(i, d, now); !until.Equal(now.Add(2 * time.Hour)) {
		t.Errorf("a date of the future counts until %v", until)
	}
}

func TestWhatIsNotSignedAsItMustIsRefused(t *testing.T) {
	a := trusted(t)
	good := record(t, anna)
	with := func(change func(*authority.Record)) authority.Record {
		r := good
		change(&r)
		return r
	}
	verify := func(s *authority.Signed[authority.Record]) error { return a.VerifyRecord(s, "connections/c") }
	wantCode(t, "no signature", verify(signed(t, good)), authority.CodeForged)
	wantCode(t, "a stranger's signature", verify(signed(t, good, stranger)), authority.CodeForged)
	wantCode(t, "a stranger's record", verify(signed(t, with(func(r *authority.Record) { r.Signer = id(t, stranger) }), stranger)), authority.CodeForged)
	wantCode(t, "signed by another member than it names", verify(signed(t, good, ben)), authority.CodeForged)
	wantCode(t, "another key", verify(signed(t, with(func(r *authority.Record) { r.Key = "connections/d" }), anna)), authority.CodeSwapped)
	wantCode(t, "another registry", verify(signed(t, with(func(r *authority.Record) { r.Registry = "other" }), anna)), authority.CodeSwapped)
	moved := strings.Replace(string(signed(t, with(func(r *authority.Record) { r.Key = "connections/d" }), anna).Encode()), "connections/d", "connections/c", 1)
	wantCode(t, "changed afterwards", verify(got(authority.Parse[authority.Record]([]byte(moved)))(t)), authority.CodeForged)

	r := signed(t, good, anna)
	i := index(r)
	wantCode(t, "one release key of two", a.VerifyIndex(signed(t, i, release1), "production"), authority.CodeForged)
	wantCode(t, "one release key, and one that is none", a.VerifyIndex(signed(t, i, release1, anna), "production"), authority.CodeForged)
	wantCode(t, "another environment", a.VerifyIndex(signed(t, i, release1, release2), "test"), authority.CodeSwapped)
	j := i
	j.Registry = "other"
	wantCode(t, "another registry", a.VerifyIndex(signed(t, j, release1, release2), "production"), authority.CodeSwapped)
	j = i
	j.Authority = 2
	wantCode(t, "another authority", a.VerifyIndex(signed(t, j, release1, release2), "production"), authority.CodeForged)

	s := signed(t, i, release1, release2)
	d := dateOf(s)
	wantCode(t, "a date by a release key", a.VerifyDate(signed(t, d, release1), s), authority.CodeForged)
	e := d
	e.Expires = e.Time.Add(2*time.Hour + time.Second)
	wantCode(t, "a date for too long", a.VerifyDate(signed(t, e, dating), s), authority.CodeForged)
	e = d
	e.Authority = 2
	wantCode(t, "a date under another authority", a.VerifyDate(signed(t, e, dating), s), authority.CodeForged)
	i.Number, i.Previous = 2, s.Digest()
	wantCode(t, "a date of another index", a.VerifyDate(signed(t, d, dating), signed(t, i, release1, release2)), authority.CodeSwapped)
	e = d
	e.Environment = "test"
	wantCode(t, "a date of another environment", a.VerifyDate(signed(t, e, dating), s), authority.CodeSwapped)
}

// A signature under one type of statement is none under another, whatever they hold.
func TestSignaturesAreOfOneType(t *testing.T) {
	i := signed(t, index(signed(t, record(t, anna), anna)), release1)
	text := i.Encode()
	if _, err := authority.Parse[authority.Record](text); err == nil {
		t.Error("an index is a record")
	} else {
		wantCode(t, "index as record", err, authority.CodeSwapped)
	}
	if _, err := authority.Parse[authority.Record](bytes.Replace(text, []byte(`"type":"index"`), []byte(`"type":"record"`), 1)); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("an index that is called a record: %v", err)
	}
}

func TestAuthorityIsFollowed(t *testing.T) {
	a := trusted(t)
	next := a.Next()
	next.Grants = next.Grants[:1]
	b := got(a.Follow(signed(t, next, root1, root3).Encode()))(t)
	if b.Number() != 2 || len(b.Document().Grants) != 1 || len(a.Document().Grants) != 2 {
		t.Errorf("authority %d with %d grants", b.Number(), len(b.Document().Grants))
	}
	// Roots change: the thresholds of both sign.
	other := b.Next()
	other.Keys = append(other.Keys, authority.Member{Name: "new root", Key: public(t, stranger)})
	other.Root = authority.Role{Keys: []string{id(t, stranger)}, Threshold: 1}
	for name, by := range map[string][]crypto.Signer{"old ones alone": {root1, root2}, "new ones alone": {stranger}, "one old one": {root1, stranger}} {
		_, err := b.Follow(signed(t, other, by...).Encode())
		wantCode(t, name, err, authority.CodeForged)
	}
	c := got(b.Follow(signed(t, other, root1, root2, stranger).Encode()))(t)

	_, err := c.Follow(signed(t, next, root1, root2).Encode())
	wantCode(t, "an older one", err, authority.CodeRolledBack)
	_, err = a.Follow(signed(t, other, root1, root2, stranger).Encode())
	wantCode(t, "one left out", err, authority.CodeForked)
	fork := b.Next()
	fork.Previous = a.Digest()
	_, err = b.Follow(signed(t, fork, root1, root2).Encode())
	wantCode(t, "another predecessor", err, authority.CodeForked)
	swapped := a.Next()
	swapped.Registry = "other"
	_, err = a.Follow(signed(t, swapped, root1, root2).Encode())
	wantCode(t, "another registry", err, authority.CodeSwapped)
	_, err = authority.Trust(signed(t, document(t), root1).Encode())
	wantCode(t, "a first one with one root of two", err, authority.CodeForged)
	twice := signed(t, document(t), root1)
	twice = got(twice.Sign(nil, root1))(t)
	if len(twice.Signers()) != 1 {
		t.Errorf("signatures of %v", twice.Signers())
	}
}

func TestRights(t *testing.T) {
	a := trusted(t)
	for _, c := range []struct {
		name string
		err  error
		able []string // nil: it may
	}{
		{"everything", a.May(id(t, anna), authority.Components, "test", "production"), nil},
		{"nowhere yet", a.May(id(t, ben), authority.Connections), nil},
		{"in one of two", a.May(id(t, ben), authority.Connections, "test", "production"), []string{"anna"}},
		{"another kind", a.May(id(t, ben), authority.Components, "test"), []string{"anna"}},
		{"another kind, nowhere", a.May(id(t, ben), authority.Secrets), []string{"anna"}},
		{"a stranger", a.May(id(t, stranger), authority.Connections, "test"), []string{"anna", "ben"}},
		{"nobody", a.May("", authority.Connections, "test"), []string{"anna", "ben"}},
		{"release", a.MayRelease(id(t, anna), "production"), []string{"release 1", "release 2"}},
		{"release of the rest", a.MayRelease(id(t, anna), "test"), nil},
		{"index of the registry", a.MayRelease(id(t, ben), ""), nil},
		{"index of the registry by a stranger", a.MayRelease(id(t, stranger), ""), []string{"anna", "ben", "release 1", "release 2"}},
		{"date", a.MayDate(id(t, anna), "production"), []string{"dating"}},
		{"dating", a.MayDate(id(t, dating), "production"), nil},
	} {
		e, refused := errors.AsType[*authority.RightsError](c.err)
		if refused != (c.able != nil) || refused && (!slices.Equal(e.Able, c.able) || !errors.Is(c.err, trustkeep.ErrNotPermitted) || !strings.Contains(c.err.Error(), c.able[0])) {
			t.Errorf("%s: %v", c.name, c.err)
		}
	}
}

func TestDocumentsThatContradictThemselves(t *testing.T) {
	for name, change := range map[string]func(*authority.Document){
		"no registry":              func(d *authority.Document) { d.Registry = "" },
		"no number":                func(d *authority.Document) { d.Number = 0 },
		"a second without a first": func(d *authority.Document) { d.Number = 2 },
		"a threshold of zero":      func(d *authority.Document) { d.Root.Threshold = 0 },
		"a threshold of too many":  func(d *authority.Document) { d.Root.Threshold = 4 },
		"a root twice":             func(d *authority.Document) { d.Root.Keys[1] = d.Root.Keys[0] },
		"a key twice":              func(d *authority.Document) { d.Keys[1].Key = d.Keys[0].Key },
		"a name twice":             func(d *authority.Document) { d.Keys[1].Name = d.Keys[0].Name },
		"no key":                   func(d *authority.Document) { d.Keys[0].Key = authority.PublicKey{} },
		"a grant to a stranger":    func(d *authority.Document) { d.Grants[0].Keys = []string{id(t, stranger)} },
		"a grant of nothing known": func(d *authority.Document) { d.Grants[0].Kinds = []authority.Kind{"everything"} },
		"no lifetime":              func(d *authority.Document) { d.Environments["production"] = authority.Environment{Release: d.Root} },
	} {
		d := document(t)
		change(&d)
		if _, err := authority.Make(d); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestKindsOfKeys(t *testing.T) {
	p256 := got(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))(t)
	p384 := got(ecdsa.GenerateKey(elliptic.P384(), rand.Reader))(t)
	for name, k := range map[string]crypto.Signer{"Ed25519": anna, "P-256": p256, "P-384": p384} {
		d := document(t)
		d.Keys = append(d.Keys[:3:3], authority.Member{Name: name, Key: public(t, k)})
		d.Root, d.Grants, d.Environments = authority.Role{Keys: []string{id(t, k)}, Threshold: 1}, nil, nil
		a := got(authority.Trust(signed(t, d, k).Encode()))(t)
		r := record(t, k)
		if err := a.VerifyRecord(signed(t, r, k), r.Key); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	p521 := got(ecdsa.GenerateKey(elliptic.P521(), rand.Reader))(t)
	rsaKey := got(rsa.GenerateKey(rand.Reader, 2048))(t)
	for _, k := range []crypto.Signer{p521, rsaKey} {
		if _, err := authority.NewPublicKey(k.Public()); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%T: %v", k, err)
		}
		if _, err := got(authority.Make(record(t, anna)))(t).Sign(nil, k); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("signed by %T: %v", k, err)
		}
	}
	if _, err := got(authority.Make(record(t, anna)))(t).Sign(nil, liar{anna, ben}); err == nil {
		t.Error("a signer that signs with another key")
	}
	if _, err := got(authority.Make(record(t, anna)))(t).Sign(nil, nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no signer: %v", err)
	}
}

// liar names another key than it signs with.
type liar struct {
	named crypto.Signer
	signs crypto.Signer
}

func (l liar) Public() crypto.PublicKey { return l.named.Public() }
func (l liar) Sign(r io.Reader, d []byte, o crypto.SignerOpts) ([]byte, error) {
	return l.signs.Sign(r, d, o)
}

func TestOneSpelling(t *testing.T) {
	text := string(signed(t, record(t, anna), anna).Encode())
	for name, other := range map[string]string{
		"white space":            " " + text,
		"white space inside":     strings.Replace(text, `"type":`, `"type": `, 1),
		"white space at the end": text + "\n",
		"a field twice":          strings.Replace(text, `"number":1`, `"number":2,"number":1`, 1),
		"a field in capitals":    strings.Replace(text, `"number":1`, `"Number":1`, 1),
		"an unknown field":       strings.Replace(text, `"number":1`, `"number":1,"x":1`, 1),
		"an unknown one outside": strings.Replace(text, `"signed":1`, `"signed":1,"x":1`, 1),
		"another time":           strings.Replace(text, `12:00:00Z`, `13:00:00+01:00`, 1),
		"cut":                    text[:len(text)-1],
	} {
		if other == text {
			t.Fatalf("%s: nothing changed", name)
		}
		if _, err := authority.Parse[authority.Record]([]byte(other)); err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
	if _, err := authority.Parse[authority.Record]([]byte(strings.Replace(text, `{"signed":1`, `{"signed":2`, 1))); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a later format: %v", err)
	}
	_, err := authority.Parse[authority.Record]([]byte(`{"format":1}`))
	wantCode(t, "an unsigned record", err, authority.CodeUnsigned)
	if _, err := authority.Parse[authority.Document](make([]byte, 4<<20)); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("a large document: %v", err)
	}
	many := signed(t, record(t, anna))
	for n := range authority.MaxSignatures {
		many = got(many.Sign(nil, key(byte(n))))(t)
	}
	if _, err := many.Sign(nil, key(200)); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("another signature: %v", err)
	}
}

// vectors of testdata/vectors.json: seeds of Ed25519 keys are a byte repeated, see key.
type vectors struct {
	Document, Successor, Record, Deletion, Index, Date json.RawMessage
	Digests                                            map[string]string
}

func makeVectors(t testing.TB) vectors {
	d := signed(t, document(t), root1, root2)
	a := got(authority.Trust(d.Encode()))(t)
	successor := signed(t, a.Next(), root2, root3)
	r := signed(t, record(t, anna), anna)
	gone := record(t, anna)
	gone.Number, gone.Previous, gone.Deleted, gone.Document = 2, r.Digest(), true, nil
	deletion := signed(t, gone, anna)
	i := signed(t, index(r), release1, release2)
	date := signed(t, dateOf(i), dating)
	return vectors{d.Encode(), successor.Encode(), r.Encode(), deletion.Encode(), i.Encode(), date.Encode(), map[string]string{
		"document": d.Digest().String(), "successor": successor.Digest().String(), "record": r.Digest().String(),
		"deletion": deletion.Digest().String(), "index": i.Digest().String(), "date": date.Digest().String(),
	}}
}

// TestVectors holds the format: statements that were signed are read for ever. With
// TRUSTKEEP_WRITE_VECTORS=1 it writes them.
func TestVectors(t *testing.T) {
	const file = "testdata/vectors.json"
	var now bytes.Buffer
	text := got(json.Marshal(makeVectors(t)))(t)
	if err := json.Indent(&now, text, "", "\t"); err != nil {
		t.Fatal(err)
	}
	now.WriteByte('\n')
	if os.Getenv("TRUSTKEEP_WRITE_VECTORS") == "1" {
		if err := os.WriteFile(file, now.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if golden := got(os.ReadFile(file))(t); !bytes.Equal(golden, now.Bytes()) {
		t.Errorf("%s is\n%s\nwant\n%s", file, now.Bytes(), golden)
	}
}

func FuzzParse(f *testing.F) {
	v := makeVectors(f)
	for _, seed := range [][]byte{v.Document, v.Successor, v.Record, v.Deletion, v.Index, v.Date} {
		f.Add([]byte(seed))
	}
	a := trusted(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		again := func(encoded []byte, err error) {
			if err == nil && !bytes.Equal(encoded, data) {
				t.Errorf("%q is read and written as %q", data, encoded)
			}
			if err != nil && !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUntrusted) &&
				!errors.Is(err, trustkeep.ErrUnsupported) && !errors.Is(err, trustkeep.ErrLimit) {
				t.Errorf("error %v", err)
			}
		}
		if r, err := authority.Parse[authority.Record](data); err == nil {
			again(r.Encode(), nil)
			_ = a.VerifyRecord(r, r.Statement().Key)
		} else {
			again(nil, err)
		}
		if i, err := authority.Parse[authority.Index](data); err == nil {
			again(i.Encode(), nil)
			_ = a.VerifyIndex(i, i.Statement().Environment)
		} else {
			again(nil, err)
		}
		if d, err := authority.Parse[authority.Date](data); err == nil {
			again(d.Encode(), nil)
		} else {
			again(nil, err)
		}
		if b, err := authority.Trust(data); err == nil {
			again(b.Encode(), nil)
			_, _ = b.Follow(v.Successor)
		} else {
			again(nil, err)
		}
	})
}

func TestErrorsAreSafeToPrint(t *testing.T) {
	r := record(t, anna)
	r.Key = "a\x1b[31m"
	err := trusted(t).VerifyRecord(signed(t, r, anna), "b\n")
	if text := err.Error(); strings.ContainsAny(text, "\x1b\n") || !strings.Contains(text, "swapped") {
		t.Errorf("%q", text)
	}
}

// A date counts no longer than the lifetime that the Authority says.
func TestDatesAreBounded(t *testing.T) {
	a := trusted(t)
	i := signed(t, index(signed(t, record(t, anna), anna)), release1, release2)
	d := dateOf(i)
	if err := a.VerifyDate(signed(t, d, dating), i); err != nil {
		t.Errorf("of the lifetime: %v", err)
	}
	d.Expires = d.Expires.Add(time.Second)
	wantCode(t, "a second longer", a.VerifyDate(signed(t, d, dating), i), authority.CodeForged)
	d.Expires = d.Expires.Add(100 * 365 * 24 * time.Hour)
	wantCode(t, "a hundred years longer", a.VerifyDate(signed(t, d, dating), i), authority.CodeForged)
}

// An index of Document.Indexes counts, and no other of an earlier authority.
func TestListedIndexes(t *testing.T) {
	a := trusted(t)
	i := signed(t, index(signed(t, record(t, anna), anna)), release1, release2)
	next := a.Next()
	next.Indexes = map[string]authority.Digest{"production": i.Digest()}
	b := got(a.Follow(signed(t, next, root1, root2).Encode()))(t)
	if err := b.VerifyIndex(i, "production"); err != nil {
		t.Errorf("listed: %v", err)
	}
	wantCode(t, "of another environment", b.VerifyIndex(i, "test"), authority.CodeSwapped)
	other := i.Statement()
	other.Number, other.Previous = 2, i.Digest()
	wantCode(t, "another", b.VerifyIndex(signed(t, other, release1, release2), "production"), authority.CodeForged)
	if b.Next().Indexes != nil {
		t.Error("the successor lists the indexes of before")
	}
	next.Indexes["x"] = authority.Digest{}
	if _, err := authority.Make(next); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no digest: %v", err)
	}
}
