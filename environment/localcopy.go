package environment

import (
	"bytes"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// LocalCopy is a file with the last good state of an atom: what it trusts, its identities, and
// how old they are. Start begins with it while the storage cannot be reached. It is also what
// AtomOptions.Memory is, so that an older state is refused after a restart. It is sealed by
// AES-GCM for one registry, environment and atom; only its owner can read it.
//
// Whoever has neither the key nor the Authority's keys can withhold the file, or put back one
// that the same atom has written before. The latter makes the atom forget what it has seen
// since: the state of then counts until the storage is reached, and its age, which is sealed
// too, tells; see AtomOptions.MaxAge.
type LocalCopy struct {
	// Path of the file. Each atom has its own. If empty, there is none.
	Path string
	// Sealer seals the file. If nil, it is sealed with Options.OpeningKey, or else with
	// Options.Sealer. An opening key in hardware, which does not export its bytes, cannot.
	Sealer Sealer
	// Wait bounds how long Start waits for the storage before it begins with the file. If
	// zero, 5 seconds. If the storage is known to be down it does not wait.
	Wait time.Duration
}

const (
	localCopyFormat = 1
	localCopyKind   = "trustkeep-local-copy"
	// maxLocalCopy bounds the file, maxCopyHeader its first line, in bytes.
	maxLocalCopy  = 128 << 20
	maxCopyHeader = 64 << 10
	// copyTimeout bounds how long an atom waits for its file.
	copyTimeout = 5 * time.Second
	// How long the age in the file may lag behind where nothing else has changed.
	maxCopyAge, minCopyAge = time.Hour, time.Minute
)

// copyBinding says what a file is about. It is the associated data of the seal.
type copyBinding struct {
	Kind        string `json:"kind"`
	Format      int    `json:"format"`
	Registry    string `json:"registry"` // of the Authority; empty without one
	Environment string `json:"environment"`
	Atom        string `json:"atom"`
}

// copyHeader is the first line of the file. What is sealed follows.
type copyHeader struct {
	copyBinding
	Sealer  string `json:"sealer"`
	Wrapped []byte `json:"wrapped,omitempty"` // the key, by a Sealer
}

// copied is what is in a file.
type copied struct {
	Remembered remembered     `json:"remembered"`
	Heard      time.Time      `json:"heard"`
	Records    []copiedRecord `json:"records"`
}

// copiedRecord is a record as the storage had it.
type copiedRecord struct {
	Key      string    `json:"key"`
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Value    []byte    `json:"value"`
}

// records returns them as a storage does.
func (c *copied) records() []Record {
	out := make([]Record, len(c.Records))
	for i, r := range c.Records {
		out[i] = Record{Key: r.Key, Revision: r.Revision, Time: r.Time, Value: r.Value}
	}
	return out
}

func copyRecords(all []Record) []copiedRecord {
	out := make([]copiedRecord, 0, len(all))
	for _, r := range all {
		if r.Err == nil && !r.Deleted {
			out = append(out, copiedRecord{r.Key, r.Revision, r.Time, r.Value})
		}
	}
	return out
}

// localCopy reads and writes the file of an atom. Files are written by a goroutine, one after the
// other, and what is overtaken by then is left out.
type localCopy struct {
	path   string
	header copyHeader
	seal   func() *fips.GCM // a closure: package fmt would print it
	write  func(path string, data []byte) error
	tell   func(error) // of a file that cannot be written, and nil when it can again

	mu      sync.Mutex
	next    *copied
	waiting []chan error // for next
	running bool
	heard   time.Time // as of the last that was written
	failed  error     // to write the last one
}

// copyKey returns the key of a file, and what tells it in the header; before is the header that
// there is, nil for none.
func copyKey(o Options, l LocalCopy, random io.Reader, before *copyHeader) (key []byte, header copyHeader, err error) {
	if l.Sealer == nil && o.OpeningKey != nil {
		header.Sealer = "opening-key:" + o.OpeningKey.SealingKey().Fingerprint()
		if before != nil && before.Sealer != header.Sealer {
			return nil, header, trustkeep.ErrIncorrectPassword
		}
		secret, err := o.OpeningKey.key().Bytes()
		if err != nil {
			return nil, header, &trustkeep.Error{Op: "opening key", Err: trustkeep.ErrUnsupported, Hint: "it does not export its bytes: set LocalCopy.Sealer"}
		}
		defer clear(secret)
		key, err = hkdf.Key(sha256.New, secret, nil, "trustkeep local copy", dataKeySize)
		return key, header, err
	}
	by := l.Sealer
	if by == nil {
		by = o.Sealer
	}
	if given.IsNil(by) {
		return nil, header, fmt.Errorf("nothing seals it: set LocalCopy.Sealer, or Options.OpeningKey: %w", trustkeep.ErrInvalid)
	}
	if header.Sealer, err = idOf(by); err != nil {
		return nil, header, err
	}
	if before == nil {
		key = make([]byte, dataKeySize)
		if _, err = io.ReadFull(random, key); err == nil {
			header.Wrapped, err = by.Wrap(key)
		}
		return key, header, err
	}
	if before.Sealer != header.Sealer {
		return nil, header, trustkeep.ErrIncorrectPassword
	}
	header.Wrapped = before.Wrapped
	if key, err = by.Unwrap(before.Wrapped); err == nil && len(key) != dataKeySize {
		err = trustkeep.ErrCorrupt
	}
	return key, header, err
}

// openLocalCopy opens the file of an atom, and returns what is in it, nil if there is none.
func openLocalCopy(r *Registry, env, atom string, l LocalCopy) (*localCopy, *copied, error) {
	b := copyBinding{Kind: localCopyKind, Format: localCopyFormat, Environment: env, Atom: atom}
	if r.o.Authority != nil {
		b.Registry = r.o.Authority.Registry()
	}
	c := &localCopy{path: l.Path, write: func(path string, data []byte) error {
		return storefile.Write(path, data, storefile.Options{Mode: 0o600, SetMode: true, MaxSize: maxLocalCopy, Wait: copyTimeout})
	}}
	in, err := c.open(r, b, l)
	if err != nil {
		return nil, nil, &trustkeep.Error{Op: "local copy", Path: l.Path, Err: err, Hint: copyHint(err)}
	}
	return c, in, nil
}

func copyHint(err error) string {
	if errors.Is(err, trustkeep.ErrCorrupt) || errors.Is(err, trustkeep.ErrIncorrectPassword) {
		return "without it, an older state than the last one cannot be told; remove it to begin without"
	}
	return ""
}

func (c *localCopy) open(r *Registry, b copyBinding, l LocalCopy) (*copied, error) {
	data, err := storefile.ReadRegular(l.Path, maxLocalCopy)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, c.useKey(r, b, l, nil)
	}
	if err != nil {
		return nil, err
	}
	end := bytes.IndexByte(data[:min(len(data), maxCopyHeader)], '\n')
	var h copyHeader
	if end < 0 || json.Unmarshal(data[:end], &h) != nil || h.Kind != localCopyKind || h.Format < 1 {
		return nil, trustkeep.ErrCorrupt
	}
	if h.Format > localCopyFormat {
		return nil, fmt.Errorf("format %d, this program knows %d: %w", h.Format, localCopyFormat, trustkeep.ErrUnsupported)
	}
	if h.copyBinding != b {
		return nil, fmt.Errorf("it is of another atom, environment or Authority: %w", trustkeep.ErrInvalid)
	}
	if err := c.useKey(r, b, l, &h); err != nil {
		return nil, err
	}
	plain, err := c.seal().Open(data[end+1:], c.header.binding())
	if err != nil {
		return nil, trustkeep.ErrCorrupt
	}
	in := new(copied)
	if json.Unmarshal(plain, in) != nil {
		return nil, trustkeep.ErrCorrupt
	}
	if m := in.Remembered; m != (remembered{}) && (m.Registry != b.Registry || m.Environment != b.Environment) {
		return nil, trustkeep.ErrCorrupt
	}
	c.heard = in.Heard
	return in, nil
}

