package pgp

import (
	"slices"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// Merge adds to the key what another copy of it has: newer self-signatures,
// subkeys, user IDs, certifications and revocations. Nothing is taken away, and
// of several self-signatures the newest valid one counts, so merging an old
// copy into a new one is harmless. If only the other is private, so is the
// result. A private key does not take over subkeys of which only the public
// part is known. User IDs that the owner has never signed are not taken over.
//
// The error wraps ErrKeyMismatch when other is a different key, ErrInvalid when
// it is nil, ErrLimit when the result would have too many packets to be read again.
func (k *Key) Merge(other *Key) (*Key, error) {
	if err := noNil("Merge", []*Key{other}); err != nil {
		return nil, err
	}
	if k.Fingerprint() != other.Fingerprint() {
		return nil, fail(trustkeep.ErrKeyMismatch, "key %s is not key %s", other.Fingerprint(), k.Fingerprint())
	}
	if !k.state().secret && other.state().secret {
		// A private key may not come with public subkeys: start from the other.
		k, other = other, k
	}
	parts := components(k.state().packets)
	known := make(map[string]*keyPart, len(parts))
	for _, p := range parts {
		known[p.name()] = p
	}
	var users, subkeys []*keyPart
	for _, p := range components(other.state().packets) {
		if have := known[p.name()]; have != nil {
			have.merge(p)
			continue
		}
		switch {
		case p.head.Tag == grammar.TagSignature: // a stray one at the start
		case k.state().secret && p.head.Tag == grammar.TagPublicSub:
			// GnuPG does not import a private key with public subkeys.
		case isSubkeyPacket(p.head):
			if !k.state().secret && p.head.Tag == grammar.TagSecretSub {
				public, ok := publicPart(p.head)
				if !ok {
					continue
				}
				p.head = public
			}
			subkeys = append(subkeys, p)
			known[p.name()] = p
		case other.vouchesFor(p):
			users = append(users, p)
			known[p.name()] = p
		}
	}
	// User IDs and attributes stand before the subkeys.
	at := slices.IndexFunc(parts, func(p *keyPart) bool { return isSubkeyPacket(p.head) })
	if at < 0 {
		at = len(parts)
	}
	parts = append(slices.Insert(parts, at, users...), subkeys...)
	ed := &edit{key: k}
	for _, p := range parts {
		ed.packets = append(append(ed.packets, p.head), p.signatures...)
	}
	return ed.done()
}

// keyPart is a primary key, user ID, attribute or subkey with its signatures.
type keyPart struct {
	head       grammar.Raw
	signatures []grammar.Raw
}

// components splits the packets of a key.
func components(packets []grammar.Raw) []*keyPart {
	var out []*keyPart
	for i := 0; i < len(packets); {
		end := endOfComponent(packets, i)
		out = append(out, &keyPart{packets[i], slices.Clone(packets[i+1 : end])})
		i = end
	}
	return out
}

// name is the same for what stands for the same key, user ID or attribute, private
// or public.
func (p *keyPart) name() string {
	if isPrimary(p.head) || isSubkeyPacket(p.head) {
		if fp, ok := fingerprintOf(p.head); ok {
			return "key " + fp
		}
	}
	return string(rune(p.head.Tag)) + string(p.head.Body)
}

// merge adds the signatures that p has not got.
func (p *keyPart) merge(other *keyPart) {
	have := make(map[string]bool, len(p.signatures))
	for _, s := range p.signatures {
		have[string(s.Body)] = true
	}
	for _, s := range other.signatures {
		if !have[string(s.Body)] {
			have[string(s.Body)] = true
			p.signatures = append(p.signatures, s)
		}
	}
}

// vouchesFor tells whether the owner of the key has ever signed a user ID: anyone can
// put others into a copy. go-crypto does not verify those of attributes (photos):
// there, a signature that claims to be the owner's is enough.
func (k *Key) vouchesFor(p *keyPart) bool {
	if p.head.Tag == grammar.TagUserID {
		e, valid := k.template()
		id := e.Identities[string(p.head.Body)]
		return id != nil && slices.ContainsFunc(slices.Concat(id.SelfCertifications, id.Revocations),
			func(s *packet.VerifiableSignature) bool { return valid[s.Packet] })
	}
	return slices.ContainsFunc(p.signatures, func(s grammar.Raw) bool {
		parsed, err := s.Parsed()
		sig, ok := parsed.(*packet.Signature)
		return err == nil && ok && sig.CheckKeyIdOrFingerprint(k.state().primary)
	})
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
