package environment_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/sshctx"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// hostKey is a key of an SSH server.
func hostKey(t *testing.T) ssh.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return check(ssh.NewSignerFromSigner(key))(t)
}

// serveSSH runs a server that lets in the user "partner" with the key of a component.
func serveSSH(t *testing.T, key ssh.Signer, a *environment.Atom, component string) string {
	t.Helper()
	id := check(a.Identity(component))(t)
	line := check(sshctx.AuthorizedLines(sshctx.FromIdentity(id)))(t)
	config := &ssh.ServerConfig{PublicKeyCallback: func(c ssh.ConnMetadata, k ssh.PublicKey) (*ssh.Permissions, error) {
		if c.User() != "partner" || strings.TrimSpace(string(ssh.MarshalAuthorizedKey(k))) != line[0] {
			return nil, errors.New("no")
		}
		return nil, nil
	}}
	config.AddHostKey(key)
	return testnet.Serve(t, func(raw net.Conn) {
		defer raw.Close()
		if conn, channels, requests, err := ssh.NewServerConn(raw, config); err == nil {
			go ssh.DiscardRequests(requests)
			for c := range channels {
				c.Reject(ssh.Prohibited, "")
			}
			conn.Close()
		}
	})
}

func knownLine(address string, key ssh.Signer) string {
	host, port, _ := net.SplitHostPort(address)
	return "[" + host + "]:" + port + " " + string(ssh.MarshalAuthorizedKey(key.PublicKey()))
}

func dialSSH(t *testing.T, b sshctx.Builder, address string) error {
	t.Helper()
	d, err := b.Dialer()
	if err != nil {
		return err
	}
	c, err := d.DialContext(t.Context(), "tcp", address)
	if err == nil {
		c.Close()
	}
	return err
}

// The server has key A, the environment's override says B: the connection fails. What the atom
// has handed out follows definition, override and identity.
func TestSSHConnection(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("sftp")
	w.identity("next")
	atom := w.attach("one", environment.AtomOptions{})
	a, b := hostKey(t), hostKey(t)
	address := serveSSH(t, a, atom, "sftp")
	c := environment.Connection{ID: "out", Identity: "sftp", SSH: &environment.SSH{User: "partner", KnownHosts: knownLine(address, a)}}
	must(t, w.SetConnection(ctx, c))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "tls"}))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Connection("tls"); return err == nil })

	builder := check(atom.SSH("out"))(t)
	d := check(builder.Dialer())(t)
	dial := func() error {
		client, err := d.DialContext(ctx, "tcp", address)
		if err == nil {
			client.Close()
		}
		return err
	}
	until := func(accepted bool) error {
		t.Helper()
		var err error
		settled(t, atom, func(*environment.Atom) bool { err = dial(); return (err == nil) == accepted })
		return err
	}
	client, err := d.DialContext(ctx, "tcp", address)
	must(t, err)
	defer client.Close()

	// An override replaces what the connection knows, and open connections can be ended.
	pinsOfB := []string{ssh.FingerprintSHA256(b.PublicKey())}
	none := ""
	must(t, w.test.Override(ctx, "out", environment.Override{SSHKnownHosts: &none, SSHPins: &pinsOfB}))
	var refused *sshctx.HandshakeError
	if err := until(false); !errors.As(err, &refused) || refused.HostKey == nil {
		t.Errorf("set to B: %v", err)
	}
	if d.Recheck() == 0 {
		t.Error("Recheck ended nothing")
	}
	pinsOfA := []string{ssh.FingerprintSHA256(a.PublicKey())}
	must(t, override(ctx, w.test, "out", environment.Override{SSHKnownHosts: &none, SSHPins: &pinsOfA}))
	until(true)
	must(t, w.test.Override(ctx, "out", environment.Override{}))

	// The identity follows the definition.
	c.Identity = "next"
	must(t, w.SetConnection(ctx, c))
	if err := until(false); !errors.As(err, &refused) || refused.Code != sshctx.CodeIdentityRefused {
		t.Errorf("another identity: %v", err)
	}
	if uses := check(w.Uses(ctx, "next"))(t); len(uses) != 1 || uses[0].By != "out" {
		t.Errorf("%v", uses)
	}
	if err := w.Delete(ctx, "next"); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("deleted a key in use: %v", err)
	}
	w.clock.Advance(350 * 24 * time.Hour)
	rows := check(w.Expiring(ctx, environment.ExpiryQuery{Environment: "test"}))(t)
	if !slices.ContainsFunc(rows, func(e environment.Expiry) bool { return e.Component == "next" && e.Location == "connection out" }) {
		t.Errorf("%+v", rows)
	}
	c.Identity = "sftp"
	must(t, w.SetConnection(ctx, c))
	until(true)

	// So does the user. A configuration for one handshake cannot follow that.
	once := check(check(atom.SSH("out"))(t).Client(address))(t)
	c.SSH = &environment.SSH{User: "other", KnownHosts: c.SSH.KnownHosts}
	must(t, w.SetConnection(ctx, c))
	if err := until(false); !errors.As(err, &refused) || refused.Code != sshctx.CodeIdentityRefused || refused.User != "other" {
		t.Errorf("another user: %v", err)
	}
	if _, err := ssh.Dial("tcp", address, once); !errors.Is(err, trustkeep.ErrOutdated) || !strings.Contains(err.Error(), "the definition of connection out has changed, ask again") {
		t.Errorf("a configuration for another user: %v", err)
	}
	c.SSH.User = "partner"
	must(t, w.SetConnection(ctx, c))
	until(true)
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out"}))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Connection("out"); return err == nil })
	if err := dial(); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a connection of TLS now: %v", err)
	}
}

