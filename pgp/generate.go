package pgp

import (
	"crypto"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/elsewhere"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/selfsig"
)

// Preset chooses the algorithms of a new key. Each preset makes a primary key
// that signs and certifies, and a subkey that encrypts. The zero Preset is
// PresetGnuPG22.
type Preset string

// The presets. The first group is version 4 and read by GnuPG 2.2 and all that
// is younger; the second is version 6 of RFC 9580, which GnuPG does not read.
const (
	PresetGnuPG22  Preset = "gnupg22"  // EdDSA and ECDH on Curve25519, in the encoding before RFC 9580
	PresetRSA2048  Preset = "rsa2048"  // for partners whose software takes no more
	PresetRSA3072  Preset = "rsa3072"  // for partners with old software
	PresetRSA4096  Preset = "rsa4096"  // for partners who ask for it
	PresetNISTP256 Preset = "nistp256" // ECDSA and ECDH
	PresetNISTP384 Preset = "nistp384"
	PresetNISTP521 Preset = "nistp521"
	// The curves of RFC 5639, which German authorities ask for; ECDSA and ECDH.
	PresetBrainpoolP256 Preset = "brainpoolP256r1"
	PresetBrainpoolP384 Preset = "brainpoolP384r1"
	PresetBrainpoolP512 Preset = "brainpoolP512r1"

	PresetRFC9580 Preset = "rfc9580" // Ed25519 and X25519
	PresetEd448   Preset = "ed448"   // Ed448 and X448
	// PresetPostQuantum is ML-DSA-65+Ed25519 and ML-KEM-768+X25519, RFC 9980.
	PresetPostQuantum Preset = "post-quantum"
	// PresetPostQuantumHigh is ML-DSA-87+Ed448 and ML-KEM-1024+X448.
	PresetPostQuantumHigh Preset = "post-quantum-high"
)

// Presets lists the presets, the default first.
func Presets() []Preset {
	return []Preset{
		PresetGnuPG22, PresetRSA2048, PresetRSA3072, PresetRSA4096, PresetNISTP256, PresetNISTP384, PresetNISTP521,
		PresetBrainpoolP256, PresetBrainpoolP384, PresetBrainpoolP512,
		PresetRFC9580, PresetEd448, PresetPostQuantum, PresetPostQuantumHigh,
	}
}

// family is a choice of algorithms as go-crypto takes it.
type family struct {
	algorithm packet.PublicKeyAlgorithm
	curve     packet.Curve
	bits      int
	v6        bool
}

func (f family) apply(c *packet.Config) {
	c.Algorithm, c.Curve, c.RSABits, c.V6Keys = f.algorithm, f.curve, f.bits, f.v6
}

func (p Preset) family() (family, error) {
	switch p {
	case PresetGnuPG22, "":
		return family{algorithm: packet.PubKeyAlgoEdDSA, curve: packet.Curve25519}, nil
	case PresetRSA2048:
		return family{algorithm: packet.PubKeyAlgoRSA, bits: 2048}, nil
	case PresetRSA3072:
		return family{algorithm: packet.PubKeyAlgoRSA, bits: 3072}, nil
	case PresetRSA4096:
		return family{algorithm: packet.PubKeyAlgoRSA, bits: 4096}, nil
	case PresetNISTP256:
		return family{algorithm: packet.PubKeyAlgoECDSA, curve: packet.CurveNistP256}, nil
	case PresetNISTP384:
		return family{algorithm: packet.PubKeyAlgoECDSA, curve: packet.CurveNistP384}, nil
	case PresetNISTP521:
		return family{algorithm: packet.PubKeyAlgoECDSA, curve: packet.CurveNistP521}, nil
	case PresetBrainpoolP256:
		return family{algorithm: packet.PubKeyAlgoECDSA, curve: packet.CurveBrainpoolP256}, nil
	case PresetBrainpoolP384:
		return family{algorithm: packet.PubKeyAlgoECDSA, curve: packet.CurveBrainpoolP384}, nil
	case PresetBrainpoolP512:
		return family{algorithm: packet.PubKeyAlgoECDSA, curve: packet.CurveBrainpoolP512}, nil
	case PresetRFC9580:
		return family{algorithm: packet.PubKeyAlgoEd25519, v6: true}, nil
	case PresetEd448:
		return family{algorithm: packet.PubKeyAlgoEd448, v6: true}, nil
	case PresetPostQuantum:
		return family{algorithm: packet.PubKeyAlgoMldsa65Ed25519, v6: true}, nil
	case PresetPostQuantumHigh:
		return family{algorithm: packet.PubKeyAlgoMldsa87Ed448, v6: true}, nil
	}
	return family{}, fail(trustkeep.ErrInvalid, "preset %q", trustkeep.Printable(string(p)))
}

