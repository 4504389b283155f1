package berio

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

func newReader(b ...byte) *Reader { return NewReader(bytes.NewReader(b), 8, -1) }

func TestReader(t *testing.T) {
	for _, form := range [][]byte{
		{0x30, 0x09, 0x02, 0x01, 0x05, 0xa0, 0x04, 0x04, 0x02, 'h', 'i'},
		{0x30, 0x80, 0x02, 0x01, 0x05, 0xa0, 0x80, 0x04, 0x02, 'h', 'i', 0, 0, 0, 0},
		{0x30, 0x81, 0x0c, 0x02, 0x81, 0x01, 0x05, 0xa0, 0x06, 0x04, 0x82, 0x00, 0x02, 'h', 'i'},
		{0x30, 0x80, 0x02, 0x01, 0x05, 0xa0, 0x80, 0x24, 0x80, 0x04, 0x01, 'h', 0x24, 0x03, 0x04, 0x01, 'i', 0x04, 0x00, 0, 0, 0, 0, 0, 0},
	} {
		r := NewReader(iotest.OneByteReader(bytes.NewReader(form)), 8, -1)
		if err := r.Enter(ber.Sequence); err != nil {
			t.Fatalf("%x: %v", form, err)
		}
		if ok, err := r.EnterOptional(ber.Set); ok || err != nil {
			t.Errorf("%x: a SET: %v", form, err)
		}
		e, err := r.Element(100)
		if err != nil || e.Tag != ber.Integer || !bytes.Equal(e.Content, []byte{5}) {
			t.Errorf("%x: %+v, %v", form, e, err)
		}
		if ok, err := r.EnterOptional(ber.Context(0)); !ok || err != nil {
			t.Fatalf("%x: %v", form, err)
		}
		octets, err := r.Octets(ber.OctetString)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(octets)
		if err != nil || string(got) != "hi" {
			t.Errorf("%x: %q, %v", form, got, err)
		}
		if err := errors.Join(r.Leave(), r.Leave(), r.End()); err != nil {
			t.Errorf("%x: %v", form, err)
		}
	}
}

func TestReaderRefuses(t *testing.T) {
	enter := func(r *Reader) error { return r.Enter(ber.Sequence) }
	octets := func(r *Reader) error {
		o, err := r.Octets(ber.OctetString)
		if err == nil {
			_, err = io.Copy(io.Discard, o)
		}
		return err
	}
	inside := func(f func(*Reader) error) func(*Reader) error {
		return func(r *Reader) error {
			if err := r.Enter(ber.Sequence); err != nil {
				return err
			}
			return f(r)
		}
	}
	for name, test := range map[string]struct {
		in   []byte
		do   func(*Reader) error
		want error
	}{
		"nothing":                  {nil, enter, trustkeep.ErrCorrupt},
		"one byte":                 {[]byte{0x30}, enter, trustkeep.ErrCorrupt},
		"another tag":              {[]byte{0x31, 0}, enter, trustkeep.ErrCorrupt},
		"primitive":                {[]byte{0x10, 0}, enter, trustkeep.ErrCorrupt},
		"end of contents":          {[]byte{0, 0}, enter, trustkeep.ErrCorrupt},
		"multi-octet tag":          {[]byte{0x3f, 0x85, 0x01, 0}, enter, trustkeep.ErrUnsupported},
		"length of 9 octets":       {[]byte{0x30, 0x89, 0, 0, 0, 0, 0, 0, 0, 0, 1}, enter, trustkeep.ErrCorrupt},
		"negative length":          {[]byte{0x30, 0x88, 0xff, 0, 0, 0, 0, 0, 0, 0}, enter, trustkeep.ErrCorrupt},
		"child beyond its parent":  {[]byte{0x30, 2, 0x30, 1, 0}, inside(enter), trustkeep.ErrCorrupt},
		"header beyond its parent": {[]byte{0x30, 1, 0x30, 1, 0}, inside(enter), trustkeep.ErrCorrupt},
		"something left":           {[]byte{0x30, 2, 5, 0}, inside((*Reader).Leave), trustkeep.ErrCorrupt},
		"no end":                   {[]byte{0x30, 0x80}, inside((*Reader).Leave), trustkeep.ErrCorrupt},
		"no room for the end":      {[]byte{0x30, 3, 0x30, 0x80, 0, 0}, inside(inside((*Reader).Leave)), trustkeep.ErrCorrupt},
		"data after":               {[]byte{0}, (*Reader).End, trustkeep.ErrCorrupt},
		"string cut":               {[]byte{4, 5, 1, 2}, octets, trustkeep.ErrCorrupt},
		"string of integers":       {[]byte{0x24, 3, 2, 1, 1}, octets, trustkeep.ErrCorrupt},
		"string without end":       {[]byte{0x24, 0x80, 4, 1, 1}, octets, trustkeep.ErrCorrupt},
		"string too deep":          {bytes.Repeat([]byte{0x24, 0x80}, 100), octets, trustkeep.ErrLimit},
		"skip too deep":            {bytes.Repeat([]byte{0x30, 0x80}, 100), (*Reader).Skip, trustkeep.ErrLimit},
		"skip without end":         {[]byte{0x30, 0x80, 0x30, 0x80, 0, 0}, (*Reader).Skip, trustkeep.ErrCorrupt},
		"element too large":        {[]byte{4, 9, 1, 2, 3, 4, 5, 6, 7, 8, 9}, func(r *Reader) error { _, err := r.Element(10); return err }, trustkeep.ErrLimit},
	} {
		if err := test.do(newReader(test.in...)); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", name, err, test.want)
		}
	}
	boom := errors.New("boom")
	r := NewReader(io.MultiReader(bytes.NewReader([]byte{4, 9, 1}), iotest.ErrReader(boom)), 8, -1)
	if err := octets(r); err != boom {
		t.Errorf("failing source: %v", err)
	}
}

