package bcfks

import (
	"crypto/aes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha512"
	"encoding/asn1"
	"fmt"
	"io"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// What BouncyCastle writes by default, but for the tag, which it makes 8 bytes
// long and reads in any length.
const (
	defaultIterations = 51_200
	saltSize          = 64
	nonceSize         = 12
	tagSize           = 16
)

// Encode writes the store as BCFKS: PBKDF2-HMAC-SHA512, AES-256-CCM,
// HMAC-SHA512.
//
// Keys that opts.Keep accepts are copied as they stand; the others are
// encrypted with the password that opts.Key gives. Aliases keep their spelling
// and need only differ in case. Entries without a creation time get opts.Now,
// which is also the store's own time. Times are cut to seconds.
//
// Errors wrap trustkeep.ErrExists for an alias that occurs twice and
// ErrUnsupported for what the format cannot hold: no password, private keys
// without certificates, certificates of another type than X.509, years beyond
// 9999, CRLs and opaque entries of other formats. The entry is named. Errors of
// opts.Key and opts.Rand are passed on.
func Encode(s *entry.Store, opts entry.WriteOptions) ([]byte, error) {
	out, err := encode(s, opts)
	if err != nil {
		return nil, fmt.Errorf("bcfks: %w", err)
	}
	return out, nil
}

func encode(s *entry.Store, opts entry.WriteOptions) ([]byte, error) {
	if opts.Password == nil {
		return nil, fmt.Errorf("store without a password: %w", trustkeep.ErrUnsupported)
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	e := &encoder{opts: opts, own: s.Format == entry.BCFKS}
	data, err := e.storeData(s.Entries)
	if err != nil {
		return nil, err
	}
	seal, err := newSealer(opts.Rand, len(data))
	if err != nil {
		return nil, err
	}
	salt, err := draw(opts.Rand, saltSize)
	if err != nil {
		return nil, err
	}
	cost := quickkdf.Cost(opts.Rand, defaultIterations)
	var content, macKey []byte
	var contentErr, macErr error
	deriveBoth(false,
		func() { content, contentErr = seal.seal(data, opts.Password, purposeStore) },
		func() {
			macKey, macErr = newKDF(salt, cost).derive(opts.Password, purposeIntegrity, defaultMACKey, limits.Unlimited{})
		})
	defer clear(macKey)
	if contentErr != nil {
		return nil, contentErr
	}
	if macErr != nil {
		return nil, macErr
	}
	mac := hmac.New(sha512.New, macKey)
	mac.Write(content)
	b := cryptobyte.NewBuilder(make([]byte, 0, len(content)+256))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(content)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			addHMAC(b)
			addKDF(b, salt, cost, defaultMACKey)
			b.AddASN1OctetString(mac.Sum(nil))
		})
	})
	return b.Bytes()
}

func draw(rand io.Reader, n int) ([]byte, error) {
	b := make([]byte, n)
	_, err := io.ReadFull(rand, b)
	return b, err
}

func newKDF(salt []byte, iterations int64) *kdf {
	return &kdf{salt: salt, hash: sha512.New, hashName: "SHA512", iterations: iterations}
}

// addHMAC writes the AlgorithmIdentifier of HMAC-SHA512.
func addHMAC(b *cryptobyte.Builder) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidHMACSHA512)
		b.AddASN1NULL()
	})
}

func addKDF(b *cryptobyte.Builder, salt []byte, iterations, keyLength int64) {
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oidPBKDF2)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1OctetString(salt)
			b.AddASN1Int64(iterations)
			b.AddASN1Int64(keyLength)
			addHMAC(b)
		})
	})
}

// sealer has the random part of one encryption.
type sealer struct {
	salt, nonce []byte
	cost        int64
}

// newSealer draws for a plaintext of n bytes. What the nonce leaves of 15 bytes
// holds the length of the message (RFC 3610 section 2.1).
func newSealer(rand io.Reader, n int) (*sealer, error) {
	salt, err := draw(rand, saltSize)
	if err != nil {
		return nil, err
	}
	size := nonceSize
	if n >= 1<<24 {
		size-- // 4 GiB
	}
	nonce, err := draw(rand, size)
	return &sealer{salt, nonce, quickkdf.Cost(rand, defaultIterations)}, err
}

// seal returns a SEQUENCE of the AlgorithmIdentifier and the ciphertext, which
// is EncryptedObjectStoreData, EncryptedPrivateKeyInfo and
// EncryptedSecretKeyData alike.
func (s *sealer) seal(plain, password []byte, purpose string) ([]byte, error) {
	key, err := newKDF(s.salt, s.cost).derive(password, purpose, keyLength, limits.Unlimited{})
	if err != nil {
		return nil, err
	}
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	ciphertext := ccm{block, s.nonce, tagSize}.seal(plain, nil)
	if ciphertext == nil {
		return nil, fmt.Errorf("%d bytes in one piece: %w", len(plain), trustkeep.ErrUnsupported)
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(ciphertext)+256))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oidPBES2)
			b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
				addKDF(b, s.salt, s.cost, keyLength)
				b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
					b.AddASN1ObjectIdentifier(oidAESCCM)
					b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
						b.AddASN1OctetString(s.nonce)
						b.AddASN1Int64(tagSize)
					})
				})
			})
		})
		b.AddASN1OctetString(ciphertext)
	})
	return b.Bytes()
}

type encoder struct {
	opts entry.WriteOptions
	own  bool // opaque entries are of this format
}

