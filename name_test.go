package trustkeep_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testcpu"
)

func marshalName(t testing.TB, name pkix.RDNSequence) []byte {
	t.Helper()
	der, err := asn1.Marshal(name)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// longName is a name of many attributes, as a stranger can make one up.
func longName(t testing.TB, attributes, size int) []byte {
	var name pkix.RDNSequence
	for range attributes {
		name = append(name, pkix.RelativeDistinguishedNameSET{{Type: asn1.ObjectIdentifier{2, 5, 4, 11},
			Value: strings.Repeat("x", size)}})
	}
	return marshalName(t, name)
}

// cost returns the processor time and the memory that f takes.
func cost(f func()) (used time.Duration, allocated uint64) {
	used, allocated = math.MaxInt64, math.MaxUint64
	for range 3 { // other programs and the collector disturb the measure
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := testcpu.Used()
		f()
		used = min(used, testcpu.Since(start))
		runtime.ReadMemStats(&after)
		allocated = min(allocated, after.TotalAlloc-before.TotalAlloc)
	}
	return used, allocated
}

// The texts of honest names are those of crypto/x509/pkix.
func TestPrintableNameIsThatOfPkix(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	types := []asn1.ObjectIdentifier{
		{2, 5, 4, 3}, {2, 5, 4, 5}, {2, 5, 4, 6}, {2, 5, 4, 7}, {2, 5, 4, 8}, {2, 5, 4, 9}, {2, 5, 4, 10}, {2, 5, 4, 11}, {2, 5, 4, 17},
		{2, 5, 4, 4}, {0, 9, 2342, 19200300, 100, 1, 25}, {1, 2, 840, 113549, 1, 9, 1}, {2, 999, 1<<31 - 1},
	}
	values := []string{"Example", "", " ", "#", " a ", "##", `a,b+c"d\e<f>g;h`, "Zürich", "日本", "\x1b[31m", "a\nb", "x@y.example", "1-2", strings.Repeat("long ", 40), "\u202e"}
	tags := []int{asn1.TagUTF8String, asn1.TagT61String, asn1.TagBMPString, asn1.TagPrintableString, asn1.TagIA5String}
	for range 3000 {
		name := pkix.RDNSequence{}
		for range random.IntN(6) {
			var set pkix.RelativeDistinguishedNameSET
			for range 1 + random.IntN(2) {
				set = append(set, pkix.AttributeTypeAndValue{Type: types[random.IntN(len(types))],
					Value: encodeText(tags[random.IntN(len(tags))], values[random.IntN(len(values))])})
			}
			name = append(name, set)
		}
		der := marshalName(t, name)
		var parsed pkix.RDNSequence
		if rest, err := asn1.Unmarshal(der, &parsed); err != nil || len(rest) > 0 {
			t.Fatalf("%x: %v", der, err)
		}
		if got, want := trustkeep.PrintableName(der), trustkeep.Printable(parsed.String()); got != want {
			t.Fatalf("%x:\ngot  %s\nwant %s", der, got, want)
		}
	}
	for _, name := range []pkix.Name{
		{CommonName: "www", Organization: []string{"A, Inc."}, OrganizationalUnit: []string{"x"}, Country: []string{"CH"}, Locality: []string{"Z"}, SerialNumber: "7"},
		{CommonName: strings.Repeat("n", 300)},
		{Organization: []string{strings.Repeat("o", 250)}, CommonName: "end"},
		{},
	} {
		if got, want := trustkeep.PrintableName(marshalName(t, name.ToRDNSequence())), trustkeep.Printable(name.String()); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
}

// encodeText encodes a text, as UTF8String where the type cannot hold it.
func encodeText(tag int, s string) asn1.RawValue {
	body := []byte(s)
	ascii := !strings.ContainsFunc(s, func(r rune) bool { return r > '~' })
	switch {
	case tag == asn1.TagBMPString:
		body = nil
		for _, r := range s {
			body = append(body, byte(r>>8), byte(r))
		}
	case tag == asn1.TagT61String && ascii, tag == asn1.TagIA5String && ascii:
	case tag == asn1.TagPrintableString && ascii && !strings.ContainsAny(s, "@#_\"\\<>;\x1b[\n"):
	default:
		tag = asn1.TagUTF8String
	}
	return asn1.RawValue{Tag: tag, Bytes: body}
}

func TestPrintableNameOfOtherValues(t *testing.T) {
	for _, c := range []struct{ der, want string }{
		{"3000", ""}, // empty
		{"", ""}, {"30", ""}, {"3080", ""}, {"300000", ""}, {"3001", ""}, {"0400", ""}, {"3085ffffffffff", ""}, {"3084ffffffff", ""},
		{"30023000", ""}, // no set
		{"3009" + "3107" + "3005" + "0600" + "0c0161", ""}, // empty type
		{"300b" + "3109" + "3007" + "0603550483" + "0500", ""},
		{"300a" + "3108" + "3006" + "0603550403" + "04", ""},
		{"300c" + "310a" + "3008" + "0603550403" + "040161", "CN=#040161"},
		{"300e" + "310c" + "300a" + "0603550403" + "1e03006100", "CN=#1e03006100"},
		{"300c" + "310a" + "3008" + "0603550403" + "0c01ff", `CN=\ufffd`},
		{"3011" + "310f" + "300d" + "060855040388ffffff7f" + "0c0161", ""}, // arc too large
		{"3002" + "3100", ""},
	} {
		var der []byte
		if _, err := fmt.Sscanf(c.der, "%x", &der); err != nil && c.der != "" {
			t.Fatal(err)
		}
		if got := trustkeep.PrintableName(der); got != c.want {
			t.Errorf("%s: got %q, want %q", c.der, got, c.want)
		}
	}
}

// pkix.Name.String takes 8 s and 11 GB for the first of these.
func TestNamesOfStrangersAreCheap(t *testing.T) {
	if testcpu.Raced {
		t.Skip("the race detector makes other things slow than what is measured")
	}
	many, long := longName(t, 20_000, 2), longName(t, 1, 1<<20)
	var set pkix.RelativeDistinguishedNameSET
	for i := range 20_000 {
		set = append(set, pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{1, 2, 3, i}, Value: "x"})
	}
	wide := marshalName(t, pkix.RDNSequence{set})
	arcs := make(asn1.ObjectIdentifier, 100_000)
	arcs[0] = 1
	deep := marshalName(t, pkix.RDNSequence{{{Type: arcs, Value: strings.Repeat("é", 100_000)}}})
	for what, der := range map[string][]byte{"many": many, "long": long, "wide": wide, "deep": deep} {
		var text string
		used, allocated := cost(func() { text = trustkeep.PrintableName(der) })
		if used > 10*time.Millisecond || allocated > 64<<10 || len(text) > 1100 || !strings.HasSuffix(text, "…") {
			t.Errorf("%s: %v, %d bytes for %d: %.100s", what, used, allocated, len(text), text)
		}
	}

	c := &x509.Certificate{Raw: many, RawSubject: many, RawIssuer: many}
	var sequence pkix.RDNSequence
	if _, err := asn1.Unmarshal(many, &sequence); err != nil {
		t.Fatal(err)
	}
	c.Subject.FillFromRDNSequence(&sequence)
	c.Issuer.FillFromRDNSequence(&sequence)
	used, allocated := cost(func() { trustkeep.DescribeCertificate(c) })
	if used > 10*time.Millisecond || allocated > 256<<10 {
		t.Errorf("DescribeCertificate: %v, %d bytes", used, allocated)
	}
}

// Names of certificates that were not parsed are printed too.
func TestDescribeCertificateMadeByHand(t *testing.T) {
	c := &x509.Certificate{Subject: pkix.Name{CommonName: "a\n", Organization: []string{"O"}}}
	if got := trustkeep.DescribeCertificate(c).Subject; got != `CN=a\n,O=O` {
		t.Error(got)
	}
}