// minGeneratedRSA is the least that new RSA subkeys get, however small their
// primary key is.
const minGeneratedRSA = 3072

// familyOf finds the algorithms for a new subkey of an existing key.
func familyOf(p *packet.PublicKey) (family, error) {
	f := family{algorithm: p.PubKeyAlgo, v6: p.Version == 6}
	switch p.PubKeyAlgo {
	case packet.PubKeyAlgoRSA, packet.PubKeyAlgoRSASignOnly, packet.PubKeyAlgoDSA:
		f.algorithm, f.bits = packet.PubKeyAlgoRSA, minGeneratedRSA
		if n, err := p.BitLength(); err == nil && p.PubKeyAlgo != packet.PubKeyAlgoDSA {
			f.bits = min(max(int(n), minGeneratedRSA), 4096)
		}
	case packet.PubKeyAlgoEdDSA, packet.PubKeyAlgoECDSA:
		curve, err := p.Curve()
		if err != nil {
			return f, fail(trustkeep.ErrUnsupported, "subkey for a key of this curve")
		}
		f.curve = curve
	case packet.PubKeyAlgoEd25519, packet.PubKeyAlgoEd448, packet.PubKeyAlgoMldsa65Ed25519, packet.PubKeyAlgoMldsa87Ed448:
	default:
		return f, fail(trustkeep.ErrUnsupported, "subkey for a key of algorithm %d", int(p.PubKeyAlgo))
	}
	return f, nil
}

// GenerateOptions configures Generate. UserIDs is required for version 4 keys.
type GenerateOptions struct {
	// Options are the clock and the randomness.
	Options Options
	// UserIDs are the identities, the first one primary; see UserID. Version
	// 4 keys need one at least.
	UserIDs []string
	// Preset is PresetGnuPG22 unless set.
	Preset Preset
	// Expires is when the key expires. Zero means never. Key.SetExpiry changes
	// it later.
	Expires time.Time
	// SigningSubkey adds a subkey for signing, so that the primary key can be
	// kept offline.
	SigningSubkey bool
	// Preferences are what the key states about messages to its owner. The zero value
	// states what this library reads, the strongest first.
	Preferences Preferences
	// Passphrase protects the private parts. If nil, they are not protected
	// and MarshalPrivate refuses to write them. It must not be empty. The key
	// that Generate returns is unlocked either way.
	Passphrase trustkeep.PasswordSource
}

// Generate makes a key and a revocation certificate for it; see
// Key.RevocationCertificate for where to keep that.
//
// Private keys that are elsewhere are passed as private, see Key.WithPrivate: the one that
// signs, which becomes the primary key, then, if there is another, the one that decrypts.
// Of o.Preset, only the version counts then; SigningSubkey and Passphrase must not be set.
//
// The error wraps ErrInvalid for an unknown preset, a user ID that is missing or
// malformed, an empty passphrase, or an expiry in the past; ErrUnsupported for
// an expiry more than 136 years away.
func Generate(o GenerateOptions, private ...crypto.PrivateKey) (key *Key, revocation []byte, err error) {
	if err := door(); err != nil {
		return nil, nil, err
	}
	f, err := o.Preset.family()
	if err != nil {
		return nil, nil, err
	}
	if len(o.UserIDs) == 0 && !f.v6 {
		return nil, nil, fail(trustkeep.ErrInvalid, "a key needs a user ID")
	}
	for _, id := range o.UserIDs {
		if err := checkUserID(id); err != nil {
			return nil, nil, err
		}
	}
	var passphrase []byte
	if o.Passphrase != nil {
		if passphrase, err = revealNew(o.Passphrase); err != nil {
			return nil, nil, err
		}
		defer clear(passphrase)
	}
	if err := o.Preferences.check(); err != nil {
		return nil, nil, err
	}
	if n := len(private); n > 2 || n > 0 && (o.SigningSubkey || o.Passphrase != nil) {
		return nil, nil, fail(trustkeep.ErrInvalid, "private keys elsewhere: more than two, or with SigningSubkey or Passphrase")
	}
	now := o.Options.now()
	lifetime, err := lifetimeSeconds(now, o.Expires)
	if err != nil {
		return nil, nil, err
	}
	pc := o.Options.packetConfig(now)
	f.apply(pc)
	var packets []grammar.Raw
	var e *openpgp.Entity
	err = guard("generate", func() error {
		if e, err = newEntity(o, private, pc); err == nil {
			packets, err = statements(o, e, lifetime, pc)
		}
		return err
	})
	if err != nil {
		return nil, nil, classify("generate", err)
	}
	if key, err = parseKey(packets); err != nil {
		return nil, nil, err
	}
	if len(private) > 0 {
		key.state().elsewhere = withElsewhere(nil, privateKeys(e)...)
	}
	if revocation, err = key.RevocationCertificate(ReasonNone, "", o.Options); err != nil {
		return nil, nil, err
	}
	if o.Passphrase == nil {
		return key, revocation, nil
	}
	locked, err := key.lock(passphrase, o.Options)
	if err != nil {
		return nil, nil, err
	}
	return locked.openedLike(key), revocation, nil
}

