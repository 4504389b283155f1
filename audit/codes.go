package audit

import "github.com/trustkeep/trustkeep"

// The codes of findings, with the severities that they come in. Remarks that a
// store makes about itself when it is read appear under their own codes, as notes
// or, where something is weak, warnings; see Findings of
// keystore.Keystore and truststore.Truststore.
const (
	// Expired (critical): the validity has ended.
	Expired trustkeep.Code = "expired"
	// ExpiresSoon (warning): the validity ends within Options.Window.
	ExpiresSoon trustkeep.Code = "expires-soon"
	// NotYetValid (warning): the validity has not begun.
	NotYetValid trustkeep.Code = "not-yet-valid"

	// WeakKey (critical): RSA below 2048 bits or with a small exponent,
	// elliptic curves below 256 bits, DSA, and what else is not trusted to
	// resist.
	WeakKey trustkeep.Code = "weak-key"
	// WeakSignature (critical; a note where the certificate is self-signed,
	// since nobody relies on that signature): MD5 or SHA-1.
	WeakSignature trustkeep.Code = "weak-signature"
	// KnownKey (critical): the private key is public knowledge.
	KnownKey trustkeep.Code = "known-key"
	// VendorDefault (critical): looks like the identity that a product is
	// shipped with, the private key of which is in every copy.
	VendorDefault trustkeep.Code = "vendor-default"
	// KeyReuse (warning; a note within one store): a private key is used
	// more than once.
	KeyReuse trustkeep.Code = "key-reuse"
	// KeyMismatch (critical): key and certificate do not belong together.
	KeyMismatch trustkeep.Code = "key-mismatch"

	// DefaultPassword (critical; a warning for a truststore): everybody
	// knows the password.
	DefaultPassword trustkeep.Code = "default-password"
	// PasswordNotKnown (warning): a password of Options.Passwords cannot be had, so
	// nothing was compared with it.
	PasswordNotKnown trustkeep.Code = "password-not-known"
	// UnprotectedKey (critical): a private key is stored in the clear.
	UnprotectedKey trustkeep.Code = "unprotected-key"
	// KeyPasswordDiffers (note): a key's password is not the store's, which
	// some consumers, Tomcat among them, cannot deal with.
	KeyPasswordDiffers trustkeep.Code = "key-password-differs"
	// WeakProtection (warning): the format or the algorithm protects its
	// content badly.
	WeakProtection trustkeep.Code = "weak-protection"
	// NoIntegrity (warning): nothing vouches for the content of the store.
	NoIntegrity trustkeep.Code = "no-integrity"

	// MissingIssuer (warning): the chain ends before a root, and as far as
	// is known not just for lack of the root.
	MissingIssuer trustkeep.Code = "missing-issuer"
	// RootNotIncluded (note): the chain lacks nothing but its root.
	RootNotIncluded trustkeep.Code = "root-not-included"
	// ChainOrder (warning): the certificates are not in the order leaf,
	// issuer, issuer's issuer, or some belong to no link.
	ChainOrder trustkeep.Code = "chain-order"
	// SelfSigned (note): partners must trust this very certificate.
	SelfSigned trustkeep.Code = "self-signed"
	// NoCertificate (warning): a private key without its certificate.
	NoCertificate trustkeep.Code = "no-certificate"

	// WrongUsage (critical): the certificate lacks a key usage or extended
	// key usage of its role.
	WrongUsage trustkeep.Code = "wrong-usage"
	// NoHostName (critical): a server's certificate without a DNS name or IP
	// address as alternative name.
	NoHostName trustkeep.Code = "no-host-name"
	// CAInRole (warning): a CA certificate is used by a server or client.
	CAInRole trustkeep.Code = "ca-in-role"

	// KeyInTruststore (critical): a private or secret key in a store that is
	// made to be handed out.
	KeyInTruststore trustkeep.Code = "key-in-truststore"
	// ReadableByAll (critical): everybody on the machine can read the
	// private keys.
	ReadableByAll trustkeep.Code = "readable-by-all"
	// WritableByAll (critical): everybody on the machine can replace the
	// store.
	WritableByAll trustkeep.Code = "writable-by-all"
	// UnusableEntry (warning): an entry, or a certificate in it, cannot be
	// understood.
	UnusableEntry trustkeep.Code = "unusable-entry"
	// NothingToAudit (critical): the target is empty.
	NothingToAudit trustkeep.Code = "nothing-to-audit"
)
