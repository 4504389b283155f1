package sshctx

import (
	"context"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// WatchedHosts is what is known about hosts in a file that is followed. It is a HostSource, and
// safe for concurrent use.
type WatchedHosts struct {
	w     *storefile.Watcher[[]line]
	hosts atomic.Pointer[Hosts]
}

// WatchKnownHosts reads the known_hosts file at path and follows it until Close: renames onto it,
// changed links, writing in place, deletion and return. What cannot be read leaves the last good
// state in force. OnChange names lines by their host field and the key's fingerprint.
func WatchKnownHosts(path string, o trustkeep.WatchOptions) (*WatchedHosts, error) {
	return Options{}.WatchKnownHosts(path, o)
}

// WatchKnownHosts is the function WatchKnownHosts with these options.
func (o Options) WatchKnownHosts(path string, w trustkeep.WatchOptions) (*WatchedHosts, error) {
	t := new(WatchedHosts)
	var err error
	t.w, err = storefile.NewWatcher(storefile.Watching[[]line]{
		WatchOptions: w, Paths: []string{path}, MaxSize: o.Limits.MaxSize, Ticks: o.ticks,
		Parse: func(content []byte) ([]line, error) { return o.parseLines(path, content) },
		Take:  t.take,
	})
	if err != nil {
		return nil, &trustkeep.Error{Op: "sshctx: watch", Path: path, Err: err}
	}
	return t, nil
}

// take puts a state in force.
func (t *WatchedHosts) take(lines []line) trustkeep.Change {
	fresh, old := newHosts(lines, nil), t.hosts.Load()
	change := trustkeep.Change{Generation: fresh.generation}
	if old != nil {
		change.Added, change.Removed = missing(fresh, old), missing(old, fresh)
		if change.Empty() {
			fresh.generation = old.generation // the lines and their numbers may be others
		}
	}
	t.hosts.Store(fresh)
	return change
}

// missing lists what counts in h and not in other.
func missing(h, other *Hosts) (out []trustkeep.Changed) {
	there := make(map[string]bool, len(other.lines))
	for _, l := range other.lines {
		there[l.meaning()] = true
	}
	for _, l := range h.lines {
		if m := l.meaning(); m != "" && !there[m] {
			out = append(out, trustkeep.Changed{Alias: m})
		}
	}
	return out
}

// meaning is what a line says, without its comment; empty for lines that say nothing.
func (l line) meaning() string {
	if l.key == nil {
		return ""
	}
	rest := strings.Trim(l.text, " \t\r")
	if l.marker != plainKey {
		_, rest = cutField(rest)
	}
	field, _ := cutField(rest)
	text := field + " " + ssh.FingerprintSHA256(l.key)
	if l.marker != plainKey {
		text = string(l.marker) + " " + text
	}
	return text
}

// Snapshot implements HostSource. A nil *WatchedHosts is trustkeep.ErrInvalid.
func (t *WatchedHosts) Snapshot() (*Hosts, error) {
	if t == nil {
		return nil, &trustkeep.Error{Op: "sshctx: watched hosts", Err: trustkeep.ErrInvalid, Hint: "nil *WatchedHosts; was the error of watching checked?"}
	}
	return t.hosts.Load(), nil
}

// Reload takes the file as it is now. If it cannot be read, the error says why and the last good
// state stays. The error is that of the context when it ends, and fs.ErrClosed after Close.
func (t *WatchedHosts) Reload(ctx context.Context) error { return t.w.Reload(ctx) }

// Err is why the file cannot be read as it is now; nil if it was. It never waits.
func (t *WatchedHosts) Err() error { return t.w.Err() }

// Close ends the watching; the last state stays. It waits for a callback in progress, for at most
// 10 seconds.
func (t *WatchedHosts) Close() error { return t.w.Close() }
