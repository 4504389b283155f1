package pgp

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
)

// sessionKey is a session key encrypted to a key or a password.
type sessionKey struct {
	toKey      *packet.EncryptedKey
	toPassword *packet.SymmetricKeyEncrypted
	spec       s2kSpec // of the password
	keySize    int
}

// sessionKey notes a session key packet. Packets in a version or by an
// algorithm that is not known are left out, as section 10.3.2 asks.
func (m *message) sessionKey(tag byte, body *packetBody) error {
	if len(m.sessions) == maxSessionKeys {
		return fail(trustkeep.ErrLimit, "more than %d recipients", maxSessionKeys)
	}
	data, err := body.small()
	if err != nil {
		return err
	}
	if tag == tagPKESK {
		p, err := newRawPacket(tag, data).parsed()
		s := sessionKey{}
		if err == nil {
			s.toKey = p.(*packet.EncryptedKey)
			m.result.Recipients = append(m.result.Recipients, keyID(s.toKey.KeyId))
		}
		m.sessions = append(m.sessions, s)
		return nil
	}
	s := sessionKey{}
	if s.spec, s.keySize, err = passwordSpec(data); err == nil {
		var p packet.Packet
		if p, err = newRawPacket(tag, data).parsed(); err == nil {
			s.toPassword = p.(*packet.SymmetricKeyEncrypted)
		} else {
			err = classify("session key", err)
		}
	}
	if errors.Is(err, trustkeep.ErrCorrupt) {
		return err
	}
	m.sessions = append(m.sessions, s)
	return nil
}

// passwordSpec finds the string-to-key specifier of a symmetric-key encrypted
// session key packet, section 5.3.
func passwordSpec(b []byte) (spec s2kSpec, keySize int, err error) {
	if len(b) < 4 {
		return spec, 0, fail(trustkeep.ErrCorrupt, "truncated session key packet")
	}
	at, algorithm := 2, b[1]
	switch b[0] {
	case 4:
	case 5:
		at = 3
	case 6: // version, count, cipher, mode, count
		at, algorithm = 5, b[2]
	default:
		return spec, 0, fail(trustkeep.ErrUnsupported, "session key packet of version %d", b[0])
	}
	if keySize = packet.CipherFunction(algorithm).KeySize(); keySize == 0 {
		return spec, 0, fail(trustkeep.ErrUnsupported, "cipher %d", algorithm)
	}
	spec, err = parseS2K(b[min(at, len(b)):])
	return spec, keySize, err
}

// decrypt finds the session key and pushes the content of the encrypted packet.
func (m *message) decrypt(tag byte, body *packetBody) error {
	if m.open == nil {
		return fail(trustkeep.ErrUnsupported, "the message is encrypted")
	}
	c, err := newContainer(tag, body)
	if err != nil {
		return err
	}
	if c.protection == "" && !m.cfg.Allow.Allows(LegacyMissingMDC) {
		return &WeaknessError{"", "a message without integrity protection", LegacyMissingMDC}
	}
	if c.protection == "" {
		m.result.relax(LegacyMissingMDC)
	}
	r, err := m.openContainer(c)
	if err != nil {
		return err
	}
	m.encrypted = true
	m.container = r
	m.result.Encrypted, m.result.Integrity = true, c.protection
	m.layers = append(m.layers, &layer{r: bufio.NewReaderSize(r, 64<<10), closed: r})
	return nil
}

