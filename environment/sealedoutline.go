package environment

import (
	"sync"

	"github.com/trustkeep/trustkeep"
)

// outlines remembers what the records of components have to be sealed, so that a change reads
// those again that are new. It is safe for concurrent use.
type outlines struct {
	mu  sync.Mutex
	all map[string]outlinedRecord // by key
}

type outlinedRecord struct {
	revision uint64
	outline
}

// maxOutlines bounds how many components are outlinedRecord.
const maxOutlines = 1 << 14

// of returns the outline of a record.
func (o *outlines) of(r Record) (outline, error) {
	o.mu.Lock()
	last, ok := o.all[r.Key]
	o.mu.Unlock()
	if ok && last.revision == r.Revision && r.Err == nil {
		return last.outline, nil
	}
	d := newComponentRecord()
	if err := decode(r, d); err != nil {
		return outline{}, err
	}
	out := d.outline()
	out.private = make(map[digest]bool)
	kind, state := d.state()
	for n, stored := range storedIn(state) {
		kept := d.Secrets[n]
		if visibility, err := kind.Outline(*stored); err == nil && visibility == trustkeep.Private && kept == nil {
			out.private[digestOfKey(*stored)] = true
		}
	}
	if r.Revision >= overlayRevisions {
		return out, nil // which the next rehearsal of a proposal uses again
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all == nil || len(o.all) >= maxOutlines {
		o.all = make(map[string]outlinedRecord)
	}
	o.all[r.Key] = outlinedRecord{r.Revision, out}
	return out, nil
}
