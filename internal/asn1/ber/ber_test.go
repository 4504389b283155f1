package ber

import (
	"bytes"
	"encoding/hex"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

var lax = Rules{MaxDepth: 32}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNext(t *testing.T) {
	for _, c := range []struct {
		in, full, content string
		tag               Tag
		constructed       bool
	}{
		{"0403010203 ff", "0403010203", "010203", OctetString, false},
		{"3000", "3000", "", Sequence, true},
		{"048101ff", "048101ff", "ff", OctetString, false}, // longer than necessary
		{"0484000000 01ff", "048400000001ff", "ff", OctetString, false},
		{"3080 0201050000 aa", "308002010500 00", "020105", Sequence, true},
		{"a080 3080 0000 0000", "a080308000000000", "30800000", Context(0), true},
		{"a080 040200000000", "a0800402000000 00", "04020000", Context(0), true}, // zeros inside a definite element
		{"9f8101 00", "9f810100", "", Context(129), false},
		{"1f8101 00", "1f810100", "", Tag(129), false},
	} {
		in := New(unhex(t, c.in), lax)
		e, err := in.Next()
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		if e.Tag != c.tag || e.Constructed != c.constructed || !bytes.Equal(e.Full, unhex(t, c.full)) || !bytes.Equal(e.Content, unhex(t, c.content)) {
			t.Errorf("%s: %v %v, full %x, content %x", c.in, e.Tag, e.Constructed, e.Full, e.Content)
		}
		if want := unhex(t, c.in)[len(e.Full):]; !bytes.Equal(in.Rest(), want) {
			t.Errorf("%s: rest %x, want %x", c.in, in.Rest(), want)
		}
	}
}

func TestNextRefuses(t *testing.T) {
	for _, in := range []string{
		"", "30", "0402ff", "04820100", "0484ffffffff", "0488ffffffffffffffff", "048180",
		"0480 0000",      // primitive of indefinite length
		"0000", "000100", // end of contents out of place
		"3080", "3080 00", "3080 0201050", // no end
		"1f", "1fffffffffff7f00", "1f81", "04 fe 00",
		"3080 0004 0000",
	} {
		if len(strings.ReplaceAll(in, " ", ""))%2 == 1 {
			in += "0"
		}
		r := New(unhex(t, in), lax)
		if e, err := r.Next(); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%s: %x, %v", in, e.Full, err)
		}
	}
}

func TestDERRules(t *testing.T) {
	strict := Rules{MaxDepth: 32, DER: true}
	for _, in := range []string{"3080 0000", "048101ff", "04820080" + strings.Repeat("00", 128)} {
		r := New(unhex(t, in), strict)
		if _, err := r.Next(); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%.20s: %v", in, err)
		}
	}
	r := New(unhex(t, "2403 0401ff"), strict)
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Octets(); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("constructed string: %v", err)
	}
	r = New(unhex(t, "3003 048180"), strict)
	if e, err = r.Next(); err != nil {
		t.Fatal(err)
	}
	children, err := e.Children()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := children.Next(); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("child: %v", err)
	}
}

func TestOctets(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"0403010203", "010203"},
		{"2400", ""},
		{"2407 040101 04020203", "010203"},
		{"2480 040101 2480 04020203 0000 0400 0000", "010203"},
		{"a080 040101 24050403020304 0000", "01020304"}, // [0] IMPLICIT OCTET STRING
		{"3e06 0402 0041 1e00", "0041"},                 // BMPString in pieces of both kinds
	} {
		r := New(unhex(t, c.in), lax)
		e, err := r.Next()
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got, err := e.Octets()
		if err != nil || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %x, %v", c.in, got, err)
		}
	}
	for _, in := range []string{"2403 020101", "2402 04 05", "2480 3000 0000"} {
		r := New(unhex(t, in), lax)
		e, err := r.Next()
		if err == nil {
			_, err = e.Octets()
		}
		if !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%s: %v", in, err)
		}
	}
}

func TestPrimitiveIsNotCopied(t *testing.T) {
	data := []byte{4, 2, 8, 9}
	r := New(data, lax)
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.Octets()
	if err != nil || &got[0] != &data[2] {
		t.Errorf("%x is a copy (%v)", got, err)
	}
}

