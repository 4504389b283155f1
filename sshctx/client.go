package sshctx

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Client returns the configuration for connections to one address, "host" or "host:port". Use it
// for that host alone: its algorithms are those of the keys that are known for it now. The host's
// key is judged by the trust at the time of the handshake, and the identities are asked then.
// A Dialer also follows changes of the known types, and explains its errors; ExplainError
// explains those of connections made with the configuration.
//
// Errors wrap trustkeep.ErrInvalid for a bad address, no user, no trust or a nil identity, and
// the error of a source.
func (b Builder) Client(address string) (*ssh.ClientConfig, error) {
	at, err := parseHost(address)
	if err != nil {
		return nil, err
	}
	c, err := b.client(at, nil)
	if err != nil {
		return nil, err
	}
	return c.config, nil
}

// client is one configuration, and what its handshake has seen.
type client struct {
	config *ssh.ClientConfig

	mu      sync.Mutex
	shown   ssh.PublicKey // by the host
	offered []string      // the keys that could be offered
}

// seen returns the key that the host has shown. Hosts may show it anew at any time after the
// login.
func (c *client) seen() ssh.PublicKey {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.shown
}

// client makes a configuration; without are types of host keys that were tried.
func (b Builder) client(at host, without []string) (*client, error) {
	live := b
	b, err := b.current()
	if err != nil {
		return nil, err
	}
	if err := b.checkUser(); err != nil {
		return nil, err
	}
	source, err := b.trust()
	if err != nil {
		return nil, err
	}
	hosts, err := given.Snapshot[Hosts](source)
	if err != nil {
		return nil, err
	}
	algorithms, err := b.algorithms()
	if err != nil {
		return nil, err
	}
	if _, err := signersOf(b.Identities, b.Legacy); err != nil {
		return nil, err
	}
	if given.NilPointer(b.Password) {
		return nil, &trustkeep.Error{Op: "sshctx: Password", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer"}
	}
	hostKeys := slices.DeleteFunc(hosts.algorithms(at, algorithms.HostKeys), func(a string) bool { return slices.Contains(without, typeOf(a)) })
	c := new(client)
	c.config = &ssh.ClientConfig{
		Config: b.config(algorithms), User: b.User, HostKeyAlgorithms: hostKeys, Timeout: b.timeout(),
		HostKeyCallback: func(_ string, _ net.Addr, key ssh.PublicKey) error {
			c.mu.Lock()
			c.shown = key
			c.mu.Unlock()
			now, err := live.during(b)
			if err != nil {
				return &setupError{fmt.Errorf("sshctx: %w", err)}
			}
			source, err := now.trust()
			if err != nil {
				return &setupError{err}
			}
			hosts, err := given.Snapshot[Hosts](source)
			if err != nil {
				return &setupError{fmt.Errorf("sshctx: trust: %w", err)}
			}
			_, err = hosts.Verify(at.String(), key, VerifyOptions{Time: b.now(), MinRSABits: b.MinRSABits})
			return err
		},
	}
	c.config.Auth = b.methods(c, live)
	return c, nil
}

// setupError marks an error of this side's own trust or identities.
type setupError struct{ error }

func (e *setupError) Unwrap() error { return e.error }

// methods are the ways to log in. Only one of a kind is ever used, so all keys are in one.
func (b Builder) methods(c *client, live Builder) []ssh.AuthMethod {
	var out []ssh.AuthMethod
	if len(b.Identities) > 0 || live.follows != nil {
		out = append(out, ssh.PublicKeysCallback(func() ([]ssh.Signer, error) {
			now, err := live.during(b)
			if err != nil {
				return nil, &setupError{fmt.Errorf("sshctx: %w", err)}
			}
			signers, err := signersOf(now.Identities, b.Legacy)
			if err != nil {
				return nil, &setupError{err}
			}
			c.mu.Lock()
			defer c.mu.Unlock()
			c.offered = c.offered[:0]
			for _, s := range signers {
				c.offered = append(c.offered, describe(s.PublicKey()))
			}
			return signers, nil
		}))
	}
	if b.Password != nil {
		reveal := func() (string, error) {
			p, err := b.Password.Reveal()
			if err != nil {
				return "", &setupError{fmt.Errorf("sshctx: password: %w", err)}
			}
			defer clear(p)
			return string(p), nil
		}
		rounds, asked := 0, 0
		out = append(out, ssh.PasswordCallback(reveal), ssh.KeyboardInteractive(func(_, _ string, questions []string, echos []bool) ([]string, error) {
			// Package ssh answers for as long as a host asks. Those that tell that a password was
			// wrong ask again; it is the same one.
			if rounds++; rounds > maxRounds || len(questions) > 0 && asked == maxPrompts {
				return nil, errors.New("ssh: unable to authenticate: the host asks again and again")
			}
			switch {
			case len(questions) == 0:
				return nil, nil
			case len(questions) > 1 || echos[0]:
				return nil, &setupError{&trustkeep.Error{Op: "sshctx: login", Err: trustkeep.ErrUnsupported, Hint: "the server asks for more than a password"}}
			}
			asked++
			p, err := reveal()
			return []string{p}, err
		}))
	}
	return out
}

// maxPrompts is how often a host may ask for the password in the course of a login, as
// NumberOfPasswordPrompts of ssh_config(5) has it; maxRounds counts messages without a question
// too, which many hosts end with.
const (
	maxPrompts = 3
	maxRounds  = 16
)

// algorithms returns the algorithms of host keys that can lead to a trusted key, of those that
// are offered, in their order: certificates first where an authority is known for the host, then
// the types of the keys that are known. If there is no telling, as with bare fingerprints, or
// nothing is known, it returns all: the refusal then names the key.
func (h *Hosts) algorithms(at host, offered []string) []string {
	keys, authorities := h.keysFor(at)
	types := make(map[string]bool)
	for _, l := range keys {
		types[l.key.Type()] = true
	}
	for _, p := range h.pins {
		if p.kind == "" {
			types = nil
			break
		}
		types[p.kind] = true
	}
	var out []string
	if len(authorities) > 0 {
		for _, a := range offered {
			if isCertificateAlgorithm(a) {
				out = append(out, a)
			}
		}
	}
	for _, a := range offered {
		if !isCertificateAlgorithm(a) && (types == nil || types[typeOf(a)]) {
			out = append(out, a)
		}
	}
	if len(out) == 0 {
		out = slices.DeleteFunc(slices.Clone(offered), isCertificateAlgorithm)
	}
	return out
}

func isCertificateAlgorithm(a string) bool { return strings.Contains(a, "-cert-v0") }

// typeOf returns the type of the keys that an algorithm for plain host keys is for.
func typeOf(algorithm string) string {
	switch algorithm {
	case ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512:
		return ssh.KeyAlgoRSA
	}
	return algorithm
}
