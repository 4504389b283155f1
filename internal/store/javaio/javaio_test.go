package javaio

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep"
)

func TestUTF(t *testing.T) {
	for _, test := range []struct{ text, encoded string }{
		{"", "\x00\x00"},
		{"alias", "\x00\x05alias"},
		{"ü", "\x00\x02\xc3\xbc"},
		{"鍵", "\x00\x03\xe9\x8d\xb5"},
		{"🔑", "\x00\x06\xed\xa0\xbd\xed\xb4\x91"}, // two surrogates
		{"\x00", "\x00\x02\xc0\x80"},
		{"\xed\xa0\xbdx", "\x00\x04\xed\xa0\xbdx"}, // half a pair
		{"\xed\xb4\x91\xed\xa0\xbd", "\x00\x06\xed\xb4\x91\xed\xa0\xbd"},
		{"\uFFFD", "\x00\x03\xef\xbf\xbd"},
	} {
		got, err := AppendUTF(nil, test.text)
		if err != nil || string(got) != test.encoded {
			t.Errorf("%q: encoded %x, %v", test.text, got, err)
		}
		r := NewReader([]byte(test.encoded))
		if s := r.UTF(); s != test.text || r.Err() != nil || r.Len() != 0 {
			t.Errorf("%x: decoded %q, %v", test.encoded, s, r.Err())
		}
	}
	// What readUTF takes, though nothing writes it.
	for encoded, want := range map[string]string{"\x00\x01\x00": "\x00", "\x00\x02\xc1\x81": "A"} {
		if s := NewReader([]byte(encoded)).UTF(); s != want {
			t.Errorf("%x: decoded %q, want %q", encoded, s, want)
		}
	}
}

func TestUTFRefuses(t *testing.T) {
	for _, encoded := range []string{"", "\x00", "\x00\x01", "\x00\x01\x80", "\x00\x01\xc3", "\x00\x02\xc3a", "\x00\x02\xe9\x8d", "\x00\x03\xe9\x8da", "\x00\x04\xf0\x9f\x94\x91"} {
		r := NewReader([]byte(encoded))
		if s := r.UTF(); s != "" || !errors.Is(r.Err(), trustkeep.ErrCorrupt) {
			t.Errorf("%x: %q, %v", encoded, s, r.Err())
		}
	}
	for _, text := range []string{"\xff", "a\xc3", "\xe9\x8d", strings.Repeat("x", 1<<16), strings.Repeat("\x00", 1<<15)} {
		if _, err := AppendUTF(nil, text); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%.10q: %v", text, err)
		}
	}
}

func TestReader(t *testing.T) {
	r := NewReader([]byte{1, 0, 2, 0, 0, 0, 3, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 9, 0, 0, 0, 1, 7})
	if a, b, c, d, e, n, left := r.Uint8(), r.Uint16(), r.Uint32(), r.Int64(), r.Block(), r.Count(1), r.Rest(); a != 1 || b != 2 || c != 3 || d != -1 || !bytes.Equal(e, []byte{9}) || n != 1 || !bytes.Equal(left, []byte{7}) {
		t.Error(a, b, c, d, e, n, left)
	}
	for name, read := range map[string]func(*Reader){
		"bytes":          func(r *Reader) { r.Bytes(5) },
		"negative bytes": func(r *Reader) { r.Bytes(-1) },
		"block":          func(r *Reader) { r.Block() },
		"count":          func(r *Reader) { r.Count(1) },
		"number":         func(r *Reader) { r.Int64() },
	} {
		r := NewReader([]byte{0xff, 0xff, 0xff, 0xff})
		read(r)
		if !errors.Is(r.Err(), trustkeep.ErrCorrupt) || !r.Short() {
			t.Errorf("%s: %v", name, r.Err())
		}
		if r.Uint8() != 0 || r.Block() != nil || r.UTF() != "" {
			t.Errorf("%s: more was read after the failure", name)
		}
	}
}

func TestPasswordUnits(t *testing.T) {
	for password, want := range map[string]string{
		"":           "",
		"a€":         "\x00a\x20\xac",
		"🔑":          "\xd8\x3d\xdd\x11",
		"\xe4":       "\x00\xe4", // Latin-1
		"ä":          "\x00\xe4",
		"a\xed\xa0x": "\x00a\x00\xed\x00\xa0\x00x",
	} {
		got := PasswordUnits([]byte(password))
		if string(got) != want {
			t.Errorf("%q: %x, want %x", password, got, want)
		}
	}
}

func FuzzUTF(f *testing.F) {
	f.Add([]byte("\x00\x06\xed\xa0\xbd\xed\xb4\x91"))
	f.Fuzz(func(t *testing.T, encoded []byte) {
		r := NewReader(encoded)
		s := r.UTF()
		if r.Err() != nil {
			return
		}
		again, err := AppendUTF(nil, s)
		if err != nil {
			if len(encoded) > 1<<15 { // NUL in one byte takes two again
				return
			}
			t.Fatal(err)
		}
		if back := NewReader(again).UTF(); back != s {
			t.Errorf("%q became %q (valid %t)", s, back, utf8.ValidString(s))
		}
	})
}
