package sshctx

import (
	"crypto"
	"crypto/rsa"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// VerifyOptions is the question about a host key. The zero value asks about now.
type VerifyOptions struct {
	// Time of the decision, for host certificates. If zero, now.
	Time time.Time
	// MinRSABits is the smallest RSA key that is accepted. If zero, 2,048.
	MinRSABits int
}

// minRSABits is the smallest RSA key by default, maxRSABits the largest at all.
const (
	minRSABits = 2048
	maxRSABits = 16384
)

// HostVerdict says why a host key is trusted.
type HostVerdict struct {
	// Authority is the key that has signed the host's certificate; nil for a key that is known
	// itself.
	Authority ssh.PublicKey
	// Line names the line of known_hosts that decided, "file:12"; empty for a pin.
	Line string
}

// Verify decides whether a host may have that key: the one host key decision of this package.
// Address is "host", "host:port" or "[host]:port", of port 22 if it has none.
//
//   - A key that a line revokes (@revoked) is refused, for all hosts, and so is a certificate by it.
//   - A key is accepted that a line names for this host and port, or that is pinned.
//   - A host certificate is accepted if a line makes its signer an authority for this host
//     (@cert-authority), if it names the host without port as one of its principals (a wildcard
//     names none, as in ssh(1)), and if it is valid at that time. Else its own key counts, as if
//     it came without a certificate.
//   - DSA keys, RSA keys that are too small or have more than 16,384 bits, and certificates
//     that are signed with SHA-1 or that name no host are refused.
//
// The error is a *HostKeyError. It wraps trustkeep.ErrRevoked, trustkeep.ErrExpired,
// trustkeep.ErrEmpty if nothing at all is trusted, trustkeep.ErrNotFound for a host that is not
// known, or trustkeep.ErrKeyMismatch for one that has another key. Calls that cannot be meant
// are trustkeep.ErrInvalid.
func (h *Hosts) Verify(address string, key ssh.PublicKey, o VerifyOptions) (*HostVerdict, error) {
	if h == nil || given.IsNil(key) {
		return nil, &trustkeep.Error{Op: "sshctx: verify", Err: trustkeep.ErrInvalid, Hint: "nil *Hosts or nil key"}
	}
	at, err := parseHost(address)
	if err != nil {
		return nil, err
	}
	if o.Time.IsZero() {
		o.Time = time.Now()
	}
	q := question{hosts: h, at: at, key: key, o: o}
	q.keys, q.authorities = h.keysFor(at)
	return q.decide()
}

// question is one call of Verify.
type question struct {
	hosts             *Hosts
	at                host
	key               ssh.PublicKey
	o                 VerifyOptions
	keys, authorities []line
}

func (q question) decide() (*HostVerdict, error) {
	if l := q.hosts.revocation(q.key); l != nil {
		return nil, q.refuse(CodeRevokedKey, trustkeep.ErrRevoked, fmt.Sprintf("the host's key, or the authority of its certificate, is revoked by %s", l.place()), "do not connect; ask the operator for the host's new key", *l)
	}
	if err := checkStrength(q.key, q.o.MinRSABits); err != nil {
		return nil, q.refuse(CodeWeakKey, err, fmt.Sprintf("the host's key is not accepted: %v", err), "have the operator make an Ed25519 key, or lower MinRSABits for this connection")
	}
	var refusal error
	if cert, ok := q.key.(*ssh.Certificate); ok {
		v, err := q.byAuthority(cert)
		if v != nil {
			return v, nil
		}
		refusal = err
	}
	for _, l := range q.keys {
		if samePublicKey(l.key, q.key) {
			return &HostVerdict{Line: l.place()}, nil
		}
	}
	sum := Fingerprint(q.key)
	for _, p := range q.hosts.pins {
		if p.sum == sum && p.sum != "" {
			return &HostVerdict{}, nil
		}
	}
	if refusal != nil {
		return nil, refusal
	}
	return nil, q.unknown()
}

// byAuthority judges a host certificate, see PROTOCOL.certkeys of OpenSSH.
func (q question) byAuthority(cert *ssh.Certificate) (*HostVerdict, error) {
	i := slices.IndexFunc(q.authorities, func(l line) bool { return samePublicKey(l.key, cert.SignatureKey) })
	if i < 0 {
		if len(q.authorities) == 0 {
			return nil, nil // its key counts
		}
		return nil, q.refuse(CodeUnknownAuthority, trustkeep.ErrKeyMismatch,
			"the host's certificate is signed by "+describe(cert.SignatureKey)+", which is no authority for "+q.at.String(),
			"compare the authority's fingerprint with its operator, then add it with AddAuthority", q.authorities...)
	}
	by := q.authorities[i]
	fail := func(code trustkeep.Code, err error, text, remedy string) (*HostVerdict, error) {
		return nil, q.refuse(code, err, text, remedy, by)
	}
	renew := "the host needs a new certificate by its authority"
	now := q.o.Time.Unix()
	principal := slices.IndexFunc(cert.ValidPrincipals, func(p string) bool { return strings.ToLower(p) == q.at.name })
	switch {
	case cert.CertType != ssh.HostCert:
		return fail(CodeBadCertificate, trustkeep.ErrKeyMismatch, "the host shows a certificate that is for users", renew)
	case !isModernSignature(cert.Signature):
		return fail(CodeBadCertificate, trustkeep.ErrUnsupported, "the host's certificate is signed with SHA-1 or DSA", renew)
	case checkStrength(cert.SignatureKey, q.o.MinRSABits) != nil:
		return fail(CodeWeakKey, trustkeep.ErrUnsupported, "the key of the host's authority is too small", renew)
	case len(cert.ValidPrincipals) == 0:
		return fail(CodeCertificateName, trustkeep.ErrKeyMismatch, "the host's certificate names no host", renew+" that names it: ssh-keygen -h -n")
	case principal < 0:
		return fail(CodeCertificateName, trustkeep.ErrKeyMismatch, "the host's certificate is for "+list(cert.ValidPrincipals)+", not for "+q.at.name, renew+" that names it, or use the name that it has")
	case now < clamp(cert.ValidAfter):
		return fail(CodeCertificateTime, trustkeep.ErrExpired, "the host's certificate is not valid before "+date(cert.ValidAfter), "check the clocks of both sides")
	case cert.ValidBefore != ssh.CertTimeInfinity && now >= clamp(cert.ValidBefore):
		return fail(CodeCertificateTime, trustkeep.ErrExpired, "the host's certificate has expired "+date(cert.ValidBefore), renew)
	}
	checker := ssh.CertChecker{Clock: func() time.Time { return q.o.Time }}
	if checker.CheckCert(cert.ValidPrincipals[principal], cert) != nil {
		return fail(CodeBadCertificate, trustkeep.ErrCorrupt, "the host's certificate has a critical option that is not known, or a signature that does not verify", renew)
	}
	return &HostVerdict{Authority: cert.SignatureKey, Line: by.place()}, nil
}

// unknown says what is wrong with a key that is not known.
func (q question) unknown() error {
	known := q.keys
	sum := describe(q.key)
	var same, other []string
	for _, l := range known {
		if l.key.Type() == bare(q.key).Type() {
			same = append(same, l.place())
		} else {
			other = append(other, l.place()+" ("+l.key.Type()+")")
		}
	}
	switch {
	case q.hosts.Empty():
		return q.refuse(CodeNoTrust, trustkeep.ErrEmpty, "no host key is trusted at all", "compare "+sum+" with the operator, then add it to the connection's known hosts")
	case len(same) > 0:
		return q.refuse(CodeChangedKey, trustkeep.ErrKeyMismatch,
			"THE HOST'S KEY HAS CHANGED to "+sum+"; known is another one by "+list(same)+": the host was reinstalled, or somebody is in between",
			"ask the operator; only if it confirms the fingerprint, replace the key: KnownHosts.Replace", known...)
	case len(other) > 0:
		return q.refuse(CodeOtherAlgorithm, trustkeep.ErrKeyMismatch,
			"the host shows "+sum+"; known are only keys of other types, by "+list(other),
			"let the configuration ask for the known type, as Client and Dialer do, or add the key after comparing it", known...)
	case len(q.hosts.pins) > 0:
		return q.refuse(CodePinMismatch, trustkeep.ErrKeyMismatch, "the host shows "+sum+", which is not pinned", "ask the operator; pin this fingerprint only if it is confirmed")
	case len(q.authorities) > 0:
		return q.refuse(CodeUnknownAuthority, trustkeep.ErrKeyMismatch, "the host shows "+sum+" without a certificate; known is only an authority, by "+q.authorities[0].place(),
			"the host's operator has to configure its HostCertificate", q.authorities...)
	}
	remedy := "compare " + sum + " with the operator, then add it: KnownHosts.Add"
	if l := q.elsewhere(); l != nil {
		remedy = "the same key is known by " + l.place() + " under another name or port; add this one: KnownHosts.Add"
		return q.refuse(CodeUnknownHost, trustkeep.ErrNotFound, q.at.String()+" is not known", remedy, *l)
	}
	return q.refuse(CodeUnknownHost, trustkeep.ErrNotFound, q.at.String()+" is not known, and neither is its key", remedy)
}

// elsewhere finds the key under other names.
func (q question) elsewhere() *line {
	for i, l := range q.hosts.lines {
		if l.key != nil && l.marker == plainKey && samePublicKey(l.key, q.key) {
			return &q.hosts.lines[i]
		}
	}
	return nil
}

func (q question) refuse(code trustkeep.Code, err error, text, remedy string, lines ...line) error {
	e := &HostKeyError{Code: code, Text: text, Remedy: remedy, Address: q.at.String(), Type: bare(q.key).Type(), Fingerprint: Fingerprint(q.key), Err: err}
	for _, l := range lines[:min(len(lines), 16)] {
		e.Lines = append(e.Lines, l.place())
	}
	return e
}

// describe names a key by type and fingerprint.
func describe(key ssh.PublicKey) string { return bare(key).Type() + " " + Fingerprint(key) }

// list names at most four things.
func list(names []string) string {
	const most = 4
	out := make([]string, 0, most)
	for _, n := range names[:min(len(names), most)] {
		out = append(out, trustkeep.Printable(n))
	}
	text := strings.Join(out, ", ")
	if len(names) > most {
		text += fmt.Sprintf(" and %d more", len(names)-most)
	}
	return text
}

// clamp turns the time of a certificate into one that Unix times can be compared with.
func clamp(t uint64) int64 { return int64(min(t, math.MaxInt64)) }

func date(t uint64) string {
	return time.Unix(min(clamp(t), 253402300799), 0).UTC().Format(time.RFC3339) // the year 9999
}

// isModernSignature reports whether a certificate's signature is by none of the algorithms that
// OpenSSH has retired (CASignatureAlgorithms in ssh_config(5)).
func isModernSignature(s *ssh.Signature) bool {
	return s != nil && s.Format != ssh.KeyAlgoRSA && s.Format != dsa
}

const dsa = "ssh-dss"

// checkStrength refuses DSA, and RSA keys of fewer bits than least; 0 is 2,048.
func checkStrength(key ssh.PublicKey, least int) error {
	if least == 0 {
		least = minRSABits
	}
	if bare(key).Type() == dsa {
		return fmt.Errorf("DSA: %w", trustkeep.ErrUnsupported)
	}
	if k, ok := material(key).(*rsa.PublicKey); ok && k.N.BitLen() < least {
		return fmt.Errorf("RSA of %d bits, fewer than %d: %w", k.N.BitLen(), least, trustkeep.ErrUnsupported)
	}
	return checkSize(key)
}

// checkSize refuses keys so large that arithmetic with them costs time.
func checkSize(key ssh.PublicKey) error {
	if k, ok := material(key).(*rsa.PublicKey); ok && k.N.BitLen() > maxRSABits {
		return fmt.Errorf("RSA of %d bits: %w", k.N.BitLen(), trustkeep.ErrLimit)
	}
	return nil
}

// material returns the key in the types of the standard library; nil if it has none.
func material(key ssh.PublicKey) crypto.PublicKey {
	if holder, ok := bare(key).(ssh.CryptoPublicKey); ok {
		return holder.CryptoPublicKey()
	}
	return nil
}
