package cms_test

import (
	"bytes"
	"compress/zlib"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// text compresses as what partners send does, by about 5 to 1.
func text(n int) []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, "LIN+%d++%x:EN'QTY+21:%d'\r\n", i, random(i%7+3), i*i%977)
	}
	return b.Bytes()[:n]
}

// compressedZeros is a message whose content is n zeros.
func compressedZeros(t testing.TB, n int64) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := cms.CompressOptions{Level: 1}.Writer(&out)
	if err == nil {
		_, err = io.Copy(w, zeros(n))
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func TestCompressAndDecompress(t *testing.T) {
	for _, n := range sizes {
		for name, content := range map[string][]byte{"random": random(n), "text": text(n)} {
			for _, o := range []cms.CompressOptions{{}, {Level: 1}, {Level: 9}} {
				der, err := o.Compress(content)
				if err != nil {
					t.Fatal(err)
				}
				for form, message := range map[string][]byte{"DER": der, "BER": stream(t, content, o.Writer), "PEM": pemOf(der)} {
					if got, err := cms.Decompress(message); err != nil || !bytes.Equal(got, content) {
						t.Errorf("%d bytes of %s, %+v, %s: %d bytes, %v", n, name, o, form, len(got), err)
					}
					r, err := cms.DecompressOptions{}.Reader(&drip{r: bytes.NewReader(message)})
					if err != nil {
						t.Fatal(err)
					}
					if err := iotest.TestReader(r, content); err != nil && n < 5000 {
						t.Errorf("%d bytes of %s, %+v, %s: %v", n, name, o, form, err)
					}
				}
			}
		}
	}
	content := text(300_000)
	if der := must(cms.Compress(content)); len(der) > len(content)/3 {
		t.Errorf("%d bytes compressed to %d", len(content), len(der))
	}
	for _, level := range []int{-2, -1, 10} {
		if got, err := (cms.CompressOptions{Level: level}).Compress(content); !errors.Is(err, trustkeep.ErrInvalid) || got != nil {
			t.Errorf("level %d: %v", level, err)
		}
		if _, err := (cms.CompressOptions{Level: level}).Writer(io.Discard); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("level %d, Writer: %v", level, err)
		}
	}
}

func TestDecompressionIsBounded(t *testing.T) {
	bomb := compressedZeros(t, 32<<20)
	honest := must(cms.Compress(text(4 << 20)))
	for name, test := range map[string]struct {
		message []byte
		o       cms.DecompressOptions
		err     error
	}{
		"zeros":                  {bomb, cms.DecompressOptions{}, trustkeep.ErrLimit},
		"zeros, allowed":         {bomb, cms.DecompressOptions{MaxRatio: 2000}, nil},
		"zeros, too many":        {bomb, cms.DecompressOptions{MaxRatio: 2000, Limits: trustkeep.Limits{MaxSize: 32<<20 - 1}}, trustkeep.ErrLimit},
		"few zeros":              {compressedZeros(t, 1<<20), cms.DecompressOptions{}, nil},
		"text":                   {honest, cms.DecompressOptions{}, nil},
		"text, strict ratio":     {honest, cms.DecompressOptions{MaxRatio: 2}, trustkeep.ErrLimit},
		"text, too large":        {honest, cms.DecompressOptions{Limits: trustkeep.Limits{MaxSize: 4<<20 - 1}}, trustkeep.ErrLimit},
		"text, as large as that": {honest, cms.DecompressOptions{Limits: trustkeep.Limits{MaxSize: 4 << 20}}, nil},
		"negative ratio":         {honest, cms.DecompressOptions{MaxRatio: -1}, trustkeep.ErrInvalid},
	} {
		got, err := test.o.Decompress(test.message)
		if !errors.Is(err, test.err) || (err != nil) != (got == nil) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
		r, err := test.o.Reader(bytes.NewReader(test.message))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !errors.Is(err, test.err) {
			t.Errorf("%s, Reader: %v", name, err)
		}
	}
}

// Compression within compression is bounded by what went into the outermost, whatever is
// between the layers.
func TestNestedCompressionCountsAsOne(t *testing.T) {
	p := newPeople(t)
	// Each layer is within its ratio, both together are not.
	content := bytes.Repeat(random(2000), 2000)
	once := must(cms.Compress(content))
	twice := must(cms.Compress(once))
	signed := must(cms.Compress(must(cms.Sign(once, p.p256))))
	single := int64(len(content)) / int64(len(once)) // of the inner layer
	total := int64(len(content)) / int64(len(twice)) // of both
	if total < 2*single {
		t.Fatalf("ratios %d and %d", single, total)
	}
	between := int((single + total) / 2)
	read := func(message []byte, ratio int, middle func(io.Reader) (io.Reader, error)) error {
		r, err := cms.DecompressOptions{MaxRatio: 2000}.Reader(bytes.NewReader(message))
		if err == nil {
			r, err = middle(r)
		}
		if err == nil {
			r, err = cms.DecompressOptions{MaxRatio: ratio}.Reader(r)
		}
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		return err
	}
	direct := func(r io.Reader) (io.Reader, error) { return r, nil }
	verified := func(r io.Reader) (io.Reader, error) { return cms.VerifyOptions{Trust: p.trust}.Reader(r) }
	for name, test := range map[string]struct {
		message []byte
		middle  func(io.Reader) (io.Reader, error)
	}{"nested": {twice, direct}, "signed between": {signed, verified}} {
		if err := read(test.message, 2000, test.middle); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := read(test.message, between, test.middle); !errors.Is(err, trustkeep.ErrLimit) {
			t.Errorf("%s: within %d to 1 for each layer, %d together: %v", name, between, total, err)
		}
	}
	if _, err := (cms.DecompressOptions{MaxRatio: between}).Decompress(once); err != nil {
		t.Errorf("the inner layer alone: %v", err)
	}
}

