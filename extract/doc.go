// Package extract fetches the certificates that a server presents, so that a
// person can look at them and decide what to trust: over TLS, over explicit FTPS,
// SMTP, IMAP and LDAP with STARTTLS, and through an HTTP proxy.
//
//	chain, err := extract.Fetch(ctx, "ftp.partner.example:21", extract.Options{StartTLS: extract.FTP})
//	...
//	fmt.Print(chain) // compared with what the partner says on the telephone
//	cert, err := chain.Accept("9f:86:d0:81:88:4c:7d:65:…")
//
// Nothing that Fetch returns is verified: it is what somebody at that address
// presents. Accept is the step from there to trust: it takes the fingerprint that
// came another way, and returns the certificate only if it is the one.
package extract
