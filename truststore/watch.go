package truststore

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"os"
	"sync/atomic"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// Watched is trust that follows a file or a directory of certificates. It is a Source,
// and safe for concurrent use.
type Watched struct {
	w        *storefile.Watcher[*Truststore]
	snapshot atomic.Pointer[Snapshot]
	aliases  map[fingerprint]string // of the snapshot; for take alone
}

// Watch loads the trust store at path, a file or a directory, as Load does, and follows
// it until Close: renames onto it, changed links (the ..data of Kubernetes), writing in
// place, deletion and return. A file that is being written is taken when two looks have
// found the same. What cannot be loaded, an empty file for instance, leaves the last
// good state in force. The password is asked for at each reload; a source that does not
// answer within 30 seconds is reported as an error that wraps context.DeadlineExceeded.
//
// OnChange gets the certificates that are trusted from then on, and those that no longer
// are, with their aliases; one that is trusted under another alias is no change.
//
// The errors are those of Load. The path must lead to a regular file or a directory.
func Watch(path string, password trustkeep.PasswordSource, o trustkeep.WatchOptions) (*Watched, error) {
	return Options{}.Watch(path, password, o)
}

// Watch is the function Watch with these options.
func (o Options) Watch(path string, password trustkeep.PasswordSource, w trustkeep.WatchOptions) (*Watched, error) {
	t := new(Watched)
	var err error
	t.w, err = storefile.NewWatcher(storefile.Watching[*Truststore]{
		WatchOptions: w, Paths: []string{path, path + scopesSuffix}, Keep: isCertificateFile, Ticks: o.ticks,
		Read:  func() ([]byte, error) { return readWatched(path, o.Limits) },
		Parse: func(content []byte) (*Truststore, error) { return o.parseWatched(path, content, password) },
		Take:  t.take,
	})
	if err != nil {
		return nil, &trustkeep.Error{Op: "truststore: watch", Path: path, Err: err}
	}
	return t, nil
}

// readWatched returns the content of a file, or the files of a directory one after
// another behind a marker that no file can fake, since what follows is in lengths.
func readWatched(path string, l trustkeep.Limits) ([]byte, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		data, err := storefile.ReadRegular(path, l.MaxSize)
		if err != nil {
			return nil, err
		}
		beside, err := readBeside(path, l.MaxSize)
		out := binary.AppendUvarint([]byte{0}, uint64(len(data)))
		out = append(out, data...)
		if beside != nil {
			out = append(append(out, 1), beside...)
		}
		return out, err
	}
	files, err := readDirectory(path, l)
	if err != nil {
		return nil, err
	}
	out := []byte{1}
	for _, f := range files {
		text := ""
		if f.err != nil {
			text = f.err.Error()
		}
		for _, part := range [][]byte{[]byte(f.name), f.data, []byte(text)} {
			out = binary.AppendUvarint(out, uint64(len(part)))
			out = append(out, part...)
		}
	}
	return out, nil
}

// parseWatched makes a store of what readWatched returned.
func (o Options) parseWatched(path string, content []byte, password trustkeep.PasswordSource) (*Truststore, error) {
	if content[0] == 0 {
		secret, err := storefile.Reveal(password)
		if err != nil {
			return nil, err
		}
		n, size := binary.Uvarint(content[1:])
		rest := content[1+size:]
		var beside []byte
		if data := rest[n:]; len(data) > 0 {
			beside = data[1:]
		}
		return o.openBeside(storefile.Input{Op: "truststore: reload", Path: path, Data: rest[:n:n], Password: secret}, beside)
	}
	var files []namedFile
	for rest := content[1:]; len(rest) > 0; {
		var parts [3][]byte
		for i := range parts {
			n, size := binary.Uvarint(rest)
			rest = rest[size:]
			parts[i], rest = rest[:n], rest[n:]
		}
		f := namedFile{name: string(parts[0]), data: parts[1]}
		if len(parts[2]) > 0 {
			f.err = errors.New(string(parts[2]))
		}
		files = append(files, f)
	}
	return o.openDirectory(files)
}

// take puts a store in force.
func (t *Watched) take(next *Truststore) trustkeep.Change {
	fresh := next.current().snapshot
	aliases := aliasesOf(next)
	old, before := t.snapshot.Load(), t.aliases
	t.aliases = aliases
	if old == nil {
		t.snapshot.Store(fresh)
		return trustkeep.Change{Generation: fresh.generation}
	}
	after := newSnapshot(old.generation+1, fresh.certs, fresh.platform)
	after.scopes = fresh.scopes
	c := trustkeep.Change{
		Generation: after.generation,
		Added:      missing(after, old, aliases), Removed: missing(old, after, before),
	}
	if c.Empty() && old.platform == after.platform && sameScopes(old.scopes, after.scopes) {
		return c // the generation too stays
	}
	t.snapshot.Store(after)
	return c
}

type fingerprint [sha256.Size]byte

func aliasesOf(t *Truststore) map[fingerprint]string {
	aliases := make(map[fingerprint]string)
	for _, e := range t.Entries() {
		aliases[sha256.Sum256(e.Certificate.Raw)] = e.Alias
	}
	return aliases
}

// missing returns what trust in s has and trust in other has not.
func missing(s, other *Snapshot, aliases map[fingerprint]string) (out []trustkeep.Changed) {
	there := make(map[fingerprint]bool, len(other.certs))
	for _, c := range other.certs {
		there[sha256.Sum256(c.Raw)] = true
	}
	for _, c := range s.certs {
		if sum := sha256.Sum256(c.Raw); !there[sum] {
			out = append(out, trustkeep.Changed{Alias: aliases[sum], Certificate: trustkeep.DescribeCertificate(c)})
		}
	}
	return out
}

// Snapshot implements Source.
func (t *Watched) Snapshot() (*Snapshot, error) {
	if t == nil {
		return nil, errNil("snapshot")
	}
	return t.snapshot.Load(), nil
}

// Reload takes the file as it is now, without waiting for a second look. When it
// cannot be loaded, the error says why and the last good state stays. The error is that
// of the context when it ends, also while another look or a callback is in progress, and
// fs.ErrClosed after Close. A callback that calls it gets an error that wraps
// context.DeadlineExceeded after 10 seconds.
func (t *Watched) Reload(ctx context.Context) error { return t.w.Reload(ctx) }

// Err is why the file cannot be loaded as it is now; nil if it was. It never waits, and
// may be called by OnChange and OnError.
func (t *Watched) Err() error { return t.w.Err() }

// Close ends the watching; the last state stays. It waits until a callback that is in
// progress has returned, so that none runs afterwards. One that takes more than 10 seconds,
// or calls Close itself, is an error that wraps context.DeadlineExceeded.
func (t *Watched) Close() error { return t.w.Close() }