// openedLike returns the key opened by the private parts of another that holds
// the same.
func (k *Key) openedLike(open *Key) *Key {
	out := *k.state()
	out.unlocked = make(map[string]*packet.PrivateKey)
	for _, p := range privateKeys(open.view(Legacy)) {
		if !p.Encrypted {
			out.unlocked[string(p.Fingerprint)] = p
		}
	}
	return keyOf(&out)
}

// newEntity lets go-crypto make the key material, or takes that which is elsewhere.
func newEntity(o GenerateOptions, private []crypto.PrivateKey, pc *packet.Config) (*openpgp.Entity, error) {
	if len(private) == 0 {
		e, err := openpgp.NewEntity("", "", "", pc)
		if err == nil && o.SigningSubkey {
			err = e.AddSigningSubkey(pc)
		}
		return e, err
	}
	e := new(openpgp.Entity)
	for i, part := range private {
		p, err := elsewhere.Private(part, pc.Now(), pc.V6(), i > 0, i > 0)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			e.PrimaryKey, e.PrivateKey = &p.PublicKey, p
			continue
		}
		s := openpgp.Subkey{Primary: e, PublicKey: &p.PublicKey, PrivateKey: p}
		binding, err := bind(e, &s, UsageEncrypt, 0, pc.Now(), pc)
		if err != nil {
			return nil, err
		}
		s.Bindings = []*packet.VerifiableSignature{packet.NewVerifiableSig(binding)}
		e.Subkeys = append(e.Subkeys, s)
	}
	return e, nil
}

// statements signs what this package wants keys to say.
func statements(o GenerateOptions, e *openpgp.Entity, lifetime uint32, pc *packet.Config) ([]grammar.Raw, error) {
	var packets []grammar.Raw
	add := func(s grammar.Serializer) error {
		raw, err := grammar.Of(s)
		packets = append(packets, raw)
		return err
	}
	addKey := func(p *packet.PrivateKey) error {
		raw, err := keyPacket(p)
		packets = append(packets, raw)
		return err
	}
	if err := addKey(e.PrivateKey); err != nil {
		return nil, err
	}
	now := pc.Now()
	if pc.V6() { // section 10.1.1: properties of version 6 keys go into a direct-key signature
		s := selfsig.New(e.PrimaryKey, packet.SigTypeDirectSignature, now)
		selfsig.SetProperties(s, lifetime, o.Preferences.AEAD)
		o.Preferences.state(s)
		if err := selfsig.OverKey(s, e.PrimaryKey, e.PrivateKey, pc); err != nil {
			return nil, err
		}
		if err := add(s); err != nil {
			return nil, err
		}
	}
	for i, id := range o.UserIDs {
		packets = append(packets, grammar.New(grammar.TagUserID, []byte(id)))
		s := selfsig.New(e.PrimaryKey, packet.SigTypePositiveCert, now)
		if !pc.V6() {
			selfsig.SetProperties(s, lifetime, o.Preferences.AEAD)
			o.Preferences.state(s)
			o.Preferences.state(s)
		}
		first := i == 0
		s.IsPrimaryId = &first
		if err := selfsig.OverUserID(s, id, e.PrimaryKey, e.PrivateKey, pc); err != nil {
			return nil, err
		}
		if err := add(s); err != nil {
			return nil, err
		}
	}
	for _, s := range e.Subkeys {
		if err := addKey(s.PrivateKey); err != nil {
			return nil, err
		}
		if err := add(s.Bindings[0].Packet); err != nil {
			return nil, err
		}
	}
	return packets, nil
}

// UserID joins a name, a comment and an address into the conventional form
// "Name (comment) <address>". Each may be empty. The error wraps ErrInvalid
// when a part holds a character that has a meaning in that form, or a control
// character.
func UserID(name, comment, address string) (string, error) {
	for _, part := range []string{name, comment, address} {
		if strings.ContainsAny(part, "()<>") {
			return "", fail(trustkeep.ErrInvalid, "user ID part %q", trustkeep.Printable(part))
		}
	}
	var parts []string
	if name != "" {
		parts = append(parts, name)
	}
	if comment != "" {
		parts = append(parts, "("+comment+")")
	}
	if address != "" {
		parts = append(parts, "<"+address+">")
	}
	id := strings.Join(parts, " ")
	return id, checkUserID(id)
}
