package entry

import (
	"crypto/sha256"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
)

func subject(t *testing.T, rdns ...pkix.RelativeDistinguishedNameSET) []byte {
	t.Helper()
	der, err := asn1.Marshal(pkix.RDNSequence(rdns))
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func rdn(oid asn1.ObjectIdentifier, value any) pkix.RelativeDistinguishedNameSET {
	return pkix.RelativeDistinguishedNameSET{{Type: oid, Value: value}}
}

func TestNameOfSubject(t *testing.T) {
	cn := asn1.ObjectIdentifier{2, 5, 4, 3}
	o := asn1.ObjectIdentifier{2, 5, 4, 10}
	tests := []struct {
		name string
		der  []byte
		want string
	}{
		{"common name", subject(t, rdn(o, "Org"), rdn(cn, "Web Server")), "Web Server"},
		{"the last of two", subject(t, rdn(cn, "one"), rdn(cn, "two")), "two"},
		{"white space", subject(t, rdn(cn, "  a \t b\n")), "a b"},
		{"control characters", subject(t, rdn(cn, "a\x1b[31m")), `a\x1b[31m`},
		{"long", subject(t, rdn(cn, strings.Repeat("x", 300))), strings.Repeat("x", 256) + "…"},
		{"not ASCII", subject(t, rdn(cn, "Zürich")), "Zürich"},
		{"BMPString", subject(t, rdn(cn, asn1.RawValue{Tag: asn1.TagBMPString, Bytes: []byte{0x51, 0x0d}})), "儍"},
		{"T61String", subject(t, rdn(cn, asn1.RawValue{Tag: asn1.TagT61String, Bytes: []byte("Z\xfcrich")})), "Zürich"},
		{"blank common name", subject(t, rdn(o, "Org"), rdn(cn, " ")), `CN=\ ,O=Org`},
		{"no common name", subject(t, rdn(o, "Org, Inc")), `O=Org\, Inc`},
		{"empty", subject(t), ""},
		{"malformed", []byte{0x30, 0x05, 0x31}, ""},
		{"nothing", nil, ""},
	}
	for _, test := range tests {
		if got := NameOfSubject(test.der); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}

func TestNameFor(t *testing.T) {
	der := testpki.New(t, testpki.Options{}).Server("a.example").DERChain()[0]
	if got := NameFor(NewCertificate(der)); got != "a.example" {
		t.Errorf("got %q", got)
	}
	sum := sha256.Sum256([]byte("rotten"))
	if got := NameFor(NewCertificate([]byte("rotten"))); got != hex.EncodeToString(sum[:4]) {
		t.Errorf("got %q", got)
	}
}

func TestDeduplicate(t *testing.T) {
	type in struct {
		alias, raw string
		unnamed    bool
	}
	fp := ShortFingerprint([]byte("r"))
	tests := []struct {
		name string
		in   []in
		want []string
	}{
		{"different", []in{{"a", "r", true}, {"b", "r", true}}, []string{"a", "b"}},
		{"the first keeps the name", []in{{"a", "q", true}, {"A", "r", true}}, []string{"a", "A-" + fp}},
		{"a name that was given wins", []in{{"a", "r", true}, {"a", "q", false}}, []string{"a-" + fp, "a"}},
		{"names that were given are kept", []in{{"a", "r", false}, {"a", "r", false}}, []string{"a", "a"}},
		{"the same content again", []in{{"a", "r", true}, {"a", "r", true}, {"a", "r", true}, {"a", "r", true}},
			[]string{"a", "a-" + fp, "a-" + fp + "-2", "a-" + fp + "-3"}},
		{"a number that is taken", []in{{"a-" + fp + "-2", "q", false}, {"a", "q", false}, {"a", "r", true}, {"a", "r", true}},
			[]string{"a-" + fp + "-2", "a", "a-" + fp, "a-" + fp + "-3"}},
	}
	for _, test := range tests {
		var entries []*Entry
		for _, e := range test.in {
			entries = append(entries, &Entry{Alias: e.alias, Unnamed: e.unnamed, Raw: []byte(e.raw)})
		}
		Deduplicate(entries)
		var got []string
		for _, e := range entries {
			got = append(got, e.Alias)
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
