package session

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"

	"github.com/ProtonMail/go-crypto/eax"
	"github.com/ProtonMail/go-crypto/ocb"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/ProtonMail/go-crypto/openpgp/s2k"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// Password5 is a session key encrypted to a password by version 5 of the packet: the
// drafts before RFC 9580, which GnuPG 2.3 and rnp write before AEAD packets of type 20.
type Password5 struct {
	cipher packet.CipherFunction
	mode   packet.AEADMode
	derive func(out, password []byte)
	iv     []byte
	sealed []byte
}

// ParsePassword5 reads the body of a packet: version, cipher, mode, string-to-key
// specifier, initial vector, session key and tag. What deriving the key costs has been
// checked.
func ParsePassword5(body []byte) (*Password5, error) {
	if len(body) < 3 || body[0] != 5 {
		return nil, fault.New(trustkeep.ErrCorrupt, "truncated session key packet")
	}
	p := &Password5{cipher: packet.CipherFunction(body[1]), mode: packet.AEADMode(body[2])}
	if err := CheckCipher(body[1]); err != nil {
		return nil, err
	}
	if !aesCipher(p.cipher) || !p.mode.IsSupported() {
		return nil, fault.New(trustkeep.ErrUnsupported, "session key by AEAD %d with cipher %d", body[2], body[1])
	}
	r := bytes.NewReader(body[3:])
	var err error
	if p.derive, err = s2k.Parse(r); err != nil {
		return nil, fault.Classify("session key", err)
	}
	rest := body[len(body)-r.Len():]
	if len(rest) < p.mode.IvLength()+p.mode.TagLength() || len(rest) > p.mode.IvLength()+p.mode.TagLength()+32 {
		return nil, fault.New(trustkeep.ErrCorrupt, "session key packet of %d bytes", len(body))
	}
	p.iv, p.sealed = rest[:p.mode.IvLength()], rest[p.mode.IvLength():]
	return p, nil
}

func aesCipher(c packet.CipherFunction) bool {
	return c == packet.CipherAES128 || c == packet.CipherAES192 || c == packet.CipherAES256
}

// Open returns the session key.
func (p *Password5) Open(password []byte) ([]byte, error) {
	key := make([]byte, p.cipher.KeySize())
	defer clear(key)
	p.derive(key, password)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	var aead cipher.AEAD
	switch p.mode {
	case packet.AEADModeEAX:
		aead, err = eax.NewEAX(block)
	case packet.AEADModeOCB:
		aead, err = ocb.NewOCB(block)
	default:
		aead, err = cipher.NewGCM(block)
	}
	if err != nil {
		return nil, err
	}
	return aead.Open(nil, p.iv, p.sealed, []byte{0xC3, 5, byte(p.cipher), byte(p.mode)})
}
