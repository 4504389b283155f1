package authority

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Bounds of what statements hold.
const (
	// MaxEntries is how many records an Index may list.
	MaxEntries = 100_000
	maxName    = 256
)

// Record is one version of what a registry keeps under a key.
type Record struct {
	// Registry and Key say what it is about: a record that is moved is refused.
	Registry string `json:"registry"`
	Key      string `json:"key"`
	// Number is one for the first version, and one more for each that follows.
	Number uint64 `json:"number"`
	// Previous is the digest of the version before; zero for the first.
	Previous Digest `json:"previous"`
	// Signer is the ID of the key that signs it.
	Signer string `json:"signer"`
	// Time of the change, by the clock of whoever made it; in UTC.
	Time time.Time `json:"time"`
	// Deleted: this version is the deletion, and has no Document.
	Deleted bool `json:"deleted,omitempty"`
	// Document is what is kept, in JSON.
	Document json.RawMessage `json:"document,omitempty"`
}

func (Record) kind() string { return "record" }

func (r Record) check() error {
	switch {
	case !named(r.Registry) || !named(r.Key) || len(r.Signer) != 64:
		return errors.New("no registry, key or signer")
	case r.Deleted == (len(r.Document) > 0):
		return errors.New("a deletion has no document, and any other version has one")
	}
	return cmp.Or(checkNumber(r.Number, r.Previous), checkTime(r.Time))
}

// Entry is a record that an Index vouches for.
type Entry struct {
	Key    string `json:"key"`
	Number uint64 `json:"number"`
	// Digest is that of the Record.
	Digest Digest `json:"digest"`
	// Deleted: it is the deletion, which stays listed, so that what was deleted cannot be
	// brought back.
	Deleted bool `json:"deleted,omitempty"`
}

// Index lists the records that count in an environment. It vouches for exactly these.
type Index struct {
	Registry string `json:"registry"`
	// Environment is its ID. Empty means the registry, whose Index lists all records, and
	// vouches for none: it tells only which versions there are.
	Environment string `json:"environment"`
	// Authority is the number of the Document under which it was made.
	Authority uint64 `json:"authority"`
	// Number is one for the first index of the environment, and one more for each that
	// follows; Previous is the digest of the one before.
	Number   uint64 `json:"number"`
	Previous Digest `json:"previous"`
	// Time when it was made, in UTC. It counts as dated then.
	Time time.Time `json:"time"`
	// Entries are sorted by key, each key once.
	Entries []Entry `json:"entries"`
}

func (Index) kind() string { return "index" }

func (i Index) check() error {
	switch {
	case !named(i.Registry) || i.Environment != "" && !named(i.Environment):
		return errors.New("no registry, or a bad name of an environment")
	case i.Authority == 0:
		return errors.New("no number of the authority")
	case len(i.Entries) > MaxEntries:
		return fmt.Errorf("%d entries", len(i.Entries))
	case i.Entries == nil:
		return errors.New("no list of entries")
	}
	for n, e := range i.Entries {
		if n > 0 && i.Entries[n-1].Key >= e.Key {
			return errors.New("entries that are not sorted by key")
		}
		if !named(e.Key) || e.Number == 0 || e.Digest.IsZero() {
			return errors.New("an entry without key, number or digest")
		}
	}
	return cmp.Or(checkNumber(i.Number, i.Previous), checkTime(i.Time))
}

// Find returns the entry of a key.
func (i Index) Find(key string) (Entry, bool) {
	n, ok := slices.BinarySearchFunc(i.Entries, key, func(e Entry, key string) int { return strings.Compare(e.Key, key) })
	if !ok {
		return Entry{}, false
	}
	return i.Entries[n], true
}

// Date says that an Index still is the current one.
type Date struct {
	Registry    string `json:"registry"`
	Environment string `json:"environment"`
	// Authority is the number of the Document under which it was made.
	Authority uint64 `json:"authority"`
	// Index is the number of the index, and Digest its digest.
	Index  uint64 `json:"index"`
	Digest Digest `json:"digest"`
	// Time when it was made, and Expires when it no longer counts; in UTC.
	Time    time.Time `json:"time"`
	Expires time.Time `json:"expires"`
}

func (Date) kind() string { return "date" }

func (d Date) check() error {
	switch {
	case !named(d.Registry) || !named(d.Environment):
		return errors.New("no registry or environment")
	case d.Authority == 0 || d.Index == 0 || d.Digest.IsZero():
		return errors.New("no number of the authority, or no index")
	case !d.Expires.After(d.Time):
		return errors.New("it expires before it was made")
	}
	return cmp.Or(checkTime(d.Time), checkTime(d.Expires))
}

func named(s string) bool { return s != "" && len(s) <= maxName }

func checkNumber(n uint64, previous Digest) error {
	if n == 0 || n > 1<<53 || (n == 1) != previous.IsZero() {
		return errors.New("the first number has no predecessor, and any other has one")
	}
	return nil
}

func checkTime(t time.Time) error {
	if t.IsZero() || t.Location() != time.UTC || t.Year() > 9999 {
		return errors.New("a time that is not in UTC")
	}
	return nil
}
