// Package component manages single certificates: a private key with its certificate, a
// partner's certificate, a PGP key. A [Component] keeps its ID while its content is replaced,
// so whatever refers to it stays valid, and it keeps the versions before.
//
// Most users need five names:
//
//	kinds := []component.Kind{keystore.ComponentKind(), pgp.ComponentKind()}
//	c, err := component.Import(ctx, "ACME", file, component.Options{Kinds: kinds}) // what a partner sent
//	c, err = c.Reimport(ctx, nextFile, component.Options{})                       // a year later
//	c, err = c.Rollback(1, component.Options{})                                   // the partner was too early
//	text, err := json.Marshal(c.State())                                          // to keep it
//	c, err = component.Restore(state, kinds...)
//
// [Create] makes a component of something else than a file: a new key (issue.Options,
// pgp.GenerateOptions), or an identity or key that is in memory (*keystore.Identity,
// *pgp.Key). [Component.Renew] replaces the content in the same way.
//
// # Rules
//
//   - A component never changes. What changes one returns a new component with the same ID,
//     to be put in the place of the old one. Everything is safe for concurrent use.
//   - Nothing is taken over before every stage has passed: name, size, scanner, format,
//     password, match of key and certificate, policy. [Policy] is the last stage of every
//     change of content, rollbacks and changes of password included.
//   - Private components hold their key under a password, which they do not know. A file
//     whose key has none is taken over only with [Options].NewPassword or Password.
//   - A private component takes over private content, a public one public content. Kinds are
//     not mixed either.
//
// # Kinds
//
// What is in a component is the business of a [Kind]: X.509 certificates are that of
// package keystore, PGP keys that of package pgp. A program passes the kinds that it wants
// to read; one that passes only X.509 does not link OpenPGP. keystore.IdentityOf,
// keystore.CertificateOf and pgp.KeyOf return what a component holds in its own type.
//
// Versions other than the current one are parsed when they are used. A version that turns
// out to be damaged then does not keep the others from being used.
package component
