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
	"github.com/trustkeep/trustkeep/internal/given"
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
// the name in the error. Of an error that wraps none, such as a status of gRPC, the text counts,
// which knows no certificates of a server. With Routes, the identity is that for the host and port of the
// request, else for those of For, else for ServerName.
func (b Builder) ExplainError(err error) error { return b.explainAt(err, false) }

// ExplainServerError is ExplainError for the server's side of a handshake. With Routes, use
// For with the name that the client asked for, which ConnectionState.ServerName has even
// after a handshake that failed: the explanation then names the identity that was presented.
func (b Builder) ExplainServerError(err error) error { return b.explainAt(err, true) }

// explainAt explains an error of a connection to the destination of For.
func (b Builder) explainAt(err error, server bool) error {
	if err == nil {
		return nil
	}
	b = b.orAsItWas()
	host, port := b.at.host, b.at.port
	name := host
	if !server {
		if u := urlIn(err); u != nil && host == "" {
			host, port, _ = destination(u) // one without a form is named by err
		}
		switch {
		case b.ServerName != "":
			name = b.ServerName
		case host != "":
			name = host
		default:
			name = nameIn(err)
		}
		if host == "" {
			host = name
		}
	}
	e := &HandshakeError{Err: err, Server: server, ServerName: name, Port: port}
	if host == "" && b.Routes.any() {
		e.routed = true
	} else {
		e.Identity = b.identityReport(b.identityFor(host, port))
	}
	return b.explainError(e)
}