func TestDER(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"3003020105", "3003020105"},
		{"3080 020105 0000", "3003020105"},
		{"308103 020105", "3003020105"},
		{"3080 2480 040101 040102 0000 a080 3080 0000 0000 0000", "3008 04020102 a002 3000"},
		{"3e06 0402 0041 1e00", "1e020041"},
		{"bf8101 80 0500 0000", "bf8101020500"},
		{"3081a0" + "04819d" + strings.Repeat("ab", 157), "3081a0" + "04819d" + strings.Repeat("ab", 157)},
	} {
		r := New(unhex(t, c.in), lax)
		e, err := r.Next()
		if err != nil {
			t.Errorf("%s: %v", c.in, err)
			continue
		}
		got, err := e.DER()
		if err != nil || !bytes.Equal(got, unhex(t, c.want)) {
			t.Errorf("%s: %x, %v; want %s", c.in, got, err, c.want)
		}
	}
	r := New(unhex(t, "3003 300504"), lax)
	e, err := r.Next()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.DER(); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("malformed content: %v", err)
	}
}

func TestDepth(t *testing.T) {
	deep := bytes.Repeat([]byte{0x30, 0x80}, 1_000_000)
	ended := append(bytes.Clone(deep), make([]byte, 2_000_000)...)
	strs := append(bytes.Repeat([]byte{0x24, 0x80}, 1_000_000), make([]byte, 2_000_000)...)
	for name, data := range map[string][]byte{"open": deep, "ended": ended, "strings": strs} {
		r := New(data, lax)
		if _, err := r.Next(); !errors.Is(err, trustkeep.ErrLimit) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// As deep as allowed, and one deeper, of both kinds of length.
	for _, indefinite := range []bool{true, false} {
		for depth := 31; depth <= 33; depth++ {
			data := []byte{}
			for range depth {
				if indefinite {
					data = append(append([]byte{0x24, 0x80}, data...), 0, 0)
				} else {
					data = append([]byte{0x24, byte(len(data))}, data...)
				}
			}
			r := New(data, lax)
			e, err := r.Next()
			if err == nil {
				_, err = e.Octets()
			}
			if depth <= 32 && err != nil || depth > 32 && !errors.Is(err, trustkeep.ErrLimit) {
				t.Errorf("indefinite %v, depth %d: %v", indefinite, depth, err)
			}
		}
	}
}

func TestReadAndEnd(t *testing.T) {
	r := New(unhex(t, "020105 a000 0500"), lax)
	if _, present, err := r.ReadOptional(Context(0)); present || err != nil {
		t.Errorf("[0]: %v, %v", present, err)
	}
	if _, err := r.Read(Integer); err != nil {
		t.Error(err)
	}
	if _, present, err := r.ReadOptional(Context(0)); !present || err != nil {
		t.Errorf("[0]: %v, %v", present, err)
	}
	if err := r.End(); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("end: %v", err)
	}
	if _, err := r.Read(Integer); !errors.Is(err, trustkeep.ErrCorrupt) || !strings.Contains(err.Error(), "universal 5 where universal 2") {
		t.Errorf("null for an integer: %v", err)
	}
	if e := (Element{Tag: Integer}); e.Constructed {
		t.Error("constructed")
	} else if _, err := e.Children(); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("children of an integer: %v", err)
	}
}

func FuzzBER(f *testing.F) {
	seeds := []string{
		"3003020105", "3080 2480 040101 040102 0000 a080 3080 0000 0000 0000", "3e06 0402 0041 1e00", "bf8101 80 0500 0000", "9f810100",
	}
	if len(seeds) == 0 {
		f.Fatal("no seeds")
	}
	for _, s := range seeds {
		f.Add(unhex(f, s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := New(data, lax)
		e, err := r.Next()
		if err == nil {
			if len(e.Full)+len(r.Rest()) != len(data) {
				t.Fatalf("%d + %d bytes of %d", len(e.Full), len(r.Rest()), len(data))
			}
			var der []byte
			if der, err = e.DER(); err == nil {
				strict := New(der, Rules{MaxDepth: 33, DER: true})
				again, err := strict.Next()
				if err != nil || len(strict.Rest()) != 0 {
					t.Fatalf("%x is not DER: %v", der, err)
				}
				twice, err := again.DER()
				if err != nil || !bytes.Equal(twice, der) {
					t.Fatalf("%x becomes %x, %v", der, twice, err)
				}
			}
		}
		if err != nil && !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrLimit) {
			t.Fatalf("untyped error: %v", err)
		}
	})
}
