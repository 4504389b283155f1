package audit

import (
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// The codes of findings, with their severities. A report also contains the findings of the
// stores themselves under their own codes, see Findings of keystore.Keystore and
// truststore.Truststore.
const (
	// Expired (critical): the validity has ended.
	Expired trustkeep.Code = "expired"
	// ExpiresSoon (warning): the validity ends within Options.Window.
	ExpiresSoon trustkeep.Code = "expires-soon"
	// NotYetValid (warning): the validity has not begun.
	NotYetValid trustkeep.Code = "not-yet-valid"

	// WeakKey (critical): RSA below 2048 bits or with a small exponent, elliptic curves below
	// 256 bits, DSA, and other algorithms that are not known to resist.
	WeakKey trustkeep.Code = "weak-key"
	// WeakSignature (critical; a note for a self-signed certificate, whose signature nobody
	// relies on): MD5 or SHA-1.
	WeakSignature trustkeep.Code = "weak-signature"
	// KnownKey (critical): the private key is public knowledge.
	KnownKey trustkeep.Code = "known-key"
	// VendorDefault (critical): looks like the identity shipped with a product, whose private
	// key is in every copy.
	VendorDefault trustkeep.Code = "vendor-default"
	// KeyReuse (warning; a note within one store): several entries have the same private key.
	KeyReuse trustkeep.Code = "key-reuse"
	// Duplicate (warning; a note for a private component and its public part): several
	// components have the same certificate or PGP key.
	Duplicate trustkeep.Code = "duplicate"
	// KeyMismatch (critical): key and certificate do not belong together.
	KeyMismatch trustkeep.Code = "key-mismatch"

	// DefaultPassword (critical; a warning for a truststore): the password is well known.
	DefaultPassword trustkeep.Code = "default-password"
	// PasswordNotKnown (warning): a source of Options.Passwords failed, so its password was
	// not compared.
	PasswordNotKnown trustkeep.Code = "password-not-known"
	// KeysNotTried (warning): unlocking more keys, or trying more well-known passwords,
	// would have exceeded Options.Limits.
	KeysNotTried trustkeep.Code = "keys-not-tried"
	// UnprotectedKey (critical): a private key is stored in the clear.
	UnprotectedKey trustkeep.Code = "unprotected-key"
	// KeyPasswordDiffers (note): a key's password is not the store's, which
	// some consumers, Tomcat among them, cannot deal with.
	KeyPasswordDiffers trustkeep.Code = "key-password-differs"
	// WeakProtection (warning): the format or algorithm protects its content weakly.
	WeakProtection trustkeep.Code = "weak-protection"
	// NoIntegrity (warning): nothing vouches for the content of the store.
	NoIntegrity trustkeep.Code = "no-integrity"

	// MissingIssuer (warning): the chain ends before a root and lacks more than the root.
	MissingIssuer = keystore.CodeMissingIssuer
	// RootNotIncluded (note): the chain lacks only its root.
	RootNotIncluded trustkeep.Code = "root-not-included"
	// ChainOrder (warning): the certificates are not in the order leaf, issuer, issuer's
	// issuer, or some do not belong to the chain.
	ChainOrder trustkeep.Code = "chain-order"
	// SelfSigned (note): partners must trust this very certificate.
	SelfSigned trustkeep.Code = "self-signed"
	// NoCertificate (warning): a private key without its certificate, or a component that waits
	// for its first one.
	NoCertificate trustkeep.Code = "no-certificate"
	// RequestPending (note): a component has a certificate request that is not answered.
	RequestPending trustkeep.Code = "request-pending"

	// WrongUsage (critical): the certificate lacks a key usage or extended
	// key usage of its role.
	WrongUsage trustkeep.Code = "wrong-usage"
	// NoHostName (critical): the certificate of a server has no DNS name or IP address as
	// alternative name.
	NoHostName trustkeep.Code = "no-host-name"
	// CAInRole (warning): a CA certificate is used by a server or client.
	CAInRole trustkeep.Code = "ca-in-role"

	// KeyInTruststore (critical): a private or secret key in a store that is meant to be
	// handed out.
	KeyInTruststore trustkeep.Code = "key-in-truststore"
	// ReadableByAll (critical): every user of the machine can read the private keys.
	ReadableByAll trustkeep.Code = "readable-by-all"
	// WritableByAll (critical): every user of the machine can replace the store.
	WritableByAll trustkeep.Code = "writable-by-all"
	// UnusableEntry (warning): an entry, or a certificate in it, is not understood.
	UnusableEntry trustkeep.Code = "unusable-entry"
	// NothingToAudit (critical): the target is empty.
	NothingToAudit trustkeep.Code = "nothing-to-audit"
)