// explainError completes an explanation of e.Err, which is not nil.
func (b Builder) explainError(e *HandshakeError) error {
	if _, done := errors.AsType[*HandshakeError](e.Err); done || !b.classify(e) {
		return e.Err
	}
	if op, ok := errors.AsType[*net.OpError](e.Err); ok && op.Addr != nil && e.RemoteAddr == "" {
		e.RemoteAddr = op.Addr.String()
	}
	e.Trust, e.Ignored = b.trustReport(), b.ignored()
	if e.Server && b.ClientAuth == NoClientAuth {
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
func (b Builder) classify(e *HandshakeError) bool {
	err := e.Err
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return false
	}
	if a, ok := errors.AsType[*authorizeError](err); ok {
		e.Code, e.Text = CodeNotAuthorized, strings.TrimPrefix(cut(trustkeep.Printable(a.Error()), 512), "tlsctx: ")
		e.Remedy = "the decision is that of Builder.Authorize"
		e.Chain = a.peer
		return true
	}
	if v, ok := errors.AsType[*truststore.VerifyError](err); ok {
		e.verified(v) // here and not by crypto/tls; see Builder.narrowed and takenOver
		return true
	}
	if refused, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		b.refused(e, refused)
		return true
	}
	if errors.Is(err, trustkeep.ErrOutdated) {
		e.Code, e.Text = CodeOutdated, cut(trustkeep.Printable(err.Error()), 512)
		e.Remedy = "ask for the connection again, and use what is made of that"
		return true
	}
	if own, ok := errors.AsType[*setupError](err); ok {
		e.Code, e.Text = CodeSetup, "the trust or the identity of this side cannot be used: "+cut(trustkeep.Printable(own.Err.Error()), 512)
		e.Remedy = "repair it; the next handshake asks again"
		return true
	}
	if p, ok := errors.AsType[*proxyError](err); ok {
		e.Code, e.Text, e.Remedy = CodeProxy, p.text, p.remedy
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
	if alert, ok := alertIn(text); ok {
		b.alerted(e, alert)
		return true
	}
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

// refusedHere reports whether the error is a refusal of the peer by this side.
func refusedHere(err error) bool {
	_, verify := errors.AsType[*truststore.VerifyError](err)
	_, crypto := errors.AsType[*tls.CertificateVerificationError](err)
	_, authorize := errors.AsType[*authorizeError](err)
	_, setup := errors.AsType[*setupError](err)
	return verify || crypto || authorize || setup
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

// urlIn returns the URL of an http.Client's request, nil where there is none.
func urlIn(err error) *url.URL {
	if request, ok := errors.AsType[*url.Error](err); ok {
		if u, err := url.Parse(request.URL); err == nil && u.Hostname() != "" {
			return u
		}
	}
	return nil
}

// nameIn finds the name that the server was dialled by.
func nameIn(err error) string {
	if name, ok := errors.AsType[x509.HostnameError](err); ok {
		return name.Host
	}
	return ""
}

// inBuilder makes the remedies of an error that was just made name the fields of a Builder. It
// returns the error.
func inBuilder(err error) error {
	if v, ok := errors.AsType[*truststore.VerifyError](err); ok {
		switch v.Code {
		case truststore.CodeNoName:
			v.Remedy = "set Builder.ServerName to the host name or IP address that is dialled, or Builder.ServerURI to what the server is called"
		case truststore.CodeWrongName:
			v.Remedy = "set Builder.ServerURI to a URI with a scheme, Builder.TrustDomain to a name such as domain.example"
		}
	}
	return err
}

// verified takes over the explanation of a refusal by truststore.
func (e *HandshakeError) verified(v *truststore.VerifyError) {
	inBuilder(v)
	e.Verify, e.Chain = v, v.Chain
	e.Code, e.Text, e.Remedy = v.Code, v.Sentence(), v.Remedy
}

// refused explains a certificate that crypto/tls did not accept, by what
// truststore says of it now, under the policy of the Builder. Revocation and Authorize,
// which come after what crypto/tls looks at, are not asked.
func (b Builder) refused(e *HandshakeError, refused *tls.CertificateVerificationError) {
	e.Chain = refused.UnverifiedCertificates
	o := b.VerifyOptions(truststore.Server, e.ServerName)
	switch {
	case e.Server:
		o = b.VerifyOptions(truststore.Client, "")
	case o.Name == "" && !b.byURI():
		o.Purpose, o.Name = standIn(e.Chain)
	}
	o.Revocation = nil
	snapshot, err := b.trustNow()
	if err == nil {
		if v := snapshot.Explain(e.Chain, o, refused.Err); v != nil {
			e.verified(v)
			return
		}
	}
	e.Code, e.Text = CodeChanged, "the peer's certificate was refused, but would be accepted now"
	e.Remedy = "connect again: the trust changed since, or the certificate was refused for what is not known here"
	if err != nil {
		e.Code, e.Text, e.Remedy = truststore.CodeEmptyStore, cut(trustkeep.Printable(err.Error()), 512), "repair the trust store"
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
		s, err = given.Snapshot(b.Global)
	}
	if err != nil {
		return false
	}
	return v.AcceptedBy(s)
}

// hungUp explains a connection that ended without an alert.
func (b Builder) hungUp(e *HandshakeError) {
	e.Code = CodeClosed
	switch {
	case e.Server:
		e.Text = "the client closed the connection without saying why"
		e.Remedy = "look at the client's log; a client that does not trust the server's certificate often just hangs up"
	case e.Identity == nil && e.routed:
		e.Text = "the server closed the connection without saying why"
		e.Remedy = "check that it speaks TLS on this port and that it accepts the identity that a route has chosen"
	case e.Identity == nil:
		e.Text = "the server closed the connection without saying why"
		e.Remedy = "check that it speaks TLS on this port; a server that requires a client certificate may hang up like this, and there is no identity to present"
	default:
		e.Text = "the server closed the connection without saying why"
		e.Remedy = "check that it speaks TLS on this port and that it accepts the certificate " + e.Identity.Subject
	}
}

// setupError is a failure of one's own side in the midst of a handshake: what crypto/tls
// asked for could not be given.
type setupError struct{ Err error }

func (e *setupError) Error() string { return e.Err.Error() }
func (e *setupError) Unwrap() error { return e.Err }

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
