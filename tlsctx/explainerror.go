package tlsctx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"net/url"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// ExplainError turns the error of a client's failed handshake into a
// *HandshakeError: the error of tls.Conn.Handshake, tls.Dial, http.Client or
// whatever wraps one. With TLS 1.3 a server's objection to the client's
// certificate arrives after the handshake, as the error of the first read.
//
// nil stays nil, and an error that is not about TLS, such as a refused
// connection, comes back as it is. The explanation is made from the sources as
// they are now, with Builder.ServerName, the host of an http.Client's request or
// the name in the error.
func (b Builder) ExplainError(err error) error { return b.explainError(err, false) }

// ExplainServerError is ExplainError for the server's side of a handshake.
func (b Builder) ExplainServerError(err error) error { return b.explainError(err, true) }

func (b Builder) explainError(err error, server bool) error {
	if err == nil {
		return nil
	}
	if _, done := errors.AsType[*HandshakeError](err); done {
		return err
	}
	e := &HandshakeError{Err: err, Server: server}
	if !server {
		e.ServerName = b.nameIn(err)
	}
	if b.Identity != nil {
		e.Identity = b.identityReport()
	}
	if !b.classify(e, err) {
		return err
	}
	e.Trust, e.Ignored = b.trustReport(), b.ignored()
	if server && b.ClientAuth == NoClientAuth {
		e.Trust, e.Ignored = TrustReport{Origin: FromNowhere, Why: "clients are not asked for a certificate"}, []TrustReport{}
	}
	if v := e.Verify; v != nil {
		e.Trust.Store, e.Trust.Generation = v.Store, v.Generation
		for i := range e.Ignored {
			e.Ignored[i].WouldAccept = b.wouldAccept(e.Ignored[i].Origin, v)
			if e.Ignored[i].WouldAccept && e.Ignored[i].Origin == FromGlobal {
				e.Remedy = strings.TrimPrefix(e.Remedy+"; or leave Builder.Trusted unset, if the environment's trust is meant", "; or ")
			}
		}
	}
	return e
}

// classify fills in what went wrong. It reports whether that is about TLS.
func (b Builder) classify(e *HandshakeError, err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	if v, ok := errors.AsType[*truststore.VerifyError](err); ok {
		// Verified here and not by crypto/tls; see Builder.beyond.
		e.Verify = v
		e.Code, e.Text, e.Remedy = Code(v.Code), v.Sentence(), v.Remedy
		return true
	}
	if a, ok := errors.AsType[*AuthorizeError](err); ok {
		e.Code, e.Text = CodeNotAuthorized, strings.TrimPrefix(cut(trustkeep.Printable(a.Error()), 512), "tlsctx: ")
		e.Remedy = "the decision is that of Builder.Authorize"
		return true
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		b.refused(e, refused)
		return true
	}
	if alert, ok := alertOf(err); ok {
		b.alerted(e, alert)
		return true
	}
	if header, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		notTLS(e, header.RecordHeader[:])
		return true
	}
	text := err.Error()
	for _, c := range texts {
		if strings.Contains(text, c.fragment) && (c.on == either || c.on == sideOf(e.Server)) {
			e.Code, e.Text, e.Remedy = c.code, c.text, c.remedy
			return true
		}
	}
	timeout, ok := errors.AsType[net.Error](err)
	switch {
	case ok && timeout.Timeout():
		e.Code, e.Text = CodeTimeout, "the peer did not answer in time"
		e.Remedy = "check that the peer speaks TLS on this port; one that waits for a command first, as FTP and SMTP servers do, never answers"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), wasReset(text):
		b.hungUp(e)
	case strings.Contains(text, "tls: "):
		_, after, _ := strings.Cut(text, "tls: ")
		e.Code, e.Text = CodeTLS, cut(trustkeep.Printable(after), 512)
	default:
		return false
	}
	return true
}

// wasReset recognises a reset connection by its text, since the numbers behind
// it differ between systems and do not compare equal to those of package
// syscall on all of them.
func wasReset(text string) bool {
	for _, fragment := range []string{"connection reset", "broken pipe", "forcibly closed", "connection aborted"} {
		if strings.Contains(text, fragment) {
			return true
		}
	}
	return false
}

// nameIn finds the name that the server was dialled by.
func (b Builder) nameIn(err error) string {
	if b.ServerName != "" {
		return b.ServerName
	}
	if request, ok := errors.AsType[*url.Error](err); ok {
		if u, err := url.Parse(request.URL); err == nil && u.Hostname() != "" {
			return u.Hostname()
		}
	}
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return name.Host
	}
	return ""
}

