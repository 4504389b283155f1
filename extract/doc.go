// Package extract fetches the certificates that a server presents, for a person to look at
// and decide what to trust.
//
// Most programs need five names: [Fetch], [Options], [Chain], [Chain.Accept] and [StartTLS].
//
//	chain, err := extract.Fetch(ctx, "ftp.partner.example:21", extract.Options{StartTLS: extract.FTP})
//	if err != nil {
//		return err
//	}
//	fmt.Print(chain) // to be compared with what the partner says on the telephone
//	cert, err := chain.Accept("9f:86:d0:81:88:4c:7d:65:…")
//
// It speaks TLS, FTPS, SMTP, IMAP and LDAP with STARTTLS, directly or through an HTTP proxy.
//
// Nothing that Fetch returns is verified: it is what somebody at that address presents.
// Accept is the step from there to trust. It takes the fingerprint that came another way,
// and returns the certificate only if it is the one.
package extract
