package pgp

import (
	"crypto"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/elsewhere"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/selfsig"
)

// edit puts new packets into a key, each where it belongs, and leaves the
// others as they are (RFC 9580 section 10.1: a key is a primary key with its
// signatures, then user IDs with theirs, then subkeys with theirs).
type edit struct {
	key     *Key
	entity  *openpgp.Entity
	config  *packet.Config
	at      time.Time
	packets []grammar.Raw
	// elsewhere are private keys to be added to those of the key.
	elsewhere []*packet.PrivateKey
}

func newEdit(k *Key, e *openpgp.Entity, o Options) *edit {
	at := evaluationTime(e, o)
	pc := o.packetConfig(at)
	pc.V6Keys = k.Version() == 6
	return &edit{key: k, entity: e, config: pc, at: at, packets: slices.Clone(k.state().packets)}
}

// done reads the packets back. Private parts that were open stay open.
func (ed *edit) done() (*Key, error) {
	k, err := parseKey(ed.packets)
	if err != nil {
		return nil, err
	}
	k.state().unlocked, k.state().elsewhere = ed.key.state().unlocked, ed.key.state().elsewhere
	if len(ed.elsewhere) > 0 {
		k.state().elsewhere = withElsewhere(k.state().elsewhere, ed.elsewhere...)
	}
	return k, nil
}

// add signs a signature and puts it behind the others of the first component
// that is accepted.
func (ed *edit) add(s *packet.Signature, sign func(*packet.Signature) error, where func(grammar.Raw) bool) error {
	if err := sign(s); err != nil {
		return classify("sign", err)
	}
	raw, err := grammar.Of(s)
	if err != nil {
		return classify("sign", err)
	}
	i := slices.IndexFunc(ed.packets, where)
	if i < 0 {
		return fail(trustkeep.ErrNotFound, "no place for the signature")
	}
	ed.packets = slices.Insert(ed.packets, endOfComponent(ed.packets, i), raw)
	return nil
}

// endOfComponent returns the index behind the signatures of the component at i.
func endOfComponent(packets []grammar.Raw, i int) int {
	for i++; i < len(packets) && packets[i].Tag == grammar.TagSignature; i++ {
	}
	return i
}

func isPrimary(p grammar.Raw) bool {
	return p.Tag == grammar.TagPublicKey || p.Tag == grammar.TagSecretKey
}

func isSubkeyPacket(p grammar.Raw) bool {
	return p.Tag == grammar.TagPublicSub || p.Tag == grammar.TagSecretSub
}

func isUserID(id string) func(grammar.Raw) bool {
	return func(p grammar.Raw) bool { return p.Tag == grammar.TagUserID && string(p.Body) == id }
}

func isSubkey(s *openpgp.Subkey) func(grammar.Raw) bool {
	return func(p grammar.Raw) bool {
		if !isSubkeyPacket(p) {
			return false
		}
		fp, ok := fingerprintOf(p)
		return ok && fp == string(s.PublicKey.Fingerprint)
	}
}

// fingerprintOf returns the fingerprint of a key packet in binary.
func fingerprintOf(p grammar.Raw) (string, bool) {
	parsed, err := p.Parsed()
	if err != nil {
		return "", false
	}
	switch key := parsed.(type) {
	case *packet.PublicKey:
		return string(key.Fingerprint), true
	case *packet.PrivateKey:
		return string(key.Fingerprint), true
	}
	return "", false
}

// addUserID puts a user ID before the subkeys.
func (ed *edit) addUserID(id string, s *packet.Signature, sign func(*packet.Signature) error) error {
	i := slices.IndexFunc(ed.packets, isSubkeyPacket)
	if i < 0 {
		i = len(ed.packets)
	}
	ed.packets = slices.Insert(ed.packets, i, grammar.New(grammar.TagUserID, []byte(id)))
	return ed.add(s, sign, isUserID(id))
}

// rebind gives a subkey a new binding signature with another expiry.
func (ed *edit) rebind(s *openpgp.Subkey, old *packet.Signature, expires time.Time) error {
	lifetime, err := lifetimeSeconds(s.PublicKey.CreationTime, expires)
	if err != nil {
		return err
	}
	e := ed.entity
	sig, err := selfsig.Renewed(old, e.PrimaryKey, ed.at, ed.config)
	if err != nil {
		return err
	}
	sig.KeyLifetimeSecs = &lifetime
	if sig.FlagSign && secretState(s.PrivateKey) == SecretOpen {
		if err := crossSign(sig, s, e, ed.config); err != nil {
			return err
		}
	}
	sign := func(sig *packet.Signature) error {
		return selfsig.OverSubkey(sig, e.PrimaryKey, s.PublicKey, e.PrivateKey, ed.config)
	}
	return ed.add(sig, sign, isSubkey(s))
}

