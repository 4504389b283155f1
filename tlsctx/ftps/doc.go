// Package ftps makes the TLS connections of FTPS sessions (RFC 4217): a control connection,
// and data connections that resume its TLS session, which many servers demand.
//
//	session, err := ftps.New(builder, "ftp.partner.example:21")
//	control, err := session.Control(ctx, raw)  // raw is the connection after AUTH TLS
//	data, err := session.Data(ctx, rawData)    // after PASV and STOR, for instance
//	_, err = data.Write(content)
//	err = data.Close()                         // waits until the server has all of it
//
// The FTP protocol itself is left to the caller or a library. Libraries that turn the control
// connection to TLS themselves take Session.Config.
package ftps
