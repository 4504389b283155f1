package truststore

import (
	"bytes"
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// The file beside a store holds the certificates whose scopes the store's format cannot
// hold, with the scopes. The store itself does not hold them, so that whoever reads it alone
// does not trust them without bounds: if the file is missing, they are not trusted. What is
// damaged or changed without the password makes loading fail.

// scopesSuffix is what the path of a store has more for the file beside it.
const scopesSuffix = ".scopes"

// besideStart begins every such file.
const besideStart = `{"trustkeep":"scopes",`

// besideFile is the content of the file. Content is authenticated as it is spelled.
type besideFile struct {
	Kind    string          `json:"trustkeep"` // "scopes"
	Version int             `json:"version"`
	Salt    []byte          `json:"salt,omitempty"`
	MAC     []byte          `json:"mac,omitempty"`
	Content json.RawMessage `json:"content"`
}

type besideContent struct {
	Certificates []besideEntry `json:"certificates"`
}

type besideEntry struct {
	Alias         string     `json:"alias"`
	Certificate   []byte     `json:"certificate"`
	Created       *time.Time `json:"created,omitempty"`
	Names         []string   `json:"names,omitempty"`
	TrustDomains  []string   `json:"trustDomains,omitempty"`
	Purposes      []string   `json:"purposes,omitempty"`
	Until         *time.Time `json:"until,omitempty"`
	DistrustAfter *time.Time `json:"distrustAfter,omitempty"`
}

// besideIterations of PBKDF2 take some tens of milliseconds. They are not stated in the file, which
// nobody can make expensive that way.
const besideIterations = 100_000

// maxBeside bounds the file: thousands of certificates.
const maxBeside = 16 << 20

func besideMAC(content, salt []byte, password *redact.Secret) ([]byte, error) {
	key, err := pbkdf2.Key(sha256.New, string(password.Bytes()), salt, besideIterations, sha256.Size)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("trustkeep scopes 1\n"))
	mac.Write(content)
	return mac.Sum(nil), nil
}

// splitScopes takes out what the format cannot hold.
func splitScopes(entries []*entry.Entry, scopes map[string]Scope, format trustkeep.Format) (rest []*entry.Entry, beside []besideEntry) {
	for _, e := range entries {
		c := trusted(e)
		scope, ok := scopes[entry.Fold(e.Alias)]
		if c == nil || !ok {
			rest = append(rest, e)
			continue
		}
		if format == trustkeep.PEM {
			if _, holds := scope.settings(); holds {
				rest = append(rest, e)
				continue
			}
		}
		b := besideEntry{Alias: e.Alias, Certificate: c.Raw, Names: scope.Names, TrustDomains: scope.TrustDomains}
		b.Created, b.Until, b.DistrustAfter = unlessZero(e.Created), unlessZero(scope.Until), unlessZero(scope.DistrustAfter)
		for _, p := range scope.Purposes {
			b.Purposes = append(b.Purposes, p.String())
		}
		beside = append(beside, b)
	}
	return rest, beside
}

func unlessZero(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// encodeBeside makes the content of the file; nil for no entries.
func encodeBeside(entries []besideEntry, password *redact.Secret, random io.Reader) ([]byte, error) {
	if len(entries) == 0 {
		return nil, nil
	}
	content, err := json.Marshal(besideContent{entries})
	if err != nil {
		return nil, err
	}
	f := besideFile{Kind: "scopes", Version: 1, Content: content}
	if password != nil {
		if random == nil {
			random = rand.Reader
		}
		f.Salt = make([]byte, 16)
		if _, err := io.ReadFull(random, f.Salt); err != nil {
			return nil, err
		}
		if f.MAC, err = besideMAC(content, f.Salt, password); err != nil {
			return nil, err
		}
	}
	return json.Marshal(f)
}

// decodeBeside reads the file. Without a MAC it counts only where nothing vouches for the store
// either, or where that is allowed.
func decodeBeside(data []byte, password *redact.Secret, unauthenticated bool) ([]besideEntry, error) {
	corrupt := func(why string) error {
		return fmt.Errorf("the file of scopes beside the store (%s): %s: %w", scopesSuffix, why, trustkeep.ErrCorrupt)
	}
	var f besideFile
	if !bytes.HasPrefix(data, []byte(besideStart)) || strictJSON(data, &f) != nil || f.Kind != "scopes" {
		return nil, corrupt("it is none")
	}
	if f.Version != 1 {
		return nil, fmt.Errorf("the file of scopes beside the store (%s): version %d: %w", scopesSuffix, f.Version, trustkeep.ErrUnsupported)
	}
	switch {
	case f.MAC == nil && password != nil && !unauthenticated:
		return nil, corrupt("it has no MAC, although there is a password")
	case f.MAC != nil && (password == nil || len(f.Salt) != 16):
		return nil, fmt.Errorf("the file of scopes beside the store (%s) takes the password: %w", scopesSuffix, trustkeep.ErrIncorrectPassword)
	case f.MAC != nil:
		sum, err := besideMAC(f.Content, f.Salt, password)
		if err != nil {
			return nil, err
		}
		if !hmac.Equal(sum, f.MAC) {
			return nil, fmt.Errorf("the file of scopes beside the store (%s) was changed, or belongs to another password: %w", scopesSuffix, trustkeep.ErrIncorrectPassword)
		}
	}
	var content besideContent
	if strictJSON(f.Content, &content) != nil {
		return nil, corrupt("its content cannot be read")
	}
	return content.Certificates, nil
}

func strictJSON(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return err
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more behind the end")
	}
	return nil
}

