package pgp

import (
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
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
}

func newEdit(k *Key, e *openpgp.Entity, o Options) *edit {
	at := evaluationTime(e, o)
	pc := o.packetConfig(at)
	pc.V6Keys = k.Version() == 6
	return &edit{k, e, pc, at, slices.Clone(k.state().packets)}
}

// done reads the packets back. Private parts that were open stay open.
func (ed *edit) done() (*Key, error) {
	k, err := parseKey(ed.packets)
	if err != nil {
		return nil, err
	}
	k.state().unlocked = ed.key.state().unlocked
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
	sign := func(sig *packet.Signature) error { return sig.SignKey(s.PublicKey, e.PrivateKey, ed.config) }
	return ed.add(sig, sign, isSubkey(s))
}

// crossSign makes the signing subkey confirm that it belongs to the key.
func crossSign(sig *packet.Signature, s *openpgp.Subkey, e *openpgp.Entity, c *packet.Config) error {
	sig.EmbeddedSignature = selfsig.New(s.PublicKey, packet.SigTypePrimaryKeyBinding, sig.CreationTime)
	if err := sig.EmbeddedSignature.CrossSignKey(s.PublicKey, e.PrimaryKey, s.PrivateKey, c); err != nil {
		return classify("sign", err)
	}
	return nil
}

// addSubkey makes a subkey at the end of the key.
func (ed *edit) addSubkey(o SubkeyOptions) error {
	e := ed.entity
	algorithm, err := familyOf(e.PrimaryKey)
	if err != nil {
		return err
	}
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
	algorithm.apply(ed.config)
	ed.config.KeyLifetimeSecs = lifetime
	ed.config.Time = func() time.Time { return made }
	var add func(*packet.Config) error
	switch o.Usage {
	case UsageEncrypt:
		add = e.AddEncryptionSubkey
	case UsageSign:
		add = e.AddSigningSubkey
	default:
		return fail(trustkeep.ErrInvalid, "subkey for %q", o.Usage)
	}
	if err := guard("subkey", func() error { return add(ed.config) }); err != nil {
		return classify("subkey", err)
	}
	s := &e.Subkeys[len(e.Subkeys)-1]
	secret, err := grammar.Of(s.PrivateKey)
	if err != nil {
		return classify("subkey", err)
	}
	binding, err := grammar.Of(s.Bindings[0].Packet)
	if err != nil {
		return classify("subkey", err)
	}
	ed.packets = append(ed.packets, secret, binding)
	return nil
}
