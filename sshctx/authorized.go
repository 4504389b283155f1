package sshctx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// AuthorizedSource yields the keys that a user may log in with. *AuthorizedKeys and
// *WatchedAuthorized answer the same for every user. It is asked on each login, and must be safe
// for concurrent use. Users who do not exist are trustkeep.ErrNotFound.
type AuthorizedSource interface {
	AuthorizedFor(user string) (*AuthorizedKeys, error)
}

// AuthorizedKeys is the content of a file of authorized keys of OpenSSH, see AUTHORIZED_KEYS FILE
// FORMAT in sshd(8). It does not change, and is safe for concurrent use.
//
// Names of hosts in from= never fit, since nothing is looked up. The options from, expiry-time, cert-authority, principals, restrict and the
// names that begin with no- are known, and command as Builder.ForcesCommands says. Lines with
// others, such as permitopen or verify-required, count for nothing, since nobody would enforce them; Findings
// reports these and all other lines that are not understood.
type AuthorizedKeys struct {
	lines []authorizedLine
}

// authorizedLine is one line of the file.
type authorizedLine struct {
	number int
	file   string
	key    ssh.PublicKey // nil if err is set, or for comments
	err    error

	authority  bool
	principals []string
	from       []fromPattern
	until      time.Time
	command    string
	forced     bool // there is a command
	limits     []string
}

// LoadAuthorizedKeys reads the file at path. Errors are those of LoadKnownHosts.
func LoadAuthorizedKeys(path string) (*AuthorizedKeys, error) {
	return Options{}.LoadAuthorizedKeys(path)
}

// ReadAuthorizedKeys is LoadAuthorizedKeys for a stream, which is read to its end.
func ReadAuthorizedKeys(r io.Reader) (*AuthorizedKeys, error) { return Options{}.ReadAuthorizedKeys(r) }

// ParseAuthorizedKeys is LoadAuthorizedKeys for bytes.
func ParseAuthorizedKeys(data []byte) (*AuthorizedKeys, error) {
	return Options{}.ParseAuthorizedKeys(data)
}

// LoadAuthorizedKeys is the function LoadAuthorizedKeys with these options.
func (o Options) LoadAuthorizedKeys(path string) (*AuthorizedKeys, error) {
	data, err := storefile.ReadFile(path, o.Limits.MaxSize)
	if err == nil {
		var keys *AuthorizedKeys
		if keys, err = o.parseAuthorized(path, data); err == nil {
			return keys, nil
		}
	}
	return nil, authorizedError("load", path, err)
}

// ReadAuthorizedKeys is the function ReadAuthorizedKeys with these options.
func (o Options) ReadAuthorizedKeys(r io.Reader) (*AuthorizedKeys, error) {
	data, err := storefile.ReadAll(r, o.Limits.MaxSize)
	if err != nil {
		return nil, authorizedError("read", "", err)
	}
	return o.ParseAuthorizedKeys(data)
}

// ParseAuthorizedKeys is the function ParseAuthorizedKeys with these options.
func (o Options) ParseAuthorizedKeys(data []byte) (*AuthorizedKeys, error) {
	keys, err := o.parseAuthorized("", data)
	if err != nil {
		return nil, authorizedError("parse", "", err)
	}
	return keys, nil
}

func authorizedError(op, path string, err error) error {
	return &trustkeep.Error{Op: "sshctx: " + op, Path: path, Format: "authorized_keys", Err: err}
}

func (o Options) parseAuthorized(path string, data []byte) (*AuthorizedKeys, error) {
	texts, err := o.splitLines(data)
	if err != nil {
		return nil, err
	}
	out := new(AuthorizedKeys)
	for i, text := range texts {
		l := parseAuthorizedLine(text)
		if l.number, l.file = i+1, path; l.err != nil {
			l.key = nil
			if o.Strict {
				return nil, fmt.Errorf("%s: %w", l.place(), l.err)
			}
		}
		if l.key != nil || l.err != nil {
			out.lines = append(out.lines, l)
		}
	}
	return out, nil
}

