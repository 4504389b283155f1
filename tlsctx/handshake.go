package tlsctx

import (
	"crypto/x509"
	"encoding/json"
	"log/slog"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
	"github.com/trustkeep/trustkeep/truststore"
)

// The codes of a HandshakeError that are not about the peer's certificate. Where that was
// refused, the code is that of truststore.VerifyError.
const (
	CodeIdentityRequired trustkeep.Code = "identity-required" // the peer wants a certificate and got none
	CodeIdentityRefused  trustkeep.Code = "identity-refused"  // the peer does not accept the identity
	CodeNotAuthorized    trustkeep.Code = "not-authorized"    // trusted, and refused by Builder.Authorize
	CodeAccessDenied     trustkeep.Code = "access-denied"     // the peer knows the identity and will not serve it
	CodeUnreadable       trustkeep.Code = "unreadable"        // the peer's certificate cannot be parsed
	CodeVersion          trustkeep.Code = "protocol-version"  // no TLS version in common
	CodeNothingInCommon  trustkeep.Code = "nothing-in-common" // no cipher suite, curve or signature algorithm in common
	CodeProtocol         trustkeep.Code = "no-protocol"       // no application protocol (ALPN) in common
	CodeUnknownName      trustkeep.Code = "unknown-name"      // the peer does not serve that name
	CodeNotTLS           trustkeep.Code = "not-tls"           // the peer does not speak TLS here
	CodeClosed           trustkeep.Code = "closed"            // the peer hung up without a reason
	CodeTimeout          trustkeep.Code = "timeout"           // the peer did not answer in time
	CodeAlert            trustkeep.Code = "alert"             // another TLS alert of the peer
	CodeTLS              trustkeep.Code = "tls-error"         // another error of crypto/tls on this side
	CodeSetup            trustkeep.Code = "setup"             // the trust or identity of this side cannot be used
	CodeChanged          trustkeep.Code = "changed"           // refused then, trusted now
	CodeProxy            trustkeep.Code = "proxy"             // the proxy did not connect to the server
	CodeOutdated         trustkeep.Code = "outdated"          // the definition has changed; see Follow
)

// HandshakeError explains a failed handshake: what the peer sent, what was
// trusted, and what would help. As an error it is one line of at most 2 KiB,
// safe to log.
type HandshakeError struct {
	Code   trustkeep.Code
	Text   string // what went wrong
	Remedy string // what would help; may be empty
	// Verify explains why the peer's certificate was refused; nil if the reason is
	// another.
	Verify *truststore.VerifyError
	// Chain is what the peer sent, its own certificate first, as far as it is known.
	Chain []*x509.Certificate
	// Trust is the trust that counted, Ignored the trust that did not.
	Trust   TrustReport
	Ignored []TrustReport
	// Identity is what this side had to present; nil if it had none, or if Routes chose
	// it for a destination that is not known.
	Identity *IdentityReport
	// ServerName is the name that was asked for, if known.
	ServerName string
	// Port is that which was dialled, as a number if that is known; empty if it is not known.
	Port string
	// RemoteAddr is the address of the peer, or of a proxy on the way, as net.Addr prints it;
	// empty if not known.
	RemoteAddr string
	// Server is set if this side is the server.
	Server bool
	// Err is the error of the handshake.
	Err error

	routed bool // there is an identity, and which is not known
}

const maxErrorText = 2048

// Error describes the failure in one line.
func (e *HandshakeError) Error() string {
	text := "tlsctx: handshake" + e.where() + " failed: "
	switch {
	case e.ServerName == "":
	case e.Server:
		text = `tlsctx: handshake as "` + trustkeep.Printable(e.ServerName) + `"` + e.where() + ` failed: `
	default:
		text = `tlsctx: handshake with "` + trustkeep.Printable(e.ServerName) + `"` + e.where() + ` failed: `
	}
	text += e.Text
	if e.Verify != nil {
		text += "; trusted was " + e.Trust.name()
		for _, t := range e.Ignored {
			if t.WouldAccept {
				text += "; " + t.name() + " would accept it, but " + t.Why
			}
		}
	}
	if e.Remedy != "" {
		text += "; to fix it, " + e.Remedy
	}
	return cut(text, maxErrorText)
}

// where says what is known of where the peer is.
func (e *HandshakeError) where() (text string) {
	if e.Port != "" {
		text = " at port " + trustkeep.Printable(e.Port)
	}
	if e.RemoteAddr != "" {
		text += " (" + trustkeep.Printable(e.RemoteAddr) + ")"
	}
	return text
}

// Unwrap returns the error of the handshake and, where the peer's certificate
// was refused, the *truststore.VerifyError.
func (e *HandshakeError) Unwrap() []error {
	errs := []error{e.Err}
	if e.Verify != nil {
		errs = append(errs, e.Verify)
	}
	return errs
}

// Peer describes the certificates that the peer sent.
func (e *HandshakeError) Peer() []trustkeep.Certificate {
	out := []trustkeep.Certificate{}
	for _, c := range e.Chain[:min(len(e.Chain), 16)] {
		out = append(out, certinfo.Brief(c))
	}
	return out
}

// MarshalJSON yields {"code","text","remedy","peer","verify","trust","ignored",
// "identity","serverName","port","remoteAddr","server"}.
func (e *HandshakeError) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Code       trustkeep.Code          `json:"code"`
		Text       string                  `json:"text"`
		Remedy     string                  `json:"remedy,omitempty"`
		Peer       []trustkeep.Certificate `json:"peer"`
		Verify     *truststore.VerifyError `json:"verify,omitempty"`
		Trust      TrustReport             `json:"trust"`
		Ignored    []TrustReport           `json:"ignored"`
		Identity   *IdentityReport         `json:"identity,omitempty"`
		ServerName string                  `json:"serverName,omitempty"`
		Port       string                  `json:"port,omitempty"`
		RemoteAddr string                  `json:"remoteAddr,omitempty"`
		Server     bool                    `json:"server"`
	}{e.Code, e.Text, e.Remedy, e.Peer(), e.Verify, e.Trust, e.Ignored, e.Identity, trustkeep.Printable(e.ServerName), trustkeep.Printable(e.Port), trustkeep.Printable(e.RemoteAddr), e.Server})
}

// LogValue makes slog print the parts that matter as a group; the peer's own certificate
// is in a group of its own.
func (e *HandshakeError) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("code", string(e.Code)), slog.String("text", cut(e.Text, maxErrorText)), slog.String("remedy", e.Remedy),
		slog.Bool("server", e.Server), slog.String("serverName", trustkeep.Printable(e.ServerName)), slog.String("trust", string(e.Trust.Origin)),
		slog.String("port", trustkeep.Printable(e.Port)), slog.String("remoteAddr", trustkeep.Printable(e.RemoteAddr)),
	}
	if len(e.Chain) > 0 {
		s := certinfo.Brief(e.Chain[0])
		attrs = append(attrs, slog.Group("peer", slog.String("subject", s.String()), slog.String("issuer", s.Issuer), slog.String("sha256", s.SHA256)))
	}
	return slog.GroupValue(attrs...)
}

// cut shortens a text to at most n bytes, on a rune boundary.
func cut(s string, n int) string {
	const ellipsis = "…"
	if len(s) <= n {
		return s
	}
	end := 0
	for i := range s {
		if i > n-len(ellipsis) {
			break
		}
		end = i
	}
	return s[:end] + ellipsis
}
