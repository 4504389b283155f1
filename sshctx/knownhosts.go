package sshctx

import (
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// KnownHosts is a known_hosts file of OpenSSH: keys of hosts, authorities for host certificates
// and revocations, see SSH_KNOWN_HOSTS FILE FORMAT in sshd(8). Hashed names, ports, wildcards
// and negations are understood; lines that are not stay in the file, count for nothing and are
// reported by Findings. It is a HostSource, and safe for concurrent use: each change makes a new
// snapshot. The zero KnownHosts is empty.
type KnownHosts struct {
	turns storefile.Turns // of writers
	state atomic.Pointer[knownState]
	o     Options
}

// knownHostsFormat names the format in errors.
const knownHostsFormat = "known_hosts"

type knownState struct {
	hosts  *Hosts
	origin storefile.Origin
}

// Options configures how files of known hosts and authorized keys are read and written. The
// package's functions use the zero value.
type Options struct {
	// Limits bounds the input: MaxSize in bytes, MaxEntries in lines. Zero fields are the
	// defaults.
	Limits trustkeep.Limits
	// Strict makes an error of a line that is not understood.
	Strict bool
	// HashNames hides the names of hosts that are added, as HashKnownHosts of OpenSSH does.
	HashNames bool
	// Rand supplies the salts of hashed names. If nil, crypto/rand.
	Rand io.Reader

	ticks <-chan struct{} // of Watch, in tests: one look each
}

// LoadKnownHosts reads the file at path. An empty file is read, and trusts nobody. Errors wrap
// trustkeep.ErrCorrupt for what is no text, trustkeep.ErrLimit, or the error of the file system.
func LoadKnownHosts(path string) (*KnownHosts, error) { return Options{}.LoadKnownHosts(path) }

// ReadKnownHosts is LoadKnownHosts for a stream, which is read to its end.
func ReadKnownHosts(r io.Reader) (*KnownHosts, error) { return Options{}.ReadKnownHosts(r) }

// ParseKnownHosts is LoadKnownHosts for bytes, which are neither kept nor changed.
func ParseKnownHosts(data []byte) (*KnownHosts, error) { return Options{}.ParseKnownHosts(data) }

// LoadKnownHosts is the function LoadKnownHosts with these options.
func (o Options) LoadKnownHosts(path string) (*KnownHosts, error) { return o.kind().Load(path, nil) }

// ReadKnownHosts is the function ReadKnownHosts with these options.
func (o Options) ReadKnownHosts(r io.Reader) (*KnownHosts, error) { return o.kind().Read(r, nil) }

// ParseKnownHosts is the function ParseKnownHosts with these options.
func (o Options) ParseKnownHosts(data []byte) (*KnownHosts, error) { return o.kind().Parse(data, nil) }

// kind is what storefile needs to know of known hosts.
func (o Options) kind() storefile.Kind[*KnownHosts] {
	return storefile.Kind[*KnownHosts]{
		Package: "sshctx", MaxSize: o.Limits.MaxSize, Open: o.open,
		New: func(*redact.Secret) *KnownHosts { return &KnownHosts{o: o} },
		Encode: func(k *KnownHosts, _ string, save trustkeep.SaveOptions) ([]byte, error) {
			return k.encode(k.current(), save)
		},
	}
}

func (o Options) open(in storefile.Input) (*KnownHosts, error) {
	in.Password.Wipe()
	lines, err := o.parseLines(in.Path, in.Data)
	if err != nil {
		return nil, &trustkeep.Error{Op: in.Op, Path: in.Path, Format: knownHostsFormat, Err: err}
	}
	k := &KnownHosts{o: o}
	k.state.Store(&knownState{newHosts(lines, nil), in.Origin})
	return k, nil
}

func (o Options) parseLines(path string, data []byte) ([]line, error) {
	texts, err := o.splitLines(data)
	if err != nil {
		return nil, err
	}
	lines := make([]line, len(texts))
	for i, text := range texts {
		lines[i] = parseLine(text, path, i+1)
		if err := lines[i].err; err != nil && o.Strict {
			return nil, fmt.Errorf("%s: %w", lines[i].place(), err)
		}
	}
	return lines, nil
}

func (k *KnownHosts) current() *knownState {
	if s := k.state.Load(); s != nil {
		return s
	}
	s := &knownState{hosts: newHosts(nil, nil)}
	if k.state.CompareAndSwap(nil, s) {
		return s
	}
	return k.state.Load()
}

// Snapshot implements HostSource. A nil *KnownHosts is trustkeep.ErrInvalid.
func (k *KnownHosts) Snapshot() (*Hosts, error) {
	if k == nil {
		return nil, &trustkeep.Error{Op: "sshctx: known hosts", Err: trustkeep.ErrInvalid, Hint: "nil *KnownHosts; was the error of loading it checked?"}
	}
	return k.current().hosts, nil
}

// Findings lists the lines that count for nothing.
func (k *KnownHosts) Findings() []trustkeep.Finding { return k.current().hosts.Findings() }

// Add makes keys known for a host: "host" or "host:port". A key that is known already is left
// alone. The error is trustkeep.ErrExists if the host has another key of the same type by its
// own name (see Replace), trustkeep.ErrRevoked for a revoked key, and trustkeep.ErrInvalid for a
// nil key, a certificate or a bad address.
func (k *KnownHosts) Add(address string, keys ...ssh.PublicKey) error {
	return k.edit("add", address, keys, func(lines []line, at host) ([]line, error) {
		for _, key := range keys {
			if slices.ContainsFunc(lines, func(l line) bool { return l.names(at) && samePublicKey(l.key, key) }) {
				continue
			}
			for _, l := range lines {
				if l.names(at) && l.key.Type() == key.Type() {
					return nil, &trustkeep.Error{Op: "sshctx: add", Alias: at.String(), Err: trustkeep.ErrExists, Hint: l.place() + " has another key of that type; KnownHosts.Replace replaces it"}
				}
			}
			l, err := k.newLine(len(lines)+1, at, key)
			if err != nil {
				return nil, err
			}
			lines = append(lines, l)
		}
		return lines, nil
	})
}

// Replace makes these the only keys that lines name for this host by its own name. Lines with
// wildcards stay. The errors are those of Add, without ErrExists.
func (k *KnownHosts) Replace(address string, keys ...ssh.PublicKey) error {
	return k.edit("replace", address, keys, func(lines []line, at host) ([]line, error) {
		lines, _ = without(lines, at)
		for _, key := range keys {
			l, err := k.newLine(len(lines)+1, at, key)
			if err != nil {
				return nil, err
			}
			lines = append(lines, l)
		}
		return lines, nil
	})
}

// Remove forgets the keys that lines name for this host by its own name; other names of the same
// line stay. The error is trustkeep.ErrNotFound if there is none.
func (k *KnownHosts) Remove(address string) error {
	return k.edit("remove", address, nil, func(lines []line, at host) ([]line, error) {
		lines, found := without(lines, at)
		if !found {
			return nil, &trustkeep.Error{Op: "sshctx: remove", Alias: at.String(), Err: trustkeep.ErrNotFound}
		}
		return lines, nil
	})
}

// AddAuthority trusts host certificates by a key, for the hosts that the patterns name: names
// with "*" and "?", "!" before those that are excepted, and "[name]:port" for ports other than
// 22. An authority for "*" is one for every host. Errors are those of Add.
func (k *KnownHosts) AddAuthority(hosts string, key ssh.PublicKey) error {
	return k.addMarked("add authority", authority, hosts, key)
}

// Revoke refuses a key and all certificates by it, whatever else is known about it.
func (k *KnownHosts) Revoke(key ssh.PublicKey) error { return k.addMarked("revoke", revoked, "*", key) }

func (k *KnownHosts) addMarked(op string, m marker, hosts string, key ssh.PublicKey) error {
	p, err := parsePatterns(hosts)
	if err != nil || strings.ContainsAny(hosts, " \t\r\n#\x00") || p.hash != nil || len(hosts) > maxLine/2 {
		return &trustkeep.Error{Op: "sshctx: " + op, Alias: hosts, Err: trustkeep.ErrInvalid, Hint: "want patterns of host names with commas between"}
	}
	if err := checkAddable(op, key); err != nil {
		return err
	}
	return k.change(func(lines []line) ([]line, error) {
		if slices.ContainsFunc(lines, func(l line) bool {
			return l.key != nil && l.marker == m && samePublicKey(l.key, key) && (m == revoked || slices.Equal(l.patterns.list, p.list))
		}) {
			return lines, nil
		}
		if m == authority && newHosts(lines, nil).revocation(key) != nil {
			return nil, &trustkeep.Error{Op: "sshctx: " + op, Err: trustkeep.ErrRevoked, Hint: describe(key)}
		}
		return append(lines, parseLine(string(m)+" "+hosts+" "+keyText(key), "", len(lines)+1)), nil
	})
}

// names reports whether the line makes a plain key known for a host by its own name.
func (l line) names(at host) bool {
	return l.key != nil && l.marker == plainKey && l.patterns.exact(at) && l.patterns.match(at)
}

// without removes a host's name from the lines of plain keys.
func without(lines []line, at host) (rest []line, found bool) {
	for _, l := range lines {
		if !l.names(at) {
			rest = append(rest, l)
			continue
		}
		found = true
		var keep []string
		for _, p := range l.patterns.list {
			if !p.negate && p.text != at.String() {
				keep = append(keep, p.text)
			}
		}
		if len(keep) == 0 {
			continue
		}
		// Negations are kept too, so that no name is added to what the line is about.
		for _, p := range l.patterns.list {
			if p.negate {
				keep = append(keep, "!"+p.text)
			}
		}
		_, fields := cutField(strings.Trim(l.text, " \t\r"))
		rest = append(rest, parseLine(strings.Join(keep, ",")+" "+fields, l.file, l.number))
	}
	return rest, found
}

func (k *KnownHosts) edit(op, address string, keys []ssh.PublicKey, do func([]line, host) ([]line, error)) error {
	if k == nil {
		return &trustkeep.Error{Op: "sshctx: " + op, Err: trustkeep.ErrInvalid, Hint: "nil *KnownHosts; was the error of loading it checked?"}
	}
	at, err := parseHost(address)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := checkAddable(op, key); err != nil {
			return err
		}
	}
	return k.change(func(lines []line) ([]line, error) {
		for _, key := range keys {
			if l := newHosts(lines, nil).revocation(key); l != nil {
				return nil, &trustkeep.Error{Op: "sshctx: " + op, Alias: at.String(), Err: trustkeep.ErrRevoked, Hint: l.place() + " revokes it"}
			}
		}
		return do(lines, at)
	})
}

