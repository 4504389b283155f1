// Package truststore holds the certificates that a program trusts and makes
// the one decision of this module on whether a peer is trusted.
//
// A Truststore comes from certificates, from a file in any of the formats that
// are in use (PKCS#12, JKS, JCEKS, BKS, PEM, DER, PKCS#7), or from the system:
//
//	partners, err := truststore.Load("cacerts", trustkeep.Password("changeit"))
//	...
//	verdict, err := partners.Verify(chain, truststore.VerifyOptions{Name: "sftp.partner.example"})
//
// # What is trusted
//
// Two rules grant trust. RuleExact: the peer's own certificate is in the store.
// RuleChain: a certificate that its chain leads to, root or intermediate, is in
// the store. The path is built and checked by crypto/x509, and nothing that it
// refuses is accepted: an expired certificate stays expired when it is in the
// store, and a certificate for another name stays one.
//
// Only certificates that a store offers for trusting become anchors. The chain
// of a private key is there to be sent to others and makes nobody trusted; use
// FromKeystore to copy certificates out of a keystore on purpose.
//
// # Nothing is trusted by accident
//
// A store without certificates trusts nobody; it never stands for the system's
// roots. A nil *Truststore, as an ignored error of Load leaves behind, is an
// error wherever it is used. Stores are added together by Union and by nothing
// else.
//
// # Changing a store
//
// Add, Remove and Replace take effect at once for everything that follows the
// store: each makes a new Snapshot of the next generation and leaves those that
// were handed out untouched. All of this is safe for concurrent use.
package truststore
