// Package watching serves implementations of environment.Storage. Most programs will not
// need it.
//
// ParsePaths checks what Watch is asked for, and Paths.Match says which records that is. A
// Box hands the updates to a reader who may be slow.
package watching

import (
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep/environment"
)

// Box holds what a reader has not taken yet, merged into one Update. Make one with NewBox.
// Put and Close never wait; one goroutine at a time calls them, and none after Close.
type Box struct{ updates chan environment.Update }

// NewBox returns an empty Box.
func NewBox() Box { return Box{make(chan environment.Update, 1)} }

// Updates is the channel that Watch returns.
func (b Box) Updates() <-chan environment.Update { return b.updates }

// Put adds an update, on top of what the reader has not taken yet. The slice of records is
// the Box's from then on.
func (b Box) Put(u environment.Update) {
	select {
	case before := <-b.updates:
		u = merge(before, u)
	default:
	}
	b.updates <- u // there is room: nobody else puts
}

// Close closes the channel. If err is not nil, the last Update has it.
func (b Box) Close(err error) {
	if err != nil {
		b.Put(environment.Update{Err: err})
	}
	close(b.updates)
}

// merge applies an update on top of another that nobody has seen. Its error counts: it
// tells how things are now.
func merge(u, later environment.Update) environment.Update {
	if later.Full {
		return later
	}
	u.Err = later.Err
	for _, r := range later.Records {
		i, found := slices.BinarySearchFunc(u.Records, r.Key, func(r environment.Record, key string) int { return strings.Compare(r.Key, key) })
		switch {
		case u.Full && r.Deleted && found:
			u.Records = slices.Delete(u.Records, i, i+1)
		case u.Full && r.Deleted:
		case found:
			u.Records[i] = r
		default:
			u.Records = slices.Insert(u.Records, i, r)
		}
	}
	return u
}