// refused explains a certificate that crypto/tls did not accept, by asking
// truststore about it again.
func (b Builder) refused(e *HandshakeError, refused *tls.CertificateVerificationError) {
	chain := refused.UnverifiedCertificates
	o := truststore.VerifyOptions{Purpose: truststore.Server, Name: e.ServerName, Time: b.now()}
	switch {
	case e.Server:
		o.Purpose, o.Name = truststore.Client, ""
	case o.Name == "":
		o.Purpose, o.Name = standIn(chain)
	}
	snapshot, err := b.trustNow()
	if err == nil {
		_, err = snapshot.Verify(chain, o)
	}
	if v, ok := errors.AsType[*truststore.VerifyError](err); ok {
		e.Verify = v
		e.Code, e.Text, e.Remedy = Code(v.Code), v.Sentence(), v.Remedy
		return
	}
	e.Code, e.Text = CodeChanged, "the peer's certificate was refused, but would be accepted now"
	e.Remedy = "connect again: the trust changed since, or the certificate was refused for what is not known here"
	if err != nil {
		e.Code, e.Text, e.Remedy = Code(truststore.CodeEmptyStore), cut(trustkeep.Printable(err.Error()), 512), "repair the trust store"
	}
}

// standIn is a question to ask where the name that was dialled is not known. An
// error about the name carries it, so the name was not the trouble: one that
// the certificate has does as well.
func standIn(chain []*x509.Certificate) (truststore.Purpose, string) {
	if len(chain) > 0 && chain[0] != nil {
		if len(chain[0].DNSNames) > 0 {
			return truststore.Server, chain[0].DNSNames[0]
		}
		if len(chain[0].IPAddresses) > 0 {
			return truststore.Server, chain[0].IPAddresses[0].String()
		}
	}
	return truststore.Any, ""
}

// wouldAccept asks trust that did not count.
func (b Builder) wouldAccept(o Origin, v *truststore.VerifyError) bool {
	var s *truststore.Snapshot
	var err error
	if o == FromSystem {
		s, err = truststore.Platform()
	} else {
		s, err = rawSnapshot(b.Global)
	}
	if err != nil {
		return false
	}
	_, err = s.Verify(v.Chain, truststore.VerifyOptions{Purpose: v.Purpose, Name: v.Name, Time: v.Time, Allow: b.Allow, Pins: b.Pins})
	return err == nil
}

// hungUp explains a connection that ended without an alert.
func (b Builder) hungUp(e *HandshakeError) {
	e.Code = CodeClosed
	switch {
	case e.Server:
		e.Text = "the client closed the connection without saying why"
		e.Remedy = "look at the client's log; a client that does not trust the server's certificate often just hangs up"
	case e.Identity == nil:
		e.Text = "the server closed the connection without saying why"
		e.Remedy = "check that it speaks TLS on this port; a server that requires a client certificate may hang up like this, and there is no identity to present"
	default:
		e.Text = "the server closed the connection without saying why"
		e.Remedy = "check that it speaks TLS on this port and that it accepts the certificate " + e.Identity.Subject
	}
}

// notTLS explains an answer that is no TLS record by its first octets.
func notTLS(e *HandshakeError, start []byte) {
	e.Code = CodeNotTLS
	e.Text = "the peer does not speak TLS on this port"
	e.Remedy = "check the port"
	switch s := string(start); {
	case strings.HasPrefix(s, "HTTP"):
		e.Text += ", but plain HTTP"
		e.Remedy = "use the port for HTTPS, or an http:// address"
	case e.Server && (strings.HasPrefix(s, "GET ") || strings.HasPrefix(s, "POST") || strings.HasPrefix(s, "HEAD")):
		e.Text = "the client speaks plain HTTP"
		e.Remedy = "the client must use an https:// address"
	case strings.HasPrefix(s, "220"):
		e.Text += ", but greets in plain text, as FTP and SMTP servers do"
		e.Remedy = "ask for TLS first (AUTH TLS, STARTTLS), or use the port for implicit TLS"
	case strings.HasPrefix(s, "SSH-"):
		e.Text += ", but SSH"
	case strings.HasPrefix(s, "* OK"), strings.HasPrefix(s, "+OK"):
		e.Text += ", but greets in plain text, as IMAP and POP3 servers do"
		e.Remedy = "ask for TLS first (STARTTLS), or use the port for implicit TLS"
	}
}
