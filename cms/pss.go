package cms

import (
	"crypto"
	"crypto/rsa"
	"crypto/x509"

	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
)

// pssParameters are RSASSA-PSS-params (RFC 4055 section 3.1): of a signature, or what a key
// is bound to.
type pssParameters struct {
	hash, mask *hashSpec
	salt       int // bytes
}

// pssAlgorithm spells all parameters out, with one hash for both uses.
func pssAlgorithm(h *hashSpec, salt int) algorithm {
	return algorithm{oidPSS, berio.TLV(berio.Sequence,
		berio.TLV(berio.ContextConstructed(0), algorithm{h.id, nullDER}.der()),
		berio.TLV(berio.ContextConstructed(1), mgf1(h).der()),
		berio.TLV(berio.ContextConstructed(2), berio.TLV(berio.Integer, integerContent(salt))))}
}

// integerContent encodes a number from 0 to 65535.
func integerContent(n int) []byte {
	out := []byte{byte(n >> 8), byte(n)}
	if n < 0x80 {
		return out[1:]
	}
	if n >= 0x8000 {
		return append([]byte{0}, out...)
	}
	return out
}

// maxSalt is longer than the salt of any RSA key that is accepted.
const maxSalt = maxRSABits / 8

func parsePSS(params []byte) (p pssParameters, err error) {
	outer := ber.New(params, ber.Rules{MaxDepth: 8})
	e, err := outer.Read(ber.Sequence)
	if err != nil {
		return p, err
	}
	in, err := e.Children()
	if err != nil {
		return p, err
	}
	sha1 := hashByHash(crypto.SHA1)
	p = pssParameters{sha1, sha1, 20}
	for n, read := range []func(*ber.Input) error{
		func(in *ber.Input) (err error) { p.hash, err = readHash(in); return err },
		func(in *ber.Input) (err error) { p.mask, err = readMGF1(in); return err },
		func(in *ber.Input) error {
			n, err := readSmall(in)
			if err == nil && n > maxSalt {
				err = corrupt("length of the salt of RSA-PSS")
			}
			p.salt = n
			return err
		},
		func(in *ber.Input) error {
			n, err := readSmall(in)
			if err == nil && n != 1 {
				err = unsupported("RSA-PSS trailer field")
			}
			return err
		},
	} {
		if err := optional(&in, n, read); err != nil {
			return p, err
		}
	}
	return p, in.End()
}

// readSmall reads an INTEGER from 0 to 65535.
func readSmall(in *ber.Input) (int, error) {
	e, err := in.Read(ber.Integer)
	if err != nil {
		return 0, err
	}
	n := integer(e.Content)
	if e.Constructed || len(e.Content) == 0 || len(e.Content) > 8 || n.Sign() < 0 || n.BitLen() > 16 {
		return 0, corrupt("number out of range")
	}
	return int(n.Int64()), nil
}

// certifiedKey is the key of a certificate.
type certifiedKey struct {
	public crypto.PublicKey // nil where it is of no known kind
	// pss: the key is for RSASSA-PSS alone (RFC 4055 section 1.2), bound to these
	// parameters if they are set; their salt is the shortest.
	pss   bool
	bound *pssParameters
}

// keyOf returns the key of a certificate. crypto/x509 leaves out X25519 keys and those that
// are for RSASSA-PSS alone.
func keyOf(c *x509.Certificate) certifiedKey {
	if c.PublicKey != nil || len(c.RawSubjectPublicKeyInfo) == 0 {
		return certifiedKey{public: c.PublicKey}
	}
	if pub, err := x509.ParsePKIXPublicKey(c.RawSubjectPublicKeyInfo); err == nil {
		return certifiedKey{public: pub}
	}
	k, err := parsePSSKey(c.RawSubjectPublicKeyInfo)
	if err != nil {
		return certifiedKey{}
	}
	return k
}

func parsePSSKey(spki []byte) (k certifiedKey, err error) {
	outer := ber.New(spki, ber.Rules{MaxDepth: 8, DER: true})
	e, err := outer.Read(ber.Sequence)
	if err != nil {
		return k, err
	}
	in, err := e.Children()
	if err != nil {
		return k, err
	}
	a, err := readAlgorithm(&in)
	if err != nil {
		return k, err
	}
	if a.id != oidPSS {
		return k, unsupported("key " + a.id.String())
	}
	if a.params != nil {
		p, err := parsePSS(a.params)
		if err != nil {
			return k, err
		}
		if p.hash != p.mask {
			return k, unsupported("RSA-PSS with different hashes")
		}
		k.bound = &p
	}
	bits, err := in.Read(ber.BitString)
	if err != nil {
		return k, err
	}
	if bits.Constructed || len(bits.Content) == 0 || bits.Content[0] != 0 {
		return k, corrupt("RSA key")
	}
	pub, err := x509.ParsePKCS1PublicKey(bits.Content[1:])
	if err != nil {
		return k, corrupt("RSA key")
	}
	k.public, k.pss = pub, true
	return k, in.End()
}

// checkPSS checks that the parameters of a signature are some that are accepted, and returns
// how to verify it. Both hashes must be that of the digest, which is what crypto/rsa can do
// and everybody sends.
func (k certifiedKey) checkPSS(a algorithm, h *hashSpec) (*rsa.PSSOptions, error) {
	p, err := parsePSS(a.params)
	if err != nil {
		return nil, err
	}
	if p.hash != h || p.mask != h {
		return nil, unsupported("RSA-PSS with different hashes")
	}
	if k.bound == nil {
		return nil, nil // the length of the salt is found by checking
	}
	if p.hash != k.bound.hash || p.salt < k.bound.salt {
		return nil, unsupported("RSA-PSS with other parameters than those that the certificate binds its key to")
	}
	return &rsa.PSSOptions{SaltLength: p.salt, Hash: h.hash}, nil
}