func (l authorizedLine) place() string { return line{number: l.number, file: l.file}.place() }

// Findings lists the lines that count for nothing.
func (a *AuthorizedKeys) Findings() []trustkeep.Finding {
	var out []trustkeep.Finding
	for _, l := range a.lines {
		if l.err != nil {
			out = append(out, trustkeep.Finding{Code: CodeUnusableLine, Severity: trustkeep.Warning, Text: fmt.Sprintf("%s: %v", l.place(), l.err)})
		}
	}
	return out
}

// AuthorizedFor implements AuthorizedSource for every user. A nil *AuthorizedKeys is
// trustkeep.ErrInvalid.
func (a *AuthorizedKeys) AuthorizedFor(string) (*AuthorizedKeys, error) {
	if a == nil {
		return nil, &trustkeep.Error{Op: "sshctx: authorized keys", Err: trustkeep.ErrInvalid, Hint: "nil *AuthorizedKeys; was the error of loading it checked?"}
	}
	return a, nil
}

// AuthorizedFolder reads the keys of each user from the file of that name in a folder, on each
// login. Names that are no plain file names, or begin with a dot, are users who do not exist.
func AuthorizedFolder(path string) AuthorizedSource { return authorizedFolder(path) }

type authorizedFolder string

func (f authorizedFolder) AuthorizedFor(user string) (*AuthorizedKeys, error) {
	if user == "" || strings.HasPrefix(user, ".") || strings.ContainsAny(user, "/\\:\x00") || !filepath.IsLocal(user) {
		return nil, &trustkeep.Error{Op: "sshctx: user", Alias: user, Err: trustkeep.ErrNotFound}
	}
	keys, err := LoadAuthorizedKeys(filepath.Join(string(f), user))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &trustkeep.Error{Op: "sshctx: user", Alias: user, Err: trustkeep.ErrNotFound}
	}
	return keys, err
}

// WatchedAuthorized is a file of authorized keys that is followed. It is safe for concurrent use.
type WatchedAuthorized struct {
	w    *storefile.Watcher[*AuthorizedKeys]
	keys atomic.Pointer[AuthorizedKeys]
}

// WatchAuthorizedKeys reads the file at path and follows it until Close, as WatchKnownHosts does.
func WatchAuthorizedKeys(path string, o trustkeep.WatchOptions) (*WatchedAuthorized, error) {
	return Options{}.WatchAuthorizedKeys(path, o)
}

// WatchAuthorizedKeys is the function WatchAuthorizedKeys with these options.
func (o Options) WatchAuthorizedKeys(path string, w trustkeep.WatchOptions) (*WatchedAuthorized, error) {
	t := new(WatchedAuthorized)
	generation := uint64(0)
	var err error
	t.w, err = storefile.NewWatcher(storefile.Watching[*AuthorizedKeys]{
		WatchOptions: w, Paths: []string{path}, MaxSize: o.Limits.MaxSize, Ticks: o.ticks,
		Parse: func(content []byte) (*AuthorizedKeys, error) { return o.parseAuthorized(path, content) },
		Take: func(next *AuthorizedKeys) trustkeep.Change {
			old := t.keys.Swap(next)
			generation++
			c := trustkeep.Change{Generation: generation}
			if old != nil {
				c.Added, c.Removed = next.missingIn(old), old.missingIn(next)
			}
			return c
		},
	})
	if err != nil {
		return nil, &trustkeep.Error{Op: "sshctx: watch", Path: path, Err: err}
	}
	return t, nil
}

func (a *AuthorizedKeys) missingIn(other *AuthorizedKeys) (out []trustkeep.Changed) {
	there := make(map[string]bool)
	for _, l := range other.lines {
		if l.key != nil {
			there[Fingerprint(l.key)] = true
		}
	}
	for _, l := range a.lines {
		if l.key != nil && !there[Fingerprint(l.key)] {
			out = append(out, trustkeep.Changed{Alias: describe(l.key)})
		}
	}
	return out
}