func TestSSHConnectionIsNoneOfTLS(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	pin := []string{ssh.FingerprintSHA256(hostKey(t).PublicKey())}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "ssh", SSH: &environment.SSH{User: "u", Pins: pin}}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "tls"}))
	atom := w.attach("one", environment.AtomOptions{})
	if _, err := atom.Connection("ssh"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := atom.SSH("tls"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := atom.SSH("none"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Error(err)
	}
	name, list, user := "server.example", []string{}, "v"
	for what, o := range map[string]environment.Override{"server name": {ServerName: &name}, "no trust": {SSHPins: &list}, "no user": {SSHUser: new("")}} {
		if err := w.test.Override(ctx, "ssh", o); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := w.test.Override(ctx, "tls", environment.Override{SSHUser: &user, SSHPins: &pin}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	key := hostKey(t)
	for what, c := range map[string]environment.Connection{
		"no user":     {SSH: &environment.SSH{Pins: pin}},
		"odd user":    {SSH: &environment.SSH{User: "a\nb", Pins: pin}},
		"no trust":    {SSH: &environment.SSH{User: "u"}},
		"only a note": {SSH: &environment.SSH{User: "u", KnownHosts: "# nothing\n"}},
		"revocations": {SSH: &environment.SSH{User: "u", KnownHosts: "@revoked * " + string(ssh.MarshalAuthorizedKey(key.PublicKey()))}},
		"bad pin":     {SSH: &environment.SSH{User: "u", Pins: []string{"SHA256:x"}}},
		"server name": {ServerName: "a", SSH: &environment.SSH{User: "u", Pins: pin}},
		"pins of TLS": {Pins: []truststore.Pin{{}}, SSH: &environment.SSH{User: "u", Pins: pin}},
		"a server":    {ClientAuth: tlsctx.RequireClientAuth, SSH: &environment.SSH{User: "u", Pins: pin}},
		"relaxations": {Allow: truststore.Relaxations()[:1], SSH: &environment.SSH{User: "u", Pins: pin}},
	} {
		c.ID = "x"
		if err := w.SetConnection(ctx, c); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := w.SetConnection(ctx, environment.Connection{ID: "x", SSH: &environment.SSH{User: "u", KnownHosts: "broken\n", Pins: pin}}); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Error(err)
	}
	// What others wrote later does not turn into trust in what is deployed.
	must(t, w.test.Override(ctx, "tls", environment.Override{ServerName: &name}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "tls", SSH: &environment.SSH{User: "u", Pins: pin}}))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Connection("tls"); return err != nil })
	if _, err := atom.SSH("tls"); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("an override of TLS on a connection of SSH: %v", err)
	}
}

// A process has the connection as it was deployed.
func TestSSHConnectionOfAProcess(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("sftp")
	atom := w.attach("one", environment.AtomOptions{})
	a, b := hostKey(t), hostKey(t)
	address := serveSSH(t, a, atom, "sftp")
	c := environment.Connection{ID: "out", Identity: "sftp", SSH: &environment.SSH{User: "partner", KnownHosts: knownLine(address, a)}}
	must(t, w.SetConnection(ctx, c))
	must(t, w.SetProcess(ctx, environment.Process{ID: "p", Connections: []string{"out"}}))
	must(t, w.test.DeployProcess(ctx, "p"))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Process("p"); return err == nil })
	running := check(atom.Process("p"))(t)
	frozen, live := check(running.SSH("out"))(t), check(atom.SSH("out"))(t)
	c.SSH = &environment.SSH{User: "partner", KnownHosts: knownLine(address, b)}
	must(t, w.SetConnection(ctx, c))
	settled(t, atom, func(*environment.Atom) bool { return dialSSH(t, live, address) != nil })
	must(t, dialSSH(t, frozen, address))
	must(t, w.test.DeployProcess(ctx, "p"))
	settled(t, atom, func(*environment.Atom) bool { return dialSSH(t, frozen, address) != nil })
	must(t, w.test.UndeployProcess(ctx, "p"))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Process("p"); return err != nil })
	if err := dialSSH(t, frozen, address); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Error(err)
	}
}

// Records of TLS connections are written as they were, and those of SSH come back.
func TestSSHConnectionJSON(t *testing.T) {
	if text := string(check(json.Marshal(environment.Connection{ID: "a", Trusted: []string{"b"}}))(t)); text != `{"id":"a","trusted":["b"]}` {
		t.Error(text)
	}
	if text := string(check(json.Marshal(environment.Override{}))(t)); text != `{}` {
		t.Error(text)
	}
	c := environment.Connection{ID: "a", Identity: "i", SSH: &environment.SSH{User: "u", KnownHosts: "a b c\n", Pins: []string{"p"}}}
	var back environment.Connection
	must(t, json.Unmarshal(check(json.Marshal(c))(t), &back))
	if back.SSH == nil || back.SSH.KnownHosts != c.SSH.KnownHosts || !slices.Equal(back.SSH.Pins, c.SSH.Pins) || back.SSH.User != "u" {
		t.Errorf("%+v", back.SSH)
	}
}
