package tlsctx

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/truststore"
)

// The alerts of RFC 8446 section 6 that have an explanation of their own.
const (
	alertHandshakeFailure       = 40
	alertBadCertificate         = 42
	alertUnsupportedCertificate = 43
	alertCertificateRevoked     = 44
	alertCertificateExpired     = 45
	alertCertificateUnknown     = 46
	alertUnknownCA              = 48
	alertAccessDenied           = 49
	alertProtocolVersion        = 70
	alertInsufficientSecurity   = 71
	alertInternalError          = 80
	alertUnrecognizedName       = 112
	alertCertificateRequired    = 116
	alertNoApplicationProtocol  = 120
)

// alertOf returns the alert that the peer sent. All that an error of crypto/tls
// shows of it is its text.
func alertOf(err error) (uint8, bool) {
	op, ok := errors.AsType[*net.OpError](err)
	if !ok || op.Op != "remote error" || op.Err == nil {
		return 0, false
	}
	text := op.Err.Error()
	for n := range 256 {
		if tls.AlertError(n).Error() == text {
			return uint8(n), true
		}
	}
	return 0, false
}

// alertIn is alertOf for errors that keep no more than the text of what they are made of, such as
// the status errors of gRPC.
func alertIn(text string) (alert uint8, ok bool) {
	_, said, ok := strings.Cut(text, "remote error: ")
	if !ok {
		return 0, false
	}
	longest := 0 // since some are the beginning of others
	for n := range 256 {
		if t := tls.AlertError(n).Error(); len(t) > longest && strings.HasPrefix(said, t) {
			alert, longest = uint8(n), len(t)
		}
	}
	return alert, longest > 0
}

// alerted explains an alert of the peer.
func (b Builder) alerted(e *HandshakeError, alert uint8) {
	peer := "the server"
	if e.Server {
		peer = "the client"
	}
	said := " (alert " + tls.AlertError(alert).Error()[len("tls: "):] + ")"
	switch alert {
	case alertBadCertificate, alertUnsupportedCertificate, alertCertificateRevoked, alertCertificateExpired,
		alertCertificateUnknown, alertUnknownCA, alertCertificateRequired:
		e.identityRefused(peer, said, alert)
	case alertAccessDenied:
		e.Code, e.Text = CodeAccessDenied, peer+" denied access"+said
		e.Remedy = "have its administrator permit the identity, whose certificate was accepted as such"
	case alertHandshakeFailure:
		e.Code, e.Text = CodeNothingInCommon, peer+" found no way to agree"+said
		e.Remedy = "compare the cipher suites, curves and versions of both sides"
		if !e.Server && e.Identity == nil && !e.routed {
			e.Remedy = "set Builder.Identity if it requires a client certificate, since no identity was there to present; else compare the cipher suites and versions of both sides"
		}
	case alertInsufficientSecurity:
		e.Code, e.Text = CodeNothingInCommon, peer+" wants stronger cipher suites"+said
	case alertProtocolVersion:
		e.Code, e.Text = CodeVersion, peer+" speaks none of the TLS versions offered"+said
		e.Remedy = "allow another version by MinVersion, MaxVersion or, where the peer leaves no choice, LegacyMinVersion"
	case alertUnrecognizedName:
		e.Code, e.Text = CodeUnknownName, peer+" does not serve that name"+said
		e.Remedy = "check ServerName"
	case alertNoApplicationProtocol:
		e.Code, e.Text = CodeProtocol, peer+" speaks none of the application protocols offered"+said
		e.Remedy = "check NextProtos"
	case alertInternalError:
		e.Code, e.Text = CodeAlert, peer+" failed"+said
		e.Remedy = "look at its log"
	default:
		e.Code, e.Text = CodeAlert, peer+" ended the connection"+said
	}
}

