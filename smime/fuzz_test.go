package smime_test

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/smime"
)

// fuzzPeople have the same keys in each process of the fuzzer.
func fuzzPeople(f *testing.F) (*people, smime.ReadOptions) {
	pki := testpki.New(f, testpki.Options{Seed: "smime", Now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)})
	p := newPeopleOf(pki)
	o := p.options()
	o.Verify.Clock = pki.Now
	o.Verify.Limits = trustkeep.Limits{MaxSize: 1 << 20}
	o.Open.Limits, o.Decompress.Limits = o.Verify.Limits, o.Verify.Limits
	return p, o
}

// Whatever a message says, only what was signed comes out without an error.
func FuzzRead(f *testing.F) {
	p, o := fuzzPeople(f)
	f.Add([]byte(hello))
	for _, s := range p.steps() {
		var once, twice bytes.Buffer
		if err := s.do(&once, strings.NewReader(hello)); err != nil {
			f.Fatal(err)
		}
		f.Add(bytes.Clone(once.Bytes()))
		if err := s.do(&twice, strings.NewReader(sign(f, p, hello))); err != nil {
			f.Fatal(err)
		}
		f.Add(twice.Bytes())
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		var got, again bytes.Buffer
		_, err := o.Read(&got, bytes.NewReader(message))
		if err == nil && got.String() != hello || err != nil && !typed(err) {
			t.Fatalf("%q, %v", got.String(), err)
		}
		if _, halved := o.Read(&again, iotest.HalfReader(bytes.NewReader(message))); (halved == nil) != (err == nil) {
			t.Fatalf("%v; by halves: %v", err, halved)
		}
		o := o
		o.AllowUnsigned, o.KeepLineEnds = true, true
		if _, err := o.Read(&again, bytes.NewReader(message)); err != nil && !typed(err) {
			t.Fatal(err)
		}
	})
}

// Whatever the body is, it comes out as it went in.
func FuzzRoundTrip(f *testing.F) {
	p, o := fuzzPeople(f)
	f.Add([]byte("body\n"), uint8(0), true)
	f.Add([]byte("--\r\n\r\n--x--\r\r\n"), uint8(9), true)
	f.Add([]byte("\r"), uint8(7), false)
	steps := p.steps()
	o.AllowUnsigned = true
	f.Fuzz(func(t *testing.T, body []byte, which uint8, binary bool) {
		entity := append([]byte("Content-Type: text/plain\r\n\r\n"), body...)
		want := entity
		if binary {
			entity = append([]byte("Content-Transfer-Encoding: binary\r\n\r\n"), body...)
			want = entity
		} else {
			want = bytes.ReplaceAll(bytes.ReplaceAll(entity, []byte("\r\n"), []byte("\n")), []byte("\n"), []byte("\r\n"))
		}
		var out, got bytes.Buffer
		if err := steps[int(which)%len(steps)].do(&out, bytes.NewReader(entity)); err != nil {
			t.Fatal(err)
		}
		if _, err := o.Read(&got, &out); err != nil || !bytes.Equal(got.Bytes(), want) {
			t.Fatalf("%q, %v, want %q", got.Bytes(), err, want)
		}
	})
}
