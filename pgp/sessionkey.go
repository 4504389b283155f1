package pgp

import (
	"bytes"
	"encoding/hex"
	"io"
	"strconv"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/symmetric"
)

// maxSessionKeyText is the length of the longest text of a session key.
const maxSessionKeyText = 3 + 1 + 2*32

// SessionKey opens the session key of a message, without its content, with Keys and
// Passwords, and returns it in the form of GnuPG, such as "9:F1A0...": the number of the
// cipher and the key in hex. Whoever has it can read this one message: by SessionKeys, by
// gpg --override-session-key. Signatures play no part, nor do Signers.
//
// Errors are those of Decrypt.
func (d Decryption) SessionKey(src io.Reader) (trustkeep.PasswordSource, error) {
	d.Signers, d.MustBeSigned, d.AlsoSignedBy, d.Notations, d.MaxAge = nil, false, nil, nil, 0
	m := newMessage(d.Options, d.MaxExpansion)
	m.open, m.keepKey = &d, true
	if err := door(); err != nil {
		return nil, err
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	if err := m.start(d.Options.watched(src)); err != nil && m.keptKey == nil {
		return nil, err
	}
	if !m.result.Encrypted {
		return nil, fail(trustkeep.ErrRejected, "the message is not encrypted")
	}
	return m.keptKey(), nil
}

// sessionKeyText is the text of a session key as a password.
func sessionKeyText(c packet.CipherFunction, key []byte) trustkeep.PasswordSource {
	return trustkeep.Password(strconv.Itoa(int(c)) + ":" + hex.EncodeToString(key))
}

// openBySessionKey tries the session keys that the caller has.
func (m *message) openBySessionKey(c *symmetric.Container) (io.ReadCloser, error) {
	var unrevealed error
	for _, source := range m.open.SessionKeys {
		text, err := reveal(source)
		if err != nil {
			unrevealed = err
			continue
		}
		algorithm, key, err := parseSessionKey(text)
		clear(text)
		if err != nil {
			return nil, err
		}
		r, err := c.Open(algorithm, key, true)
		clear(key)
		if err == nil {
			m.result.BySessionKey = true
			return r, nil
		}
	}
	return nil, unrevealed
}

func parseSessionKey(text []byte) (packet.CipherFunction, []byte, error) {
	malformed := fail(trustkeep.ErrInvalid, "a session key is a cipher number, a colon, and hex digits")
	number, digits, ok := bytes.Cut(bytes.TrimSpace(text), []byte(":"))
	if !ok || len(text) > maxSessionKeyText+16 || len(number) == 0 || len(number) > 3 {
		return 0, nil, malformed
	}
	n := 0
	for _, b := range number {
		if b < '0' || b > '9' {
			return 0, nil, malformed
		}
		n = n*10 + int(b-'0')
	}
	key := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(key, digits); err != nil || n > 255 || len(key) == 0 || len(key) > 32 {
		return 0, nil, malformed
	}
	return packet.CipherFunction(n), key, nil
}