// crossSign makes the signing subkey confirm that it belongs to the key.
func crossSign(sig *packet.Signature, s *openpgp.Subkey, e *openpgp.Entity, c *packet.Config) error {
	sig.EmbeddedSignature = selfsig.New(s.PublicKey, packet.SigTypePrimaryKeyBinding, sig.CreationTime)
	if err := selfsig.OverSubkey(sig.EmbeddedSignature, e.PrimaryKey, s.PublicKey, s.PrivateKey, c); err != nil {
		return classify("sign", err)
	}
	return nil
}

// addSubkey makes a subkey at the end of the key.
func (ed *edit) addSubkey(o SubkeyOptions, private []crypto.PrivateKey) error {
	if o.Usage != UsageEncrypt && (o.Usage == 0 || o.Usage&^(UsageSign|UsageAuthenticate) != 0) {
		return fail(trustkeep.ErrInvalid, "subkey for %q", o.Usage)
	}
	e := ed.entity
	// Not ed.at: edits in quick succession are each dated a second later, and GnuPG
	// refuses a subkey from the future.
	made := o.Options.now()
	if first := e.PrimaryKey.CreationTime; made.Before(first) {
		made = first
	}
	lifetime, err := lifetimeSeconds(made, o.Expires)
	if err != nil {
		return err
	}
	part, err := ed.newSubkey(o, private, made)
	if err != nil {
		return err
	}
	s := &openpgp.Subkey{Primary: e, PublicKey: &part.PublicKey, PrivateKey: part}
	binding, err := bind(e, s, o.Usage, lifetime, made, ed.config)
	if err != nil {
		return err
	}
	e.Subkeys = append(e.Subkeys, *s)
	raw, err := grammar.Of(binding)
	if err != nil {
		return classify("subkey", err)
	}
	head, err := keyPacket(part)
	if err != nil {
		return classify("subkey", err)
	}
	ed.packets = append(ed.packets, head, raw)
	if len(private) > 0 {
		ed.elsewhere = append(ed.elsewhere, part)
	}
	return nil
}

// newSubkey makes the key material, or takes that which is elsewhere.
func (ed *edit) newSubkey(o SubkeyOptions, private []crypto.PrivateKey, made time.Time) (*packet.PrivateKey, error) {
	if len(private) > 0 {
		if ed.key.state().secret {
			// GnuPG does not import a private key with public subkeys.
			return nil, fail(trustkeep.ErrUnsupported, "a subkey elsewhere for a key whose private parts are here")
		}
		return elsewhere.Private(private[0], made, ed.key.Version() == 6, true, o.Usage == UsageEncrypt)
	}
	if !ed.key.state().secret {
		return nil, fail(trustkeep.ErrUnsupported, "a subkey with a private part here for a key whose private parts are elsewhere")
	}
	algorithm, err := familyOf(ed.entity.PrimaryKey)
	if err != nil {
		return nil, err
	}
	pc := *ed.config
	pc.Time = func() time.Time { return made }
	algorithm.apply(&pc)
	return newSubkeyMaterial(o.Usage, &pc)
}

// newSubkeyMaterial lets go-crypto make a subkey, within a key of its own, cheap, that is
// thrown away: go-crypto binds it at once, and not every primary key is in memory.
func newSubkeyMaterial(u Usage, pc *packet.Config) (*packet.PrivateKey, error) {
	var private *packet.PrivateKey
	err := guard("subkey", func() error {
		cheap := *pc
		family{algorithm: packet.PubKeyAlgoEd25519, v6: pc.V6Keys}.apply(&cheap)
		e, err := openpgp.NewEntity("", "", "", &cheap)
		if err != nil {
			return err
		}
		if u == UsageEncrypt {
			err = e.AddEncryptionSubkey(pc)
		} else {
			err = e.AddSigningSubkey(pc)
		}
		if err == nil {
			private = e.Subkeys[len(e.Subkeys)-1].PrivateKey
		}
		return err
	})
	return private, classify("subkey", err)
}

// keyPacket is the packet of a key: the public one if the private part is elsewhere.
func keyPacket(p *packet.PrivateKey) (grammar.Raw, error) {
	if elsewhere.Is(p) {
		return grammar.Of(&p.PublicKey)
	}
	return grammar.Of(p)
}

// bind makes the signature by which a subkey belongs to its key.
func bind(e *openpgp.Entity, s *openpgp.Subkey, u Usage, lifetime uint32, at time.Time, c *packet.Config) (*packet.Signature, error) {
	sig := selfsig.New(e.PrimaryKey, packet.SigTypeSubkeyBinding, at)
	sig.KeyLifetimeSecs, sig.FlagsValid = &lifetime, true
	sig.FlagEncryptStorage, sig.FlagEncryptCommunications = u&UsageEncrypt != 0, u&UsageEncrypt != 0
	sig.FlagSign, sig.FlagAuthenticate = u&UsageSign != 0, u&UsageAuthenticate != 0
	if sig.FlagSign {
		if err := crossSign(sig, s, e, c); err != nil {
			return nil, err
		}
	}
	return sig, classify("sign", selfsig.OverSubkey(sig, e.PrimaryKey, s.PublicKey, e.PrivateKey, c))
}