func checkAddable(op string, key ssh.PublicKey) error {
	_, certificate := key.(*ssh.Certificate)
	if given.IsNil(key) || certificate {
		return &trustkeep.Error{Op: "sshctx: " + op, Err: trustkeep.ErrInvalid, Hint: "want a plain key; for a certificate, add its authority"}
	}
	return nil
}

// change makes a new state out of a copy of the lines.
func (k *KnownHosts) change(do func([]line) ([]line, error)) error {
	release, err := k.turns.Take()
	if err != nil {
		return err
	}
	defer release()
	s := k.current()
	lines, err := do(slices.Clone(s.hosts.lines))
	if err != nil {
		return err
	}
	k.state.Store(&knownState{newHosts(lines, nil), s.origin})
	return nil
}

func (k *KnownHosts) newLine(number int, at host, key ssh.PublicKey) (line, error) {
	name := at.String()
	if k.o.HashNames {
		source := k.o.Rand
		if source == nil {
			source = rand.Reader
		}
		var err error
		if name, err = hashName(at, source); err != nil {
			return line{}, err
		}
	}
	return parseLine(name+" "+keyText(key), "", number), nil
}

// keyText spells a key as "type base64".
func keyText(key ssh.PublicKey) string {
	return key.Type() + " " + base64.StdEncoding.EncodeToString(key.Marshal())
}

