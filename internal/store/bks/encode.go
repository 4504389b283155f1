package bks

import (
	"crypto/rand"
	"encoding/asn1"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
)

const (
	saltSize = 20
	// defaultIterations is more than the 1,024 to 2,047 that BouncyCastle
	// draws, which takes any number.
	defaultIterations = 10_000
)

// Encode writes the store as BKS version 2 or as UBER.
//
// Keys that opts.Keep accepts are copied as they stand; the others are sealed
// with the password that opts.Key gives. Aliases keep their spelling and need
// only differ in case. Entries without a creation time get opts.Now.
//
// Errors wrap trustkeep.ErrExists for an alias that occurs twice and
// ErrUnsupported for what the format cannot hold: no password, private keys
// without certificates, CRLs and opaque entries of other formats. The entry is
// named. Errors of opts.Key and opts.Rand are passed on.
func Encode(s *entry.Store, format entry.Format, opts entry.WriteOptions) ([]byte, error) {
	out, err := encode(s, format, opts)
	if err != nil {
		return nil, fmt.Errorf("bks: %w", err)
	}
	return out, nil
}

func encode(s *entry.Store, format entry.Format, opts entry.WriteOptions) ([]byte, error) {
	if format != entry.BKS && format != entry.UBER {
		return nil, fmt.Errorf("format %q: %w", format, trustkeep.ErrUnsupported)
	}
	if opts.Password == nil {
		return nil, fmt.Errorf("%s without a password: %w", format, trustkeep.ErrUnsupported)
	}
	if err := fips.Refuse("the encryption of BKS and UBER"); err != nil {
		return nil, err
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	h := header{version: 2, salt: make([]byte, saltSize), iterations: defaultIterations}
	if format == entry.UBER {
		h.version = 1 // the one that BouncyCastle writes
	}
	if _, err := io.ReadFull(opts.Rand, h.salt); err != nil {
		return nil, err
	}
	e := &encoder{opts: opts, own: s.Format == entry.BKS || s.Format == entry.UBER}
	content, err := e.content(s.Entries)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, len(content)+128)
	out = binary.BigEndian.AppendUint32(out, h.version)
	out = binary.BigEndian.AppendUint32(out, saltSize)
	out = append(out, h.salt...)
	out = binary.BigEndian.AppendUint32(out, uint32(h.iterations))
	if format == entry.UBER {
		sealed, err := h.sealUBER(content, opts.Password)
		return append(out, sealed...), err
	}
	mac, err := h.mac(opts.Password, content, limits.Unlimited{})
	return append(append(out, content...), mac...), err
}

type encoder struct {
	out  []byte
	opts entry.WriteOptions
	own  bool // opaque entries are of these formats
}

func (e *encoder) content(entries []*entry.Entry) ([]byte, error) {
	keys, err := entry.ProtectKeys(entries, e.opts, e.seal)
	if err != nil {
		return nil, err
	}
	aliases := make(map[string]struct{}, len(entries))
	for i, one := range entries {
		if _, taken := aliases[one.Alias]; taken {
			return nil, entry.AliasError(one, trustkeep.ErrExists)
		}
		aliases[one.Alias] = struct{}{}
		if err := e.entry(one, keys[i]); err != nil {
			return nil, entry.AliasError(one, err)
		}
	}
	return append(e.out, typeEnd), nil
}

func (e *encoder) keep(one *entry.Entry) bool { return e.opts.Keep != nil && e.opts.Keep(one) }

// seal asks for a key and returns what makes its sealed form.
func (e *encoder) seal(one *entry.Entry) (func() ([]byte, error), error) {
	if e.opts.Key == nil {
		return nil, fmt.Errorf("key to be sealed anew, but nothing opens it: %w", trustkeep.ErrUnsupported)
	}
	plain, password, err := e.opts.Key(one)
	if err != nil {
		return nil, err
	}
	if password == nil {
		return nil, fmt.Errorf("key without a password: %w", trustkeep.ErrUnsupported)
	}
	k := key{kind: privateKey, format: "PKCS#8", encoding: plain}
	if one.Kind == entry.Secret {
		k.kind, k.format, k.algorithm = secretKey, "RAW", one.Key.AlgorithmName()
		if k.algorithm == "" {
			return nil, fmt.Errorf("secret key of an unknown algorithm: %w", trustkeep.ErrUnsupported)
		}
	} else if k.algorithm, err = javaAlgorithm(plain); err != nil {
		return nil, err
	}
	salt := make([]byte, saltSize)
	if _, err := io.ReadFull(e.opts.Rand, salt); err != nil {
		return nil, err
	}
	return func() ([]byte, error) { return k.seal(salt, password) }, nil
}

