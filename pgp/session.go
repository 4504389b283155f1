package pgp

import (
	"bufio"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/s2kcost"
	"github.com/trustkeep/trustkeep/pgp/internal/session"
	"github.com/trustkeep/trustkeep/pgp/internal/symmetric"
)

// sessionKey is a session key encrypted to a key or a password.
type sessionKey struct {
	toKey      *packet.EncryptedKey
	body       []byte // of toKey
	toPassword passwordKey
	version    int          // of toPassword's packet
	spec       s2kcost.Spec // of the password
	keySize    int
	problem    error // why a session key for a password cannot be used
}

// passwordKey derives a session key from a password.
type passwordKey func(password []byte) ([]byte, packet.CipherFunction, error)

// errKeyFound is internal: the session key has been found, and nothing else is wanted.
var errKeyFound = fail(trustkeep.ErrInvalid, "session key found")

// sessionKey notes a session key packet. Packets in a version or by an
// algorithm that is not known are left out, as section 10.3.2 asks.
func (m *message) sessionKey(tag byte, body *grammar.Body) error {
	if len(m.sessions) == maxSessionKeys {
		return fail(trustkeep.ErrLimit, "more than %d recipients", maxSessionKeys)
	}
	data, err := body.Small()
	if err != nil {
		return err
	}
	if tag == grammar.TagPKESK {
		p, err := grammar.New(tag, data).Parsed()
		s := sessionKey{}
		if err == nil {
			s.toKey, s.body = p.(*packet.EncryptedKey), data
			m.result.Recipients = append(m.result.Recipients, keyID(s.toKey.KeyId))
		}
		m.sessions = append(m.sessions, s)
		return nil
	}
	s := sessionKey{}
	if s.spec, s.keySize, err = s2kcost.OfMessage(data); err == nil {
		s.version = int(data[0])
		s.toPassword, err = parsePasswordKey(data)
	}
	if errors.Is(err, trustkeep.ErrCorrupt) {
		return err
	}
	s.problem = err
	m.sessions = append(m.sessions, s)
	return nil
}

func parsePasswordKey(body []byte) (passwordKey, error) {
	if body[0] == 5 { // go-crypto reads it only if it is built for that
		p, err := session.ParsePassword5(body)
		if err != nil {
			return nil, err
		}
		return func(password []byte) ([]byte, packet.CipherFunction, error) {
			key, err := p.Open(password)
			return key, 0, err
		}, nil
	}
	p, err := grammar.New(grammar.TagSKESK, body).Parsed()
	if err != nil {
		return nil, classify("session key", err)
	}
	return p.(*packet.SymmetricKeyEncrypted).Decrypt, nil
}

// decrypt finds the session key and pushes the content of the encrypted packet.
func (m *message) decrypt(tag byte, body *grammar.Body) error {
	if m.open == nil {
		return fail(trustkeep.ErrUnsupported, "the message is encrypted")
	}
	c, err := symmetric.NewContainer(tag, body)
	if err != nil {
		return err
	}
	if c.Protection == "" && !m.cfg.Allow.allows(LegacyMissingMDC) {
		return &WeaknessError{"", "a message without integrity protection", LegacyMissingMDC}
	}
	if c.Protection == "" {
		m.result.relax(LegacyMissingMDC)
	}
	r, err := m.openContainer(c)
	if err != nil {
		return err
	}
	m.encrypted = true
	m.container = r
	if m.keepKey {
		m.result.Encrypted = true
		return errKeyFound
	}
	m.result.Encrypted, m.result.Integrity = true, c.Protection
	m.layers = append(m.layers, &layer{r: bufio.NewReaderSize(r, 64<<10), closed: r})
	return nil
}

// openContainer tries the session keys that are known, the keys, then the passwords.
func (m *message) openContainer(c *symmetric.Container) (io.ReadCloser, error) {
	r, serr := m.openBySessionKey(c)
	if r != nil || serr != nil {
		return r, serr
	}
	r, kerr := m.openByKey(c)
	if r != nil {
		return r, nil
	}
	r, perr := m.openByPassword(c)
	switch {
	case r != nil:
		return r, nil
	case kerr != nil:
		return nil, kerr
	}
	return nil, perr
}

// openByKey tries the session keys encrypted to a key. A nil reader without
// error means that the message names none of the keys.
func (m *message) openByKey(c *symmetric.Container) (io.ReadCloser, error) {
	attempts := 0
	var failed, told error
	pc := Options{Allow: Legacy, Rand: m.cfg.Rand}.packetConfig(m.cfg.now())
	for _, s := range m.sessions {
		if s.toKey == nil || (s.toKey.Version == 6) != (c.Version == 2) {
			continue // section 10.3.2.1: the versions go together
		}
		for _, k := range m.open.Keys {
			if s.toKey.KeyId != 0 && !slices.Contains(k.state().ids, s.toKey.KeyId) {
				continue
			}
			for _, private := range k.decryptionKeys(s.toKey.KeyId, pc) {
				if attempts++; attempts > maxAttempts {
					return nil, fail(trustkeep.ErrLimit, "more than %d keys to try", maxAttempts)
				}
				if private.Encrypted {
					open, err := m.unlock(k, private)
					if err != nil {
						if s.toKey.KeyId != 0 || errors.Is(err, trustkeep.ErrLimit) {
							failed = err
						}
						continue
					}
					private = open
				}
				if s.toKey.KeyId != 0 && failed == nil {
					// Whether the session key or what follows is wrong must
					// not be told apart: that would be the oracle of
					// Bleichenbacher's attack on RSA.
					failed = errDamaged
				}
				algorithm, key, err := s.decrypt(private, pc)
				if err != nil {
					if errors.Is(err, trustkeep.ErrUnsupported) || errors.Is(err, trustkeep.ErrRejected) {
						told = err
					}
					continue
				}
				r, err := c.Open(algorithm, key, false)
				if err == nil {
					m.keep(c, algorithm, key)
				}
				clear(key)
				if err != nil {
					continue
				}
				m.recipient = k
				m.result.DecryptedWith = k.Fingerprint()
				return r, nil
			}
		}
	}
	if told != nil {
		return nil, told
	}
	return nil, failed
}