// storeData returns the DER of ObjectStoreData.
func (e *encoder) storeData(entries []*entry.Entry) ([]byte, error) {
	keys, err := entry.ProtectKeys(entries, e.opts, e.seal)
	if err != nil {
		return nil, err
	}
	now, err := storeTime(e.opts.Now)
	if err != nil {
		return nil, err
	}
	objects := make([][]byte, len(entries))
	aliases := make(map[string]struct{}, len(entries))
	size := 0
	for i, one := range entries {
		if _, taken := aliases[one.Alias]; taken {
			return nil, entry.AliasError(one, trustkeep.ErrExists)
		}
		aliases[one.Alias] = struct{}{}
		if objects[i], err = e.object(one, keys[i]); err != nil {
			return nil, entry.AliasError(one, err)
		}
		size += len(objects[i])
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, size+128))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(1)
		addHMAC(b)
		b.AddASN1GeneralizedTime(now)
		b.AddASN1GeneralizedTime(now)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, o := range objects {
				b.AddBytes(o)
			}
		})
	})
	return b.Bytes()
}

// storeTime cuts a time to what a GeneralizedTime holds.
func storeTime(t time.Time) (time.Time, error) {
	t = t.UTC().Truncate(time.Second)
	if t.Year() < 0 || t.Year() > 9999 {
		return t, fmt.Errorf("time in the year %d: %w", t.Year(), trustkeep.ErrUnsupported)
	}
	return t, nil
}

// seal asks for a key and returns what encrypts it.
func (e *encoder) seal(one *entry.Entry) (func() ([]byte, error), error) {
	if e.opts.Key == nil {
		return nil, fmt.Errorf("key to be encrypted anew, but nothing opens it: %w", trustkeep.ErrUnsupported)
	}
	plain, password, err := e.opts.Key(one)
	if err != nil {
		return nil, err
	}
	if password == nil {
		return nil, fmt.Errorf("key without a password: %w", trustkeep.ErrUnsupported)
	}
	s, err := newSealer(e.opts.Rand, len(plain))
	if err != nil {
		return nil, err
	}
	if one.Kind != entry.Secret {
		return func() ([]byte, error) { return s.seal(plain, password, purposePrivate) }, nil
	}
	oid := secretOID(one.Key.AlgorithmName())
	if oid == nil {
		return nil, fmt.Errorf("secret key of algorithm %q: %w", trustkeep.Printable(one.Key.AlgorithmName()), trustkeep.ErrUnsupported)
	}
	return func() ([]byte, error) {
		data, err := secretKeyData(oid, plain)
		if err != nil {
			return nil, err
		}
		defer clear(data)
		return s.seal(data, password, purposeSecret)
	}, nil
}

func secretKeyData(oid asn1.ObjectIdentifier, key []byte) ([]byte, error) {
	b := cryptobyte.NewBuilder(make([]byte, 0, len(key)+64))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1ObjectIdentifier(oid)
		b.AddASN1OctetString(key)
	})
	return b.Bytes()
}

// object returns the DER of ObjectData.
func (e *encoder) object(one *entry.Entry, key []byte) ([]byte, error) {
	for _, c := range one.Chain {
		if c.Type != "" && c.Type != "X.509" {
			return nil, fmt.Errorf("certificate of type %q: %w", trustkeep.Printable(c.Type), trustkeep.ErrUnsupported)
		}
	}
	var kind int64
	var data []byte
	var err error
	switch {
	case one.Kind == entry.Opaque && e.own && len(one.Raw) > 0:
		return one.Raw, nil
	case one.Kind == entry.Trusted && len(one.Chain) == 1:
		kind, data = typeCertificate, one.Chain[0].Raw
	case one.Kind == entry.Key && one.Key != nil && len(one.Chain) > 0:
		kind = typePrivateKey
		data, err = privateKeyData(key, one.Chain)
	case one.Kind == entry.Key:
		return nil, fmt.Errorf("private key without a certificate: %w", trustkeep.ErrUnsupported)
	case one.Kind == entry.Secret && one.Key != nil:
		kind, data = typeSecretKey, key
	default:
		return nil, fmt.Errorf("bcfks holds keys and trusted certificates only: %w", trustkeep.ErrUnsupported)
	}
	if err != nil {
		return nil, err
	}
	if !utf8.ValidString(one.Alias) {
		return nil, fmt.Errorf("alias that is not UTF-8: %w", trustkeep.ErrUnsupported)
	}
	created := one.Created
	if created.IsZero() {
		created = e.opts.Now
	}
	if created, err = storeTime(created); err != nil {
		return nil, err
	}
	b := cryptobyte.NewBuilder(make([]byte, 0, len(data)+len(one.Alias)+64))
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(kind)
		b.AddASN1(cbasn1.UTF8String, func(b *cryptobyte.Builder) { b.AddBytes([]byte(one.Alias)) })
		b.AddASN1GeneralizedTime(created)
		b.AddASN1GeneralizedTime(created)
		b.AddASN1OctetString(data)
		if e.own {
			for _, a := range one.Attributes {
				b.AddBytes(a)
			}
		}
	})
	return b.Bytes()
}

// privateKeyData returns the DER of EncryptedPrivateKeyData.
func privateKeyData(info []byte, chain []*entry.Certificate) ([]byte, error) {
	var b cryptobyte.Builder
	b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddBytes(info)
		b.AddASN1(cbasn1.SEQUENCE, func(b *cryptobyte.Builder) {
			for _, c := range chain {
				b.AddBytes(c.Raw)
			}
		})
	})
	return b.Bytes()
}
