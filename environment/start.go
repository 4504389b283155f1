package environment

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Start opens a registry and attaches a program to one of its environments, as Open,
// Registry.Environment and Environment.Attach do, and works while the storage cannot be reached:
// the atom then begins with its AtomOptions.LocalCopy, knows how old that is, and takes the
// storage when it is there. open is called until it returns a storage, with pauses, each time
// with a context that ends with the atom; it is natskv.Connect, for instance. Close closes the
// storage, if it has a method Close.
//
// The context bounds the start alone; an atom that has begun with its copy does not wait for the
// storage any longer than that. Until the storage was reached, Atom.Problem says why not, and
// Atom.Stopped is closed. If there is no copy yet, errors are those of the first call of open and
// of those three functions. With one that is damaged the error wraps trustkeep.ErrCorrupt, with
// one that another key has sealed ErrIncorrectPassword, and with one of another atom, environment
// or Authority ErrInvalid.
func Start(ctx context.Context, open func(context.Context) (Storage, error), o Options, environment, atom string, a AtomOptions) (*Atom, error) {
	if err := errors.Join(checkID("start", environment), checkID("start", atom)); err != nil {
		return nil, err
	}
	if open == nil {
		return nil, failure("start", atom, fmt.Errorf("nothing to open the storage with: %w", trustkeep.ErrInvalid))
	}
	f := newFront(open)
	out, err := start(ctx, f, o, environment, atom, a)
	if err != nil {
		return nil, failure("start", atom, errors.Join(err, f.stop()))
	}
	return out, nil
}

const defaultStartWait = 5 * time.Second