// AuthorizedFor implements AuthorizedSource for every user. A nil *WatchedAuthorized is
// trustkeep.ErrInvalid.
func (t *WatchedAuthorized) AuthorizedFor(user string) (*AuthorizedKeys, error) {
	if t == nil {
		return (*AuthorizedKeys)(nil).AuthorizedFor(user)
	}
	return t.keys.Load(), nil
}

// Reload takes the file as it is now; see WatchedHosts.Reload.
func (t *WatchedAuthorized) Reload(ctx context.Context) error { return t.w.Reload(ctx) }

// Err is why the file cannot be read as it is now; nil if it was. It never waits.
func (t *WatchedAuthorized) Err() error { return t.w.Err() }

// Close ends the watching; the last state stays.
func (t *WatchedAuthorized) Close() error { return t.w.Close() }

// parseAuthorizedLine reads "options type base64 comment".
func parseAuthorizedLine(text string) (l authorizedLine) {
	rest := strings.Trim(text, " \t\r")
	if rest == "" || strings.HasPrefix(rest, "#") {
		return l
	}
	if len(text) > maxLine {
		l.err = fmt.Errorf("line of more than %d bytes: %w", maxLine, trustkeep.ErrLimit)
		return l
	}
	if l.key, _, l.err = parseKeyFields(rest); l.err != nil {
		options, fields, ok := cutOptions(rest)
		if !ok {
			return l
		}
		if l.key, _, l.err = parseKeyFields(fields); l.err != nil {
			return l
		}
		seen := make(map[string]bool)
		for _, o := range options {
			name, err := l.option(o)
			if err == nil && seen[name] && slices.Contains([]string{"from", "principals", "command"}, name) {
				err = fmt.Errorf("option %q twice: %w", name, trustkeep.ErrCorrupt)
			}
			if l.err = err; l.err != nil {
				return l
			}
			seen[name] = true
		}
	}
	if _, ok := l.key.(*ssh.Certificate); ok {
		l.err = fmt.Errorf("a certificate in place of a key: %w", trustkeep.ErrUnsupported)
	} else if len(l.principals) > 0 && !l.authority {
		l.err = fmt.Errorf("principals without cert-authority: %w", trustkeep.ErrCorrupt)
	}
	return l
}

// cutOptions splits the options, which may be quoted, from the key.
func cutOptions(s string) (options []string, rest string, ok bool) {
	quoted, start := false, 0
	for i := 0; i < len(s); i++ {
		switch {
		case quoted && s[i] == '\\' && i+1 < len(s) && s[i+1] == '"':
			i++
		case s[i] == '"':
			quoted = !quoted
		case !quoted && s[i] == ',':
			options = append(options, s[start:i])
			start = i + 1
		case !quoted && (s[i] == ' ' || s[i] == '\t'):
			return append(options, s[start:i]), strings.TrimLeft(s[i:], " \t"), true
		}
	}
	return nil, "", false
}

// option takes one option of a line, and returns its name.
func (l *authorizedLine) option(text string) (string, error) {
	name, value, valued := strings.Cut(text, "=")
	name = strings.ToLower(name)
	bad := fmt.Errorf("option %q: %w", trustkeep.Printable(text), trustkeep.ErrCorrupt)
	if valued {
		inner, ok := strings.CutPrefix(value, `"`)
		inner, ok2 := strings.CutSuffix(inner, `"`)
		if !ok || !ok2 || strings.Contains(strings.ReplaceAll(inner, `\"`, ""), `"`) {
			return name, bad
		}
		value = strings.ReplaceAll(inner, `\"`, `"`)
	}
	switch name {
	case "cert-authority":
		l.authority = true
	case "restrict", "no-agent-forwarding", "no-port-forwarding", "no-pty", "no-user-rc", "no-x11-forwarding":
		l.limits = append(l.limits, name)
	case "agent-forwarding", "port-forwarding", "pty", "user-rc", "x11-forwarding", "no-touch-required":
		// What would give something back: a server that wants to may look at the line itself.
	case "from":
		from, err := parseFrom(value)
		if err != nil {
			return name, bad
		}
		l.from = from
	case "principals":
		l.principals = strings.Split(value, ",")
	case "expiry-time":
		t, err := parseExpiry(value)
		if err != nil {
			return name, bad
		}
		if l.until.IsZero() || t.Before(l.until) {
			l.until = t
		}
	case "command":
		l.forced, l.command = true, value
	default:
		return name, fmt.Errorf("option %q: %w", trustkeep.Printable(name), trustkeep.ErrUnsupported)
	}
	needs := slices.Contains([]string{"from", "principals", "expiry-time", "command"}, name)
	if needs != valued || value == "" && valued && name != "command" {
		return name, bad
	}
	return name, nil
}

