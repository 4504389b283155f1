package pgp

import (
	"bufio"
	"bytes"
	"io"
	"iter"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/storefile"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// Keyring is a list of keys, as a file holds them. It never changes and is
// safe for concurrent use. The zero Keyring is empty; With adds keys to it.
type Keyring struct {
	keys    []*Key
	skipped []Skipped
}

// Skipped is a part of a keyring that could not be read.
type Skipped struct {
	// Offset is where the part starts in the input: at its first packet in
	// binary data, at the line that begins its block in armored data.
	Offset int64
	// Err says what is wrong; it wraps ErrCorrupt, ErrUnsupported or ErrLimit.
	Err error

	raw func() []byte // may hold a private key: see Key.state
}

// UnreadableError is returned for input in which every key is unreadable. It
// wraps the error of the first part.
type UnreadableError struct{ Skipped []Skipped }

func (e *UnreadableError) Error() string { return e.Skipped[0].Err.Error() }

// Unwrap returns the error of the first part.
func (e *UnreadableError) Unwrap() error { return e.Skipped[0].Err }

// Load reads the keys of the file at path. See Options.Parse.
func Load(path string) (*Keyring, error) { return Options{}.Load(path) }

// Read reads keys from r, to its end. See Options.Parse.
func Read(r io.Reader) (*Keyring, error) { return Options{}.Read(r) }

// Parse reads keys. See Options.Parse.
func Parse(data []byte) (*Keyring, error) { return Options{}.Parse(data) }

// Load reads the keys of the file at path. See Parse.
func (o Options) Load(path string) (*Keyring, error) {
	data, err := storefile.ReadFile(path, o.Limits.MaxSize)
	if err != nil {
		return nil, &trustkeep.Error{Op: "pgp: load", Path: path, Err: err}
	}
	ring, err := o.Parse(data)
	if err != nil {
		return nil, &trustkeep.Error{Op: "pgp: load", Path: path, Err: err}
	}
	return ring, nil
}

// Read reads keys from r, to its end. See Parse.
func (o Options) Read(r io.Reader) (*Keyring, error) {
	data, err := storefile.ReadAll(r, o.Limits.MaxSize)
	if err != nil {
		return nil, withPrefix(err)
	}
	return o.Parse(data)
}

// Parse reads keys, public and private: armored, binary or GnuPG's pubring.kbx, told
// apart by content; any number of armored blocks with text between them, any number of
// keys in each. No passphrase is needed; private keys stay locked.
//
// A key that cannot be read never hides the others: it is reported by
// Keyring.Skipped and written back by Keyring.Marshal. The error is for input
// without any readable key: one that wraps ErrEmpty where there is nothing that
// looks like a key, else an *UnreadableError. ErrLimit ends the reading.
//
// The keyring keeps no reference to data.
func (o Options) Parse(data []byte) (*Keyring, error) {
	if err := door(); err != nil {
		return nil, err
	}
	budget := o.budget()
	if err := budget.Size(int64(len(data))); err != nil {
		return nil, withPrefix(err)
	}
	p := parser{ring: new(Keyring), budget: budget}
	var err error
	switch {
	case grammar.IsKeybox(data):
		err = p.keybox(bytes.Clone(data))
	case armor.Is(data):
		err = p.armored(data)
	default:
		err = p.packets(bytes.Clone(data), 0, true)
	}
	if err != nil {
		return nil, withPrefix(err)
	}
	switch {
	case len(p.ring.keys) > 0:
		return p.ring, nil
	case len(p.ring.skipped) > 0:
		return nil, &UnreadableError{p.ring.skipped}
	}
	return nil, fail(trustkeep.ErrEmpty, "no key found")
}

type parser struct {
	ring   *Keyring
	budget *limits.Budget
}

func (p *parser) skip(offset int64, raw []byte, err error) {
	p.ring.skipped = append(p.ring.skipped, Skipped{Offset: offset, Err: err, raw: func() []byte { return raw }})
}

// armored reads the blocks of a file. The error is for the file as a whole.
func (p *parser) armored(data []byte) error {
	d := armor.NewReader(bufio.NewReaderSize(bytes.NewReader(data), 64<<10))
	for {
		kind, start, err := d.Next()
		if err == io.EOF {
			return nil
		}
		if err := p.budget.Entries(1); err != nil {
			return err
		}
		if err != nil {
			p.skip(start, nil, err)
			if d.Ended {
				return nil
			}
			d.Ended = true // look for the next block from here
			continue
		}
		if kind != armor.BlockPublicKey && kind != armor.BlockPrivateKey {
			p.skip(start, nil, fail(trustkeep.ErrUnsupported, "armor block %q holds no keys", trustkeep.Printable(kind)))
			d.Ended = true
			continue
		}
		body, err := io.ReadAll(d)
		// What was decoded before the damage may still be whole keys.
		if perr := p.packets(body, start, false); perr != nil {
			return perr
		}
		if err != nil {
			p.skip(start, nil, err)
			d.Ended = true
		}
	}
}

// keybox reads the keys of GnuPG's pubring.kbx. A damaged record ends the reading,
// since nothing tells where the next one begins; a damaged key does not.
func (p *parser) keybox(data []byte) error {
	for rest := data; len(rest) > 0; {
		offset := int64(len(data) - len(rest))
		keys, start, next, err := grammar.NextKeybox(rest)
		if err := p.budget.Entries(1); err != nil {
			return err
		}
		if err != nil {
			// Not kept: Marshal writes packets, and these may be none.
			p.skip(offset, nil, err)
			if next == nil {
				return nil
			}
		}
		if err := p.packets(keys, offset+int64(start), true); err != nil {
			return err
		}
		rest = next
	}
	return nil
}

// packets reads keys from a stream of packets that it may keep. The offset is
// that of the stream in the input; exact tells whether packets can be located
// in it.
func (p *parser) packets(data []byte, base int64, exact bool) error {
	at := func(offset int) int64 {
		if exact {
			return base + int64(offset)
		}
		return base
	}
	var current []grammar.Raw
	flush := func(end int) {
		if len(current) == 0 {
			return
		}
		first := current[0]
		raw := data[first.Offset:end]
		switch {
		case first.Tag != grammar.TagSecretKey && first.Tag != grammar.TagPublicKey:
			p.skip(at(first.Offset), raw, fail(trustkeep.ErrCorrupt, "packet of type %d outside a key", first.Tag))
		default:
			key, err := parseKey(current)
			if err != nil {
				p.skip(at(first.Offset), raw, err)
				break
			}
			p.ring.keys = append(p.ring.keys, key)
		}
		current = nil
	}
	for offset, rest := 0, data; len(rest) > 0 && (offset == 0 || !grammar.OnlyPadding(rest)); {
		packet, next, err := grammar.Next(rest, offset)
		if err != nil {
			// The key before the damage is whole unless the damage is its own
			// packet: it has lost something either way, and says so.
			flush(offset)
			p.skip(at(offset), rest, err)
			return nil
		}
		if err := p.budget.Entries(1); err != nil {
			return err
		}
		switch packet.Tag {
		case grammar.TagTrust, grammar.TagMarker, grammar.TagPadding:
			// Local notes of other programs, and filler.
		case grammar.TagPublicKey, grammar.TagSecretKey:
			flush(offset)
			current = append(current, packet)
		default:
			current = append(current, packet)
		}
		offset += len(packet.Data)
		rest = next
	}
	flush(len(data))
	return nil
}

// Keys returns the keys in the order of the file.
func (r *Keyring) Keys() []*Key { return slices.Clone(r.keys) }

// All iterates over the keys in the order of the file.
func (r *Keyring) All() iter.Seq[*Key] { return slices.Values(r.keys) }

// Len returns the number of keys.
func (r *Keyring) Len() int { return len(r.keys) }

// Skipped lists the parts that could not be read.
func (r *Keyring) Skipped() []Skipped { return slices.Clone(r.skipped) }

// Key finds a key by the fingerprint of its primary key or of a subkey, in
// hex, with or without spaces. The error wraps ErrNotFound.
func (r *Keyring) Key(fingerprint string) (*Key, error) {
	want := strings.ToLower(strings.ReplaceAll(fingerprint, " ", ""))
	for _, k := range r.keys {
		if k.Fingerprint() == want {
			return k, nil
		}
	}
	for _, k := range r.keys {
		for _, s := range k.Info(Options{}).Subkeys {
			if s.Fingerprint == want {
				return k, nil
			}
		}
	}
	return nil, fail(trustkeep.ErrNotFound, "key %s", trustkeep.Printable(fingerprint))
}

// Find returns the keys that have a user ID with this e-mail address, compared
// without regard to case. Anyone can put any address into a key.
func (r *Keyring) Find(email string) []*Key {
	var found []*Key
	for _, k := range r.keys {
		if slices.ContainsFunc(k.state().packets, func(p grammar.Raw) bool {
			return p.Tag == grammar.TagUserID && strings.EqualFold(addressOf(string(p.Body)), email)
		}) {
			found = append(found, k)
		}
	}
	return found
}

// addressOf returns the e-mail address of a user ID: what stands in angle
// brackets, or the whole.
func addressOf(userID string) string {
	if i := strings.LastIndexByte(userID, '<'); i >= 0 {
		if j := strings.IndexByte(userID[i:], '>'); j > 0 {
			return userID[i+1 : i+j]
		}
	}
	return strings.TrimSpace(userID)
}

// With returns a keyring with more keys. A key that the ring has already is
// merged with it, see Key.Merge. The error wraps ErrInvalid for a nil key.
func (r *Keyring) With(keys ...*Key) (*Keyring, error) {
	if err := noNil("With", keys); err != nil {
		return nil, err
	}
	out := &Keyring{keys: slices.Clone(r.keys), skipped: slices.Clone(r.skipped)}
	for _, k := range keys {
		i := slices.IndexFunc(out.keys, func(o *Key) bool { return o.Fingerprint() == k.Fingerprint() })
		if i < 0 {
			out.keys = append(out.keys, k)
			continue
		}
		merged, err := out.keys[i].Merge(k)
		if err != nil {
			return nil, err
		}
		out.keys[i] = merged
	}
	return out, nil
}

// Public returns the keyring without private parts and unreadable parts.
func (r *Keyring) Public() *Keyring {
	out := new(Keyring)
	for _, k := range r.keys {
		out.keys = append(out.keys, k.Public())
	}
	return out
}

// Marshal writes the keys in binary, private ones locked, followed by the parts
// that could not be read. The error wraps ErrRejected when a private key has no
// passphrase, see Key.MarshalPrivate.
func (r *Keyring) Marshal() ([]byte, error) {
	var out []byte
	for _, k := range r.keys {
		if k.state().secret {
			b, err := k.MarshalPrivate()
			if err != nil {
				return nil, err
			}
			out = append(out, b...)
			continue
		}
		out = append(out, k.Marshal()...)
	}
	for _, s := range r.skipped {
		out = append(out, s.raw()...)
	}
	return out, nil
}

// Armor writes the public parts of the keys as one armored block.
func (r *Keyring) Armor() ([]byte, error) {
	var data []byte
	crc := armor.WithoutChecksum
	for _, k := range r.keys {
		data = append(data, k.Marshal()...)
		crc = crc || armor.ChecksumFor(k.Version()) // a ring of version 6 keys alone goes without
	}
	return armor.Encode(armor.BlockPublicKey, data, crc)
}
