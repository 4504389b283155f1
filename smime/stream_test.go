package smime_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/smime"
)

// lines is a source of lines without an end.
type lines struct{}

func (lines) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'x'
	}
	for i := 63; i < len(p); i += 64 {
		p[i] = '\n'
	}
	return len(p), nil
}

// Signing, compressing and sealing, and all of it back, take a few buffers for any size.
func TestStreamsInFlatMemory(t *testing.T) {
	p := newPeople(t)
	n := int64(testtool.Rounds(32, 256)) << 20
	o := p.options()
	o.Decompress.MaxRatio, o.Decompress.Limits.MaxSize = 2000, 1<<40
	pipe := func(src io.Reader, step func(io.Writer, io.Reader) error) io.Reader {
		r, w := io.Pipe()
		go func() { w.CloseWithError(step(w, src)) }()
		return r
	}
	var r io.Reader = io.MultiReader(strings.NewReader("Content-Transfer-Encoding: binary\r\n\r\n"), io.LimitReader(lines{}, n))
	r = pipe(r, func(dst io.Writer, src io.Reader) error { return smime.SignOptions{}.Sign(dst, src, p.ec) })
	r = pipe(r, smime.CompressOptions{Encoding: smime.Binary}.Compress)
	r = pipe(r, func(dst io.Writer, src io.Reader) error { return smime.SealOptions{}.Seal(dst, src, p.rsa.Cert) })
	start := time.Now()
	var m *smime.Message
	var err error
	peak := testtool.PeakHeap(func() { m, err = o.Read(io.Discard, r) })
	if err != nil || len(m.Layers) != 3 {
		t.Fatalf("%+v, %v", m, err)
	}
	t.Logf("%d MiB signed, compressed and sealed and read again in %v, peak %.1f MiB", n>>20, time.Since(start), float64(peak)/(1<<20))
	if peak > 16<<20 {
		t.Errorf("peak of %d bytes", peak)
	}
}
