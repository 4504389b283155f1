package pgp

import (
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// Merge adds to the key what another copy of it has: newer self-signatures,
// subkeys, user IDs, certifications and revocations. Nothing is taken away, and
// of several self-signatures the newest valid one counts, so merging an old
// copy into a new one is harmless. If only the other is private, so is the
// result. A private key does not take over subkeys of which only the public
// part is known.
//
// The error wraps ErrKeyMismatch when other is a different key, ErrInvalid when
// it is nil.
func (k *Key) Merge(other *Key) (*Key, error) {
	if err := noNil("Merge", []*Key{other}); err != nil {
		return nil, err
	}
	if k.Fingerprint() != other.Fingerprint() {
		return nil, fail(trustkeep.ErrKeyMismatch, "key %s is not key %s", other.Fingerprint(), k.Fingerprint())
	}
	ed := &edit{key: k, packets: slices.Clone(k.state().packets)}
	if !k.state().secret && other.state().secret {
		// A private key may not come with public subkeys: start from the other.
		k, other = other, k
		ed = &edit{key: k, packets: slices.Clone(k.state().packets)}
	}
	for i := 0; i < len(other.state().packets); {
		end := endOfComponent(other.state().packets, i)
		head, sigs := other.state().packets[i], other.state().packets[i+1:end]
		at := slices.IndexFunc(ed.packets, func(p grammar.Raw) bool { return sameComponent(p, head) })
		switch {
		case at < 0 && head.Tag == grammar.TagSignature: // a stray one at the start
		case at < 0 && k.state().secret && head.Tag == grammar.TagPublicSub:
			// GnuPG does not import a private key with public subkeys.
		case at < 0 && !k.state().secret && head.Tag == grammar.TagSecretSub:
			if public, ok := publicPart(head); ok {
				ed.packets = append(append(ed.packets, public), sigs...)
			}
		case at < 0 && isSubkeyPacket(head):
			ed.packets = append(append(ed.packets, head), sigs...)
		case at < 0: // user IDs and attributes stand before the subkeys
			before := slices.IndexFunc(ed.packets, isSubkeyPacket)
			if before < 0 {
				before = len(ed.packets)
			}
			ed.packets = slices.Insert(ed.packets, before, other.state().packets[i:end]...)
		default:
			for _, s := range sigs {
				ed.insert(at, s)
			}
		}
		i = end
	}
	return ed.done()
}

// insert puts a signature behind the others of the component at index i,
// unless it is there already.
func (ed *edit) insert(i int, s grammar.Raw) {
	end := endOfComponent(ed.packets, i)
	if slices.ContainsFunc(ed.packets[i:end], func(p grammar.Raw) bool { return string(p.Body) == string(s.Body) && p.Tag == s.Tag }) {
		return
	}
	ed.packets = slices.Insert(ed.packets, end, s)
}

// sameComponent tells whether two packets stand for the same key, user ID or
// attribute, private or public.
func sameComponent(a, b grammar.Raw) bool {
	key := func(p grammar.Raw) bool { return isPrimary(p) || isSubkeyPacket(p) }
	if key(a) && key(b) {
		fa, ok := fingerprintOf(a)
		fb, ok2 := fingerprintOf(b)
		return ok && ok2 && fa == fb
	}
	return a.Tag == b.Tag && string(a.Body) == string(b.Body)
}
