// Package trustkeep is the common vocabulary of a library for the keys and certificates with
// which a program proves its identity, and for the certificates that it trusts.
//
// Most programs need five names of its packages, in this order:
//
//	ks, err := keystore.Load("partner.p12", trustkeep.PasswordFromEnv("P12_PASSWORD"))
//	id, err := ks.Identity("as2-client")
//	partner, err := truststore.Load("partner.cer", nil)
//	connection := tlsctx.Builder{Trusted: partner, Identity: id}
//	transport, err := connection.Transport(nil) // for http.Client
//
// # Model
//
// A keystore holds identities: private keys with their certificate chains, under aliases. It
// proves who we are. It never decides whom we trust; the certificates of a key's chain are not
// trust anchors.
//
// A truststore holds certificates that peers are verified with. It holds no keys.
//
// A [Component] is one certificate under management: X.509 or PGP, public or private, with an
// ID that survives its replacement. A deployed public X.509 component is trusted by every
// connection without its own trust.
//
// A context is the tls.Config of one connection: an identity and the trust for this connection.
// Trust that is set on a connection replaces the global trust; it is never added to it.
//
// # Packages
//
//   - keystore reads, edits and writes PKCS#12, JKS, JCEKS, BouncyCastle and PEM stores with
//     several keys, and returns identities.
//   - issue generates, requests, signs, installs and renews certificates.
//   - truststore reads and writes stores of certificates in the same formats, finds the
//     system's roots, and makes the trust decision for all other packages.
//   - tlsctx builds tls.Configs, dialers, listeners and HTTP transports from both, and explains
//     failed handshakes; tlsctx/ftps makes the connections of FTPS sessions.
//   - sshctx builds ssh.ClientConfigs, dialers and ssh.ServerConfigs, for SFTP, with the same
//     precedence of trust.
//   - forecast tells which peers a change of trust would refuse, before the change.
//   - revocation checks by CRL, stapled answer and OCSP whether a certificate is revoked.
//   - extract fetches the certificates that a server presents, over TLS, STARTTLS and proxies,
//     to accept them by fingerprint.
//   - audit reports what is wrong or about to expire in stores.
//   - cms seals, opens, signs and verifies with X.509 identities, streaming; smime puts the MIME
//     of S/MIME around it.
//   - as2 exchanges business documents by AS2, with signed receipts, each delivered once.
//   - component manages single certificates and keys, X.509 or PGP, with their versions.
//   - pgp has OpenPGP keys, keyrings and messages.
//   - environment describes the components, connections and processes of an organisation and
//     deploys them to environments; programs follow the changes. environment/dirstore keeps
//     its records in a directory that keytool, openssl and gpg can read; natskv and pgstore,
//     separate modules, keep them in NATS JetStream and in PostgreSQL.
//   - partner keeps a partner's old and new keys or certificates side by side.
//   - clamd scans imports with ClamAV's daemon.
//   - bridge converts from and to the values of keystore-go and go-pkcs12, and lets them check
//     what is saved.
//   - pkitest makes throwaway PKIs for tests, including faulty certificates, and
//     pkitest/pgptest OpenPGP keys.
//
// This package holds what they share: [PasswordSource] and its implementations, the sentinel
// errors, [Error], [Limits], [Scanner], [Component]. It imports only the standard library.
//
// # Errors
//
// Errors wrap one of the sentinels of this package, such as [ErrIncorrectPassword] or
// [ErrCorrupt]; test for them with errors.Is. An [*Error] in the chain holds the operation,
// path, alias and format. No error contains a password or key material. Names from files are
// escaped for logs. A function that returns an error returns no half-read store.
//
// # Hostile input
//
// Size, nesting, number of entries and the cost of key derivations are bounded before the work
// starts. [Limits] adjusts the bounds; exceeding one is [ErrLimit].
//
// # Concurrency
//
// The comment of every exported type tells whether it is safe for concurrent use. The types of
// this package are values, or as safe as the function in them. No package keeps global state.
package trustkeep
