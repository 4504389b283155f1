package environment

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Storage keeps the records of a Registry: small documents under keys, each with a
// revision that tells whether somebody else has changed it meanwhile. A directory
// (package dirstore) is one; storagetest holds the tests that every implementation
// passes.
//
// Several programs on several machines may use one storage at once. What Get, List and
// Versions return holds every write that had returned before they were called, in
// whatever program. A write that fails with an error other than those named here may or
// may not have been done; reading tells.
//
// Implementations are safe for concurrent use and respect the context of each call.
// Values are the caller's: they are copied before a call returns, and what is returned
// is not shared with anybody.
type Storage interface {
	// Get returns a record. The error wraps trustkeep.ErrNotFound for one that
	// does not exist or was deleted, and trustkeep.ErrCorrupt for one that is
	// damaged.
	Get(ctx context.Context, key string) (Record, error)

	// Put writes a record and returns its new revision, if the record's revision is
	// the expected one until then. Zero expects that there is none, or that it was
	// deleted. Otherwise nothing is written and the error is a *ConflictError. A key
	// that CheckKey refuses is trustkeep.ErrInvalid, unless the storage takes capital
	// letters, see CheckCapitalKey; a value of more than MaxValue bytes is trustkeep.ErrLimit.
	Put(ctx context.Context, key string, value []byte, expected uint64) (revision uint64, err error)

	// Delete removes a record, if its revision is the expected one; otherwise the
	// error is a *ConflictError. It is trustkeep.ErrNotFound if there is none. A
	// deletion is a revision of its own: a record that is created anew under the
	// same key goes on from it.
	Delete(ctx context.Context, key string, expected uint64) error

	// List returns the records whose keys begin with the prefix, sorted by key;
	// deleted ones are left out. A record that is damaged has Err set and does not
	// keep the others from being listed.
	List(ctx context.Context, prefix string) ([]Record, error)

	// Versions returns the versions of one record that are kept, the oldest first
	// and the current one, or its deletion, last: MinVersions of them at least, if
	// there were as many. The error wraps trustkeep.ErrNotFound for a record that
	// never was.
	Versions(ctx context.Context, key string) ([]Record, error)

	// Watch reports records: first all that there are, then changes as they come. Each
	// path is the key of a record, a folder, with a slash at its end, for every record
	// in it, or empty for all records. Paths may overlap. Without any, or for one that
	// cannot be, the error wraps trustkeep.ErrInvalid.
	//
	// Whoever applies each Update as a whole sees states that the storage was in, and
	// in their order; states in between may be left out, so that a slow reader holds
	// up nobody. Where changes may have been missed, a full Update follows.
	//
	// A storage that cannot be reached any more is waited for, for ever; Update.Err
	// tells of it. The channel is closed when the context ends. It is also closed when
	// the storage is, after an Update whose Err wraps fs.ErrClosed; nothing else ends it.
	Watch(ctx context.Context, paths ...string) (<-chan Update, error)
}

// Limits that every Storage keeps.
const (
	// MaxValue is the largest value in bytes that a Storage has to take.
	MaxValue = 16 << 20
	// MaxKey is the longest key in bytes.
	MaxKey = 200
	// MinVersions is how many versions of a record are kept at least.
	MinVersions = 16
)

// Record is one version of a stored document.
type Record struct {
	Key string
	// Revision is above zero and grows with each write of the key, by one or more.
	// Those of different keys need not be comparable.
	Revision uint64
	// Time of the write, by the storage's clock.
	Time time.Time
	// Deleted reports that this version is the deletion of the record. Value is nil.
	Deleted bool
	Value   []byte
	// Err says why the value is unavailable; it wraps trustkeep.ErrCorrupt.
	Err error
}

// Update is what Watch reports.
//
// One that is not full and has neither records nor an error says that the storage was
// reached just now and nothing is missing. It comes again and again while nothing changes,
// in intervals that the storage decides.
type Update struct {
	// Full reports that Records are all that exist; other records were deleted.
	Full bool
	// Records that have changed, sorted by key, each once. Those of a full Update
	// do not include deletions.
	Records []Record
	// Err says why changes do not arrive after this Update: a lost connection, a login
	// that is refused, a bucket that was deleted, a storage that was closed. What the
	// Update holds besides counts all the same. The next Update without Err says that
	// it is over.
	Err error
}

