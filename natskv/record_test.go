package natskv

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

func TestRecordsAreReadAsTheyWereWritten(t *testing.T) {
	for _, value := range []string{"", "x", "line\nline\n", "\x00\xff", strings.Repeat("v", maxInline)} {
		m := describe([]byte(value))
		got, body, err := parseRecord(m.encode([]byte(value)))
		if err != nil || got != m || string(body) != value {
			t.Errorf("%.20q is read as %+v, %.20q, %v", value, got, body, err)
		}
	}
	m := describe(make([]byte, 3*minChunk+1))
	m.Upload, m.Chunk = "abc", minChunk
	got, body, err := parseRecord(m.encode(nil))
	if err != nil || got != m || body != nil || m.parts() != 4 || m.partSize(0) != minChunk || m.partSize(3) != 1 {
		t.Errorf("a record in parts is read as %+v, %q, %v", got, body, err)
	}
}

const sumOfHello = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"

// badRecords are what somebody else, or a disk, may have put into the bucket.
var badRecords = map[string]struct {
	data string
	want error
}{
	"nothing":             {"", trustkeep.ErrCorrupt},
	"no line":             {"garbage", trustkeep.ErrCorrupt},
	"not JSON":            {"garbage\n", trustkeep.ErrCorrupt},
	"other JSON":          {"{}\nhello", trustkeep.ErrCorrupt},
	"an array":            {"[1]\nhello", trustkeep.ErrCorrupt},
	"no end of the line":  {strings.Repeat(" ", 2*maxManifest) + "\n", trustkeep.ErrCorrupt},
	"a changed value":     {`{"trustkeep":1,"size":5,"sha256":"` + sumOfHello + "\"}\nhallo", trustkeep.ErrCorrupt},
	"a longer value":      {`{"trustkeep":1,"size":5,"sha256":"` + sumOfHello + "\"}\nhello!", trustkeep.ErrCorrupt},
	"no checksum":         {`{"trustkeep":1,"size":5}` + "\nhello", trustkeep.ErrCorrupt},
	"negative size":       {`{"trustkeep":1,"size":-5,"sha256":"","upload":"a","chunk":1024}` + "\n", trustkeep.ErrCorrupt},
	"too large":           {`{"trustkeep":1,"size":16777217,"sha256":"","upload":"a","chunk":1024}` + "\n", trustkeep.ErrCorrupt},
	"a huge number":       {`{"trustkeep":1,"size":1e99}` + "\n", trustkeep.ErrCorrupt},
	"parts of nothing":    {`{"trustkeep":1,"size":5,"sha256":"","upload":"a"}` + "\n", trustkeep.ErrCorrupt},
	"millions of parts":   {`{"trustkeep":1,"size":16777216,"sha256":"","upload":"a","chunk":1}` + "\n", trustkeep.ErrCorrupt},
	"parts of elsewhere":  {`{"trustkeep":1,"size":5,"sha256":"","upload":"a.>","chunk":1024}` + "\n", trustkeep.ErrCorrupt},
	"parts and a value":   {`{"trustkeep":1,"size":5,"sha256":"","upload":"a","chunk":1024}` + "\nhello", trustkeep.ErrCorrupt},
	"an empty one, parts": {`{"trustkeep":1,"size":0,"sha256":"","upload":"a","chunk":1024}` + "\n", trustkeep.ErrCorrupt},
	"missing parts":       {`{"trustkeep":1,"size":5,"sha256":"` + sumOfHello + `","upload":"a","chunk":1024}` + "\n", trustkeep.ErrCorrupt},
	"a later format":      {`{"trustkeep":2,"pages":["x"]}` + "\n", trustkeep.ErrUnsupported},
}

func TestBadRecordsAreRefused(t *testing.T) {
	for name, test := range badRecords {
		if name == "missing parts" {
			continue // which takes a server to see
		}
		if _, _, err := parseRecord([]byte(test.data)); !errors.Is(err, test.want) {
			t.Errorf("%s: error %v, want %v", name, err, test.want)
		}
	}
}

func FuzzRecord(f *testing.F) {
	for _, test := range badRecords {
		f.Add([]byte(test.data))
	}
	f.Add(describe([]byte("hello")).encode([]byte("hello")))
	f.Add([]byte(`{"trustkeep":1,"size":5000,"sha256":"` + sumOfHello + `","upload":"abc","chunk":1024}` + "\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, body, err := parseRecord(data)
		if err != nil {
			if !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("error %v is of no kind", err)
			}
			return
		}
		if m.Upload == "" {
			if m.check(body) != nil || !bytes.HasSuffix(data, body) {
				t.Errorf("%+v with %q is accepted", m, body)
			}
		} else if n := m.parts(); n < 1 || n > environment.MaxValue/minChunk || (n-1)*m.Chunk+m.partSize(n-1) != m.Size || strings.ContainsAny(m.Upload, ".*> ") {
			t.Errorf("%+v has %d parts", m, n)
		}
		again, body2, err := parseRecord(m.encode(body))
		if err != nil || again != m || !bytes.Equal(body, body2) {
			t.Errorf("%+v is written and read as %+v, %v", m, again, err)
		}
	})
}
