package environment

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/sshctx"
)

// SSH makes a Connection one of SSH, for SFTP above all. What it says about hosts is all that the
// connection trusts: KnownHosts and Pins, or EnvironmentHosts. One of them must be set.
type SSH struct {
	// User is the name to log in as.
	User string `json:"user"`
	// KnownHosts is the text of a known_hosts file. Its lines may name authorities for host
	// certificates ("@cert-authority") and revoked keys.
	KnownHosts string `json:"knownHosts,omitempty"`
	// Pins are keys of the host or their fingerprints, as sshctx.ParsePin reads them.
	Pins []string `json:"pins,omitempty"`
	// EnvironmentHosts trusts the known hosts that all connections of an environment share, see
	// Environment.UpdateKnownHosts. With KnownHosts or Pins it is an error.
	EnvironmentHosts bool `json:"environmentHosts,omitempty"`
	// Legacy, MinRSABits and Timeout are those of sshctx.Builder.
	Legacy     []string      `json:"legacy,omitempty"`
	MinRSABits int           `json:"minRSABits,omitempty"`
	Timeout    time.Duration `json:"timeout,omitempty"`
}

// check refuses what cannot be meant. It does not look into what is trusted; see hosts.
func (s *SSH) check(c Connection) error {
	ofTLS := c
	ofTLS.ID, ofTLS.Revision, ofTLS.Environments, ofTLS.Identity, ofTLS.SSH = "", "", nil, "", nil
	switch {
	case !reflect.ValueOf(ofTLS).IsZero():
		return fmt.Errorf("settings of TLS on a connection of SSH, whose trust is SSH.KnownHosts and SSH.Pins: %w", trustkeep.ErrInvalid)
	case s.User == "" || strings.ContainsAny(s.User, "\x00\r\n"):
		return fmt.Errorf("SSH.User: %w", trustkeep.ErrInvalid)
	case s.ownHosts() && s.EnvironmentHosts:
		return fmt.Errorf("SSH.EnvironmentHosts besides SSH.KnownHosts or SSH.Pins: %w", trustkeep.ErrInvalid)
	case !s.ownHosts() && !s.EnvironmentHosts:
		return &trustkeep.Error{Op: "neither SSH.KnownHosts nor SSH.Pins", Err: trustkeep.ErrInvalid, Hint: "SSH.EnvironmentHosts, or DeployedTrust in an override, trusts those of the environment"}
	case s.MinRSABits < 0 || s.Timeout < 0:
		return fmt.Errorf("a negative bound of SSH: %w", trustkeep.ErrInvalid)
	}
	return nil
}

func (s *SSH) ownHosts() bool { return s.KnownHosts != "" || len(s.Pins) > 0 }

// hosts returns what is trusted, without EnvironmentHosts: see in. An error is one of any line.
func (s *SSH) hosts() (*sshctx.Hosts, error) {
	known, err := parseHosts(s.KnownHosts)
	if err != nil {
		return nil, err
	}
	pins := make([]sshctx.Pin, len(s.Pins))
	for i, text := range s.Pins {
		if pins[i], err = sshctx.ParsePin(text); err != nil {
			return nil, err
		}
	}
	hosts, err := sshctx.Union(known, sshctx.Pinned(pins...)).Snapshot()
	if err == nil && hosts.Empty() {
		err = fmt.Errorf("SSH.KnownHosts trusts no key: %w", trustkeep.ErrInvalid)
	}
	return hosts, err
}

func (s *SSH) describe() string {
	trusts := []string{describeHosts(s.KnownHosts)}
	if s.EnvironmentHosts {
		trusts = []string{"the known hosts of the environment"}
	}
	if len(s.Pins) > 0 {
		trusts = append(trusts, fmt.Sprint(s.Pins))
	}
	text := append([]string{"trusts " + strings.Join(trusts, " and ")}, spell(*s, "User", "KnownHosts", "EnvironmentHosts", "Pins")...)
	return fmt.Sprintf("SSH as %q, ", s.User) + strings.Join(text, ", ")
}

