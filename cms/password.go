package cms

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/cms/internal/keywrap"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
)

// passwordIterations is what one guess costs, in HMAC-SHA256.
const passwordIterations = 600_000

// maxPasswordInfos bounds the recipients by password of one message: each costs a
// derivation for each password that is tried.
const maxPasswordInfos = 8

// id-alg-PWRI-KEK (RFC 3211 section 2.3) and PBES2 (RFC 8018 appendix A.4).
var (
	oidPasswordWrap = newOID("1.2.840.113549.1.9.16.3.9")
	oidPBES2        = newOID("1.2.840.113549.1.5.13")
)

// reveal asks a source for its password, which is not to be empty.
func reveal(source trustkeep.PasswordSource, n int) ([]byte, error) {
	if isNil(source) {
		return nil, invalid(fmt.Sprintf("password %d is nil", n+1))
	}
	password, err := source.Reveal()
	if err != nil {
		return nil, fmt.Errorf("password %d: %w", n+1, err)
	}
	return password, nil
}

// passwordInfo returns the PasswordRecipientInfo (RFC 5652 section 6.2.4) that holds the
// content key: PBKDF2, and the key wrap of RFC 3211 under AES-256.
func passwordInfo(password, contentKey []byte) ([]byte, error) {
	if len(password) == 0 {
		return nil, invalid("empty password")
	}
	scheme, err := pbe.Params{KDF: pbe.PBKDF2, Hash: crypto.SHA256, Iterations: passwordIterations, Cipher: pbe.AES256CBC, SaltLength: 16}.NewScheme(rand.Reader)
	if err != nil {
		return nil, err
	}
	der, err := scheme.Marshal()
	if err != nil {
		return nil, err
	}
	kdf, cipher, err := splitPBES2(der)
	if err != nil {
		return nil, err
	}
	p := passworded{kdf: kdf, cipher: cipher}
	key, err := scheme.Derive(password, limits.Unlimited{})
	if err != nil {
		return nil, err
	}
	defer clear(key)
	spec, iv, err := p.wrapping()
	if err != nil {
		return nil, err
	}
	block, err := spec.block(key)
	if err != nil {
		return nil, err
	}
	wrapped, err := keywrap.WrapByPassword(block, iv, contentKey)
	if err != nil {
		return nil, err
	}
	derivation := kdf.der()
	derivation[0] = berio.ContextConstructed(0)
	return berio.TLV(berio.ContextConstructed(3),
		berio.TLV(berio.Integer, []byte{0}),
		derivation,
		algorithm{oidPasswordWrap, cipher.der()}.der(),
		berio.TLV(berio.OctetString, wrapped)), nil
}

// splitPBES2 returns the two algorithms of PBES2, which are those that a
// PasswordRecipientInfo has apart.
func splitPBES2(der []byte) (kdf, cipher algorithm, err error) {
	outer := ber.New(der, ber.Rules{MaxDepth: 8})
	a, err := readAlgorithm(&outer)
	if err != nil {
		return kdf, cipher, err
	}
	params := ber.New(a.params, ber.Rules{MaxDepth: 8})
	e, err := params.Read(ber.Sequence)
	if err != nil {
		return kdf, cipher, err
	}
	in, err := e.Children()
	if err != nil {
		return kdf, cipher, err
	}
	if kdf, err = readAlgorithm(&in); err == nil {
		cipher, err = readAlgorithm(&in)
	}
	return kdf, cipher, err
}

// passworded is a PasswordRecipientInfo of a message.
type passworded struct {
	kdf     algorithm // without id where the message leaves it out
	wrap    oid
	cipher  algorithm // of the key wrap
	wrapped []byte
	tab     *limits.Once
}

func parsePassword(e ber.Element) (p passworded, err error) {
	in, err := e.Children()
	if err != nil {
		return p, err
	}
	if _, err = in.Read(ber.Integer); err != nil {
		return p, err
	}
	kdf, present, err := in.ReadOptional(ber.Context(0))
	if err != nil {
		return p, err
	}
	if present {
		if p.kdf, err = parseAlgorithm(kdf); err != nil {
			return p, err
		}
	}
	wrap, err := readAlgorithm(&in)
	if err != nil {
		return p, err
	}
	p.wrap = wrap.id
	if wrap.id == oidPasswordWrap {
		params := ber.New(wrap.params, ber.Rules{MaxDepth: 8})
		if p.cipher, err = readAlgorithm(&params); err != nil {
			return p, err
		}
	}
	if p.wrapped, err = readOctets(&in); err != nil {
		return p, err
	}
	return p, in.End()
}

// wrapping returns the cipher of the key wrap and its initialisation vector.
func (p passworded) wrapping() (*cipherSpec, []byte, error) {
	spec, err := cipherOf(p.cipher)
	if err != nil {
		return nil, nil, err
	}
	if spec.gcm {
		return nil, nil, unsupported(spec.name + " for a key under a password")
	}
	iv, err := spec.cbcIV(p.cipher)
	return spec, iv, err
}

// contentKey recovers the content key of size bytes. The error is
// trustkeep.ErrIncorrectPassword for another password.
func (p passworded) contentKey(password []byte, size int) ([]byte, error) {
	switch {
	case p.kdf.id == "":
		return nil, unsupported("key under a password without a derivation")
	case p.wrap != oidPasswordWrap:
		return nil, unsupported("key wrap " + p.wrap.String() + " under a password")
	}
	spec, iv, err := p.wrapping()
	if err != nil {
		return nil, err
	}
	scheme, err := pbe.ParseScheme(algorithm{oidPBES2, berio.TLV(berio.Sequence, p.kdf.der(), p.cipher.der())}.der())
	if err != nil {
		return nil, err
	}
	key, err := scheme.Derive(password, p.tab)
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := spec.block(key)
	if err != nil {
		return nil, err
	}
	contentKey, err := keywrap.UnwrapByPassword(block, iv, p.wrapped)
	if err != nil || len(contentKey) != size {
		return nil, trustkeep.ErrIncorrectPassword
	}
	return bytes.Clone(contentKey), nil
}

// byPassword returns how to get the content key by the first of the passwords that opens one
// of the recipients.
func byPassword(to []passworded, sources []trustkeep.PasswordSource) func(size int) ([]byte, error) {
	return func(size int) ([]byte, error) {
		var first error
		for n, source := range sources {
			password, err := reveal(source, n)
			if err != nil {
				return nil, err
			}
			for _, p := range to {
				contentKey, err := p.contentKey(password, size)
				if err == nil {
					clear(password)
					return contentKey, nil
				}
				// What cannot be read is worth more than that others do not fit.
				if first == nil || errors.Is(first, trustkeep.ErrIncorrectPassword) {
					first = err
				}
			}
			clear(password)
		}
		return nil, first
	}
}
