package cms_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testcpu"
)

// bySegments spells a message of indefinite lengths with its content cut into pieces of one
// octet. The content is what is between the headers of frames.
func bySegments(content []byte, frames ...berio.Frame) []byte {
	head, tail := berio.Indefinite(frames...)
	out := make([]byte, 0, len(head)+3*len(content)+len(tail))
	out = append(out, head...)
	for _, b := range content {
		out = append(out, berio.OctetString, 1, b)
	}
	return append(out, tail...)
}

// A message of 60 MiB whose content comes octet by octet costs no more than a second.
func TestOneByteSegments(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector multiplies the time")
	}
	p := newPeople(t)
	const size = 60 << 20 / 3
	content := random(size)
	detached, err := cms.SignDetached(bytes.NewReader(content), p.p256)
	if err != nil {
		t.Fatal(err)
	}
	signed := segmentSigned(t, detached, content)
	sealed := segmentSealed(t, p, content)
	for name, read := range map[string]func() (int64, error){
		"Verify": func() (int64, error) {
			v, err := cms.Verify(signed, p.trust)
			if err != nil {
				return 0, err
			}
			return int64(len(v.Content)), nil
		},
		"verify Reader": func() (int64, error) {
			r, err := cms.VerifyOptions{Trust: p.trust}.Reader(bytes.NewReader(signed))
			if err != nil {
				return 0, err
			}
			return io.Copy(io.Discard, r)
		},
		"Open": func() (int64, error) {
			got, err := cms.Open(sealed, p.p256)
			return int64(len(got)), err
		},
		"open Reader": func() (int64, error) {
			r, err := cms.OpenOptions{}.Reader(bytes.NewReader(sealed), p.p256)
			if err != nil {
				return 0, err
			}
			return io.Copy(io.Discard, r)
		},
	} {
		best := time.Duration(1 << 62)
		for range 3 {
			start := testcpu.Used()
			n, err := read()
			best = min(best, testcpu.Since(start))
			if err != nil || n != size {
				t.Fatalf("%s: %d bytes, %v", name, n, err)
			}
			if best <= time.Second {
				break
			}
		}
		t.Logf("%s: %v for %d pieces", name, best, size)
		if best > time.Second {
			t.Errorf("%s takes %v", name, best)
		}
	}
}

// segmentSigned puts content into a detached signature, piece by piece.
func segmentSigned(t *testing.T, detached, content []byte) []byte {
	t.Helper()
	info := children(t, detached)
	signed := children(t, children(t, info[1])[0])
	algorithms, after := append(bytes.Clone(signed[0]), signed[1]...), bytes.Join(signed[3:], nil)
	kind := children(t, signed[2])[0]
	return bySegments(content,
		berio.Frame{Identifier: berio.Sequence, Before: info[0]},
		berio.Frame{Identifier: berio.ContextConstructed(0)},
		berio.Frame{Identifier: berio.Sequence, Before: algorithms, After: after},
		berio.Frame{Identifier: berio.Sequence, Before: kind},
		berio.Frame{Identifier: berio.ContextConstructed(0)},
		berio.Frame{Identifier: berio.OctetString})
}

// segmentSealed seals so much content that the ciphertext has the length of the segments wanted.
func segmentSealed(t *testing.T, p *people, content []byte) []byte {
	t.Helper()
	sealed, err := cms.Seal(content, p.p256.Cert)
	if err != nil {
		t.Fatal(err)
	}
	info := children(t, sealed)
	enveloped := children(t, children(t, info[1])[0])
	encrypted := children(t, enveloped[2])
	return bySegments(value(t, encrypted[2]),
		berio.Frame{Identifier: berio.Sequence, Before: info[0]},
		berio.Frame{Identifier: berio.ContextConstructed(0)},
		berio.Frame{Identifier: berio.Sequence, Before: append(bytes.Clone(enveloped[0]), enveloped[1]...)},
		berio.Frame{Identifier: berio.Sequence, Before: append(bytes.Clone(encrypted[0]), encrypted[1]...)},
		berio.Frame{Identifier: berio.ContextConstructed(0)})
}
