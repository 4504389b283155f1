package audit

// Code identifies a kind of finding. Codes are stable; new ones may be added.
type Code string

// The codes of findings, with the severities that they come in. Remarks that a
// store makes about itself when it is read appear under their own codes, as notes
// or, where something is weak, warnings; see keystore.Finding and
// truststore.Problem.
const (
	// Expired (critical): the validity has ended.
	Expired Code = "expired"
	// ExpiresSoon (warning): the validity ends within Options.Window.
	ExpiresSoon Code = "expires-soon"
	// NotYetValid (warning): the validity has not begun.
	NotYetValid Code = "not-yet-valid"

	// WeakKey (critical): RSA below 2048 bits or with a small exponent,
	// elliptic curves below 256 bits, DSA, and what else is not trusted to
	// resist.
	WeakKey Code = "weak-key"
	// WeakSignature (critical; a note where the certificate is self-signed,
	// since nobody relies on that signature): MD5 or SHA-1.
	WeakSignature Code = "weak-signature"
	// KnownKey (critical): the private key is public knowledge.
	KnownKey Code = "known-key"
	// VendorDefault (critical): looks like the identity that a product is
	// shipped with, the private key of which is in every copy.
	VendorDefault Code = "vendor-default"
	// KeyReuse (warning; a note within one store): a private key is used
	// more than once.
	KeyReuse Code = "key-reuse"
	// KeyMismatch (critical): key and certificate do not belong together.
	KeyMismatch Code = "key-mismatch"

	// DefaultPassword (critical; a warning for a truststore): everybody
	// knows the password.
	DefaultPassword Code = "default-password"
	// UnprotectedKey (critical): a private key is stored in the clear.
	UnprotectedKey Code = "unprotected-key"
	// KeyPasswordDiffers (note): a key's password is not the store's, which
	// some consumers, Tomcat among them, cannot deal with.
	KeyPasswordDiffers Code = "key-password-differs"
	// WeakProtection (warning): the format or the algorithm protects its
	// content badly.
	WeakProtection Code = "weak-protection"
	// NoIntegrity (warning): nothing vouches for the content of the store.
	NoIntegrity Code = "no-integrity"

	// MissingIssuer (warning): the chain ends before a root, and as far as
	// is known not just for lack of the root.
	MissingIssuer Code = "missing-issuer"
	// RootNotIncluded (note): the chain lacks nothing but its root.
	RootNotIncluded Code = "root-not-included"
	// ChainOrder (warning): the certificates are not in the order leaf,
	// issuer, issuer's issuer, or some belong to no link.
	ChainOrder Code = "chain-order"
	// SelfSigned (note): partners must trust this very certificate.
	SelfSigned Code = "self-signed"
	// NoCertificate (warning): a private key without its certificate.
	NoCertificate Code = "no-certificate"

	// WrongUsage (critical): the certificate lacks a key usage or extended
	// key usage of its role.
	WrongUsage Code = "wrong-usage"
	// NoHostName (critical): a server's certificate without a DNS name or IP
	// address as alternative name.
	NoHostName Code = "no-host-name"
	// CAInRole (warning): a CA certificate is used by a server or client.
	CAInRole Code = "ca-in-role"

	// KeyInTruststore (critical): a private or secret key in a store that is
	// made to be handed out.
	KeyInTruststore Code = "key-in-truststore"
	// ReadableByAll (critical): everybody on the machine can read the
	// private keys.
	ReadableByAll Code = "readable-by-all"
	// WritableByAll (critical): everybody on the machine can replace the
	// store.
	WritableByAll Code = "writable-by-all"
	// UnusableEntry (warning): an entry, or a certificate in it, cannot be
	// understood.
	UnusableEntry Code = "unusable-entry"
	// NothingToAudit (critical): the target is empty.
	NothingToAudit Code = "nothing-to-audit"
)
