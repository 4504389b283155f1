package selfsig

import (
	"encoding/binary"
	"hash"
	"io"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep/pgp/internal/elsewhere"
)

// What is hashed for signatures about keys, RFC 9580 section 5.2.4. go-crypto has the same,
// and keys of its own alone to sign it by.

// OverUserID signs that the user ID belongs to the primary key, or that it no longer does.
func OverUserID(s *packet.Signature, id string, primary *packet.PublicKey, by *packet.PrivateKey, c *packet.Config) error {
	return over(s, by, c, func(h hash.Hash) error {
		if err := primary.SerializeForHash(h); err != nil {
			return err
		}
		h.Write(binary.BigEndian.AppendUint32([]byte{0xB4}, uint32(len(id))))
		_, err := io.WriteString(h, id)
		return err
	})
}

// OverKey signs what the signature says about the primary key, revocation included.
func OverKey(s *packet.Signature, primary *packet.PublicKey, by *packet.PrivateKey, c *packet.Config) error {
	return over(s, by, c, func(h hash.Hash) error { return primary.SerializeForHash(h) })
}

// OverSubkey signs that the subkey belongs to the primary key, or no longer does; by the
// subkey, that it accepts that.
func OverSubkey(s *packet.Signature, primary, subkey *packet.PublicKey, by *packet.PrivateKey, c *packet.Config) error {
	return over(s, by, c, func(h hash.Hash) error {
		if err := primary.SerializeForHash(h); err != nil {
			return err
		}
		return subkey.SerializeForHash(h)
	})
}

func over(s *packet.Signature, by *packet.PrivateKey, c *packet.Config, write func(hash.Hash) error) error {
	h, err := s.PrepareSign(c)
	if err != nil {
		return err
	}
	if err := write(h); err != nil {
		return err
	}
	return elsewhere.Sign(s, h, by, c)
}