func (c *localCopy) useKey(r *Registry, b copyBinding, l LocalCopy, before *copyHeader) error {
	key, h, err := copyKey(r.o, l, r.rand(), before)
	if err != nil {
		return err
	}
	defer clear(key)
	gcm, err := fips.NewGCM(key, r.rand())
	h.copyBinding = b
	c.header, c.seal = h, redact.Hidden(gcm)
	return err
}

// binding is the associated data.
func (h copyHeader) binding() []byte {
	text, _ := json.Marshal(h.copyBinding) // numbers and strings alone
	return text
}

// save has a state written, and returns a channel that gets the result.
func (c *localCopy) save(state *copied) <-chan error {
	done := make(chan error, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next, c.waiting = state, append(c.waiting, done)
	if !c.running {
		c.running = true
		go c.run()
	}
	return done
}

// idle returns a channel that gets something when nothing is being written.
func (c *localCopy) idle() <-chan error {
	done := make(chan error, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running {
		c.waiting = append(c.waiting, done)
	} else {
		done <- nil
	}
	return done
}

// run writes until there is nothing to write.
func (c *localCopy) run() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.next != nil {
		state, waiting := c.next, c.waiting
		c.next, c.waiting = nil, nil
		c.mu.Unlock()
		err := c.store(state)
		c.mu.Lock()
		if (err != nil) != (c.failed != nil) {
			c.tell(err)
		}
		if c.failed = err; err == nil {
			c.heard = state.Heard
		}
		for _, done := range waiting {
			done <- err
		}
	}
	c.running = false
	for _, done := range c.waiting {
		done <- c.failed
	}
	c.waiting = nil
}

func (c *localCopy) store(state *copied) error {
	plain, err := json.Marshal(state)
	if err != nil {
		return err
	}
	sealed, err := c.seal().Seal(plain, c.header.binding())
	clear(plain)
	if err != nil {
		return err
	}
	head, err := json.Marshal(c.header)
	if err != nil {
		return err
	}
	if n := len(head) + 1 + len(sealed); n > maxLocalCopy {
		return fmt.Errorf("local copy of %d bytes, at most %d: %w", n, maxLocalCopy, trustkeep.ErrLimit)
	}
	c.mu.Lock()
	write := c.write
	c.mu.Unlock()
	if err := write(c.path, append(append(head, '\n'), sealed...)); err != nil {
		return &trustkeep.Error{Op: "local copy", Path: c.path, Err: err}
	}
	return nil
}

// problem is why the last state was not written, nil if it was.
func (c *localCopy) problem() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.failed
}

