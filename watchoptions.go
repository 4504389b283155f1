package trustkeep

import (
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// WatchOptions configures how a file is followed. The zero value checks every second and
// reports nothing.
type WatchOptions struct {
	// Interval between checks. If zero, a second. On Linux, changes of local files are seen at
	// once.
	Interval time.Duration
	// OnChange is called with what a reload has changed; never with an empty Change.
	// OnError is called with each failure once, while the last good state stays in
	// force, and with nil when it has passed. The calls are made one at a time. Both may
	// call every method of what is watched except Reload and Close.
	OnChange func(Change)
	OnError  func(error)
	// Logger receives changes and failures. If nil, nothing is logged.
	Logger *slog.Logger
}

// Change lists the differences that a reload found.
type Change struct {
	// Generation counts the states of what is watched, starting at 1.
	Generation               uint64
	Added, Replaced, Removed []Changed
}

// Changed is one entry of a Change.
type Changed struct {
	Alias string // empty where certificates are compared and not entries
	// Certificate is the entry's own certificate, after the change except for Removed;
	// zero for an entry without one.
	Certificate Certificate
}

// Empty reports whether there are no differences.
func (c Change) Empty() bool { return len(c.Added)+len(c.Replaced)+len(c.Removed) == 0 }

// String lists the changes in one line, at most eight of each kind: `generation 2: added "b"
// (CN=b); removed CN=c`.
func (c Change) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "generation %d", c.Generation)
	separator := ": "
	for _, part := range []struct {
		verb    string
		entries []Changed
	}{{"added", c.Added}, {"replaced", c.Replaced}, {"removed", c.Removed}} {
		if len(part.entries) == 0 {
			continue
		}
		b.WriteString(separator + part.verb + " ")
		separator = "; "
		const most = 8
		for i, e := range part.entries[:min(most, len(part.entries))] {
			if i > 0 {
				b.WriteString(", ")
			}
			b.WriteString(e.String())
		}
		if more := len(part.entries) - most; more > 0 {
			fmt.Fprintf(&b, " and %d more", more)
		}
	}
	return b.String()
}

// String names the entry by alias and subject: `"b" (CN=b)`.
func (c Changed) String() string {
	name := c.Certificate.Subject
	if name == "" && len(c.Certificate.SHA256) >= 16 {
		name = "SHA-256 " + c.Certificate.SHA256[:16]
	}
	switch {
	case c.Alias == "":
		return name
	case name == "":
		return `"` + Printable(c.Alias) + `"`
	}
	return `"` + Printable(c.Alias) + `" (` + name + ")"
}

// LogValue implements slog.LogValuer through String.
func (c Change) LogValue() slog.Value { return slog.StringValue(c.String()) }
