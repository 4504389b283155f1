package cms

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/fips"
)

// transportInfo returns a KeyTransRecipientInfo (RFC 5652 section 6.2.1) that
// holds the content key for the owner of an RSA key.
func transportInfo(k KeyTransport, to ref, pub *rsa.PublicKey, contentKey []byte) ([]byte, error) {
	var (
		a         algorithm
		encrypted []byte
		err       error
	)
	if err := fips.PublicKey(pub); err != nil {
		return nil, err
	}
	switch k {
	case PKCS1v15:
		if err := fips.Refuse("RSA PKCS #1 v1.5 encryption, see SealOptions.KeyTransport,"); err != nil {
			return nil, err
		}
		a = algorithm{oidRSA, nullDER}
		//lint:ignore SA1019 what partners read; see PKCS1v15
		encrypted, err = rsa.EncryptPKCS1v15(rand.Reader, pub, contentKey)
	case OAEPSHA256:
		a = oaepAlgorithm(hashByHash(crypto.SHA256))
		encrypted, err = rsa.EncryptOAEP(crypto.SHA256.New(), rand.Reader, pub, contentKey, nil)
	case OAEPSHA1:
		if err := fips.Hash(crypto.SHA1); err != nil {
			return nil, err
		}
		a = algorithm{oidOAEP, berio.TLV(berio.Sequence)} // all of them default
		encrypted, err = rsa.EncryptOAEP(crypto.SHA1.New(), rand.Reader, pub, contentKey, nil)
	default:
		return nil, invalid(fmt.Sprintf("key transport %d", uint8(k)))
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, trustkeep.ErrUnsupported) // such as a key too small
	}
	version := byte(0)
	if to.keyID != nil {
		version = 2
	}
	return berio.TLV(berio.Sequence,
		berio.TLV(berio.Integer, []byte{version}), to.der(), a.der(), berio.TLV(berio.OctetString, encrypted)), nil
}

// oaepAlgorithm spells the parameters out (RFC 4055 section 4.1).
func oaepAlgorithm(h *hashSpec) algorithm {
	return algorithm{oidOAEP, berio.TLV(berio.Sequence,
		berio.TLV(berio.ContextConstructed(0), algorithm{h.id, nullDER}.der()),
		berio.TLV(berio.ContextConstructed(1), mgf1(h).der()))}
}

// parseOAEP reads RSAES-OAEP-params.
func parseOAEP(a algorithm) (*rsa.OAEPOptions, error) {
	o := &rsa.OAEPOptions{Hash: crypto.SHA1, MGFHash: crypto.SHA1}
	if a.params == nil {
		return o, nil // not allowed, but clear
	}
	outer := ber.New(a.params, ber.Rules{MaxDepth: 8})
	e, err := outer.Read(ber.Sequence)
	if err != nil {
		return nil, err
	}
	in, err := e.Children()
	if err != nil {
		return nil, err
	}
	for n, read := range []func(*ber.Input) error{
		func(in *ber.Input) error {
			h, err := readHash(in)
			if err == nil {
				o.Hash = h.hash
			}
			return err
		},
		func(in *ber.Input) error {
			h, err := readMGF1(in)
			if err == nil {
				o.MGFHash = h.hash
			}
			return err
		},
		func(in *ber.Input) error {
			e, err := in.Read(ber.Sequence)
			if err != nil {
				return err
			}
			a, err := parseAlgorithm(e)
			if err != nil {
				return err
			}
			if a.id != oidLabel {
				return unsupported("OAEP label source " + a.id.String())
			}
			label := ber.New(a.params, ber.Rules{MaxDepth: 2})
			o.Label, err = readOctets(&label)
			return err
		},
	} {
		if err := optional(&in, n, read); err != nil {
			return nil, err
		}
	}
	return o, in.End()
}

// optional reads what an explicit tag [n] holds, if it is there.
func optional(in *ber.Input, n int, read func(*ber.Input) error) error {
	e, present, err := in.ReadOptional(ber.Context(n))
	if !present || err != nil {
		return err
	}
	inner, err := e.Children()
	if err != nil {
		return err
	}
	if err := read(&inner); err != nil {
		return err
	}
	return inner.End()
}

// transported is a KeyTransRecipientInfo of a message.
type transported struct {
	algorithm    algorithm
	encryptedKey []byte
}

func parseTransport(e ber.Element) (to ref, t transported, err error) {
	in, err := e.Children()
	if err != nil {
		return to, t, err
	}
	if _, err = in.Read(ber.Integer); err != nil {
		return to, t, err
	}
	if to, err = readRef(&in); err != nil {
		return to, t, err
	}
	if t.algorithm, err = readAlgorithm(&in); err != nil {
		return to, t, err
	}
	if t.encryptedKey, err = readOctets(&in); err != nil {
		return to, t, err
	}
	return to, t, in.End()
}

// contentKey recovers the content key of size bytes.
//
// Under PKCS #1 v1.5 no error may tell whether the padding was right: that
// answer, given often enough, decrypts any message (Bleichenbacher's attack,
// RFC 3218). So a random key takes the place of what cannot be decrypted (RFC
// 3218 section 2.3.2), and the message fails later as one whose content was
// tampered with.
func (t transported) contentKey(key crypto.PrivateKey, size int) ([]byte, error) {
	decrypter, ok := key.(crypto.Decrypter)
	if !ok {
		return nil, unsupported("the identity's key is no crypto.Decrypter")
	}
	if err := fips.PublicKey(decrypter.Public()); err != nil {
		return nil, err
	}
	switch t.algorithm.id {
	case oidRSA:
		if err := fips.Refuse("RSA PKCS #1 v1.5 encryption"); err != nil {
			return nil, err
		}
		if pub, ok := decrypter.Public().(*rsa.PublicKey); ok && len(t.encryptedKey) != pub.Size() {
			return nil, corrupt("encrypted key of a length that does not fit the recipient's") // visible to everybody
		}
		contentKey := make([]byte, size)
		rand.Read(contentKey)
		//lint:ignore SA1019 what partners send; see above
		got, err := decrypter.Decrypt(rand.Reader, t.encryptedKey, &rsa.PKCS1v15DecryptOptions{SessionKeyLen: size})
		// crypto/rsa has put a random key in place of a wrong one by itself,
		// in constant time. Keys in hardware may not.
		if err == nil && len(got) == size {
			contentKey = got
		}
		return contentKey, nil
	case oidOAEP:
		options, err := parseOAEP(t.algorithm)
		if err != nil {
			return nil, err
		}
		for _, h := range []crypto.Hash{options.Hash, options.MGFHash} {
			if err := fips.Hash(h); err != nil {
				return nil, err
			}
		}
		got, err := decrypter.Decrypt(rand.Reader, t.encryptedKey, options)
		if err != nil || len(got) != size {
			// The cause is left out: which check of the padding failed is the
			// oracle of Manger's attack.
			return nil, errUndecryptable()
		}
		return got, nil
	}
	return nil, unsupported("key transport " + t.algorithm.id.String())
}

// errUndecryptable stands for each of: wrong key, tampered key, tampered
// content.
func errUndecryptable() error { return corrupt("message cannot be decrypted") }
