package natskv

import "sync"

// maxVersions bounds what is remembered. Programs that change more records at once read
// each before they write it.
const maxVersions = 4096

// versions remembers which revisions were seen to be records and not deletions, so that
// Put need not look: the server checks that the revision is the last one, but takes that of
// a deletion as well, which expects a record that is not there.
type versions struct {
	mu   sync.Mutex
	last map[string]uint64
}

func (v *versions) note(key string, revision uint64) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.last == nil || len(v.last) >= maxVersions {
		v.last = make(map[string]uint64)
	}
	v.last[key] = revision
}

func (v *versions) has(key string, revision uint64) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.last[key] == revision
}

// forget is for a bucket that is another one.
func (v *versions) forget() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.last = nil
}