func (k key) seal(salt, password []byte) ([]byte, error) {
	plain := []byte{byte(k.kind)}
	plain, err := javaio.AppendUTF(plain, k.format)
	if err != nil {
		return nil, err
	}
	if plain, err = javaio.AppendUTF(plain, k.algorithm); err != nil {
		return nil, err
	}
	plain = appendBlock(plain, k.encoding)
	defer clear(plain)
	scheme, err := keyScheme(salt, defaultIterations)
	if err != nil {
		return nil, err
	}
	ciphertext, err := scheme.Seal(plain, pkcs12Password(password))
	if err != nil {
		return nil, err
	}
	out := appendBlock(nil, salt)
	out = binary.BigEndian.AppendUint32(out, defaultIterations)
	return append(out, ciphertext...), nil
}

func appendBlock(out, b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(b))), b...)
}

// javaAlgorithm returns the Java name of a private key's algorithm, or its
// object identifier, which Java takes for a name too.
func javaAlgorithm(pkcs8 []byte) (string, error) {
	input := cryptobyte.String(pkcs8)
	var info, algorithm cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !input.ReadASN1(&info, cbasn1.SEQUENCE) || !info.SkipASN1(cbasn1.INTEGER) ||
		!info.ReadASN1(&algorithm, cbasn1.SEQUENCE) || !algorithm.ReadASN1ObjectIdentifier(&oid) {
		return "", fmt.Errorf("private key that is no PKCS#8: %w", trustkeep.ErrCorrupt)
	}
	switch oid.String() {
	case "1.2.840.113549.1.1.1":
		return "RSA", nil
	case "1.2.840.113549.1.1.10":
		return "RSASSA-PSS", nil
	case "1.2.840.10045.2.1":
		return "EC", nil
	case "1.2.840.10040.4.1":
		return "DSA", nil
	case "1.3.101.112":
		return "Ed25519", nil
	case "1.3.101.113":
		return "Ed448", nil
	}
	return oid.String(), nil
}

func (e *encoder) entry(one *entry.Entry, sealed []byte) error {
	kind, value := byte(typeSealed), sealed
	chain := one.Chain
	switch {
	case one.Kind == entry.Key && one.Key != nil && len(chain) == 0:
		// BouncyCastle takes none, and a reader could not tell it from a
		// secret key.
		return fmt.Errorf("private key without a certificate: %w", trustkeep.ErrUnsupported)
	case (one.Kind == entry.Key || one.Kind == entry.Secret) && one.Key != nil:
		if !one.Key.Encrypted && e.keep(one) {
			kind = typeKey
		}
	case one.Kind == entry.Trusted && len(chain) == 1:
		kind, chain = typeCertificate, nil
	case one.Kind == entry.Opaque && e.own && len(one.Raw) > 0:
		kind, value = one.Raw[0], one.Raw[1:]
	default:
		return fmt.Errorf("bks holds keys and trusted certificates only: %w", trustkeep.ErrUnsupported)
	}
	e.out = append(e.out, kind)
	if err := e.utf(one.Alias); err != nil {
		return err
	}
	created := one.Created
	if created.IsZero() {
		created = e.opts.Now
	}
	e.out = binary.BigEndian.AppendUint64(e.out, uint64(created.UnixMilli()))
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(len(chain)))
	for _, c := range chain {
		if err := e.certificate(c); err != nil {
			return err
		}
	}
	switch kind {
	case typeCertificate:
		return e.certificate(one.Chain[0])
	case typeKey: // a key in the clear, which is no block
		e.out = append(e.out, value...)
		return nil
	}
	return e.block(value)
}

func (e *encoder) certificate(c *entry.Certificate) error {
	certType := c.Type
	if certType == "" {
		certType = x509Type
	}
	if err := e.utf(certType); err != nil {
		return err
	}
	return e.block(c.Raw)
}

func (e *encoder) utf(s string) error {
	out, err := javaio.AppendUTF(e.out, s)
	if err == nil {
		e.out = out
	}
	return err
}

func (e *encoder) block(b []byte) error {
	if len(b) > math.MaxInt32 {
		return fmt.Errorf("%d bytes in one piece: %w", len(b), trustkeep.ErrUnsupported)
	}
	e.out = appendBlock(e.out, b)
	return nil
}
