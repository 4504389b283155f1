package as2

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// FileJournal is a Journal in a folder, with a folder for each message. One process at a time
// may use it, and one FileJournal in it: each knows alone which messages are under way. Make it
// with OpenJournal. It is safe for concurrent use.
type FileJournal struct {
	dir     string
	o       JournalOptions
	release func() // the folder

	mu    sync.Mutex
	turns map[string]*turn
}

// JournalOptions configures a FileJournal. The zero value keeps all for ever.
type JournalOptions struct {
	// Keep is how long Prune keeps messages that were answered, their IDs included: a message
	// that is repeated later is delivered again. If zero, for ever.
	Keep time.Duration
	// DropContent removes the content of a message once it is delivered.
	DropContent bool
	// Clock tells the time for Prune. If nil, time.Now.
	Clock func() time.Time
}

// turn is who may use the folder of a message. The one element of the channel is the turn.
type turn struct {
	ch   chan struct{}
	refs int
}

// Names in the folder of a message.
const (
	recordName  = "record.json"
	receiptName = "receipt"
	sentName    = "sent"
	contentName = "content-"
)

// maxRecord bounds what is read of record.json and receipt.
const maxRecord = 16 << 20

// OpenJournal opens the journal in a folder, which is made if it does not exist, and keeps others from
// opening it until Close is called or the process ends. The error is that of the file system, or wraps
// trustkeep.ErrInUse if another FileJournal has the folder, and trustkeep.ErrInvalid for a negative
// JournalOptions.Keep. Where folders cannot be locked (other systems than Unix, some network file
// systems), nobody is kept from opening it.
func OpenJournal(dir string, o JournalOptions) (*FileJournal, error) {
	if o.Keep < 0 {
		return nil, wrap("journal", fmt.Errorf("option Keep %v: %w", o.Keep, trustkeep.ErrInvalid))
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, wrap("journal", err)
	}
	if err := makeDir(dir); err != nil {
		return nil, wrap("journal", err)
	}
	release, err := storefile.Hold(dir, openPatience)
	if errors.Is(err, context.DeadlineExceeded) {
		return nil, &trustkeep.Error{Op: "as2: journal", Path: dir, Err: fmt.Errorf("another FileJournal has it open: %w", trustkeep.ErrInUse),
			Hint: "one process at a time may use it; close it there, or give this receiver a folder of its own"}
	}
	if err != nil {
		return nil, wrap("journal", err)
	}
	return &FileJournal{dir: dir, o: o, release: sync.OnceFunc(release), turns: make(map[string]*turn)}, nil
}

// openPatience is for a process that is just ending.
const openPatience = time.Second

// Close lets others open the journal. Call it when the server that uses the Handler has ended; the
// journal is not to be used any more.
func (j *FileJournal) Close() error {
	j.release()
	return nil
}

// makeDir makes a folder last.
func makeDir(dir string) error {
	if err := os.Mkdir(dir, 0o700); errors.Is(err, fs.ErrExist) {
		return nil
	} else if errors.Is(err, fs.ErrNotExist) {
		if err := makeDir(filepath.Dir(dir)); err != nil {
			return err
		}
		return makeDir(dir)
	} else if err != nil {
		return err
	}
	return storefile.SyncDir(filepath.Dir(dir))
}

