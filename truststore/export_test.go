package truststore

import (
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Ticking makes a watch look when the test says so: each tick is a look, and the tick
// after it waits until it is done.
func (o Options) Ticking(ticks <-chan struct{}) Options {
	o.ticks = ticks
	return o
}

// Since is what a watch reports when it comes from one snapshot to the next.
func (s *Snapshot) Since(before *Snapshot) trustkeep.Change {
	return trustkeep.Change{Generation: s.generation, Added: missing(s, before, nil), Removed: missing(before, s, nil)}
}

// Remembered lists the generations that Activate knows, the current one last.
func (t *Truststore) Remembered() (generations []uint64) {
	for _, s := range t.history {
		generations = append(generations, s.snapshot.generation)
	}
	return append(generations, t.Generation())
}

// JavaPath is where JavaCacerts looks.
func JavaPath() (string, error) { return javaCacertsPath() }

// AsDirectory is Load of what must be a directory.
func AsDirectory(path string) (*Truststore, error) { return Options{}.loadDirectory(path) }

// SignaturesChecked counts the signatures of an explanation, as far as they were not of a path
// that crypto/x509 was asked about.
func SignaturesChecked(e *VerifyError) int { return e.checks.Asked() }

// Around returns what the file beside a store holds before and after the store is replaced, and the
// store's new content.
func (t *Truststore) Around(o trustkeep.SaveOptions) (before, after, content []byte, err error) {
	beside := new(storefile.Beside)
	content, password, _, err := t.encodeBeside(t.current(), o, beside)
	password.Wipe()
	return beside.Before, beside.After, content, err
}
