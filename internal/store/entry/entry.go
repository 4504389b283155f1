// Package entry is the neutral model between the store codecs and the public
// packages: what any key store, trust store or bundle of certificates says,
// without the way in which it says it.
package entry

import (
	"crypto/x509"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// Format is the root's.
type Format = trustkeep.Format

// The formats, as the root names them.
const (
	PKCS12  = trustkeep.PKCS12
	JKS     = trustkeep.JKS
	JCEKS   = trustkeep.JCEKS
	BKS     = trustkeep.BKS
	BCFKS   = trustkeep.BCFKS
	UBER    = trustkeep.UBER
	PEM     = trustkeep.PEM
	DER     = trustkeep.DER
	PKCS7   = trustkeep.PKCS7
	PKCS8   = trustkeep.PKCS8
	OpenSSH = trustkeep.OpenSSH
)

// Kind is what an entry holds.
type Kind uint8

// The kinds of entry.
const (
	// Key: a private key with its chain, leaf first; the chain may be empty.
	Key Kind = iota + 1
	// Trusted: one certificate that the store marks as trusted, or that
	// stands alone in a file without keys.
	Trusted
	// Secret: a symmetric key or password.
	Secret
	// CRL: a certificate revocation list.
	CRL
	// Opaque: kept as it is, because it is not understood or because the
	// file does not say what it is for (a certificate that belongs to no
	// key in a file with keys).
	Opaque
)

// Store is what a codec made of one input.
type Store struct {
	Format  Format
	Entries []*Entry
	// Source is the codec's own record of how the input was written
	// (algorithms, iteration counts), used to write it again in kind. Only
	// the codec of Format looks into it.
	Source any
	// Unauthenticated: nothing protected the input as a whole (no MAC, no
	// digest, or none that was checked).
	Unauthenticated bool
	// Findings are remarks about the input that are no errors.
	Findings []Finding
}

// Finding is a remark about an entry or, with an empty alias, about the store.
type Finding struct {
	Alias string
	Code  string // stable, lower-case, dashes: "no-mac"
	Text  string // one sentence for people, without secrets
}

// Unchecked is the remark about a store with a MAC or digest that was read without the
// password that it takes to check it.
func Unchecked() Finding {
	return Finding{Code: "unchecked", Text: "no password was given, so the content was not checked for changes"}
}

// Entry is one entry. Which fields count depends on Kind.
type Entry struct {
	// Alias is as the store spells it, or made up by Name where it has none.
	Alias string
	// Unnamed: the store gave no alias and Alias was made up.
	Unnamed bool
	Kind    Kind
	// Created is zero where the format does not record it.
	Created time.Time
	// Key is set for kinds Key and Secret.
	Key *PrivateKey
	// Chain is leaf first for kind Key and one certificate for Trusted. An
	// Opaque entry may have one.
	Chain []*Certificate
	// LocalKeyID is PKCS#12's pairing attribute, nil where there is none.
	LocalKeyID []byte
	// Marked: the format says explicitly that this certificate is trusted
	// (JKS trusted entry, Java's PKCS#12 attribute).
	Marked bool
	// Trust bounds what a certificate is trusted for; nil bounds nothing.
	Trust *TrustSettings
	// Attributes are what the codec does not interpret, in order, to be
	// written again.
	Attributes []Attribute
	// Raw is the value as stored, for kinds CRL (DER of the list) and
	// Opaque, in the codec's own form.
	Raw []byte
	// Err says why the entry, or a part of it, cannot be used.
	Err error
}

// Attribute is an uninterpreted attribute: for PKCS#12 the DER of one
// PKCS12Attribute (RFC 7292 section 4.2).
type Attribute []byte

// PrivateKey is a private or secret key as stored. Opening it is put off
// until somebody asks. Safe for concurrent use.
type PrivateKey struct {
	// Protected is the key as stored, in the codec's form: for PKCS#12 and
	// PKCS#8 the DER of EncryptedPrivateKeyInfo (or PrivateKeyInfo where it
	// is not encrypted), for JKS likewise with Sun's algorithm identifier.
	Protected []byte
	// Encrypted is false where no password is needed.
	Encrypted bool
	// Unlock decrypts. For private keys the result is the DER of PKCS#8
	// PrivateKeyInfo, for secret keys the bare key, whose name AlgorithmName
	// then knows. It is called with the password in UTF-8, nil for none, and must
	// not keep it. What it costs is asked of spend. A wrong password is
	// trustkeep.ErrIncorrectPassword. Unlock is nil where nothing can open the key.
	Unlock func(password []byte, spend limits.Spender) ([]byte, error)
	// Limits bounds each call of Open. They are those that the store was read with.
	Limits trustkeep.Limits
	// Opened is the result of Open with the store password, where
	// ReadOptions.Unlock asked for it, and OpenErr its error.
	Opened  []byte
	OpenErr error
	// Algorithm names the key's algorithm where the format says so without
	// opening the key, and is empty elsewhere. See AlgorithmName.
	Algorithm string
	// PublicKeyInfo is the DER of the SubjectPublicKeyInfo, where the codec
	// knows it without opening the key or has opened it already. It is a
	// claim of the file: whoever uses the key compares the real one.
	PublicKeyInfo []byte
	// Protection describes how the key is encrypted, for people and audit:
	// "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000", "none".
	Protection string

	learned atomic.Pointer[string]
}

// Open is Unlock as an operation of its own.
func (k *PrivateKey) Open(password []byte) ([]byte, error) {
	return k.Unlock(password, limits.New(k.Limits))
}

// AlgorithmName returns Algorithm or, for a secret key of a format that hides
// the name with the key, what opening it has brought to light; else "". It is
// in the spelling of the format: "AES", "HmacSHA256".
func (k *PrivateKey) AlgorithmName() string {
	if learned := k.learned.Load(); k.Algorithm == "" && learned != nil {
		return *learned
	}
	return k.Algorithm
}

// LearnAlgorithm is for codecs: Open calls it with the name that it found.
func (k *PrivateKey) LearnAlgorithm(name string) { k.learned.Store(&name) }

// Certificate is a certificate as stored, parsed when somebody asks and then
// shared. Safe for concurrent use.
type Certificate struct {
	// Raw is the DER as stored, whatever it is worth.
	Raw []byte
	// Type is "X.509" unless the format names another type (JKS does).
	Type string
	// Label is the name that the container gives this certificate, such as
	// a PKCS#12 friendlyName, where that is not the alias of an entry.
	Label string
	// OtherLabels are further names of a certificate that stands in the container
	// several times.
	OtherLabels []string
	// Attributes as in Entry, for a certificate inside a chain.
	Attributes []Attribute
	// LocalKeyID as in Entry.
	LocalKeyID []byte

	once sync.Once
	x509 *x509.Certificate
	err  error
}

// NewCertificate wraps the DER of an X.509 certificate without looking at it.
func NewCertificate(raw []byte) *Certificate { return &Certificate{Raw: raw, Type: "X.509"} }

// FromX509 wraps a certificate that is parsed already, or of which only Raw is set: such as
// one that crypto/x509 refuses.
func FromX509(c *x509.Certificate) *Certificate {
	if c.RawTBSCertificate == nil {
		return NewCertificate(c.Raw)
	}
	w := &Certificate{Raw: c.Raw, Type: "X.509"}
	w.once.Do(func() { w.x509 = c })
	return w
}

// X509 returns the parsed certificate; the same one each time, to be treated
// as read-only. The error wraps trustkeep.ErrCorrupt.
func (c *Certificate) X509() (*x509.Certificate, error) {
	c.once.Do(func() { c.x509, c.err = parseX509(c.Raw) })
	return c.x509, c.err
}
