package jks

import (
	"crypto/rand"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio"
)

// Encode writes the store as JKS or JCEKS, version 2.
//
// Aliases are written as the JDK's own types do, folded, since Java does not
// find any other; only a store that was read with aliases in upper case (from
// CaseExactJKS) keeps their spelling. Keys that opts.Keep accepts are copied as
// they stand; the others are protected anew with the password that opts.Key
// gives. Entries without a creation time get opts.Now. A private key without
// certificates is written; Java opens it, and keytool lists it as a secret key.
//
// Errors wrap trustkeep.ErrExists for two aliases that fold equal and
// ErrUnsupported for what the format cannot hold: no store password, no key
// password, a JCEKS key password outside printable ASCII, and entries other
// than private keys, trusted certificates and (JCEKS) secret keys. The
// entry is named. Errors of opts.Key and opts.Rand are passed on.
func Encode(s *entry.Store, format entry.Format, opts entry.WriteOptions) ([]byte, error) {
	out, err := encode(s, format, opts)
	if err != nil {
		return nil, fmt.Errorf("jks: %w", err)
	}
	return out, nil
}

func encode(s *entry.Store, format entry.Format, opts entry.WriteOptions) ([]byte, error) {
	if opts.Password == nil {
		return nil, fmt.Errorf("%s without a password: %w", format, trustkeep.ErrUnsupported)
	}
	if err := fips.Refuse("the SHA-1 digest of JKS and JCEKS"); err != nil {
		return nil, err
	}
	if opts.Rand == nil {
		opts.Rand = rand.Reader
	}
	e := &encoder{format: format, opts: opts}
	if source, ok := s.Source.(Source); ok {
		e.caseExact = source.CaseExact
	}
	magic := uint32(magicJKS)
	switch format {
	case entry.JKS:
	case entry.JCEKS:
		magic = magicJCEKS
	default:
		return nil, fmt.Errorf("format %q: %w", format, trustkeep.ErrUnsupported)
	}
	keys, err := entry.ProtectKeys(s.Entries, e.opts, e.protect)
	if err != nil {
		return nil, err
	}
	e.out = make([]byte, 0, sizeHint(s.Entries, keys))
	e.uint32(magic)
	e.uint32(2)
	e.uint32(uint32(len(s.Entries)))
	aliases := make(map[string]struct{}, len(s.Entries))
	for i, one := range s.Entries {
		folded := fold(one.Alias)
		if _, taken := aliases[folded]; taken {
			return nil, entry.AliasError(one, fmt.Errorf("in this or another case: %w", trustkeep.ErrExists))
		}
		aliases[folded] = struct{}{}
		if err := e.entry(one, keys[i]); err != nil {
			return nil, entry.AliasError(one, err)
		}
	}
	sum := digest(opts.Password, e.out)
	return append(e.out, sum[:]...), nil
}

// sizeHint is the size of the output, give or take aliases outside ASCII, so
// that it is allocated once.
func sizeHint(entries []*entry.Entry, keys [][]byte) int {
	n := headerSize + sha1.Size
	for i, e := range entries {
		n += 4 + 2 + len(e.Alias) + 8 + 4 + len(keys[i]) + 4
		for _, c := range e.Chain {
			n += 2 + len(c.Type) + 4 + len(c.Raw)
		}
	}
	return n
}

type encoder struct {
	out       []byte
	format    entry.Format
	opts      entry.WriteOptions
	caseExact bool
}

// protect asks for a key and returns what makes its protected form.
func (e *encoder) protect(one *entry.Entry) (func() ([]byte, error), error) {
	if e.format == entry.JKS && one.Kind != entry.Key {
		return nil, e.cannotHold()
	}
	if e.opts.Key == nil {
		return nil, fmt.Errorf("key to be protected anew, but nothing opens it: %w", trustkeep.ErrUnsupported)
	}
	plain, password, err := e.opts.Key(one)
	if err != nil {
		return nil, err
	}
	if password == nil {
		return nil, fmt.Errorf("key without a password: %w", trustkeep.ErrUnsupported)
	}
	if e.format == entry.JKS {
		salt := make([]byte, sha1.Size)
		if _, err := io.ReadFull(e.opts.Rand, salt); err != nil {
			return nil, err
		}
		return func() ([]byte, error) { return protectSun(plain, password, salt) }, nil
	}
	if err := checkPassword(password); err != nil {
		return nil, err
	}
	scheme, err := newTripleDES(e.opts.Rand)
	if err != nil {
		return nil, err
	}
	if one.Kind == entry.Key {
		return func() ([]byte, error) { return protectTripleDES(scheme, plain, password) }, nil
	}
	algorithm := one.Key.AlgorithmName()
	if algorithm == "" {
		return nil, fmt.Errorf("secret key of an unknown algorithm: %w", trustkeep.ErrUnsupported)
	}
	return func() ([]byte, error) { return sealSecret(scheme, algorithm, plain, password) }, nil
}

func (e *encoder) cannotHold() error {
	if e.format == entry.JCEKS {
		return fmt.Errorf("jceks holds private keys, secret keys and trusted certificates only: %w", trustkeep.ErrUnsupported)
	}
	return fmt.Errorf("jks holds private keys and trusted certificates only: %w", trustkeep.ErrUnsupported)
}

func (e *encoder) entry(one *entry.Entry, key []byte) error {
	switch {
	case one.Kind == entry.Key && one.Key != nil:
		if err := e.head(tagKey, one); err != nil {
			return err
		}
		if err := e.block(key); err != nil {
			return err
		}
		e.uint32(uint32(len(one.Chain)))
		for _, c := range one.Chain {
			if err := e.certificate(c); err != nil {
				return err
			}
		}
		return nil
	case one.Kind == entry.Secret && one.Key != nil && e.format == entry.JCEKS:
		if err := e.head(tagSecret, one); err != nil {
			return err
		}
		e.out = append(e.out, key...)
		return nil
	case one.Kind == entry.Trusted && len(one.Chain) == 1:
		if err := e.head(tagTrusted, one); err != nil {
			return err
		}
		return e.certificate(one.Chain[0])
	}
	return e.cannotHold()
}

// head writes what every entry starts with.
func (e *encoder) head(tag uint32, one *entry.Entry) error {
	e.uint32(tag)
	alias := one.Alias
	if !e.caseExact {
		alias = fold(alias)
	}
	if err := e.utf(alias); err != nil {
		return err
	}
	created := one.Created
	if created.IsZero() {
		created = e.opts.Now
	}
	e.out = binary.BigEndian.AppendUint64(e.out, uint64(created.UnixMilli()))
	return nil
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

func (e *encoder) uint32(n uint32) { e.out = binary.BigEndian.AppendUint32(e.out, n) }

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
	e.uint32(uint32(len(b)))
	e.out = append(e.out, b...)
	return nil
}