func describeHosts(text string) string {
	return fmt.Sprintf("%d lines of known hosts", strings.Count(strings.TrimSuffix(text, "\n"), "\n")+min(1, len(text)))
}

// SSH returns what an SSH connection is made with: call Dialer on it, or Client. It is Connection
// for those with Connection.SSH: what is made of it follows the connection's definition, this
// environment's overrides and the components; see sshctx.Follow. Where the definition is gone, or
// no longer one of SSH, every host is refused. Open connections to hosts that are no longer
// trusted are closed.
//
// The error wraps trustkeep.ErrNotFound for a connection that does not exist or count here and in an
// environment that was deleted, trustkeep.ErrUnsupported for one of TLS, and is that of Identity if the
// connection's identity is unavailable.
func (a *Atom) SSH(id string) (sshctx.Builder, error) { return scope{a, ""}.ssh(id) }

// SSH is Atom.SSH with the definition and the components as they were when the process was
// deployed. It follows the process when that is deployed again.
func (p *Running) SSH(id string) (sshctx.Builder, error) { return p.s.ssh(id) }

func (s scope) ssh(id string) (sshctx.Builder, error) {
	l := &liveSSH{connectionOf: connectionOf{s, id}}
	accepted := s.a.notingHosts(connectionUse{s.process, id})
	b, err := sshctx.Follow(&definition[sshctx.Builder]{connectionOf: l.connectionOf, make: func(_ *inventory, c Connection) (*sshctx.Builder, error) {
		if err := c.checkSSH(); err != nil {
			return nil, err
		}
		b := sshctx.Builder{Trusted: l, Identities: []sshctx.Identity{l}, Clock: s.a.r.o.Clock}
		c.SSH.configure(&b)
		b.Accepted = accepted
		return &b, nil
	}})
	if err != nil {
		return sshctx.Builder{}, err
	}
	if _, err := l.Snapshot(); err != nil {
		return sshctx.Builder{}, err
	}
	// Before the first handshake, so that a wrong password is told here.
	if _, err := l.SSHSigners(); err != nil {
		return sshctx.Builder{}, err
	}
	return b, nil
}

// checkSSH refuses a connection that is none of SSH, or has settings that contradict it.
func (c Connection) checkSSH() error {
	if c.SSH == nil {
		return fmt.Errorf("a connection of TLS: %w", trustkeep.ErrUnsupported)
	}
	return c.checkSettings()
}

// liveSSH is the trust and the identity of an SSH connection, as it is defined now.
type liveSSH struct {
	connectionOf

	mu    sync.Mutex
	from  *SSH // what hosts was made of
	hosts *sshctx.Hosts
}

// now returns the definition.
func (l *liveSSH) now() (Connection, error) {
	if err := l.a.tooOld(); err != nil {
		return Connection{}, err
	}
	c, err := l.current(l.a.state.Load())
	if err == nil {
		err = c.checkSSH()
	}
	return c, err
}

// Snapshot implements sshctx.HostSource.
func (l *liveSSH) Snapshot() (*sshctx.Hosts, error) {
	c, err := l.now()
	if err != nil {
		return nil, failure("trust of a connection", l.id, err)
	}
	from, err := c.SSH.in(l.a.state.Load(), l.a.env)
	if err != nil {
		return nil, failure("trust of a connection", l.id, err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.from == nil || l.from.KnownHosts != from.KnownHosts || !slices.Equal(l.from.Pins, from.Pins) {
		hosts, err := from.hosts()
		if err != nil {
			return nil, failure("trust of a connection", l.id, err)
		}
		l.from, l.hosts = from, hosts
	}
	return l.hosts, nil
}

// SSHSigners implements sshctx.Identity. A connection without an identity has no key.
func (l *liveSSH) SSHSigners() ([]ssh.Signer, error) {
	c, err := l.now()
	if err != nil {
		return nil, failure("identity of a connection", l.id, err)
	}
	if c.Identity == "" {
		return nil, nil
	}
	id, err := l.identity(c.Identity)
	if err != nil {
		return nil, failure("identity of a connection", l.id, err)
	}
	return sshctx.FromIdentity(id).SSHSigners()
}
