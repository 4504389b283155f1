// Package ftps makes the TLS connections of FTPS sessions (RFC 4217): a control connection,
// and data connections that resume its TLS session, which many servers demand. FTP libraries that
// dial by a function take a Session's, such as github.com/jlaffaye/ftp:
//
//	session, err := ftps.New(builder, "ftp.partner.example:21")
//	conn, err := ftp.Dial("ftp.partner.example:21",
//		ftp.DialWithDialFunc(session.DialFunc(ctx)), ftp.DialWithExplicitTLS(session.Config()))
//	if err != nil {
//		return session.Explain(err)
//	}
//
// For implicit FTPS, make the Session by Options with Implicit set, and use ftp.DialWithTLS. Where a
// library was told otherwise and would log in without TLS, the login is refused and not sent. Those
// who speak FTP themselves have Session.Control and Session.Data.
//
// A data connection shakes hands when it is first used, since servers answer only after the command
// that wants it. Closing one that has written waits until the server has all of it. A source that
// fails half-way, or Abort, resets it, so that the server takes no part for the whole. A download is
// complete only if the server has announced its end. Set Options.IdleTimeout where a server may stall.
package ftps
