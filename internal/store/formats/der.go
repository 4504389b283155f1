package formats

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// parseDER reads one certificate, revocation list or private key.
func parseDER(format entry.Format, der []byte, opts entry.ReadOptions) (*entry.Store, error) {
	e, err := derEntry(der, opts)
	if err != nil {
		return nil, fmt.Errorf("formats: %s: %w", format, err)
	}
	e.Unnamed = true
	return &entry.Store{Format: format, Entries: []*entry.Entry{e}, Unauthenticated: true}, nil
}

func derEntry(der []byte, opts entry.ReadOptions) (*entry.Entry, error) {
	in := cryptobyte.String(der)
	if !in.SkipASN1(asn1.SEQUENCE) || !in.Empty() {
		return nil, fmt.Errorf("data behind the end: %w", trustkeep.ErrCorrupt)
	}
	if err := opts.Budget.Entries(1); err != nil {
		return nil, err
	}
	if isCertificateOrCRL(der) {
		if entry.IsCRL(der) {
			return entry.NewCRL(der)
		}
		cert := entry.NewCertificate(der)
		if _, ok := cert.Outline(); !ok {
			return nil, fmt.Errorf("certificate: %w", trustkeep.ErrCorrupt)
		}
		return &entry.Entry{Alias: entry.NameFor(cert), Kind: entry.Trusted, Chain: []*entry.Certificate{cert}}, nil
	}
	key, err := pkcs8.NewKey(der, opts.Budget)
	if err != nil {
		return nil, err
	}
	if opts.Unlock || key.Encrypted && opts.Password != nil {
		// The one key is all there is that can tell a wrong password.
		plain, err := key.Open(opts.Password)
		if errors.Is(err, trustkeep.ErrIncorrectPassword) && opts.Password != nil || errors.Is(err, trustkeep.ErrLimit) {
			return nil, err
		}
		if opts.Unlock {
			key.Opened, key.OpenErr = plain, err
		} else {
			clear(plain)
		}
	}
	return &entry.Entry{Alias: "key", Kind: entry.Key, Key: key}, nil
}

// isCertificateOrCRL: both are a SEQUENCE of two SEQUENCEs and a BIT STRING.
func isCertificateOrCRL(der []byte) bool {
	in := cryptobyte.String(der)
	var seq cryptobyte.String
	return in.ReadASN1(&seq, asn1.SEQUENCE) && seq.SkipASN1(asn1.SEQUENCE) &&
		seq.SkipASN1(asn1.SEQUENCE) && isLast(seq, asn1.BIT_STRING)
}

// encodeSingle writes a store of one entry in a format that holds just one: DER
// takes a certificate, a revocation list or a plain key, PKCS8 a key that is
// encrypted when it has a password. OpenSSH keys are not made here, only copied.
func encodeSingle(s *entry.Store, opts entry.WriteOptions) ([]byte, error) {
	if len(s.Entries) != 1 {
		return nil, fmt.Errorf("formats: %d entries in %s, which holds one: %w", len(s.Entries), s.Format, trustkeep.ErrUnsupported)
	}
	e := s.Entries[0]
	switch {
	case e.Kind == entry.Key && opts.Keep != nil && opts.Keep(e):
		if s.Format == entry.OpenSSH {
			return append(bytes.Clone(e.Key.Protected), '\n'), nil
		}
		return bytes.Clone(e.Key.Protected), nil
	case e.Kind == entry.Key && s.Format != entry.OpenSSH:
		return encodeKey(s.Format, e, opts)
	case s.Format == entry.DER && e.Kind == entry.CRL:
		return bytes.Clone(e.Raw), nil
	case s.Format == entry.DER && e.Kind != entry.Secret && len(e.Chain) == 1:
		return bytes.Clone(e.Chain[0].Raw), nil
	}
	return nil, fmt.Errorf("formats: alias %q in %s: %w", trustkeep.Printable(e.Alias), s.Format, trustkeep.ErrUnsupported)
}

// encodeKey writes the key of e without its chain.
func encodeKey(format entry.Format, e *entry.Entry, opts entry.WriteOptions) ([]byte, error) {
	if len(e.Chain) > 0 {
		return nil, fmt.Errorf("formats: the certificates of %q in %s: %w", trustkeep.Printable(e.Alias), format, trustkeep.ErrUnsupported)
	}
	plain, password, err := opts.Key(e)
	if err != nil {
		return nil, fmt.Errorf("formats: %w", err)
	}
	defer clear(password)
	if password == nil {
		return plain, nil
	}
	defer clear(plain)
	random := opts.Rand
	if random == nil {
		random = rand.Reader
	}
	return pkcs8.Seal(plain, password, pbe.Modern(pkcs8.Iterations), random)
}