func (j *FileJournal) folder(key Key) string {
	sum := sha256.New()
	for _, s := range []string{key.From, key.To, key.ID} {
		fmt.Fprintf(sum, "%d:%s", len(s), s)
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// join announces the use of a folder, and leave ends it. A folder that nobody uses and that
// holds nothing goes: strangers can make them by messages that are refused.
func (j *FileJournal) join(name string) *turn {
	j.mu.Lock()
	defer j.mu.Unlock()
	t := j.turns[name]
	if t == nil {
		t = &turn{ch: make(chan struct{}, 1)}
		j.turns[name] = t
	}
	t.refs++
	return t
}

func (j *FileJournal) leave(name string, t *turn) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if t.refs--; t.refs == 0 {
		delete(j.turns, name)
		os.Remove(filepath.Join(j.dir, name)) // fails for one that holds something
	}
}

func (t *turn) take(ctx context.Context) error {
	select {
	case t.ch <- struct{}{}:
		return nil
	default:
	}
	select {
	case t.ch <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

type fileEntry struct {
	j       *FileJournal
	name    string // of the folder
	turn    *turn
	record  Record
	content string
	fresh   bool
	once    sync.Once
}

// stored is a record as it stands in its file.
type stored struct {
	Record
	Content string `json:"content"`
}

var errKnown = errors.New("as2: message is known")

// Store implements Journal.
func (j *FileJournal) Store(ctx context.Context, key Key, write func(io.Writer) (Record, error)) (Entry, error) {
	e := &fileEntry{j: j, name: j.folder(key)}
	e.turn = j.join(e.name)
	dir := filepath.Join(j.dir, e.name)
	if err := makeDir(dir); err != nil {
		j.leave(e.name, e.turn)
		return nil, wrap("journal", err)
	}
	content := contentName + rand.Text()
	taken := false
	var wrote Record
	err := storefile.Stream(filepath.Join(dir, content), storefile.Options{New: true}, func(w io.Writer) (err error) {
		if wrote, err = write(w); err != nil {
			return err
		}
		wrote.Key = key
		if err := e.turn.take(ctx); err != nil {
			return wrap("journal", err)
		}
		taken = true
		switch err := e.load(key); {
		case err == nil && e.record.MIC.equal(wrote.MIC):
			return errKnown
		case err == nil:
			return wrap("journal", fmt.Errorf("Message-ID %s with other content: %w", trustkeep.Printable(key.ID), trustkeep.ErrConflict))
		case errors.Is(err, fs.ErrNotExist):
			return nil
		default:
			return err
		}
	})
	if err == nil {
		e.record, e.content, e.fresh = wrote, content, true
		var data []byte
		if data, err = json.Marshal(stored{wrote, content}); err == nil {
			err = storefile.Write(filepath.Join(dir, recordName), data, storefile.Options{New: true})
		}
		if err != nil {
			os.Remove(filepath.Join(dir, content))
		}
	}
	if err != nil && err != errKnown {
		if taken {
			<-e.turn.ch
		}
		j.leave(e.name, e.turn)
		return nil, err
	}
	return e, nil
}

// load reads the record of a key.
func (e *fileEntry) load(key Key) error {
	path := filepath.Join(e.j.dir, e.name, recordName)
	data, err := storefile.ReadRegular(path, maxRecord)
	if err != nil {
		return err
	}
	var s stored
	if err := json.Unmarshal(data, &s); err != nil || s.Key != key || filepath.Base(s.Content) != s.Content {
		return &trustkeep.Error{Op: "as2: journal", Path: path, Err: fmt.Errorf("record of a message: %w", trustkeep.ErrCorrupt)}
	}
	e.record, e.content = s.Record, s.Content
	return nil
}

// Open implements Journal.
func (j *FileJournal) Open(ctx context.Context, key Key) (Entry, error) {
	e := &fileEntry{j: j, name: j.folder(key)}
	e.turn = j.join(e.name)
	if err := e.turn.take(ctx); err != nil {
		j.leave(e.name, e.turn)
		return nil, wrap("journal", err)
	}
	if err := e.load(key); err != nil {
		e.Close()
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("message %s: %w", trustkeep.Printable(key.ID), trustkeep.ErrNotFound)
		}
		return nil, wrap("journal", err)
	}
	return e, nil
}

// each calls f with the folders of messages and their records; a nil one is not readable.
func (j *FileJournal) each(ctx context.Context, f func(name string, r *Record)) error {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		if !entry.IsDir() {
			continue
		}
		var s stored
		data, err := storefile.ReadRegular(filepath.Join(j.dir, entry.Name(), recordName), maxRecord)
		if err != nil || json.Unmarshal(data, &s) != nil || j.folder(s.Key) != entry.Name() {
			f(entry.Name(), nil)
			continue
		}
		f(entry.Name(), &s.Record)
	}
	return nil
}

func (j *FileJournal) has(name, file string) bool {
	_, err := os.Lstat(filepath.Join(j.dir, name, file))
	return err == nil
}

// isDone reports whether nothing is left to do about a message.
func (j *FileJournal) isDone(name string, r *Record) bool {
	return j.has(name, receiptName) && (r.Receipt.URL == "" || j.has(name, sentName))
}

// Pending implements Journal.
func (j *FileJournal) Pending(ctx context.Context) ([]Key, error) {
	var found []*Record
	err := j.each(ctx, func(name string, r *Record) {
		if r != nil && !j.isDone(name, r) {
			found = append(found, r)
		}
	})
	slices.SortFunc(found, func(a, b *Record) int {
		return cmp.Or(a.ReceivedAt.Compare(b.ReceivedAt), cmp.Compare(a.ID, b.ID))
	})
	keys := make([]Key, len(found))
	for i, r := range found {
		keys[i] = r.Key
	}
	return keys, wrap("journal", err)
}

// Prune removes the messages that were received longer ago than JournalOptions.Keep and have
// been answered. It returns how many.
func (j *FileJournal) Prune(ctx context.Context) (int, error) {
	if j.o.Keep == 0 {
		return 0, nil
	}
	now := time.Now
	if j.o.Clock != nil {
		now = j.o.Clock
	}
	limit, n := now().Add(-j.o.Keep), 0
	var failed error
	err := j.each(ctx, func(name string, r *Record) {
		if r == nil || !r.ReceivedAt.Before(limit) || !j.isDone(name, r) {
			return
		}
		t := j.join(name)
		defer j.leave(name, t)
		if t.take(ctx) != nil {
			return
		}
		defer func() { <-t.ch }()
		// The record first: without it the rest is nothing.
		dir := filepath.Join(j.dir, name)
		err := os.Remove(filepath.Join(dir, recordName))
		if err == nil {
			err = storefile.SyncDir(dir)
		}
		if err == nil {
			err = os.RemoveAll(dir)
		}
		if err != nil {
			failed = errors.Join(failed, err)
			return
		}
		n++
	})
	return n, wrap("journal", errors.Join(err, failed))
}

func (e *fileEntry) path(name string) string { return filepath.Join(e.j.dir, e.name, name) }

func (e *fileEntry) Record() Record { return e.record }

func (e *fileEntry) Fresh() bool { return e.fresh }

func (e *fileEntry) Content() (io.ReadCloser, error) { return os.Open(e.path(e.content)) }

func (e *fileEntry) Receipt() ([]byte, bool, error) {
	data, err := storefile.ReadRegular(e.path(receiptName), maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, false, nil
	}
	return data, err == nil, wrap("journal", err)
}

func (e *fileEntry) SetReceipt(receipt []byte) error {
	if err := storefile.Write(e.path(receiptName), receipt, storefile.Options{}); err != nil {
		return wrap("journal", err)
	}
	if e.j.o.DropContent {
		return wrap("journal", os.Remove(e.path(e.content)))
	}
	return nil
}

func (e *fileEntry) SetSent() error {
	return wrap("journal", storefile.Write(e.path(sentName), nil, storefile.Options{}))
}

func (e *fileEntry) Close() error {
	e.once.Do(func() {
		<-e.turn.ch
		e.j.leave(e.name, e.turn)
	})
	return nil
}
