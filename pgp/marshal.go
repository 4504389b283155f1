package pgp

import (
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/armor"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// Public returns the key without its private parts, wherever they are.
func (k *Key) Public() *Key {
	if !k.state().secret {
		if k.state().elsewhere != nil {
			return k.forget()
		}
		return k
	}
	var packets []grammar.Raw
	drop := false // inside a subkey whose public part cannot be told from its private one
	for _, p := range k.state().packets {
		if p.Tag != grammar.TagSignature {
			drop = false
		}
		if p.Tag == grammar.TagSecretKey || p.Tag == grammar.TagSecretSub {
			public, ok := publicPart(p)
			if !ok {
				drop = true
				continue
			}
			p = public
		}
		if !drop {
			packets = append(packets, p)
		}
	}
	public, err := parseKey(packets)
	if err != nil { // the same key without its secrets
		panic("pgp: key became unreadable: " + err.Error())
	}
	return public
}

// publicPart makes a public-key packet of a secret-key packet.
func publicPart(p grammar.Raw) (grammar.Raw, bool) {
	parsed, err := p.Parsed()
	if err != nil {
		return grammar.Raw{}, false
	}
	pub := parsed.(*packet.PrivateKey).PublicKey
	pub.IsSubkey = p.Tag == grammar.TagSecretSub
	raw, err := grammar.Of(&pub)
	return raw, err == nil
}

// Marshal writes the public part of the key in binary.
func (k *Key) Marshal() []byte { return grammar.Join(k.Public().state().packets) }

// Armor writes the public part of the key as armored text.
func (k *Key) Armor() ([]byte, error) {
	return armor.Encode(armor.BlockPublicKey, k.Marshal(), armor.ChecksumFor(k.Version()))
}

// MarshalPrivate writes the key with its private parts in binary, locked by
// their passphrase. The error wraps ErrRejected when one of them has no
// passphrase (see Lock), ErrNotFound when the key is public.
func (k *Key) MarshalPrivate() ([]byte, error) {
	if !k.state().secret {
		return nil, fail(trustkeep.ErrNotFound, "key %s has no private part", k.Fingerprint())
	}
	e, _ := k.template() // as the packets have it, whatever has been unlocked
	for _, p := range privateKeys(e) {
		if !p.Encrypted {
			return nil, fail(trustkeep.ErrRejected, "key %s has a private part without passphrase", k.Fingerprint())
		}
	}
	return grammar.Join(k.state().packets), nil
}

// ArmorPrivate is MarshalPrivate as armored text.
func (k *Key) ArmorPrivate() ([]byte, error) {
	data, err := k.MarshalPrivate()
	if err != nil {
		return nil, err
	}
	return armor.Encode(armor.BlockPrivateKey, data, armor.ChecksumFor(k.Version()))
}
