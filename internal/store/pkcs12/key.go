package pkcs12

import (
	"bytes"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// shroudedKey makes a private or secret key of an EncryptedPrivateKeyInfo and,
// where that was asked for, sets out to open it.
func (r *reader) shroudedKey(der []byte, kind entry.Kind, out *bags) (*entry.PrivateKey, error) {
	encrypted, err := pkcs8.Parse(der)
	if errors.Is(err, trustkeep.ErrUnsupported) {
		return &entry.PrivateKey{
			Protected: der, Encrypted: true, Protection: "unknown", OpenErr: err,
			Unlock: func([]byte, limits.Spender) ([]byte, error) { return nil, err },
		}, nil
	}
	if err != nil {
		return nil, err
	}
	if out.keys == (pbe.Params{}) {
		out.keys = encrypted.Scheme.Params()
	}
	key := &entry.PrivateKey{Protected: der, Encrypted: true, Protection: encrypted.Scheme.String()}
	key.Unlock = func(password []byte, spend limits.Spender) ([]byte, error) {
		var once derivations
		defer once.wipe()
		return openKey(key, kind, encrypted, &once, candidates(password), 0, spend)
	}
	if r.opts.Unlock {
		r.crew.do(func() {
			key.Opened, key.OpenErr = openKey(key, kind, encrypted, &r.derivations, r.passwords, r.password, r.opts.Budget)
			if kind == entry.Key && key.OpenErr == nil {
				key.PublicKeyInfo, key.OpenErr = pkcs8.PublicKeyInfo(key.Opened, r.opts.Budget)
			}
		})
	}
	return key, nil
}

func openKey(key *entry.PrivateKey, kind entry.Kind, e *pkcs8.Encrypted, d *derivations, passwords [][]byte, first int, spend limits.Spender) ([]byte, error) {
	plain, err := d.open(e.Scheme, passwords, first, spend, func(derived []byte) ([]byte, error) {
		plain, err := e.Scheme.Open(derived, e.Ciphertext)
		if err == nil && !pkcs8.IsPrivateKeyInfo(plain) {
			clear(plain)
			err = fmt.Errorf("decryption: %w", trustkeep.ErrIncorrectPassword)
		}
		return plain, err
	})
	if err != nil {
		return nil, fmt.Errorf("pkcs12: private key: %w", err)
	}
	if kind == entry.Secret {
		defer clear(plain)
		return openSecret(key, plain)
	}
	return plain, nil
}

// secretAlgorithms are the identifiers by which the JDK labels secret keys
// (sun.security.util.KnownOIDs), with its names for them.
var secretAlgorithms = []struct {
	oid  asn1.ObjectIdentifier
	name string
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1}, "AES"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}, "DESede"},
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}, "DES"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 4}, "ARCFOUR"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 2}, "RC2"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5}, "PBE"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}, "HmacSHA1"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}, "HmacSHA224"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}, "HmacSHA256"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}, "HmacSHA384"},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}, "HmacSHA512"},
}

// openSecret takes a secret key out of the clothes of a PrivateKeyInfo, which the
// JDK puts it in, and notes its algorithm: by Java's name, else by the identifier.
func openSecret(key *entry.PrivateKey, der []byte) ([]byte, error) {
	in := cryptobyte.String(der)
	var seq, algorithm, secret cryptobyte.String
	var oid asn1.ObjectIdentifier
	if !in.ReadASN1(&seq, tag.SEQUENCE) || !seq.SkipASN1(tag.INTEGER) || !seq.ReadASN1(&algorithm, tag.SEQUENCE) ||
		!algorithm.ReadASN1ObjectIdentifier(&oid) || !seq.ReadASN1(&secret, tag.OCTET_STRING) {
		return nil, fmt.Errorf("pkcs12: secret key: %w", trustkeep.ErrCorrupt)
	}
	name := oid.String()
	for _, a := range secretAlgorithms {
		if a.oid.Equal(oid) {
			name = a.name
			break
		}
	}
	key.LearnAlgorithm(name)
	return bytes.Clone(secret), nil
}

// wrapSecret is the inverse of openSecret.
func wrapSecret(algorithm string, secret []byte) ([]byte, error) {
	oid := secretOID(algorithm)
	if oid == nil {
		return nil, fmt.Errorf("secret key of the algorithm %q: %w", trustkeep.Printable(algorithm), trustkeep.ErrUnsupported)
	}
	var b cryptobyte.Builder
	b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			b.AddASN1ObjectIdentifier(oid)
			b.AddASN1NULL()
		})
		b.AddASN1OctetString(secret)
	})
	return b.Bytes()
}

func secretOID(algorithm string) asn1.ObjectIdentifier {
	for _, a := range secretAlgorithms {
		if strings.EqualFold(a.name, algorithm) {
			return a.oid
		}
	}
	return entry.ParseOID(algorithm)
}