// identityRefused explains that the peer does not like the certificate that it
// was shown, or that it was shown none.
func (e *HandshakeError) identityRefused(peer, said string, alert uint8) {
	id := e.Identity
	if id == nil && e.routed {
		e.Code, e.Text = CodeIdentityRefused, peer+" does not accept the identity that a route has chosen, if it has chosen one"+said
		e.Remedy = "to learn which, call Builder.For with the destination first"
		return
	}
	if id == nil || id.Error != "" {
		e.Code, e.Text = CodeIdentityRequired, peer+" requires a certificate, and there is no identity to present"+said
		e.Remedy = "set Builder.Identity to one that it accepts"
		return
	}
	e.Code = CodeIdentityRefused
	want := certinfo.UsageName(x509.ExtKeyUsageClientAuth)
	if e.Server {
		want = certinfo.UsageName(x509.ExtKeyUsageServerAuth)
	}
	misused := len(id.Usages) > 0 && !slices.Contains(id.Usages, want) && !slices.Contains(id.Usages, certinfo.UsageName(x509.ExtKeyUsageAny))
	name := `"` + id.Certificate.String() + `", issued by "` + id.Certificate.Issuer + `"`
	switch alert {
	case alertCertificateExpired:
		e.Text = peer + " says that the certificate " + name + " has expired" + said
		e.Remedy = "renew it"
		if id.Warning == "" {
			e.Remedy = "compare the clocks: by this one it is valid; or an issuer that was sent with it has expired"
		}
	case alertCertificateRevoked:
		e.Text = peer + " says that the certificate " + name + " was revoked" + said
		e.Remedy = "get a new one"
	case alertCertificateRequired:
		e.Text = peer + " requires a certificate and did not take " + name + said
		e.Remedy = "present an identity of an authority that it accepts"
	case alertUnknownCA:
		e.Text = peer + " does not trust the issuer of the certificate " + name + said
		e.Remedy = "have " + peer + " trust that certificate or its issuer"
		if id.Issuers == 0 && id.Subject != id.Certificate.Issuer {
			e.Remedy = "send the issuers too, since the identity has only its own certificate; or have " + peer + " trust it"
		}
	default:
		e.Text = peer + " does not accept the certificate " + name + said
		e.Remedy = "have " + peer + " trust it or its issuer"
		if !misused {
			e.Remedy += ", and check that it is made out to the right name"
		}
	}
	if misused {
		e.Text += "; it is only for " + strings.Join(id.Usages, ", ")
		e.Remedy += "; have the certificate issued anew with the extended key usage " + want
	}
	if id.Warning != "" {
		e.Text += "; " + id.Warning
	}
}

// side says on which side of a handshake an error text means something.
type side uint8

const (
	either side = iota
	onClient
	onServer
)

func sideOf(server bool) side {
	if server {
		return onServer
	}
	return onClient
}

// texts explains errors that crypto/tls and net/http report as text alone, by a
// fragment of it.
var texts = []struct {
	fragment string
	on       side
	code     trustkeep.Code
	text     string
	remedy   string
}{
	{"either ServerName or InsecureSkipVerify must be specified", onClient, truststore.CodeNoName,
		"no server name was given, and without one any server would do",
		"set Builder.ServerName to the host name or IP address that is dialled"},
	{"negative serial number", either, CodeUnreadable,
		"the peer's certificate has a negative serial number, which RFC 5280 forbids and Go does not parse",
		"have it issued anew; where that is impossible, GODEBUG=x509negativeserial=1 makes Go accept it"},
	{"failed to parse certificate", either, CodeUnreadable,
		"the peer's certificate cannot be parsed",
		"have it issued anew"},
	{"failed to parse client certificate", onServer, CodeUnreadable,
		"the client's certificate cannot be parsed",
		"have it issued anew"},
	{"client didn't provide a certificate", onServer, CodeIdentityRequired,
		"the client presented no certificate, and one is required",
		"set up the client with an identity that this server trusts"},
	{"server selected unsupported protocol version", onClient, CodeVersion,
		"the server chose a TLS version that is not allowed here",
		"raise the versions of the server; where it leaves no choice, set LegacyMinVersion"},
	{"client offered only unsupported versions", onServer, CodeVersion,
		"the client offers only TLS versions that are not allowed here",
		"raise the versions of the client; where it leaves no choice, set LegacyMinVersion"},
	{"protocol version not supported", either, CodeVersion,
		"the peer speaks none of the TLS versions that are allowed here",
		"raise the versions of the peer; where it leaves no choice, set LegacyMinVersion"},
	{"server gave HTTP response to HTTPS client", onClient, CodeNotTLS,
		"the peer does not speak TLS on this port, but plain HTTP",
		"use the port for HTTPS, or an http:// address"},
	{"no certificates configured", onServer, CodeUnknownName,
		"the client asks for a name that no route fits, and there is no identity for the rest",
		"set a route for the name, or Builder.Identity"},
	{"no cipher suite supported by both client and server", onServer, CodeNothingInCommon,
		"the client offers no cipher suite that this server has for its key",
		"compare the cipher suites and the type of the server's key"},
	{"peer doesn't support any of the certificate's signature algorithms", either, CodeNothingInCommon,
		"the peer cannot verify signatures by the identity's type of key",
		"present an identity with another type of key"},
	{"requested unsupported application protocols", onServer, CodeProtocol,
		"the client asks for application protocols that this server does not speak",
		"check NextProtos"},
	{"exceeds maximum of 65536", onClient, CodeTLS,
		"the server sent a message over 64 KiB, most likely the names of too many authorities",
		"the server must trust fewer authorities for clients, or not list them"},
}
