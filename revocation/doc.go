// Package revocation finds out whether certificates were revoked: from lists (CRL, RFC 5280
// section 5), from responses that a server staples to its handshake, and from OCSP responders
// (RFC 6960).
//
// Most programs need five names: [LoadCRLs], [HTTP], [New], [Options] and [Checker].
//
//	crls, err := revocation.LoadCRLs("partners.crl")
//	if err != nil {
//		return err
//	}
//	web := revocation.HTTP{}
//	checker, err := revocation.New(revocation.Options{CRLs: crls, FetchCRL: web.FetchCRL, FetchOCSP: web.FetchOCSP})
//	if err != nil {
//		return err
//	}
//	cfg, err := tlsctx.Builder{Trusted: partners, Revocation: checker}.Client()
//
// Lists that others put into a file or a folder are followed by [WatchCRLs], for
// Options.Watched.
//
// A Checker uses the network only through [Options.FetchCRL] and [Options.FetchOCSP], for
// which HTTP has implementations.
//
// A server staples its own response through [NewStapled].
//
// # No answer
//
// The caller decides what happens to a certificate about which nothing can be learned.
// [HardFail], the zero Mode, refuses it. [SoftFail] accepts it and reports it to
// Options.OnUnknown. An attacker between two parties can always prevent an answer, so
// SoftFail protects against mistakes and not against attackers.
//
// # What counts as an answer
//
// A list or a response counts if it is about the certificate, valid at the time, and signed
// by the issuer of the certificate; an OCSP response also by a responder to which the issuer
// has delegated it (RFC 6960 section 4.2.2.2). Everything else is no answer.
//
// Several answers are judged together, in any order. A revocation for good, that is for any
// reason but certificateHold and removeFromCRL, counts in every list that the issuer has signed,
// also in one that has expired, is a delta list, or covers other certificates or some reasons only.
// A certificate on hold is revoked, unless a newer list that covers it says otherwise. Only the
// newest current list that covers the certificate clears it. Lists for attribute certificates do
// not count, nor entries that an indirect list has for other issuers.
//
// # Anchors
//
// The last certificate of a chain, the trust anchor, is not checked: remove it from the store
// to end trust in it. A chain of one is a certificate that is trusted exactly, and is asked about
// by its issuer, which truststore looks for in the store, in VerifyOptions.Intermediates and in
// what was sent. If it is nowhere, HardFail refuses. A self-signed certificate has no issuer to
// revoke it, so nothing is asked. In both cases, lists in Options.CRLs that name the certificate
// still count. VerifyOptions.RevocationExempt lists certificates that are not asked about.
package revocation
