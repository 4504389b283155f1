package as2

import (
	"crypto"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

func TestNames(t *testing.T) {
	for name, quoted := range map[string]string{
		"us": "us", "A.B-c_1": "A.B-c_1", "with blank": `"with blank"`, `q"u\o`: `"q\"u\\o"`, "a,b": `"a,b"`, "ACME@x": `"ACME@x"`,
	} {
		if got := quoteName(name); got != quoted {
			t.Errorf("%q: %s", name, got)
		}
		for _, s := range []string{quoted, " " + quoted + "\t"} {
			if got, err := parseName(s); err != nil || got != name {
				t.Errorf("%s: %q, %v", s, got, err)
			}
		}
	}
	if got, err := parseName("with blank"); err != nil || got != "with blank" { // as products send it
		t.Error(got, err)
	}
	for _, s := range []string{"", `""`, `"a`, `"a" b`, `"a\`, "a\x00", "ä", strings.Repeat("x", 129)} {
		if got, err := parseName(s); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%q: %q, %v", s, got, err)
		}
	}
	if _, err := field(http.Header{"As2-From": {"a", "a"}}, "AS2-From"); err == nil {
		t.Error("twice")
	}
}

func TestFileNames(t *testing.T) {
	for disposition, want := range map[string]string{
		`attachment; filename=a.edi`:                     "a.edi",
		`attachment; filename="a b.edi"`:                 "a b.edi",
		`attachment; filename*=utf-8''%C3%A4.edi`:        "ä.edi",
		`attachment; filename="=?utf-8?q?=C3=A4.edi?="`:  "ä.edi",
		`attachment; filename="../../etc/passwd"`:        "passwd",
		`attachment; filename="C:\\dir\\a.edi"`:          "a.edi",
		`attachment; filename="C:\dir\a.edi"`:            "a.edi",
		`attachment; filename="a/"`:                      "",
		`attachment; filename=".."`:                      "",
		`attachment; filename="..."`:                     "",
		`attachment; filename="a.edi. . "`:               "a.edi",
		`attachment; filename="a:b|c"`:                   "a_b_c",
		`attachment; filename*=utf-8''a%00b`:             "a_b",
		`attachment; filename*=utf-8''a%2F..%2Fb`:        "b",
		`attachment; filename*=utf-8''a%E2%80%AEcod.exe`: "", // turns the order of letters
		`attachment; filename="=?utf-8?q?=2E=2E=2Fx?="`:  "x",
		`attachment`: "",
		``:           "",
		`attachment; filename="` + strings.Repeat("x", 300) + `"`: "",
	} {
		if got := fileName(disposition); got != want {
			t.Errorf("%s: %q instead of %q", disposition, got, want)
		}
	}
}

func TestReceiptRequests(t *testing.T) {
	for value, want := range map[string]struct {
		signed      bool
		hash        crypto.Hash
		unsupported string
	}{
		"signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=optional, sha1, md5":    {true, crypto.SHA1, ""},
		"Signed-Receipt-Protocol=optional,pkcs7-signature;signed-receipt-micalg=optional,md5,SHA256":      {true, crypto.SHA256, ""},
		"signed-receipt-protocol=required, pkcs7-signature; signed-receipt-micalg=required, sha-384,sha1": {true, crypto.SHA384, ""},
		`signed-receipt-protocol="required","pkcs7-signature"`:                                            {true, 0, ""},
		"signed-receipt-protocol=required, pgp-signature":                                                 {false, 0, unsupportedFormat},
		"signed-receipt-protocol=optional, pgp-signature":                                                 {false, 0, ""},
		"signed-receipt-protocol=optional, pkcs7-signature; signed-receipt-micalg=required, md5":          {true, 0, unsupportedMIC},
		"x-other=required, y": {false, 0, unsupportedFormat},
		"":                    {},
		";;=,=;":              {},
	} {
		got := parseReceiptRequest(value)
		if got.signed != want.signed || got.hash() != want.hash || got.unsupported != want.unsupported {
			t.Errorf("%s: %+v", value, got)
		}
	}
}

// Whatever strangers write, parsing ends with a result or a typed error.
func FuzzReceipt(f *testing.F) {
	m := mdn{from: "us", to: "them", original: "<1@x>", disposition: processed, mic: MIC{crypto.SHA1, make([]byte, 20)}, text: "t"}
	f.Add(m.entity())
	m.disposition = failure("x")
	f.Add(m.entity())
	f.Add([]byte("Content-Type: multipart/signed; boundary=a\r\n\r\n--a\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\n\r\n--b--\r\n--a--\r\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		claimedMDN(data)
		r, err := parseReport(data)
		if err != nil {
			if !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Fatalf("untyped: %v", err)
			}
			return
		}
		d, err := parseDisposition("a/b; " + r.Disposition.String())
		if err != nil || d.Processed() != r.Disposition.Processed() {
			t.Fatalf("%v: %v %v", r.Disposition, d, err)
		}
	})
}

// Names survive quoting, and what is read is one that can be sent.
func FuzzHeader(f *testing.F) {
	for _, s := range []string{"us", `"a \"b\\"`, `attachment; filename="../x"`, "signed-receipt-protocol=required,x", "YQ==, sha1", "a/b; processed/error: x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if name, err := parseName(s); err == nil {
			if again, err := parseName(quoteName(name)); err != nil || again != name {
				t.Fatalf("%q: %q, %v", name, again, err)
			}
		}
		if name := fileName(s); strings.ContainsAny(name, "/\\\x00\r\n") || name == "." || name == ".." {
			t.Fatalf("file name %q", name)
		}
		if m, err := parseMIC(s); err == nil {
			if again, err := parseMIC(m.String()); err != nil || !again.equal(m) {
				t.Fatalf("%v: %v", m, err)
			}
		}
		parseReceiptRequest(s)
		if d, err := parseDisposition(s); err == nil && d.Type == "" {
			t.Fatal("disposition without a type")
		}
	})
}