// File is a document for people and their tools, such as a certificate in a file that
// keytool opens.
type File struct {
	Name string // wanted; a storage changes what its file system would not take
	Data []byte
}

// FileStorage is a Storage that can show files beside its records. Nothing is ever read
// from them: the record counts.
type FileStorage interface {
	Storage
	// PutFiles is Put of a record whose current version is to be seen as these
	// files, instead of those that the last version was seen as. They are
	// removed with the record.
	PutFiles(ctx context.Context, key string, value []byte, expected uint64, files []File) (revision uint64, err error)
}

// ConflictError reports that another writer has changed a record since it was read. It
// wraps trustkeep.ErrConflict.
type ConflictError struct {
	Key string
	// Expected is the revision that the writer had read, zero for none.
	Expected uint64
	// Actual is the revision that the record has, zero for none or if it is not
	// known.
	Actual uint64
}

// Error names the record.
func (e *ConflictError) Error() string {
	if e.Expected == 0 {
		return fmt.Sprintf("record %s exists: %v", trustkeep.Printable(e.Key), trustkeep.ErrConflict)
	}
	return fmt.Sprintf("record %s is no longer at revision %d: %v", trustkeep.Printable(e.Key), e.Expected, trustkeep.ErrConflict)
}

// Unwrap returns trustkeep.ErrConflict.
func (e *ConflictError) Unwrap() error { return trustkeep.ErrConflict }

// CheckKey checks that every Storage takes a key: segments of lower-case
// letters, digits, "-" and "_", each beginning with a letter or digit, divided by "/",
// MaxKey bytes at most. The error wraps trustkeep.ErrInvalid.
//
// So no key means anything to a file system or a message broker, and keys differ in
// more than case.
func CheckKey(key string) error {
	if err := CheckCapitalKey(key); err != nil {
		return err
	}
	if hasCapitals(key) {
		return &trustkeep.Error{Op: fmt.Sprintf("environment: key %q", trustkeep.Printable(key)), Err: trustkeep.ErrInvalid, Hint: "this storage takes no capital letters"}
	}
	return nil
}

// CheckCapitalKey is CheckKey for a Storage that takes capital letters too, each of which counts as
// two bytes. Such a storage tells keys apart that differ in case alone, also where its files do not:
// what is under one is not under the other. And it refuses to make a record where there is one whose
// key differs in case alone, with trustkeep.ErrExists, so that people are not misled.
func CheckCapitalKey(key string) error {
	size, ok := len(key), key != ""
	for segment := range strings.SplitSeq(key, "/") {
		ok = ok && segment != "" && segment[0] != '-' && segment[0] != '_'
		for i := 0; ok && i < len(segment); i++ {
			c := segment[i]
			capital := 'A' <= c && c <= 'Z'
			ok = 'a' <= c && c <= 'z' || capital || '0' <= c && c <= '9' || c == '-' || c == '_'
			if capital {
				size++
			}
		}
	}
	if !ok || size > MaxKey {
		return fmt.Errorf("environment: key %q: %w", trustkeep.Printable(key), trustkeep.ErrInvalid)
	}
	return nil
}

func hasCapitals(key string) bool { return strings.ToLower(key) != key }

// CheckPut is what Put has to check before anything else: the key and the size of the
// value. A Storage that takes capital letters has CheckCapitalKey and CheckValue instead.
func CheckPut(key string, value []byte) error {
	if err := CheckValue(value); err != nil {
		return err
	}
	return CheckKey(key)
}

// CheckValue checks the size of a value. The error wraps trustkeep.ErrLimit.
func CheckValue(value []byte) error {
	if len(value) > MaxValue {
		return fmt.Errorf("environment: value of %d bytes, at most %d: %w", len(value), MaxValue, trustkeep.ErrLimit)
	}
	return nil
}