// openContainer tries the keys, then the passwords.
func (m *message) openContainer(c *container) (io.ReadCloser, error) {
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
func (m *message) openByKey(c *container) (io.ReadCloser, error) {
	attempts := 0
	var failed error
	pc := Options{Allow: Legacy, Rand: m.cfg.Rand}.packetConfig(m.cfg.now())
	for _, s := range m.sessions {
		if s.toKey == nil || (s.toKey.Version == 6) != (c.version == 2) {
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
				if err := guard("session key", func() error { return s.toKey.Decrypt(private, pc) }); err != nil {
					continue
				}
				r, err := c.open(s.toKey.CipherFunc, s.toKey.Key, false)
				clear(s.toKey.Key)
				if err != nil {
					continue
				}
				m.recipient = k
				m.result.DecryptedWith = k.Fingerprint()
				return r, nil
			}
		}
	}
	return nil, failed
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

// unlock opens a private part with the passphrase, which is asked for once.
func (m *message) unlock(k *Key, private *packet.PrivateKey) (*packet.PrivateKey, error) {
	open, err := k.Unlock(m.open.Passphrase, m.cfg)
	if err != nil {
		return nil, err
	}
	return open.state().unlocked[string(private.Fingerprint)], nil
}

// openByPassword tries each password once on each session key.
func (m *message) openByPassword(c *container) (io.ReadCloser, error) {
	offered := false
	for _, s := range m.sessions {
		offered = offered || s.toPassword != nil
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
		if s.toPassword == nil || (s.toPassword.Version == 6) != (c.version == 2) {
			continue
		}
		for i := range m.open.Passwords {
			if err := s.spec.charge(m.budget, s.keySize); err != nil {
				return nil, withPrefix(err)
			}
			password, err := passwords.get(i)
			if err != nil {
				unrevealed = err
				continue
			}
			var key []byte
			var algorithm packet.CipherFunction
			err = guard("session key", func() (err error) {
				key, algorithm, err = s.toPassword.Decrypt(password)
				return err
			})
			if err != nil {
				continue
			}
			if r, err := c.open(algorithm, key, true); err == nil {
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

// container is an encrypted data packet before its key is known.
type container struct {
	tag        byte
	version    byte // of integrity protected data
	protection string
	body       *packetBody
	prefix     []byte // what an attempt has read of the body, for the next one
	aead       *packet.SymmetricallyEncrypted
}

func newContainer(tag byte, body *packetBody) (*container, error) {
	c := &container{tag: tag, body: body}
	switch tag {
	case tagEncrypted:
		return c, nil
	case tagOCBEd:
		c.protection = "aead"
		return c, nil
	}
	version, err := octets(body, 1)
	if err != nil {
		return nil, err
	}
	c.version = version[0]
	switch c.version {
	case 1:
		c.protection = "mdc"
		return c, nil
	case 2: // section 5.13.2
		head, err := octets(body, 3+32)
		if err != nil {
			return nil, err
		}
		c.protection = "aead"
		c.aead = &packet.SymmetricallyEncrypted{
			Version: 2, IntegrityProtected: true, Cipher: packet.CipherFunction(head[0]),
			Mode: packet.AEADMode(head[1]), ChunkSizeByte: head[2],
		}
		copy(c.aead.Salt[:], head[3:])
		if !isAES(c.aead.Cipher) || !c.aead.Mode.IsSupported() {
			return nil, fail(trustkeep.ErrUnsupported, "AEAD %d with cipher %d", head[1], head[0])
		}
		if c.aead.ChunkSizeByte > 16 { // 4 MiB, the most that the standard allows
			return nil, fail(trustkeep.ErrCorrupt, "AEAD chunk size %d", head[2])
		}
		return c, nil
	}
	return nil, fail(trustkeep.ErrUnsupported, "integrity protected data of version %d", c.version)
}

func isAES(c packet.CipherFunction) bool {
	return c == packet.CipherAES128 || c == packet.CipherAES192 || c == packet.CipherAES256
}

func octets(r io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, io.ErrUnexpectedEOF
	}
	return b, nil
}

// rewound returns a reader of the whole body, whatever attempts have read.
func (c *container) rewound() io.Reader {
	if c.prefix == nil {
		// Enough for the prefix of CFB and the first tag of an AEAD mode.
		c.prefix = make([]byte, 2*16+2)
		n, _ := fillBuffer(c.body, c.prefix)
		c.prefix = c.prefix[:n]
	}
	return io.MultiReader(bytes.NewReader(c.prefix), c.body)
}

// open starts decryption. An error means that the key does not fit. Closing the
// reader, after it has been read to the end, tells whether the content is
// intact.
func (c *container) open(algorithm packet.CipherFunction, key []byte, byPassword bool) (io.ReadCloser, error) {
	if c.version != 2 && c.tag != tagOCBEd && (!algorithm.IsSupported() || len(key) != algorithm.KeySize()) {
		return nil, errWrongSessionKey
	}
	body := c.rewound()
	switch {
	case c.aead != nil:
		if len(key) != c.aead.Cipher.KeySize() {
			return nil, errWrongSessionKey
		}
		c.aead.Contents = body
		return opened(c.aead.Decrypt(0, key))
	case c.tag == tagOCBEd:
		p, err := packet.Read(&reframer{tag: tagOCBEd, r: body})
		if err != nil {
			return nil, err
		}
		return opened(p.(*packet.AEADEncrypted).Decrypt(0, key))
	case isAES(algorithm) && c.tag == tagSEIPD:
		return opened(newMDCReader(body, key, byPassword))
	case isAES(algorithm):
		r, err := newSEDReader(body, key, byPassword)
		return opened(io.NopCloser(r), err)
	}
	// 3DES and CAST5, which nobody needs to be fast.
	p := &packet.SymmetricallyEncrypted{Version: int(c.version), IntegrityProtected: c.tag == tagSEIPD, Contents: body}
	return opened(p.Decrypt(algorithm, key))
}

// opened keeps a typed nil out of the interface.
func opened[R io.ReadCloser](r R, err error) (io.ReadCloser, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

// reframer gives a body the header of a packet again, in partial bodies, for
// packets that only go-crypto's own parser can set up.
type reframer struct {
	tag     byte
	r       io.Reader
	started bool
	ended   bool
	buf     bytes.Buffer
}

func (f *reframer) Read(p []byte) (int, error) {
	if f.buf.Len() == 0 && !f.ended {
		const power = 16
		chunk := make([]byte, 1<<power)
		n, err := fillBuffer(f.r, chunk)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if !f.started {
			f.buf.WriteByte(0xC0 | f.tag)
			f.started = true
		}
		if err == nil {
			f.buf.WriteByte(224 + power)
		} else {
			f.ended = true
			f.buf.Write(binary.BigEndian.AppendUint32([]byte{255}, uint32(n)))
		}
		f.buf.Write(chunk[:n])
	}
	return f.buf.Read(p)
}
