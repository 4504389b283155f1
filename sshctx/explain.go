package sshctx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
)

// ExplainError explains the error of a connection that was made with the configuration of Client.
// It returns a *HandshakeError, nil for nil, and errors of other packages' kinds, such as those of
// dialling, unchanged.
func (b Builder) ExplainError(address string, err error) error {
	at, bad := parseHost(address)
	if err == nil || bad != nil {
		return err
	}
	return b.explain(context.Background(), at, nil, err)
}

// explain makes a HandshakeError. c is nil if it is not known.
func (b Builder) explain(ctx context.Context, at host, c *client, err error) error {
	b = b.orAsItWas()
	var done *HandshakeError
	var below *dialError
	switch {
	case errors.As(err, &done):
		return err
	case errors.As(err, &below):
		if ctx.Err() != nil {
			return fmt.Errorf("sshctx: dial %s: %w", at, context.Cause(ctx))
		}
		return fmt.Errorf("sshctx: dial %s: %w", at, below.error)
	}
	e := &HandshakeError{Address: at.String(), User: b.User, Err: err, Code: CodeSSH}
	var offered []string
	if c != nil {
		c.mu.Lock()
		offered = c.offered
		c.mu.Unlock()
	} else if signers, err := signersOf(b.Identities, b.Legacy); err == nil {
		for _, s := range signers {
			offered = append(offered, describe(s.PublicKey()))
		}
	}
	e.Identities = offered
	var setup *setupError
	var algorithms *ssh.AlgorithmNegotiationError
	text := trustkeep.Printable(err.Error())
	switch {
	case errors.As(err, &e.HostKey):
		e.Code, e.Text, e.Remedy = e.HostKey.Code, e.HostKey.Text, e.HostKey.Remedy
	case errors.As(err, &setup):
		e.Code, e.Text = CodeSetup, "the trust or an identity of this side cannot be used: "+trustkeep.Printable(setup.Error())
	case errors.As(err, &algorithms):
		e.Code = CodeNothingInCommon
		e.Text = "no " + trustkeep.Printable(algorithms.What) + " in common; the host offers " + list(algorithms.RequestedAlgorithms) + ", this side " + list(algorithms.SupportedAlgorithms)
		e.Remedy = "update the host; if it cannot do better, name one of its algorithms in Builder.Legacy"
		if algorithms.What == "host key" {
			e.Remedy = "the host has no key of the types that are known for it: compare its fingerprints (FetchHostKeys) with the operator, and add them; where an authority is known, the host needs a certificate by it"
		}
	case strings.HasPrefix(strings.TrimPrefix(text, "ssh: handshake failed: "), "ssh: disconnect, "):
		// The rest is in the host's words, which classify nothing but what it says of itself.
		e.Text = text
		if strings.Contains(text, "Too many authentication failures") {
			b.explainLogin(e)
			e.Text += `; it says "Too many authentication failures"`
		}
	case strings.Contains(text, "ssh: unable to authenticate"), strings.Contains(text, "no common public key signature algorithm"):
		b.explainLogin(e)
	case ctx.Err() != nil:
		e.Code, e.Text = CodeTimeout, "the host did not answer in time"
		e.Err = fmt.Errorf("%w (%v)", context.Cause(ctx), text)
		if errors.Is(ctx.Err(), context.Canceled) {
			e.Text = "the connection was given up"
		}
	case expired(ctx, err):
		e.Code, e.Text = CodeTimeout, "the host did not answer in time"
	case strings.Contains(text, "overflow reading version string"), strings.Contains(text, "invalid packet length"), strings.Contains(text, "illegal characters in version"):
		e.Code, e.Text, e.Remedy = CodeNotSSH, "the peer does not speak SSH", "check the port: SSH and SFTP usually have 22"
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), strings.Contains(text, "EOF"):
		e.Code, e.Text, e.Remedy = CodeClosed, "the host hung up without a reason", "look into its log; it may have too many connections, or block this address"
	default:
		e.Text = text
	}
	return e
}

// explainLogin explains a refused login.
func (b Builder) explainLogin(e *HandshakeError) {
	switch {
	case len(e.Identities) == 0 && b.Password == nil:
		e.Code, e.Text, e.Remedy = CodeIdentityRequired, "the host wants a login, and there is neither a key nor a password", "set Identities or Password"
	case len(e.Identities) == 0:
		e.Code, e.Text = CodeIdentityRefused, "the host refuses the password of "+quoted(b.User)
		e.Remedy = "check user and password; the host may accept keys alone"
	default:
		e.Code, e.Text = CodeIdentityRefused, "the host accepts none of the keys for "+quoted(b.User)+": "+list(e.Identities)
		e.Remedy = "check the user, and have the operator add a line of sshctx.AuthorizedLines; for RSA keys, the host must accept rsa-sha2-512 or rsa-sha2-256"
		if b.Password != nil {
			e.Text += ", nor the password"
		}
	}
}

func quoted(name string) string { return `"` + trustkeep.Printable(name) + `"` }
