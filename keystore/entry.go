package keystore

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// EntryKind tells what an entry holds.
type EntryKind uint8

// The kinds of entry.
const (
	// KeyEntry: a private key, usually with its certificate chain.
	KeyEntry EntryKind = iota + 1
	// TrustedEntry: one certificate that the store marks as trusted, or any certificate of a
	// file without keys.
	TrustedEntry
	// SecretEntry: a symmetric key or password.
	SecretEntry
	// CRLEntry: a certificate revocation list.
	CRLEntry
	// OpaqueEntry: an entry that is not understood and is written back unchanged, or an
	// unmarked certificate beside keys that belongs to none of them.
	OpaqueEntry
)

// String returns "key", "trusted", "secret", "crl" or "opaque".
func (k EntryKind) String() string {
	switch k {
	case KeyEntry:
		return "key"
	case TrustedEntry:
		return "trusted"
	case SecretEntry:
		return "secret"
	case CRLEntry:
		return "crl"
	case OpaqueEntry:
		return "opaque"
	}
	return "invalid"
}

// Entry describes one entry of a store. It is a copy: changing it does not change the store.
type Entry struct {
	// Alias in the spelling of the store.
	Alias string
	// Unnamed: the store has no alias for the entry, and the rule in docs/formats.md made this
	// one. It can be used like any other.
	Unnamed bool
	Kind    EntryKind
	// Created is zero if the format does not record it.
	Created time.Time
	// Chain holds the certificates that crypto/x509 parses, leaf first. Do not modify them.
	Chain []*x509.Certificate
	// RawChain holds the DER of all certificates, including those that crypto/x509 refuses.
	RawChain [][]byte
	// ChainNames holds, for each certificate of RawChain, the name that the store gives it where
	// that is not the alias: the friendlyName of PKCS#12. It is nil if there is none. Saving as
	// PKCS#12 keeps the names.
	ChainNames []string
	// OtherNames holds, for each certificate of RawChain, the further names of one that stands in
	// the store several times. It is nil if there is none. Saving as PKCS#12 keeps them.
	OtherNames [][]string
	// Algorithm of the key, such as "RSA 2048" or "EC P-256". For a locked key it comes from
	// the certificate, and is empty if there is none.
	Algorithm string
	// Encrypted: a password is needed to unlock the key.
	Encrypted bool
	// Protection describes how the key is encrypted:
	// "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000".
	Protection string
	// OwnPassword: the key is known to have another password than the store's.
	OwnPassword bool
	// Err is the reason why the entry, or a part of it, cannot be used.
	Err error

	// store and item are what Replace compares.
	store *Keystore
	item  *item
}

// describe is called under Keystore.secrets.
func (s *state) describe(k *Keystore, it *item) Entry {
	e := it.e
	d := Entry{
		Alias: e.Alias, Unnamed: e.Unnamed, Kind: kindOf(e.Kind), Created: e.Created, Err: e.Err,
		RawChain: make([][]byte, len(e.Chain)),

		store: k, item: it.root(),

		OwnPassword: s.ownPassword(it),
	}
	for i, c := range e.Chain {
		d.RawChain[i] = append([]byte(nil), c.Raw...)
		if c.Label != "" {
			if d.ChainNames == nil {
				d.ChainNames = make([]string, len(e.Chain))
			}
			d.ChainNames[i] = c.Label
		}
		if c.OtherLabels != nil {
			if d.OtherNames == nil {
				d.OtherNames = make([][]string, len(e.Chain))
			}
			d.OtherNames[i] = slices.Clone(c.OtherLabels)
		}
		parsed, err := c.X509()
		if err != nil {
			if d.Err == nil {
				d.Err = err
			}
			continue
		}
		d.Chain = append(d.Chain, parsed)
		if i == 0 {
			d.Algorithm = algorithmOf(parsed)
		}
	}
	if e.Key != nil {
		d.Encrypted, d.Protection = e.Key.Encrypted, e.Key.Protection
		if d.Algorithm == "" || e.Kind == entry.Secret {
			d.Algorithm = e.Key.AlgorithmName()
		}
		if key := it.signer(); d.Algorithm == "" && key != nil {
			d.Algorithm = algorithmOfKey(key.Public())
		}
	}
	return d
}

func kindOf(k entry.Kind) EntryKind {
	switch k {
	case entry.Key:
		return KeyEntry
	case entry.Trusted:
		return TrustedEntry
	case entry.Secret:
		return SecretEntry
	case entry.CRL:
		return CRLEntry
	}
	return OpaqueEntry
}

// DescribeCertificate describes a certificate in DER, such as one of Entry.RawChain. It also
// describes certificates that crypto/x509 refuses, for their curve or serial number for
// example. Unreadable fields are empty; the fingerprint never is.
func DescribeCertificate(der []byte) trustkeep.Certificate { return certinfo.Describe(der) }

func algorithmOf(c *x509.Certificate) string {
	if known := algorithmOfKey(c.PublicKey); known != "" {
		return known
	}
	if c.PublicKeyAlgorithm != x509.UnknownPublicKeyAlgorithm {
		return c.PublicKeyAlgorithm.String()
	}
	return ""
}

func algorithmOfKey(public crypto.PublicKey) string {
	switch pub := public.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA %d", pub.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + pub.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return ""
}