func TestDamagedCompression(t *testing.T) {
	content := text(2000)
	raw := func(compressed []byte) []byte {
		head, tail := berio.Definite(len(compressed), compressedFrames(t)...)
		return join(head, compressed, tail)
	}
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	w.Write(content)
	w.Close()
	good := z.Bytes()
	if got, err := cms.Decompress(raw(good)); err != nil || !bytes.Equal(got, content) {
		t.Fatal(err)
	}
	for name, compressed := range map[string][]byte{
		"nothing":           {},
		"no checksum":       good[:len(good)-4],
		"wrong checksum":    binary.BigEndian.AppendUint32(bytes.Clone(good[:len(good)-4]), 1),
		"an octet more":     append(bytes.Clone(good), 0),
		"twice":             append(bytes.Clone(good), good...),
		"gzip":              []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x00\x00"),
		"not compressed":    content,
		"deflate, bare":     good[2:],
		"reserved block":    {0x78, 0x9c, 0x07},
		"distance too far":  {0x78, 0x9c, 0x4b, 0x04, 0x12, 0x00},
		"text after it all": append(bytes.Clone(good), "text"...),
	} {
		if got, err := cms.Decompress(raw(compressed)); !errors.Is(err, trustkeep.ErrCorrupt) || got != nil || !typed(err) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
	for form, message := range map[string][]byte{"DER": must(cms.Compress(content)), "BER": stream(t, content, cms.CompressOptions{}.Writer)} {
		for n := range message {
			if got, err := cms.Decompress(message[:n]); err == nil || got != nil || !typed(err) {
				t.Fatalf("%s cut at %d: %v", form, n, err)
			}
			for _, bit := range []byte{1, 0x10, 0x80} {
				changed := bytes.Clone(message)
				changed[n] ^= bit
				if got, err := cms.Decompress(changed); err == nil && !bytes.Equal(got, content) || err != nil && !typed(err) {
					t.Fatalf("%s, octet %d changed: %v", form, n, err)
				}
			}
		}
		if _, err := cms.Decompress(append(bytes.Clone(message), 0)); err == nil {
			t.Errorf("%s: an octet more is not noticed", form)
		}
	}
	p := newPeople(t)
	for name, message := range map[string][]byte{"sealed": must(cms.Seal(content, p.rsa.Cert)), "signed": must(cms.Sign(content, p.rsa))} {
		if _, err := cms.Decompress(message); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "not compressed") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := cms.Open(must(cms.Compress(content)), p.rsa); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "compressed-data") {
		t.Errorf("opened: %v", err)
	}
}

// compressedFrames are what is around the compressed octets of a message.
func compressedFrames(t testing.TB) []berio.Frame {
	return []berio.Frame{
		{Identifier: berio.Sequence, Before: berio.TLV(berio.OID, oidDER(t, "1.2.840.113549.1.9.16.1.9"))},
		{Identifier: 0xa0},
		{Identifier: berio.Sequence, Before: join(berio.TLV(berio.Integer, []byte{0}), berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, "1.2.840.113549.1.9.16.3.8"))))},
		{Identifier: berio.Sequence, Before: berio.TLV(berio.OID, oidDER(t, "1.2.840.113549.1.7.1"))},
		{Identifier: 0xa0},
		{Identifier: berio.OctetString},
	}
}

func TestCompressionInFlatMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	n := int64(testtool.Rounds(64, 256)) << 20
	o := cms.DecompressOptions{MaxRatio: 2000, Limits: trustkeep.Limits{MaxSize: 1 << 40}}
	peak := testtool.PeakHeap(func() {
		r, w := io.Pipe()
		go func() {
			z, err := cms.CompressOptions{Level: 1}.Writer(w)
			if err == nil {
				_, err = io.Copy(z, zeros(n))
			}
			if err == nil {
				err = z.Close()
			}
			w.CloseWithError(err)
		}()
		plain, err := o.Reader(r)
		if err != nil {
			t.Error(err)
			return
		}
		if got, err := io.Copy(io.Discard, plain); got != n || err != nil {
			t.Errorf("%d bytes, %v", got, err)
		}
	})
	t.Logf("%d MiB compressed and decompressed by streams: peak %.1f MiB", n>>20, float64(peak)/(1<<20))
	if peak > 8<<20 {
		t.Errorf("peak of %d bytes", peak)
	}
}