// Encode returns the file, with the lines that are not understood as they were.
func (k *KnownHosts) Encode(o trustkeep.SaveOptions) ([]byte, error) {
	if _, err := k.Snapshot(); err != nil {
		return nil, err
	}
	return k.encode(k.current(), o)
}

func (k *KnownHosts) encode(s *knownState, o trustkeep.SaveOptions) ([]byte, error) {
	if o.Format != "" || o.Profile != "" || o.Password != nil {
		return nil, &trustkeep.Error{Op: "sshctx: encode", Err: trustkeep.ErrInvalid, Hint: "known_hosts has no other format, no algorithms and no password"}
	}
	var b strings.Builder
	for _, l := range s.hosts.lines {
		b.WriteString(l.text)
		b.WriteByte('\n')
	}
	encoded := []byte(b.String())
	return encoded, storefile.Check(o, &entry.Store{Format: knownHostsFormat}, encoded, nil, nil)
}

// Save replaces the file at path, as a whole or not at all. The error is trustkeep.ErrConflict
// if it is the file that this was loaded from and somebody else has changed it since: use
// UpdateKnownHosts where several writers share a file. An error that wraps
// context.DeadlineExceeded means that another process holds the lock of the folder.
func (k *KnownHosts) Save(path string, o trustkeep.SaveOptions) error {
	if _, err := k.Snapshot(); err != nil {
		return err
	}
	release, err := k.turns.Take()
	if err != nil {
		return err
	}
	defer release()
	o = k.turns.Checking(o)
	s := k.current()
	encoded, err := k.encode(s, o)
	if err != nil {
		return err
	}
	origin, err := storefile.Save(path, s.origin, encoded, storefile.Options{Mode: o.Mode, MaxSize: k.o.Limits.MaxSize})
	if err != nil {
		e := &trustkeep.Error{Op: "sshctx: save", Path: path, Format: knownHostsFormat, Err: err}
		if errors.Is(err, trustkeep.ErrConflict) {
			e.Hint = "load it again, or use sshctx.UpdateKnownHosts"
		}
		return e
	}
	k.state.Store(&knownState{s.hosts, origin})
	return nil
}

// UpdateKnownHosts loads the file at path, or starts an empty one where there is none, lets
// change work on it and saves it, while other callers wait, for 10 seconds at most. If change
// fails, the file stays as it was.
func UpdateKnownHosts(path string, o trustkeep.SaveOptions, change func(*KnownHosts) error) error {
	return Options{}.UpdateKnownHosts(path, o, change)
}

// UpdateKnownHosts is the function UpdateKnownHosts with these options.
func (o Options) UpdateKnownHosts(path string, save trustkeep.SaveOptions, change func(*KnownHosts) error) error {
	return o.kind().Update(path, nil, save, change)
}
