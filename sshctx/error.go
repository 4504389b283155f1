package sshctx

import (
	"encoding/json"
	"log/slog"

	"github.com/trustkeep/trustkeep"
)

// The codes of refusals.
const (
	CodeNoTrust          trustkeep.Code = "no-trust"          // nothing is known about any host
	CodeUnknownHost      trustkeep.Code = "unknown-host"      // nothing is known about this host
	CodeChangedKey       trustkeep.Code = "changed-host-key"  // another key of the same type is known
	CodeOtherAlgorithm   trustkeep.Code = "other-algorithm"   // only keys of other types are known
	CodePinMismatch      trustkeep.Code = "pin-mismatch"      // the key is not one of those pinned
	CodeRevokedKey       trustkeep.Code = "revoked-host-key"  // the key or its authority is revoked
	CodeWeakKey          trustkeep.Code = "weak-host-key"     // the key is too small, too large or DSA
	CodeUnknownAuthority trustkeep.Code = "unknown-authority" // no authority for this host vouches for it
	CodeCertificateName  trustkeep.Code = "certificate-name"  // the host's certificate is for another host
	CodeCertificateTime  trustkeep.Code = "certificate-time"  // the host's certificate is not valid at that time
	CodeBadCertificate   trustkeep.Code = "bad-certificate"   // the host's certificate cannot be used
	CodeNothingInCommon  trustkeep.Code = "nothing-in-common" // no algorithm in common
	CodeIdentityRefused  trustkeep.Code = "identity-refused"  // the server accepts none of the identities
	CodeIdentityRequired trustkeep.Code = "identity-required" // there is no identity to offer
	CodeNotSSH           trustkeep.Code = "not-ssh"           // the peer does not speak SSH here
	CodeClosed           trustkeep.Code = "closed"            // the peer hung up without a reason
	CodeTimeout          trustkeep.Code = "timeout"           // the peer did not answer in time
	CodeSetup            trustkeep.Code = "setup"             // the trust or identity of this side cannot be used
	CodeSSH              trustkeep.Code = "ssh-error"         // another error of the handshake
	CodeUnusableLine     trustkeep.Code = "unusable-line"     // a Finding: a line that counts for nothing
)

// HostKeyError is why a host's key is refused. As an error it is one line, safe to log.
type HostKeyError struct {
	Code   trustkeep.Code
	Text   string // what was wrong
	Remedy string // what would help
	// Address is the host, as known_hosts spells it.
	Address string
	// Type and Fingerprint are those of the key that the host has shown.
	Type, Fingerprint string
	// Lines name what spoke against the key, "file:12", at most 16; empty if nothing is known.
	Lines []string
	// Err is a sentinel of package trustkeep.
	Err error
}

// Error describes the refusal.
func (e *HostKeyError) Error() string {
	text := `sshctx: host key of "` + trustkeep.Printable(e.Address) + `" refused: ` + e.Text
	if e.Remedy != "" {
		text += "; to fix it, " + e.Remedy
	}
	return text
}

// Unwrap returns Err.
func (e *HostKeyError) Unwrap() error { return e.Err }

// HandshakeError explains why there is no connection. As an error it is one line, safe to log.
type HandshakeError struct {
	Code   trustkeep.Code
	Text   string // what went wrong
	Remedy string // what would help; may be empty
	// Address is what was dialled, User who was to log in.
	Address, User string
	// HostKey explains why the host's key was refused; nil if the reason is another.
	HostKey *HostKeyError
	// Identities are the keys that were there to offer, as "type SHA256:fingerprint".
	Identities []string
	// Err is the error of the handshake.
	Err error
}

// Error describes the failure in one line.
func (e *HandshakeError) Error() string {
	text := `sshctx: connection to "` + trustkeep.Printable(e.Address) + `" failed: ` + e.Text
	if e.Remedy != "" {
		text += "; to fix it, " + e.Remedy
	}
	return text
}

// Unwrap returns the error of the handshake and, where the host's key was refused, the
// *HostKeyError.
func (e *HandshakeError) Unwrap() []error {
	errs := []error{e.Err}
	if e.HostKey != nil {
		errs = append(errs, e.HostKey)
	}
	return errs
}

// MarshalJSON yields {"code","text","remedy","address","user","hostKey","identities"}.
func (e *HandshakeError) MarshalJSON() ([]byte, error) {
	type hostKey struct {
		Type        string   `json:"type"`
		Fingerprint string   `json:"fingerprint"`
		Lines       []string `json:"lines"`
	}
	var shown *hostKey
	if h := e.HostKey; h != nil {
		shown = &hostKey{h.Type, h.Fingerprint, h.Lines}
	}
	return json.Marshal(struct {
		Code       trustkeep.Code `json:"code"`
		Text       string         `json:"text"`
		Remedy     string         `json:"remedy,omitempty"`
		Address    string         `json:"address"`
		User       string         `json:"user"`
		HostKey    *hostKey       `json:"hostKey,omitempty"`
		Identities []string       `json:"identities,omitempty"`
	}{e.Code, e.Text, e.Remedy, trustkeep.Printable(e.Address), trustkeep.Printable(e.User), shown, e.Identities})
}

// LogValue makes slog print the parts that matter as a group.
func (e *HandshakeError) LogValue() slog.Value {
	attrs := []slog.Attr{
		slog.String("code", string(e.Code)), slog.String("text", e.Text), slog.String("remedy", e.Remedy),
		slog.String("address", trustkeep.Printable(e.Address)), slog.String("user", trustkeep.Printable(e.User)),
	}
	if h := e.HostKey; h != nil {
		attrs = append(attrs, slog.Group("hostKey", slog.String("type", h.Type), slog.String("fingerprint", h.Fingerprint)))
	}
	return slog.GroupValue(attrs...)
}
