// Package tlsctx makes *tls.Config values for clients and servers from trust and identities,
// and explains why handshakes fail.
//
// Most programs need five names, in this order: [Builder] describes a side of TLS connections,
// [Builder.For] says with whom, [Builder.Client] and [Builder.Server] build the tls.Config, and
// [Builder.ExplainError] turns the error of a failed handshake into a *[HandshakeError]. The
// example of the package uses them all.
//
// A Builder is a plain struct, and copies of it are independent, so that one serves as the
// template of many connections:
//
//	base := tlsctx.Builder{Global: deployed, Identity: id}
//	cfg, err := base.For("as2.partner.example:443").Client() // trusts what is deployed
//
//	own := base
//	own.Trusted = truststore.New(partner)
//	cfg, err = own.For("sftp.partner.example:990").Client() // trusts partner and nobody else
//
// # Rules
//
//   - Trusted, the connection's own trust, replaces Global, the environment's; it never adds
//     to it. Without either, a client trusts the system's roots. To trust several stores
//     together, use truststore.Union.
//   - An empty store is an error, and so is a nil pointer; neither falls back to other trust.
//   - Every handshake, full or resumed, is decided by the current policy.
//   - What is wrong with the call is trustkeep.ErrInvalid: a nil pointer, fields that
//     contradict each other, versions out of range, a malformed pattern or address.
//   - Private keys are not printed: neither a Builder nor a tls.Config that was built, nor an
//     identity of StaticIdentity shows them in a log.
//
// # Following changes
//
// Client keeps the trust and the identity of the time of the call. A [Dialer], a [Transport] for HTTPS and
// a configuration of LiveClient follow their stores, and so does every server. A [Listener], a
// Dialer and a Transport know their open connections: Stale lists those whose peer would no
// longer be accepted, Recheck closes them. A Listener completes handshakes before Accept returns.
//
// With [Follow], the settings themselves have a source, such as a registry: what is built follows
// that, closes what would no longer be accepted, or fails with trustkeep.ErrOutdated where it cannot follow.
//
// # Many partners
//
// [Routes] choose among identities by destination; [Destinations] choose a whole Builder.
// Hosts are compared as they are dialled, whatever their spelling. An HTTP server that chooses a
// Builder by name also needs [Destinations.Handler], since the name in the handshake says nothing
// about the requests that follow. Package tlsctx/ftps makes the connections of FTPS sessions.
// Package forecast tells who would be refused by other trust.
//
// # Many servers
//
// Builder.TicketSecret lets servers resume each other's sessions, as long as their trust, policy
// and identity are the same. [Alternatives] present an ECDSA or an RSA identity under one name.
// Peers that have a URI, as with SPIFFE, are accepted by ServerURI, ClientURI or TrustDomain.
//
// # Who verifies
//
// crypto/tls verifies wherever it can. Pins, scopes, policies, revocation and Authorize narrow
// what it has verified, in VerifyConnection and by truststore.Snapshot.Judge: a configuration whose
// VerifyConnection is replaced loses them and still refuses whoever is not trusted.
//
// Some things a pool of authorities cannot express: relaxations, pinned trust, URIs in place of a
// server's name, ConcealCAs and authorities whose names do not fit into a handshake, the platform's
// roots on a server, and LiveClient. For these, the verification of crypto/tls is switched off, and
// truststore.Snapshot.Verify, which asks crypto/x509 for the path, decides in VerifyConnection. Do
// not replace that function on such a result.
//
// Session caches are private to one call of Client, and to the trust and the identity of one
// moment on a Dialer. The session tickets of a server end with the trust and the identity under
// which they were issued, those of TicketSecret too. So two contexts never resume as each other,
// and what is no longer trusted does not come back.
package tlsctx