// fromPattern is one pattern of the option from: addresses, or a wildcard for their spelling.
type fromPattern struct {
	negate bool
	net    netip.Prefix // not valid for a wildcard
	text   string
}

// parseFrom reads the patterns as addr_match_list of OpenSSH does. A network whose address has
// bits beyond its mask is an error there, and so is an empty pattern.
func parseFrom(value string) (out []fromPattern, err error) {
	for text := range strings.SplitSeq(strings.ToLower(value), ",") {
		var p fromPattern
		p.text, p.negate = strings.CutPrefix(text, "!")
		address, bits, sized := strings.Cut(p.text, "/")
		ip, err := netip.ParseAddr(address)
		switch {
		case p.text == "":
			return nil, trustkeep.ErrCorrupt
		case err == nil && sized:
			p.net, err = netip.ParsePrefix(p.text)
			if err != nil || p.net != p.net.Masked() || bits == "" {
				return nil, trustkeep.ErrCorrupt
			}
		case err == nil:
			ip = ip.WithZone("")
			p.net = netip.PrefixFrom(ip, ip.BitLen())
		case !strings.ContainsAny(p.text, "*?") && (strings.Trim(p.text, "0123456789.") == "" || strings.Contains(p.text, "0x") || strings.ContainsAny(p.text, ":/")):
			// OpenSSH may read it as an address in another notation, such as 127.1.
			return nil, trustkeep.ErrCorrupt
		}
		out = append(out, p)
	}
	return out, nil
}

func (p fromPattern) match(ip netip.Addr) bool {
	if p.net.IsValid() {
		return p.net.Contains(ip)
	}
	return wildcard(p.text, ip.String())
}

// parseExpiry reads YYYYMMDD[HHMM[SS]][Z]. Without Z, OpenSSH takes the system's time zone; here
// it is UTC or that, whichever ends sooner, since the file may have been written elsewhere.
func parseExpiry(s string) (time.Time, error) {
	text, zulu := strings.CutSuffix(s, "Z")
	layout := map[int]string{8: "20060102", 12: "200601021504", 14: "20060102150405"}[len(text)]
	if layout == "" {
		return time.Time{}, trustkeep.ErrCorrupt
	}
	utc, err := time.ParseInLocation(layout, text, time.UTC)
	if err != nil || zulu {
		return utc, err
	}
	if local, err := time.ParseInLocation(layout, text, time.Local); err != nil || local.Before(utc) {
		return local, err
	}
	return utc, nil
}

// admits reports whether the line lets clients from that address in at that time.
func (l authorizedLine) admits(remote net.Addr, now time.Time) bool {
	if !l.until.IsZero() && !now.Before(l.until) {
		return false
	}
	if l.from == nil {
		return true
	}
	at, err := netip.ParseAddrPort(remote.String())
	if err != nil {
		return false
	}
	ip := at.Addr().Unmap().WithZone("")
	found := false
	for _, pattern := range l.from {
		fits := pattern.match(ip)
		if fits && pattern.negate {
			return false
		}
		found = found || fits
	}
	return found
}
