// Package tlsctx makes *tls.Config values out of trust stores and identities,
// for clients and servers, and explains what they do.
//
// A Builder is a plain struct. Copies of it are independent, so one can serve
// as the template of many connections:
//
//	base := tlsctx.Builder{Global: deployed, Identity: id}
//	cfg, err := base.Client()  // trusts what is deployed
//
//	pinned := base
//	pinned.Trusted = truststore.New(partner)
//	cfg, err = pinned.Client() // trusts partner and nobody else
//
// # Which trust counts
//
// Trusted, the connection's own, replaces Global, the environment's; it never
// adds to it. Without either, a client trusts the system's roots. A store that
// is empty or nil is an error, never a reason to fall back to another. To trust
// several stores together, say so with truststore.Union.
//
// # Who verifies
//
// crypto/tls does, with its own path building, wherever a pool of authorities says all
// that there is to say, which Client, Dialer and Server use in the plain case. Pins,
// relaxations, scopes, revocation, Authorize and a LiveClient ask for more than it can
// express: there, InsecureSkipVerify is set and truststore.Verify, which asks crypto/x509
// for the path, decides in VerifyConnection. Either way each full handshake is decided, and
// each resumed one by the policy of that moment.
//
// Session caches are private to one call of Client, and to the trust and the identity of
// one moment on a Dialer; the session tickets of a server end with the trust and the
// identity under which they were issued. So two contexts never resume as each other, and
// what is no longer trusted does not come back.
//
// # Why a handshake failed
//
// Builder.ExplainError turns the error of a failed handshake into a
// *HandshakeError: what the peer sent, what was trusted, which rule failed, and
// what would help.
package tlsctx