// scope of an entry; ok is false for one that bounds nothing or says what is not known.
func (b besideEntry) scope() (s Scope, ok bool) {
	s = Scope{Names: b.Names, TrustDomains: b.TrustDomains}
	for _, name := range b.Purposes {
		i := slices.IndexFunc([]Purpose{Server, Client, Email, Any}, func(p Purpose) bool { return p.String() == name })
		if i < 0 {
			return s, false
		}
		s.Purposes = append(s.Purposes, Purpose(i))
	}
	if b.Until != nil {
		s.Until = *b.Until
	}
	if b.DistrustAfter != nil {
		s.DistrustAfter = *b.DistrustAfter
	}
	return s, !s.zero()
}

// addBeside takes over what the file beside the store holds. A certificate that the store has
// too, under the same alias, is bounded: the store is older than the file.
func (s *state) addBeside(entries []besideEntry) (*state, error) {
	b := newEditor(s)
	b.scopes = cloneScopes(b.scopes)
	seen := make(map[string]bool, len(entries))
	for _, e := range entries {
		wrong := func(why string) error {
			return fmt.Errorf("the file of scopes beside the store (%s), alias %q: %s: %w", scopesSuffix, trustkeep.Printable(e.Alias), why, trustkeep.ErrCorrupt)
		}
		scope, ok := e.scope()
		if !ok {
			return nil, wrong("no scope")
		}
		c, err := x509.ParseCertificate(e.Certificate)
		if err != nil || e.Alias == "" {
			return nil, wrong("no certificate")
		}
		if seen[e.Alias] {
			return nil, wrong("twice")
		}
		seen[e.Alias] = true
		switch old := s.find(e.Alias); {
		case old != nil && holds(old, c): // older than the file
		case old != nil && old.Alias == e.Alias:
			return nil, wrong("the store has another entry of that name")
		default:
			var created time.Time
			if e.Created != nil {
				created = *e.Created
			}
			b.add(e.Alias, c, created)
		}
		b.scopes[entry.Fold(e.Alias)] = scope
	}
	next := b.state(s.snapshot.generation)
	next.origin.beside = entries
	return next, nil
}

// readBeside returns the content of the file beside a store, nil where there is none.
func readBeside(path string, maxSize int64) ([]byte, error) {
	if maxSize == 0 || maxSize > maxBeside {
		maxSize = maxBeside
	}
	data, err := storefile.ReadRegular(storefile.BesidePath(path, scopesSuffix), maxSize)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err == nil && data == nil {
		data = []byte{}
	}
	return data, err
}

// openBeside is open with what the file beside the store holds.
func (o Options) openBeside(in storefile.Input, beside []byte) (*Truststore, error) {
	t, err := o.open(in) // which wipes the password if it fails
	if err != nil || beside == nil {
		return t, err
	}
	s := t.current()
	entries, err := decodeBeside(beside, in.Password, o.AllowUnauthenticated || !s.origin.authenticated)
	if err == nil {
		s, err = s.addBeside(entries)
	}
	if err != nil {
		in.Password.Wipe()
		return nil, &trustkeep.Error{Op: in.Op, Path: in.Path, Err: err, Hint: "without the file, the certificates in it are not trusted"}
	}
	s.origin.besideSum = sha256.Sum256(beside)
	t.state.Store(s)
	return t, nil
}

// fillBeside makes what is written before and after the store.
func fillBeside(b *storefile.Beside, before, after []besideEntry, password *redact.Secret, random io.Reader) (err error) {
	// Until the store is replaced, what was bounded stays so.
	union := slices.Clone(after)
	for _, e := range before {
		if !slices.ContainsFunc(union, func(a besideEntry) bool { return entry.Fold(a.Alias) == entry.Fold(e.Alias) }) {
			union = append(union, e)
		}
	}
	b.Suffix, b.Ours = scopesSuffix, []byte(besideStart)
	if b.After, err = encodeBeside(after, password, random); err != nil {
		return err
	}
	if b.Before = b.After; len(union) > len(after) {
		b.Before, err = encodeBeside(union, password, random)
	}
	return err
}