func start(ctx context.Context, f *front, o Options, environment, atom string, ao AtomOptions) (*Atom, error) {
	sealer := o.Sealer
	o.Sealer = nil // what it opens may be in the copy alone
	r, err := Open(ctx, f, o)
	if err != nil {
		return nil, err
	}
	r.o.Sealer = sealer
	e := &Environment{r, environment}
	a, err := e.newAtom(ctx, atom, ao)
	if err != nil {
		return nil, err
	}
	a.storage = f
	in := a.copied
	f.begin()
	wait := ao.LocalCopy.Wait
	if wait <= 0 {
		wait = defaultStartWait
	}
	patience, cancel := context.WithCancel(ctx)
	if in != nil {
		patience, cancel = context.WithTimeout(ctx, wait)
	}
	defer cancel()
	select {
	case <-f.ready:
	case <-f.failed:
	case <-patience.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if in == nil {
		if err := f.problem(); err != nil {
			return nil, err
		}
		if sealer != nil {
			if r.secrets, err = r.openVault(ctx, sealer); err != nil {
				return nil, err
			}
		}
		if _, err := e.record(ctx); err != nil {
			return nil, err
		}
		return a, a.attach(ctx)
	}
	return a, a.beginWith(patience, in)
}

// beginWith has the atom begin with its copy, and waits for the storage within the context, if
// it is not known to be down.
func (a *Atom) beginWith(ctx context.Context, in *copied) error {
	a.offline = true
	if a.gate != nil {
		a.gate.beginOffline()
	}
	a.take(Update{Full: true, Records: in.records()})
	if a.state.Load() == nil {
		return a.gate.problem()
	}
	a.offline = false
	if a.gate != nil {
		a.gate.online(in.Remembered)
	}
	a.hears(in.Heard)
	if err := a.openCopiedVault(ctx); err != nil {
		return err
	}
	a.following.err = errNotReached
	close(a.following.stopped)
	a.cancelWith(context.WithoutCancel(ctx))
	updates, err := a.r.storage.Watch(a.closing, a.paths()...)
	if err != nil {
		a.cancel()
		return err
	}
	reached := make(chan struct{})
	a.o.Logger.Info("the atom has begun with its local copy", "atom", a.id, "heard", a.Heard())
	a.enlisted = make(chan struct{})
	a.run(updates)
	go a.enlistLater(a.closing, reached)
	for {
		changed := a.Changed()
		a.mu.Lock()
		why := a.following.err
		a.mu.Unlock()
		if why == nil {
			break
		}
		if !errors.Is(why, errNotReached) {
			return nil // down
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil
		}
	}
	select {
	case <-reached:
	case <-ctx.Done():
	}
	return nil
}

var errNotReached = errors.New("the storage was not reached yet; the atom has begun with its local copy")

// enlistLater puts the atom on the list of its environment when the storage is there. tried is
// closed after the first attempt.
func (a *Atom) enlistLater(ctx context.Context, tried chan struct{}) {
	defer close(a.enlisted)
	var once sync.Once
	defer once.Do(func() { close(tried) })
	for {
		changed := a.Changed()
		a.mu.Lock()
		down := a.following.err != nil
		a.mu.Unlock()
		if !down {
			err := a.enlist(ctx)
			once.Do(func() { close(tried) })
			if err == nil {
				// Whoever waits may do so for being listed.
				a.mu.Lock()
				a.notify()
				a.mu.Unlock()
			}
			if err == nil || errors.Is(err, trustkeep.ErrNotFound) || ctx.Err() != nil {
				return // on the list, or there is no environment any more, which Problem says
			}
			a.o.Logger.Warn("the atom could not be put on the list of its environment", "atom", a.id, "error", err)
		}
		timer := time.NewTimer(time.Minute)
		select {
		case <-changed:
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// openCopiedVault opens the passwords of a registry with a Sealer by what is in the copy.
func (a *Atom) openCopiedVault(ctx context.Context) error {
	if a.r.o.Sealer == nil {
		return nil
	}
	var record Record
	for _, one := range a.copyRecords() {
		if one.Key != secretsKey {
			continue
		}
		record = one
		if a.gate != nil {
			s := parsed(one)
			if s.err != nil {
				return s.err
			}
			record = s.record(one)
		}
	}
	if record.Key == "" {
		return nil // it keeps no passwords
	}
	d := newVaultRecord()
	if err := decode(record, d); err != nil {
		return err
	}
	dataKey, err := d.dataKey(a.r.o.Sealer)
	if err != nil {
		return err
	}
	defer clear(dataKey)
	a.r.secrets, err = newVault(dataKey, a.r.o.Rand)
	return err
}

// front is a storage that may not be there yet.
type front struct {
	open func(context.Context) (Storage, error)

	ending context.Context
	end    context.CancelFunc
	ready  chan struct{} // closed when it is there
	failed chan struct{} // closed when it was found not to be

	mu      sync.Mutex
	started bool
	done    chan struct{} // closed with run
	inner   Storage
	err     error
	changed chan struct{} // closed when err is another, and then replaced
}

func newFront(open func(context.Context) (Storage, error)) *front {
	f := &front{open: open, ready: make(chan struct{}), failed: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{})}
	f.ending, f.end = context.WithCancel(context.Background())
	return f
}

const (
	minOpenPause = 100 * time.Millisecond
	maxOpenPause = 15 * time.Second
)

func (f *front) begin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.started = true
	go f.run()
}

// run opens the storage, however long that takes.
func (f *front) run() {
	defer close(f.done)
	for pause := minOpenPause; f.ending.Err() == nil; pause = min(2*pause, maxOpenPause) {
		s, err := guarded(f.ending, func(ctx context.Context) (*Storage, error) {
			s, err := f.open(ctx)
			if err == nil && given.IsNil(s) {
				err = fmt.Errorf("no storage: %w", trustkeep.ErrInvalid)
			}
			return &s, err
		})
		f.mu.Lock()
		f.err = err
		if err == nil {
			f.inner = *s
			close(f.ready)
			f.mu.Unlock()
			return
		}
		select {
		case <-f.failed:
		default:
			close(f.failed)
		}
		close(f.changed)
		f.changed = make(chan struct{})
		f.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-f.ending.Done():
		}
		timer.Stop()
	}
}

// stop closes the storage.
func (f *front) stop() error {
	f.end()
	f.mu.Lock()
	started := f.started
	f.mu.Unlock()
	if !started {
		return nil
	}
	<-f.done
	if c, ok := f.inner.(io.Closer); ok {
		return c.Close()
	}
	return nil
}

// problem is why the storage is not there, nil if it is.
func (f *front) problem() error {
	_, err := f.storage()
	return err
}

func (f *front) storage() (Storage, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case f.ending.Err() != nil:
		return nil, fs.ErrClosed
	case f.inner != nil:
		return f.inner, nil
	case f.err != nil:
		return nil, fmt.Errorf("the storage cannot be opened: %w", f.err)
	}
	return nil, errNotReached
}

