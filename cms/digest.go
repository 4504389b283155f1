package cms

import (
	"hash"
	"io"
	"slices"
	"sync"

	"github.com/trustkeep/trustkeep/internal/fips"
)

// digests are the hashes of one content.
type digests struct {
	specs  []*hashSpec
	hashes []hash.Hash
}

// add takes a hash into account; it must come before the content. One that
// fips.Hash refuses is left to those who ask for its sum.
func (d *digests) add(h *hashSpec) {
	if !slices.Contains(d.specs, h) && fips.Hash(h.hash) == nil {
		d.specs = append(d.specs, h)
		d.hashes = append(d.hashes, h.hash.New())
	}
}

// Write never fails.
func (d *digests) Write(p []byte) (int, error) {
	for _, h := range d.hashes {
		h.Write(p)
	}
	return len(p), nil
}

// sum returns the digest, or nil for a hash that was not added.
func (d *digests) sum(h *hashSpec) []byte {
	if i := slices.Index(d.specs, h); i >= 0 {
		return d.hashes[i].Sum(nil)
	}
	return nil
}

// worthwhile is from how many bytes on hashing beside other work gains more
// than starting a goroutine costs.
const worthwhile = 32 << 10

// beside hashes p while do works, on another core if there is one.
func (d *digests) beside(p []byte, do func() error) error {
	if len(p) < worthwhile {
		d.Write(p)
		return do()
	}
	var wg sync.WaitGroup
	wg.Go(func() { d.Write(p) })
	err := do()
	wg.Wait()
	return err
}

// readFrom hashes all that src yields.
func (d *digests) readFrom(src io.Reader) error {
	_, err := io.CopyBuffer(onlyWriter{d}, src, make([]byte, chunk))
	return err
}

// onlyWriter makes io.CopyBuffer use its buffer.
type onlyWriter struct{ io.Writer }
