package sshctx

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// The entries of Permissions.Extensions that a login by a key gets.
const (
	// ExtensionFingerprint is the fingerprint of the key, or of the key in the certificate.
	ExtensionFingerprint = "trustkeep-fingerprint"
	// ExtensionLine names the line of authorized keys that let the user in.
	ExtensionLine = "trustkeep-line"
	// ExtensionLimits are the options of that line that take something away, with commas
	// between: restrict, no-pty and the like. A server that offers more than files heeds them.
	ExtensionLimits = "trustkeep-limits"
)

// Server returns the configuration of a server: Identities are its host keys, Authorized decides
// who may log in, by key alone. It keeps the host keys that it was made with: make one for each
// connection, as package ssh allows, to follow them. Who may log in is asked on each login.
//
// Errors wrap trustkeep.ErrInvalid if Authorized or Identities are missing, and the error of an
// identity.
func (b Builder) Server() (*ssh.ServerConfig, error) {
	live := b.detached()
	b, err := b.current()
	if err != nil {
		return nil, err
	}
	switch {
	case given.IsNil(b.Authorized):
		return nil, &trustkeep.Error{Op: "sshctx: Authorized", Err: trustkeep.ErrInvalid, Hint: "a server needs to know who may log in; was the error of loading it checked?"}
	case len(b.Identities) == 0:
		return nil, &trustkeep.Error{Op: "sshctx: Identities", Err: trustkeep.ErrInvalid, Hint: "a server needs a host key"}
	}
	algorithms, err := b.algorithms()
	if err != nil {
		return nil, err
	}
	signers, err := signersOf(b.Identities, b.Legacy)
	if err != nil {
		return nil, err
	}
	config := &ssh.ServerConfig{Config: b.config(algorithms), PublicKeyAuthAlgorithms: algorithms.PublicKeyAuths}
	for _, s := range signers {
		config.AddHostKey(s)
	}
	config.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
		permissions, err := live.login(c, key)
		if err != nil {
			// One message for all, since it may tell who exists; ServerConfig.AuthLogCallback
			// gets the error with its reason.
			return nil, &loginError{err}
		}
		return permissions, nil
	}
	return config, nil
}

// loginError is why a login was refused. Clients are told nothing of it.
type loginError struct{ error }

func (e *loginError) Unwrap() error { return e.error }

// login decides whether a key lets a user in.
func (b Builder) login(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	b, err := b.current()
	if err != nil {
		return nil, err
	}
	refuse := func(why string, err error) (*ssh.Permissions, error) {
		return nil, fmt.Errorf("sshctx: login of %s with %s: %s: %w", quoted(c.User()), describe(key), why, err)
	}
	if err := checkStrength(key, b.MinRSABits); err != nil {
		return refuse("key is not accepted", err)
	}
	authorized, err := b.Authorized.AuthorizedFor(c.User())
	if err == nil && authorized == nil {
		err = trustkeep.ErrNotFound
	}
	if err != nil {
		return refuse("authorized keys", err)
	}
	reason := errors.New("no line has the key")
	for _, l := range authorized.lines {
		permissions, err := b.byLine(l, c, key)
		if permissions != nil {
			return permissions, nil
		}
		if err != nil {
			reason = fmt.Errorf("%s: %w", l.place(), err)
		}
	}
	return refuse("refused", reason)
}

// byLine returns the permissions that one line gives. Both results are nil if it is about another
// key.
func (b Builder) byLine(l authorizedLine, c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
	cert, isCert := key.(*ssh.Certificate)
	if l.key == nil || l.authority && !isCert {
		return nil, nil
	}
	signer := key
	if l.authority {
		signer = cert.SignatureKey
	}
	if !samePublicKey(l.key, signer) || isCert && !l.authority {
		return nil, nil
	}
	now := b.now()
	if !l.admits(c.RemoteAddr(), now) {
		return nil, errors.New("expired, or not from that address")
	}
	permissions := &ssh.Permissions{CriticalOptions: map[string]string{}, Extensions: map[string]string{}}
	if isCert {
		if err := b.checkUserCertificate(l, c, cert, now); err != nil {
			return nil, err
		}
		for name, value := range cert.CriticalOptions {
			permissions.CriticalOptions[name] = value
		}
		for name, value := range cert.Extensions {
			if !strings.HasPrefix(name, "trustkeep-") {
				permissions.Extensions[name] = value
			}
		}
	}
	if l.forced {
		if command, twice := permissions.CriticalOptions[forceCommand]; twice && command != l.command {
			return nil, errors.New("line and certificate force different commands")
		}
		permissions.CriticalOptions[forceCommand] = l.command
	}
	if _, forced := permissions.CriticalOptions[forceCommand]; forced && !b.ForcesCommands {
		return nil, errors.New("the key is for one command, and this server forces none")
	}
	permissions.Extensions[ExtensionFingerprint] = Fingerprint(key)
	permissions.Extensions[ExtensionLine] = l.place()
	permissions.Extensions[ExtensionLimits] = strings.Join(l.limits, ",")
	return permissions, nil
}

const forceCommand = "force-command"

// checkUserCertificate judges a certificate by an authority of a line, see PROTOCOL.certkeys of
// OpenSSH. Package ssh enforces source-address.
func (b Builder) checkUserCertificate(l authorizedLine, c ssh.ConnMetadata, cert *ssh.Certificate, now time.Time) error {
	names := l.principals
	if names == nil {
		names = []string{c.User()}
	}
	i := slices.IndexFunc(cert.ValidPrincipals, func(p string) bool { return slices.Contains(names, p) })
	switch {
	case cert.CertType != ssh.UserCert:
		return errors.New("the certificate is for hosts")
	case !isModernSignature(cert.Signature):
		return errors.New("the certificate is signed with SHA-1 or DSA")
	case checkStrength(cert.SignatureKey, b.MinRSABits) != nil:
		return errors.New("the authority's key is too weak")
	case i < 0:
		return errors.New("the certificate names none of the line's principals, or not the user")
	}
	checker := ssh.CertChecker{Clock: func() time.Time { return now }, SupportedCriticalOptions: []string{forceCommand, "source-address"}}
	return checker.CheckCert(cert.ValidPrincipals[i], cert)
}
