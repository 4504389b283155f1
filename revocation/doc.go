// Package revocation finds out whether certificates were revoked: from lists
// (CRL, RFC 5280 section 5), from answers that a server staples to its handshake,
// and from OCSP responders (RFC 6960).
//
//	crls, err := revocation.LoadCRLs("partners.crl")
//	...
//	checker, err := revocation.New(revocation.Options{CRLs: crls})
//	...
//	cfg, err := tlsctx.Builder{Trusted: partners, Revocation: checker}.Client()
//
// A Checker does not use the network unless it is given the means: FetchCRL and
// FetchOCSP, for which HTTP has implementations.
//
// # No answer
//
// What happens to a certificate about which nothing can be learned is the
// caller's decision, and it has to be made: HardFail, the zero Mode, refuses it,
// SoftFail accepts it and reports it to OnUnknown. An attacker between two parties
// can always prevent an answer, so SoftFail protects against mistakes rather than
// against attackers.
//
// # What counts as an answer
//
// A list or a response counts if it is signed by the issuer of the certificate in
// question, or for OCSP by a responder to which that issuer has delegated it
// (RFC 6960 section 4.2.2.2), if it is of an age at which it is valid, and if it
// speaks about that certificate. Everything else is no answer. Lists that cover
// some reasons only can revoke but not clear; indirect and delta lists are not
// read.
//
// # Anchors
//
// The last certificate of a chain, the trust anchor, is not checked: what grants
// trust is taken away by removing it from the store. For a chain of one, a
// certificate that is trusted exactly, the lists in Options.CRLs are still looked
// at, by the name of its issuer.
package revocation