// behind tells whether the file is to be written for the age alone, or because it was not.
func (c *localCopy) behind(heard time.Time, bound time.Duration) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next == nil && (c.failed != nil || heard.Sub(c.heard) >= bound)
}

// copyEvery is how far the age in the file may lag behind.
func (o AtomOptions) copyEvery() time.Duration {
	if o.MaxAge == 0 {
		return maxCopyAge
	}
	return min(maxCopyAge, max(minCopyAge, o.MaxAge/10))
}

// copyMemory remembers in the local copy of an atom.
type copyMemory struct{ a *Atom }

func (m *copyMemory) load() (remembered, error) {
	if m.a.copied == nil {
		return remembered{}, nil
	}
	return m.a.copied.Remembered, nil
}

// save waits for the file, so that a state is remembered before it counts. Where it cannot be
// written, Atom.Problem says so by itself.
func (m *copyMemory) save(r remembered, heard time.Time, records []Record) error {
	r.Format = formatVersion
	done := m.a.local.save(&copied{Remembered: r, Heard: heard, Records: copyRecords(records)})
	t := time.NewTimer(copyTimeout)
	defer t.Stop()
	select {
	case <-done:
		return nil
	case <-t.C:
		return errors.New("local copy: not yet written")
	}
}

// openCopy opens the atom's file.
func (a *Atom) openCopy() error {
	c, in, err := openLocalCopy(a.r, a.env, a.id, a.o.LocalCopy)
	if err != nil {
		return err
	}
	c.tell = func(err error) {
		if err != nil {
			a.o.Logger.Error("the local copy of the atom cannot be written", "atom", a.id, "error", err)
		} else {
			a.o.Logger.Info("the local copy of the atom is written again", "atom", a.id)
		}
	}
	a.local, a.copied, a.raw = c, in, make(map[string]Record)
	return nil
}

// keep has what an atom without an Authority takes written, if it has a file. It is called
// with what the storage reports.
func (a *Atom) keep(u Update) {
	if a.local == nil || a.gate != nil {
		return
	}
	before := a.raw
	if before == nil || len(before) == 0 && a.copied != nil {
		before = make(map[string]Record)
		for _, r := range a.copied.records() {
			before[r.Key] = r
		}
	}
	older := false
	next := make(map[string]Record)
	if !u.Full {
		maps.Copy(next, a.raw)
	}
	for _, r := range u.Records {
		was, there := before[r.Key]
		older = older || there && u.Full && r.Revision < was.Revision
		switch {
		case r.Deleted:
			delete(next, r.Key)
		case r.Err == nil:
			next[r.Key] = r
		case there:
			next[r.Key] = was // as the atom goes on with it
		}
	}
	a.raw = next
	if a.offline {
		return
	}
	if older {
		a.o.Logger.Error("the storage has older versions of records than the atom has seen; they count, since there is no Authority", "atom", a.id)
	}
	heard := a.Heard()
	if u.Err == nil {
		heard = a.r.now().Round(0)
	}
	a.local.save(&copied{Heard: heard, Records: copyRecords(a.copyRecords())})
}

// copyRecords returns what the atom's state consists of, as the storage has it.
func (a *Atom) copyRecords() []Record {
	if a.gate != nil {
		return a.gate.records()
	}
	return values(a.raw)
}

// copyState is what is to be written. It is called by the goroutine that follows, or after it.
func (a *Atom) copyState() *copied {
	c := &copied{Heard: a.Heard(), Records: copyRecords(a.copyRecords())}
	if a.gate != nil {
		c.Remembered = a.gate.seen
		c.Remembered.Format = formatVersion
	}
	return c
}

// closeCopy has the last age written.
func (a *Atom) closeCopy() {
	if a.local == nil || a.state.Load() == nil {
		return
	}
	var done <-chan error
	if a.local.behind(a.Heard(), 1) {
		done = a.local.save(a.copyState())
	} else {
		done = a.local.idle()
	}
	t := time.NewTimer(copyTimeout)
	defer t.Stop()
	select {
	case <-done:
	case <-t.C:
	}
}
