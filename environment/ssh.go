package environment

import (
	"errors"
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
// for those with Connection.SSH, and follows more: trust and identity are those of the
// connection's definition and overrides of each moment, in the current versions of its components.
// If the definition is gone, is no longer one of SSH, or has another user, every host is refused
// with that reason; ask again. Call Recheck of the Dialer in AtomOptions.OnChange to end connections
// to hosts that are no longer trusted.
//
// The error wraps trustkeep.ErrNotFound for a connection that does not exist or count here and in an
// environment that was deleted, trustkeep.ErrUnsupported for one of TLS, and is that of Identity if the
// connection's identity is unavailable.
func (a *Atom) SSH(id string) (sshctx.Builder, error) { return scope{a, ""}.ssh(id) }

// SSH is Atom.SSH with the definition and the components as they were when the process was
// deployed. It follows the process when that is deployed again.
func (p *Running) SSH(id string) (sshctx.Builder, error) { return p.s.ssh(id) }

func (s scope) ssh(id string) (sshctx.Builder, error) {
	l := &liveSSH{scope: s, id: id}
	c, err := l.definition(s.a.state.Load(), id)
	if err == nil && c.SSH == nil {
		err = fmt.Errorf("a connection of TLS: %w", trustkeep.ErrUnsupported)
	}
	if err != nil {
		return sshctx.Builder{}, failure("ssh", id, err)
	}
	l.user = c.SSH.User
	b := sshctx.Builder{Trusted: l, Clock: s.a.r.o.Clock}
	c.SSH.configure(&b)
	if _, err := l.Snapshot(); err != nil {
		return sshctx.Builder{}, err
	}
	b.Identities = []sshctx.Identity{l}
	// Before the first handshake, so that a wrong password is told here.
	if _, err := l.SSHSigners(); err != nil {
		return sshctx.Builder{}, err
	}
	return b, nil
}

// liveSSH is the trust and the identity of an SSH connection, as it is defined now.
type liveSSH struct {
	scope
	id, user string

	mu    sync.Mutex
	from  *SSH // what hosts was made of
	hosts *sshctx.Hosts
}

// now returns the definition, if what was handed out still fits it.
func (l *liveSSH) now() (Connection, error) {
	c, err := l.definition(l.a.state.Load(), l.id)
	switch {
	case err != nil:
		return c, err
	case c.SSH == nil:
		return c, fmt.Errorf("the connection is one of TLS now: %w", trustkeep.ErrUnsupported)
	case c.SSH.User != l.user:
		return c, &trustkeep.Error{Op: "use", Err: errors.New("the connection has another user now"), Hint: "ask the atom for it again"}
	}
	return c, c.checkSettings()
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

// String names the connection.
func (l *liveSSH) String() string { return "connection " + l.id }
