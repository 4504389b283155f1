package pkcs12

import (
	"bytes"
	"errors"
	"fmt"
	"hash/maphash"
	"slices"
	"strconv"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// bags collects what the safes hold, in file order.
type bags struct {
	entries []*entry.Entry
	badName []*entry.Entry // those with a friendlyName that is no text
	keys    pbe.Params     // of the first shrouded key
}

func (b *bags) add(e *entry.Entry, from *safeBag) {
	b.entries = append(b.entries, e)
	if from.attributes.badName {
		b.badName = append(b.badName, e)
	}
}

// opaqueSafe stands before the ContentInfo of a safe in Entry.Raw, where a SafeBag
// stands as it is: the identifier in it could be anything in both.
const opaqueSafe = 0

// addOpaque adds a SafeBag, or the ContentInfo of a safe behind opaqueSafe, that is
// not understood.
func (b *bags) addOpaque(raw []byte, err error) *entry.Entry {
	e := &entry.Entry{Kind: entry.Opaque, Unnamed: true, Raw: raw, Err: fmt.Errorf("pkcs12: %w", err)}
	b.entries = append(b.entries, e)
	return e
}

func (b *bags) append(more *bags) {
	if b.keys == (pbe.Params{}) {
		b.keys = more.keys
	}
	b.entries = append(b.entries, more.entries...)
	b.badName = append(b.badName, more.badName...)
}

// assemble pairs and names the entries. password opens keys that nothing but
// their public keys links to a certificate.
func (b *bags) assemble(password []byte, spend limits.Spender) (*entry.Store, error) {
	numberUnnamed(b.entries)
	var keys, certs, others []*entry.Entry
	for _, e := range b.entries {
		switch {
		case e.Kind == entry.Key:
			keys = append(keys, e)
		case len(e.Chain) > 0:
			certs = append(certs, e)
		default:
			others = append(others, e)
		}
	}
	certs, named := collapse(certs)
	if err := learnPublicKeys(entry.ToBeOpened(keys, certs), password, spend); err != nil {
		return nil, err
	}
	s := &entry.Store{Format: entry.PKCS12}
	s.Entries = append(entry.Assemble(keys, certs), others...)
	nameChains(keys, named)
	for _, k := range keys {
		// The usual case: the leaf has the name of the key. It follows the
		// key from now on.
		if len(k.Chain) > 0 && k.Chain[0].Label == k.Alias {
			k.Chain[0].Label = ""
		}
	}
	nameRest(s.Entries)
	s.Findings = renameDuplicates(s.Entries)
	for _, k := range keys {
		if len(k.Chain) == 0 {
			s.Findings = append(s.Findings, entry.Finding{
				Alias: k.Alias, Code: "key-without-certificate", Text: "no certificate in the store was found to belong to this key",
			})
		}
	}
	for _, e := range b.badName {
		s.Findings = append(s.Findings, entry.Finding{
			Alias: e.Alias, Code: "invalid-name", Text: "the friendlyName is not a BMPString with text and was not used",
		})
	}
	return s, nil
}

// learnPublicKeys opens keys for their public halves, on the cores there are. One
// that the password does not open does without. That the budget does not allow for
// it is an error: without, keys would lose their certificates in silence.
func learnPublicKeys(keys []*entry.Entry, password []byte, spend limits.Spender) error {
	errs := make([]error, len(keys))
	entry.Parallel(len(keys), func(i int) {
		plain, err := keys[i].Key.Unlock(password, spend)
		if err == nil {
			keys[i].Key.PublicKeyInfo, err = pkcs8.PublicKeyInfo(plain, spend)
		}
		errs[i] = err
		clear(plain)
	})
	for _, err := range errs {
		if errors.Is(err, trustkeep.ErrLimit) {
			return fmt.Errorf("%d keys without local key ID, to be opened to find their certificates: %w", len(keys), err)
		}
	}
	return nil
}

// numberUnnamed names entries as the JDK does: those which are entries for it
// as well.
func numberUnnamed(entries []*entry.Entry) {
	n := 0
	for _, e := range entries {
		if e.Unnamed && (e.Key != nil || e.Marked) {
			n++
			e.Alias = strconv.Itoa(n)
		}
	}
}

func nameRest(entries []*entry.Entry) {
	unnamed := false
	for _, e := range entries {
		unnamed = unnamed || e.Unnamed
		if e.Alias != "" {
			continue
		}
		if len(e.Chain) > 0 {
			e.Alias = entry.NameFor(e.Chain[0])
		} else {
			e.Alias = entry.ShortFingerprint(e.Raw)
		}
	}
	if unnamed {
		entry.Deduplicate(entries)
	}
}

// renameDuplicates appends " (2)" and so on to aliases of the file that fold
// equal to an earlier one.
func renameDuplicates(entries []*entry.Entry) []entry.Finding {
	var findings []entry.Finding
	taken := make(map[string]int, len(entries)) // next number to try
	for _, e := range entries {
		taken[entry.Fold(e.Alias)] = 0
	}
	for _, e := range entries {
		folded := entry.Fold(e.Alias)
		if taken[folded] == 0 {
			taken[folded] = 2
			continue
		}
		n := taken[folded]
		var alias string
		for {
			alias = e.Alias + " (" + strconv.Itoa(n) + ")"
			n++
			if _, ok := taken[entry.Fold(alias)]; !ok {
				break
			}
		}
		taken[folded] = n
		taken[entry.Fold(alias)] = 2
		findings = append(findings, entry.Finding{
			Alias: alias, Code: "duplicate-alias",
			Text: fmt.Sprintf("the store has several entries of the name %q, which Java would lose", trustkeep.Printable(e.Alias)),
		})
		e.Alias = alias
	}
	return findings
}

// collapse drops repetitions of a certificate that add nothing: writers repeat
// a CA for each key. One with another local key ID belongs to another key, and
// one that is marked as trusted is an entry of its own. named are the repetitions
// whose name is of no other copy: the JDK names a CA by its subject in a chain, and by
// its alias where it is trusted as well.
func collapse(certs []*entry.Entry) (out []*entry.Entry, named []repetition) {
	if !slices.ContainsFunc(certs, func(e *entry.Entry) bool { return !e.Marked }) {
		return certs, nil
	}
	seen := copies{
		seed: maphash.MakeSeed(), first: make(map[uint64]*entry.Entry, len(certs)), names: make(map[certificateName]bool),
	}
	for _, e := range certs {
		if e.Marked {
			seen.note(e)
		}
	}
	for _, e := range certs {
		if e.Marked {
			out = append(out, e)
			continue
		}
		have := seen.repeated(e)
		switch {
		case have == nil:
			out = append(out, e)
		case e.Alias == "" || seen.names[certificateName{have, e.Alias}]:
			continue
		case !have.Marked && have.Alias == "":
			have.Alias, have.Unnamed = e.Alias, false
		default:
			named = append(named, repetition{e, have})
		}
		seen.note(e)
	}
	return out, named
}

// repetition is a certificate that was there before under another name.
type repetition struct{ entry, first *entry.Entry }

// nameChains gives the certificates of chains that are also trusted entries of their own
// the names that they have as parts of a chain. Any further name is kept with the first copy.
func nameChains(keys []*entry.Entry, named []repetition) {
	if len(named) == 0 {
		return
	}
	inChain := make(map[*entry.Certificate]*entry.Entry) // by the trusted one
	for _, n := range named {
		if c := n.first.Chain[0]; n.first.Marked && inChain[c] == nil {
			inChain[c] = n.entry
		}
	}
	used := make(map[*entry.Entry]bool)
	for _, k := range keys {
		for i, c := range k.Chain {
			if e := inChain[c]; e != nil {
				used[e] = true
				k.Chain[i] = e.Chain[0]
				k.Chain[i].Label, k.Chain[i].Attributes, k.Chain[i].LocalKeyID = e.Alias, e.Attributes, e.LocalKeyID
			}
		}
	}
	for _, n := range named {
		if !used[n.entry] {
			n.first.Chain[0].OtherLabels = append(n.first.Chain[0].OtherLabels, n.entry.Alias)
		}
	}
}

// copies finds certificates that were there before, alone and together with
// their local key ID. Two that share a hash by chance are taken for different.
type copies struct {
	seed  maphash.Seed
	first map[uint64]*entry.Entry
	names map[certificateName]bool
}

// certificateName is a name of a certificate, which its first copy stands for.
type certificateName struct {
	first *entry.Entry
	name  string
}

func (c *copies) note(e *entry.Entry) {
	for _, withID := range []bool{false, true} {
		h := c.hash(e, withID)
		if c.first[h] == nil {
			c.first[h] = e
		}
		if e.Alias != "" {
			c.names[certificateName{c.first[h], e.Alias}] = true
		}
	}
}

// repeated returns the first copy of e, or nil.
func (c *copies) repeated(e *entry.Entry) *entry.Entry {
	have := c.first[c.hash(e, len(e.LocalKeyID) > 0)]
	if have != nil && bytes.Equal(have.Chain[0].Raw, e.Chain[0].Raw) &&
		(len(e.LocalKeyID) == 0 || bytes.Equal(have.LocalKeyID, e.LocalKeyID)) {
		return have
	}
	return nil
}

func (c *copies) hash(e *entry.Entry, withID bool) uint64 {
	var h maphash.Hash
	h.SetSeed(c.seed)
	h.Write(e.Chain[0].Raw)
	if withID {
		h.Write(e.LocalKeyID)
	}
	return h.Sum64()
}