func TestFrames(t *testing.T) {
	frames := []Frame{
		{Identifier: Sequence, Before: TLV(Integer, []byte{1}), After: TLV(Integer, []byte{2})},
		{Identifier: ContextConstructed(0)},
		{Identifier: OctetString},
	}
	head, tail := Definite(200, frames...)
	if string(head) != "\x30\x81\xd4\x02\x01\x01\xa0\x81\xcb\x04\x81\xc8" || string(tail) != "\x02\x01\x02" {
		t.Errorf("definite: %x, %x", head, tail)
	}
	head, tail = Indefinite(frames...)
	if string(head) != "\x30\x80\x02\x01\x01\xa0\x80\x24\x80" || string(tail) != "\x00\x00\x00\x00\x02\x01\x02\x00\x00" {
		t.Errorf("indefinite: %x, %x", head, tail)
	}
	if got := SetOf(Set, TLV(Integer, []byte{2}), TLV(Integer, []byte{1})); string(got) != "\x31\x06\x02\x01\x01\x02\x01\x02" {
		t.Errorf("set: %x", got)
	}
}

// The stream reads what package ber reads from memory.
func FuzzReader(f *testing.F) {
	seeds, err := filepath.Glob("../../testdata/*.der")
	if err != nil || len(seeds) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range seeds {
		data, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		in := ber.New(data, ber.Rules{MaxDepth: 8})
		want, wantErr := in.Next()
		got, err := NewReader(iotest.HalfReader(bytes.NewReader(data)), 8, -1).Raw(1 << 20)
		if errors.Is(err, trustkeep.ErrUnsupported) {
			return // multi-octet tags are not for streams
		}
		if (err == nil) != (wantErr == nil) || !bytes.Equal(got, want.Full) {
			t.Fatalf("stream: %x, %v; memory: %x, %v", got, err, want.Full, wantErr)
		}
		r := NewReader(bytes.NewReader(data), 8, -1)
		if again := r.Skip(); (again == nil) != (err == nil) || again == nil && r.pos != int64(len(got)) {
			t.Fatalf("skip: %v at %d; raw: %v, %d bytes", again, r.pos, err, len(got))
		}
	})
}

// A string is the same by the stream, whatever the pieces and however it is read, as from
// memory.
func FuzzOctets(f *testing.F) {
	for _, seed := range []string{
		"\x04\x02hi", "\x24\x80\x04\x01h\x04\x01i\x00\x00", "\x24\x06\x04\x01h\x04\x01i",
		"\x24\x80\x24\x80\x04\x03abc\x04\x00\x00\x00\x04\x81\x02de\x00\x00", "\x24\x80\x04\x01h\x04\x7f", "\x24\x05\x04\x01h\x04\x01i",
	} {
		f.Add([]byte(seed), uint8(3))
	}
	f.Fuzz(func(t *testing.T, data []byte, room uint8) {
		in := ber.New(data, ber.Rules{MaxDepth: 8})
		e, wantErr := in.Read(ber.OctetString)
		var want []byte
		if wantErr == nil {
			want, wantErr = e.Octets()
		}
		var got []byte
		r := newReader(data...)
		o, err := r.Octets(ber.OctetString)
		for err == nil {
			buf := make([]byte, int(room)+1)
			var n int
			n, err = o.Read(buf)
			got = append(got, buf[:n]...)
		}
		if errors.Is(err, trustkeep.ErrUnsupported) {
			return // multi-octet tags are not for streams
		}
		if (err == io.EOF) != (wantErr == nil) || wantErr == nil && !bytes.Equal(got, want) {
			t.Fatalf("stream: %x, %v; memory: %x, %v", got, err, want, wantErr)
		}
		if err == io.EOF && r.pos != int64(len(e.Full)) {
			t.Fatalf("stops at %d of %d", r.pos, len(e.Full))
		}
	})
}