// Get implements Storage.
func (f *front) Get(ctx context.Context, key string) (Record, error) {
	s, err := f.storage()
	if err != nil {
		return Record{}, err
	}
	return s.Get(ctx, key)
}

// Put implements Storage.
func (f *front) Put(ctx context.Context, key string, value []byte, expected uint64) (uint64, error) {
	s, err := f.storage()
	if err != nil {
		return 0, err
	}
	return s.Put(ctx, key, value, expected)
}

// PutFiles implements FileStorage, whether or not the storage shows files.
func (f *front) PutFiles(ctx context.Context, key string, value []byte, expected uint64, files []File) (uint64, error) {
	s, err := f.storage()
	if err != nil {
		return 0, err
	}
	if shown, ok := s.(FileStorage); ok {
		return shown.PutFiles(ctx, key, value, expected, files)
	}
	return s.Put(ctx, key, value, expected)
}

// Delete implements Storage.
func (f *front) Delete(ctx context.Context, key string, expected uint64) error {
	s, err := f.storage()
	if err != nil {
		return err
	}
	return s.Delete(ctx, key, expected)
}

// List implements Storage.
func (f *front) List(ctx context.Context, prefix string) ([]Record, error) {
	s, err := f.storage()
	if err != nil {
		return nil, err
	}
	return s.List(ctx, prefix)
}

// Versions implements Storage.
func (f *front) Versions(ctx context.Context, key string) ([]Record, error) {
	s, err := f.storage()
	if err != nil {
		return nil, err
	}
	return s.Versions(ctx, key)
}

// Watch implements Storage. Until the storage is there, it tells why not.
func (f *front) Watch(ctx context.Context, paths ...string) (<-chan Update, error) {
	if s, err := f.storage(); err == nil {
		updates, err := s.Watch(ctx, paths...)
		if err == nil {
			return updates, nil
		}
	}
	out := make(chan Update)
	go func() {
		defer close(out)
		f.watch(ctx, out, paths)
	}()
	return out, nil
}

func (f *front) watch(ctx context.Context, out chan<- Update, paths []string) {
	tell := func(u Update) bool {
		select {
		case out <- u:
			return true
		case <-ctx.Done():
			return false
		}
	}
	told := ""
	for pause := minOpenPause; ; pause = min(2*pause, maxOpenPause) {
		f.mu.Lock()
		changed := f.changed
		f.mu.Unlock()
		s, err := f.storage()
		var again <-chan time.Time
		if err == nil {
			var updates <-chan Update
			if updates, err = s.Watch(ctx, paths...); err == nil {
				for u := range updates {
					if !tell(u) {
						return
					}
				}
				return
			}
			again = time.After(pause)
		}
		if ctx.Err() != nil {
			return
		}
		if !errors.Is(err, errNotReached) && err.Error() != told {
			if told = err.Error(); !tell(Update{Err: err}) {
				return
			}
		}
		ready := f.ready
		if again != nil {
			ready = nil // it is
		}
		select {
		case <-ready:
		case <-changed:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}
