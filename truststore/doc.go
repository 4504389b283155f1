// Package truststore holds the certificates that a program trusts and decides whether a
// peer is trusted.
//
// Most programs need five names: [Load], [Truststore], [Union], [Watch] and, without TLS,
// [Truststore.Verify].
//
//	partners, err := truststore.Load("partners.p12", trustkeep.Password("changeit"))
//	if err != nil {
//		return err
//	}
//	java, err := truststore.Load("/etc/ssl/certs/java/cacerts", trustkeep.Password("changeit"))
//	if err != nil {
//		return err
//	}
//	cfg, err := tlsctx.Builder{Trusted: truststore.Union(partners, java)}.Client()
//	if err != nil {
//		return err
//	}
//	followed, err := truststore.Watch("partners.p12", password, trustkeep.WatchOptions{})
//	if err != nil {
//		return err
//	}
//	defer followed.Close()
//	verdict, err := partners.Verify(chain, truststore.VerifyOptions{Purpose: truststore.Email, Name: "me@partner.example"})
//
// Load reads PKCS#12, JKS, JCEKS, BKS, PEM, DER and PKCS#7, and directories of
// certificates. [New] takes certificates that are in memory, [System] those of the operating
// system.
//
// # What is trusted
//
// Two rules grant trust. [RuleExact]: the peer's own certificate is in the store.
// [RuleChain]: a certificate that its chain leads to, root or intermediate, is in the store.
// crypto/x509 builds and checks the path, and what it refuses is refused: a certificate that
// has expired is refused although it is in the store, and so is one for another name.
//
// A store without certificates trusts nobody; it never stands for the system's roots. A nil
// *Truststore, which the ignored error of Load leaves behind, is trustkeep.ErrInvalid
// wherever it is used. Only Union adds stores together.
//
// Only certificates that a file offers for trusting count. The chain of a private key makes
// nobody trusted; [FromKeystore] copies certificates out of a keystore on purpose.
//
// # Changes
//
// [Truststore.Add], [Truststore.Remove] and the like take effect at once for everything that
// follows the store. Each makes a new [Snapshot] of the next generation; snapshots never
// change. [Update] changes a file that several programs write. Everything here is safe for
// concurrent use.
//
// # Corners
//
// Most programs won't need the rest. A [Policy] such as [Strict] refuses more than crypto/x509
// does. VerifyOptions.URI and TrustDomain accept peers by URI and SPIFFE ID. A [Pin] names one
// certificate or key, a [Scope] bounds what an anchor counts for, a [Relaxation] accepts what
// crypto/x509 refuses of a certificate that is itself in the store, and a [RevocationChecker] has
// the last word.
// [Truststore.Findings] lists the entries of a file that do not count.
package truststore