// decrypt opens a session key encrypted to a key. An error that wraps ErrUnsupported
// names a cipher that is not ours, one that wraps ErrRejected is of a key elsewhere; all
// others are alike.
func (s sessionKey) decrypt(private *packet.PrivateKey, pc *packet.Config) (c packet.CipherFunction, key []byte, err error) {
	ours := false
	err = guard("session key", func() (err error) {
		if c, key, ours, err = session.Decrypt(s.body, private); ours {
			return err
		}
		return s.toKey.Decrypt(private, pc)
	})
	if !ours && err == nil {
		c, key = s.toKey.CipherFunc, s.toKey.Key
	}
	return c, key, err
}

// keep remembers the session key if it is what the caller wants. Packets of version 6
// leave the cipher to the container.
func (m *message) keep(c *symmetric.Container, algorithm packet.CipherFunction, key []byte) {
	if !m.keepKey {
		return
	}
	if own := c.Cipher(); own != 0 {
		algorithm = own
	}
	text := sessionKeyText(algorithm, key)
	m.keptKey = func() trustkeep.PasswordSource { return text }
}

// decryptionKeys returns the private parts that may decrypt, expired and
// revoked ones as well: old messages must stay readable.
func (k *Key) decryptionKeys(id uint64, pc *packet.Config) []*packet.PrivateKey {
	var out []*packet.PrivateKey
	for _, d := range k.view(Legacy).DecryptionKeys(id, time.Time{}, pc) {
		if d.PrivateKey != nil && !d.PrivateKey.Dummy() {
			out = append(out, d.PrivateKey)
		}
	}
	return out
}

// opened is a locked key after its passphrase was tried.
type opened struct {
	key *Key
	err error
}

// unlock opens a private part with the passphrase, which is tried once on each key: how many
// session keys name it, or nobody, is up to the sender.
func (m *message) unlock(k *Key, private *packet.PrivateKey) (*packet.PrivateKey, error) {
	o, tried := m.opened[k]
	if !tried {
		o.key, o.err = k.Unlock(m.open.Passphrase, m.cfg)
		if m.opened == nil {
			m.opened = make(map[*Key]opened)
		}
		m.opened[k] = o
	}
	if o.err != nil {
		return nil, o.err
	}
	return o.key.state().unlocked[string(private.Fingerprint)], nil
}

// openByPassword tries each password once on each session key.
func (m *message) openByPassword(c *symmetric.Container) (io.ReadCloser, error) {
	offered := false
	var problem error
	for _, s := range m.sessions {
		offered = offered || s.toPassword != nil
		if problem == nil {
			problem = s.problem
		}
	}
	if !offered && problem != nil && (len(m.open.Passwords) > 0 || len(m.result.Recipients) == 0) {
		return nil, problem
	}
	if !offered {
		return nil, fail(trustkeep.ErrNotFound, "private key for a message to %s", recipients(m.result.Recipients))
	}
	if len(m.open.Passwords) == 0 {
		return nil, fail(trustkeep.ErrIncorrectPassword, "the message needs a password")
	}
	var unrevealed error
	passwords := newRevealed(m.open.Passwords)
	defer passwords.clear()
	for _, s := range m.sessions {
		if s.toPassword == nil || (s.version == 6) != (c.Version == 2) {
			continue
		}
		// How many of these there are is up to the sender, how many passwords up to
		// the caller: they are not counted.
		if err := s.spec.Charge(m.budget, s.keySize); err != nil {
			return nil, withPrefix(err)
		}
		for i := range m.open.Passwords {
			password, err := passwords.get(i)
			if err != nil {
				unrevealed = err
				continue
			}
			var key []byte
			var algorithm packet.CipherFunction
			err = guard("session key", func() (err error) {
				key, algorithm, err = s.toPassword(password)
				return err
			})
			if err != nil {
				continue
			}
			if r, err := c.Open(algorithm, key, true); err == nil {
				m.keep(c, algorithm, key)
				clear(key)
				m.result.ByPassword = true
				return r, nil
			}
		}
	}
	if unrevealed != nil {
		return nil, unrevealed
	}
	return nil, fail(trustkeep.ErrIncorrectPassword, "none of the passwords opens the message")
}

// revealed asks each source at most once.
type revealed struct {
	sources   []trustkeep.PasswordSource
	passwords [][]byte
	errs      []error
	asked     []bool
}

func newRevealed(sources []trustkeep.PasswordSource) *revealed {
	n := len(sources)
	return &revealed{sources, make([][]byte, n), make([]error, n), make([]bool, n)}
}

func (r *revealed) get(i int) ([]byte, error) {
	if !r.asked[i] {
		r.asked[i] = true
		r.passwords[i], r.errs[i] = reveal(r.sources[i])
	}
	return r.passwords[i], r.errs[i]
}

func (r *revealed) clear() {
	for _, p := range r.passwords {
		clear(p)
	}
}

func recipients(ids []string) string {
	const most = 4
	s := ""
	for i, id := range ids {
		if i == most {
			return s + ", ..."
		}
		if i > 0 {
			s += ", "
		}
		s += id
	}
	if s == "" {
		return "nobody named"
	}
	return s
}
