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
// [Create] makes a component without a file: from a new key (issue.Options,
// pgp.GenerateOptions), or from an identity or key in memory (*keystore.Identity, *pgp.Key).
// [Component.Renew] replaces the content in the same way.
//
// Where a CA takes days to answer, [Component.Request] makes the request and keeps the key, and
// [Component.Install] takes the reply; [CreateRequest] begins a component that has no
// certificate yet:
//
//	c, csr, err := component.CreateRequest(ctx, "web", issue.RequestOptions{Certificate: names}, o)
//	c, csr, err = c.Request(ctx, issue.RequestOptions{NewKey: true}, o)       // a year later
//	c, err = c.Install(ctx, reply, issue.InstallOptions{Trust: roots}, o)     // days later
//
// # Rules
//
//   - A component is immutable. Methods that change it return a new component with the same
//     ID, which replaces the old one. Everything is safe for concurrent use.
//   - An import passes all stages before anything is stored: name, size, scanner, format,
//     password, match of key and certificate, policy. [Policy] is the last stage of every
//     change of content, including rollbacks and changes of password.
//   - Private components hold their key under a password, which they do not know. To import a
//     file whose key has no password, set [Options].NewPassword or Password.
//   - Imports keep what a file has: behind a missing issuer, the rest of the chain.
//     [Component.Findings] says so, [Component.CompleteChain] adds what is missing.
//   - A key that waits for its certificate counts for nothing: what refers to the component
//     goes on with the current content. Re-imports, renewals and rollbacks leave requests alone.
//   - A private component accepts private content, a public one public content, and both only
//     of their own kind.
//
// # Kinds
//
// A [Kind] reads and writes the content of components: keystore.ComponentKind X.509
// certificates, pgp.ComponentKind PGP keys. A program passes the kinds that it wants to read;
// one that passes only X.509 does not link OpenPGP. keystore.IdentityOf,
// keystore.CertificateOf and pgp.KeyOf return the content of a component in its own type.
//
// Versions other than the current one are parsed when they are used. A damaged one does not
// keep the others from being used.
package component
