// Package trustkeep is the common vocabulary of a library for the keys and
// certificates that a program proves itself with, and for those that it trusts.
//
// # Model
//
// A keystore holds identities: private keys, each with its certificate chain,
// under an alias. It proves who we are and never decides whom we trust; the
// certificates of a key's chain are not trust anchors.
//
// A truststore holds certificates that others are measured by. It holds no
// keys.
//
// A [Component] is one certificate under management: X.509 or PGP, public or
// private, with an ID that survives its replacement. Deploying a public X.509
// component makes it trusted by every connection that does not choose its own
// trust.
//
// A context is what a connection is made with: a tls.Config that unites an
// identity, the trust that counts for this connection and nothing else. Trust
// that is set on a connection replaces the global trust, it is never added to
// it.
//
// # Packages
//
//   - keystore reads, edits and writes PKCS#12, JKS, JCEKS, BouncyCastle and PEM
//     stores with several keys, and hands out identities.
//   - issue generates, requests, signs, installs and renews certificates.
//   - truststore reads and writes stores of certificates in the same formats,
//     finds the system's roots, and makes the one trust decision that all other
//     packages ask for.
//   - tlsctx builds tls.Configs, dialers, listeners and HTTP transports from
//     both, and explains failed handshakes; tlsctx/ftps makes the connections of
//     FTPS sessions.
//   - forecast says which peers other trust would refuse, before it is put in
//     force.
//   - revocation asks lists, stapled answers and OCSP whether a certificate is
//     revoked.
//   - extract fetches what a server presents, over TLS, STARTTLS and proxies, to
//     be looked at and accepted by fingerprint.
//   - audit reports what is wrong or about to expire in stores.
//   - cms seals, opens, signs and verifies with X.509 identities (S/MIME without
//     the MIME), streaming.
//   - component manages single certificates and keys, X.509 or PGP, with their
//     versions.
//   - pgp has OpenPGP keys, keyrings and messages.
//   - environment describes the components, connections and processes of an
//     organisation and deploys them to environments, whose programs follow them.
//     environment/dirstore keeps its records in a directory that keytool, openssl
//     and gpg can read; natskv, a module of its own, keeps them in NATS JetStream.
//   - partner keeps a partner's old and new keys or certificates side by side.
//   - clamd has ClamAV's daemon scan what is imported.
//   - bridge converts from and to the values of keystore-go and go-pkcs12, and
//     asks them for a second opinion on what is saved.
//   - pkitest makes throwaway PKIs for tests, the ugly cases included, and
//     pkitest/pgptest OpenPGP keys.
//
// This package holds what they share: [PasswordSource] and its
// implementations, the sentinel errors, [Error], [Limits], [Scanner],
// [Component]. It imports only the standard library.
//
// # Errors
//
// Errors wrap one of the sentinels of this package, such as
// [ErrIncorrectPassword] or [ErrCorrupt]; test for them with errors.Is. An
// [*Error] within tells the operation, path, alias and format. No error holds a
// password or key material, and names that come from files are escaped for
// logs. A function that returns an error returns no half-read store.
//
// # Hostile input
//
// Stores come from strangers. Size, nesting, number of entries and the cost of
// key derivations are bounded before they are spent; [Limits] adjusts the
// bounds, and reaching one is [ErrLimit].
//
// # Concurrency
//
// Every exported type says whether it is safe for concurrent use. The types of
// this package are: they are values, or as safe as the function in them.
// Nothing here or below keeps global state.
package trustkeep
