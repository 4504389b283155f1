package jks

import (
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
)

// Fewest bytes that an entry and a certificate take, by which counts are
// checked: a trusted entry of version 1 with an empty alias and certificate is
// tag, alias length, date and certificate length.
const (
	minEntry       = 4 + 2 + 8 + 4
	minCertificate = 4
)

// decoder reads the entries of one store.
type decoder struct {
	*javaio.Reader
	format  entry.Format
	version uint32
	budget  *limits.Budget
	aliases map[string]struct{} // folded
	source  Source
}

// readStore reads everything but the digest.
func readStore(body []byte, budget *limits.Budget) (*entry.Store, error) {
	s, rest, err := readEntries(body, budget)
	if err == nil && rest > 0 {
		err = fmt.Errorf("%d bytes after the last entry: %w", rest, trustkeep.ErrCorrupt)
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

// readEntries reads a store as far as its last entry. rest is how many bytes follow.
func readEntries(body []byte, budget *limits.Budget) (s *entry.Store, rest int, err error) {
	d := &decoder{Reader: javaio.NewReader(body), budget: budget}
	if s, err = d.store(); err != nil {
		return nil, 0, err
	}
	return s, d.Len(), nil
}

func (d *decoder) store() (*entry.Store, error) {
	switch magic := d.Uint32(); magic {
	case magicJKS:
		d.format = entry.JKS
	case magicJCEKS:
		d.format = entry.JCEKS
	default:
		return nil, fmt.Errorf("magic number %08x: %w", magic, trustkeep.ErrCorrupt)
	}
	d.version = d.Uint32()
	if d.version != 1 && d.version != 2 {
		return nil, fmt.Errorf("%s version %d: %w", d.format, d.version, trustkeep.ErrUnsupported)
	}
	count := d.Count(minEntry)
	if d.Err() != nil {
		return nil, d.Err()
	}
	if err := d.budget.Entries(count); err != nil {
		return nil, err
	}
	d.aliases = make(map[string]struct{}, count)
	s := &entry.Store{Format: d.format, Entries: make([]*entry.Entry, 0, count)}
	for i := range count {
		e, err := d.entry()
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", i+1, err)
		}
		s.Entries = append(s.Entries, e)
	}
	s.Source = d.source
	return s, nil
}

func (d *decoder) entry() (*entry.Entry, error) {
	tag := d.Uint32()
	e := &entry.Entry{Alias: d.UTF(), Created: time.UnixMilli(d.Int64()).UTC()}
	if d.Err() != nil {
		return nil, d.Err()
	}
	if err := d.register(e.Alias); err != nil {
		return nil, err
	}
	var err error
	switch {
	case tag == tagKey:
		err = d.key(e)
	case tag == tagTrusted:
		e.Kind = entry.Trusted
		e.Marked = true
		e.Chain = []*entry.Certificate{d.certificate()}
	case tag == tagSecret && d.format == entry.JCEKS:
		err = d.secret(e)
	default:
		// Entries carry no length, so there is no way past it.
		err = fmt.Errorf("type %d: %w", tag, trustkeep.ErrCorrupt)
	}
	if err == nil {
		err = d.Err()
	}
	if err != nil {
		return nil, fmt.Errorf("alias %q: %w", trustkeep.Printable(e.Alias), err)
	}
	return e, nil
}

// register refuses a second alias that Java would look up as the first.
func (d *decoder) register(alias string) error {
	folded := fold(alias)
	if _, taken := d.aliases[folded]; taken {
		return fmt.Errorf("alias %q, in this or another case: %w: %w", trustkeep.Printable(alias), trustkeep.ErrExists, trustkeep.ErrCorrupt)
	}
	d.aliases[folded] = struct{}{}
	if folded != alias {
		d.source.CaseExact = true
	}
	return nil
}

// fold is entry.Fold for aliases that are text. One with half a surrogate pair
// in it names nothing but itself.
func fold(alias string) string {
	if !utf8.ValidString(alias) {
		return alias
	}
	return entry.Fold(alias)
}

func (d *decoder) key(e *entry.Entry) error {
	e.Kind = entry.Key
	e.Key = newPrivateKey(d.Block())
	n := d.Count(minCertificate)
	if d.Err() != nil {
		return d.Err()
	}
	if err := d.budget.Entries(n); err != nil {
		return err
	}
	e.Chain = make([]*entry.Certificate, 0, n)
	for range n {
		e.Chain = append(e.Chain, d.certificate())
	}
	return nil
}

func (d *decoder) certificate() *entry.Certificate {
	certType := x509Type
	if d.version > 1 {
		certType = d.UTF()
	}
	c := entry.NewCertificate(d.Block())
	c.Type = certType
	return c
}
