package environment_test

import (
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/sshctx"
)

// Known hosts of an environment count for the connections that ask for them, there alone; a
// connection's own, or an override's, replace them. All that was handed out follows.
func TestKnownHostsOfAnEnvironment(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	w.identity("sftp")
	atom := w.attach("one", environment.AtomOptions{})
	a, b := hostKey(t), hostKey(t)
	address := serveSSH(t, a, atom, "sftp")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "shared", Identity: "sftp", SSH: &environment.SSH{User: "partner", EnvironmentHosts: true}}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Identity: "sftp", SSH: &environment.SSH{User: "partner", KnownHosts: knownLine(address, b)}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "job", Connections: []string{"shared"}}))
	must(t, w.test.DeployProcess(ctx, "job"))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.SSH("shared"); return errors.Is(err, trustkeep.ErrEmpty) })
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Process("job"); return err == nil })
	add := func(e *environment.Environment, key ssh.Signer) {
		t.Helper()
		must(t, e.UpdateKnownHosts(ctx, func(k *sshctx.KnownHosts) (*sshctx.KnownHosts, error) {
			return k, k.Replace(address, key.PublicKey())
		}))
	}
	dials := func(id string) func(*environment.Atom) error {
		return func(a *environment.Atom) error {
			b, err := a.SSH(id)
			if err != nil {
				return err
			}
			return dialSSH(t, b, address)
		}
	}
	works := func(ask func(*environment.Atom) error) func(*environment.Atom) bool {
		return func(a *environment.Atom) bool { return ask(a) == nil }
	}
	add(production, a) // is none of this environment's business
	add(w.test, b)
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.SSH("shared"); return err == nil })
	if dials("shared")(atom) == nil {
		t.Fatal("another environment's hosts are trusted")
	}
	live := check(atom.SSH("shared"))(t)
	frozen := check(check(atom.Process("job"))(t).SSH("shared"))(t)
	add(w.test, a)
	for _, b := range []sshctx.Builder{live, frozen} {
		settled(t, atom, func(*environment.Atom) bool { return dialSSH(t, b, address) == nil })
	}
	if dials("own")(atom) == nil {
		t.Error("a connection with hosts of its own trusts those of the environment")
	}
	must(t, w.test.Override(ctx, "own", environment.Override{DeployedTrust: true}))
	settled(t, atom, works(dials("own")))
	pins := []string{ssh.FingerprintSHA256(b.PublicKey())}
	must(t, w.test.Override(ctx, "shared", environment.Override{SSHPins: &pins}))
	settled(t, atom, func(a *environment.Atom) bool { return dials("shared")(a) != nil })
	must(t, w.test.UpdateOverride(ctx, "shared", func(o *environment.Override) error { *o = environment.Override{Revision: o.Revision}; return nil }))
	settled(t, atom, works(dials("shared")))
	known := check(w.test.KnownHosts(ctx))(t)
	if lines := strings.Count(string(check(known.Encode(trustkeep.SaveOptions{}))(t)), "\n"); lines != 1 {
		t.Errorf("%d lines", lines)
	}
	must(t, w.test.UpdateKnownHosts(ctx, func(*sshctx.KnownHosts) (*sshctx.KnownHosts, error) { return nil, nil }))
	settled(t, atom, func(*environment.Atom) bool { return dialSSH(t, live, address) != nil })
	if !contains(w.actions(), "known hosts changed") {
		t.Errorf("%v", w.actions())
	}
	history := check(w.test.History(ctx))(t)
	if !slices.ContainsFunc(history, func(h environment.HistoryEntry) bool { return strings.Contains(h.State, "1 lines of known hosts") }) {
		t.Errorf("%+v", history)
	}
	// Where nothing is left that it trusts, an override is an error, and not the environment's.
	none := environment.Override{SSHKnownHosts: new("")}
	if err := w.test.Override(ctx, "shared", none); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if err := w.test.Override(ctx, "shared", environment.Override{SSHPins: &pins, DeployedTrust: true}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	broken := sshctx.Options{}
	k := check(broken.ParseKnownHosts([]byte("broken\n")))(t)
	if err := w.test.UpdateKnownHosts(ctx, func(*sshctx.KnownHosts) (*sshctx.KnownHosts, error) { return k, nil }); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("a line that is not understood: %v", err)
	}
	if err := w.test.UpdateKnownHosts(ctx, nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

func TestTwoWritersOfKnownHosts(t *testing.T) {
	w := newWorld(t, environment.Options{})
	var wg sync.WaitGroup
	for i := range 8 {
		key := hostKey(t)
		wg.Go(func() {
			if err := w.test.UpdateKnownHosts(t.Context(), func(k *sshctx.KnownHosts) (*sshctx.KnownHosts, error) {
				return k, k.Add(fmt.Sprintf("sftp%d.example", i), key.PublicKey())
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	text := check(check(w.test.KnownHosts(t.Context()))(t).Encode(trustkeep.SaveOptions{}))(t)
	if n := strings.Count(string(text), "\n"); n != 8 {
		t.Errorf("%d of 8 keys", n)
	}
}

// Settings of SSH: authorities in known hosts, weak algorithms by name, sizes of keys; what cannot
// be meant is refused.
func TestSettingsOfSSH(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("sftp")
	atom := w.attach("one", environment.AtomOptions{})
	host := check(ssh.NewSignerFromSigner(check(rsa.GenerateKey(rand.Reader, 2048))(t)))(t)
	address := serveSSH(t, host, atom, "sftp")
	pins := []string{ssh.FingerprintSHA256(host.PublicKey())}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Identity: "sftp", SSH: &environment.SSH{User: "partner", Pins: pins, Timeout: time.Minute}}))
	reaches := func(a *environment.Atom) bool {
		b, err := a.SSH("out")
		return err == nil && dialSSH(t, b, address) == nil
	}
	settled(t, atom, reaches)
	must(t, w.test.Override(ctx, "out", environment.Override{SSHMinRSABits: new(3072), SSHLegacy: &[]string{"ssh-rsa"}}))
	settled(t, atom, func(a *environment.Atom) bool { return !reaches(a) })
	if b := check(atom.SSH("out"))(t); b.Timeout != time.Minute || b.MinRSABits != 3072 || len(b.Legacy) != 1 {
		t.Errorf("%v", b)
	}

	ca, key := hostKey(t), hostKey(t)
	cert := &ssh.Certificate{Key: key.PublicKey(), CertType: ssh.HostCert, ValidPrincipals: []string{"127.0.0.1"}, ValidBefore: ssh.CertTimeInfinity}
	must(t, cert.SignCert(rand.Reader, ca))
	certified := serveSSH(t, check(ssh.NewCertSigner(cert, key))(t), atom, "sftp")
	authority := "@cert-authority * " + string(ssh.MarshalAuthorizedKey(ca.PublicKey()))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "ca", Identity: "sftp", SSH: &environment.SSH{User: "partner", KnownHosts: authority}}))
	settled(t, atom, func(a *environment.Atom) bool {
		b, err := a.SSH("ca")
		return err == nil && dialSSH(t, b, certified) == nil
	})
	for what, s := range map[string]environment.SSH{
		"two kinds of trust":     {Pins: pins, EnvironmentHosts: true},
		"an unknown algorithm":   {Pins: pins, Legacy: []string{"rot13"}},
		"a safe one as legacy":   {Pins: pins, Legacy: []string{ssh.KeyAlgoED25519}},
		"a negative size":        {Pins: pins, MinRSABits: -1},
		"a negative time":        {Pins: pins, Timeout: -1},
		"nothing that it trusts": {},
	} {
		s.User = "u"
		if err := w.SetConnection(ctx, environment.Connection{ID: "wrong", SSH: &s}); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// Connections of SSH are listed where those of TLS are.
func TestSSHInUsesAndExpiry(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("sftp")
	w.identity("other")
	pins := []string{ssh.FingerprintSHA256(hostKey(t).PublicKey())}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Identity: "sftp", SSH: &environment.SSH{User: "u", Pins: pins}}))
	must(t, w.test.Override(ctx, "out", environment.Override{Identity: new("other")}))
	for id, want := range map[string]string{"sftp": "identity of connection out", "other": "identity of connection out in test"} {
		if uses := check(w.Uses(ctx, id))(t); len(uses) != 1 || uses[0].String() != want {
			t.Errorf("%v", uses)
		}
		if err := w.Delete(ctx, id); !errors.Is(err, trustkeep.ErrInUse) {
			t.Errorf("%v", err)
		}
	}
	rows := check(w.Expiring(ctx, environment.ExpiryQuery{Before: w.clock.Now().AddDate(2, 0, 0)}))(t)
	if len(rows) != 1 || rows[0].Component != "other" || rows[0].Location != "connection out" {
		t.Errorf("%+v", rows)
	}
	must(t, w.SetProcess(ctx, environment.Process{ID: "job", Connections: []string{"out"}}))
	must(t, w.test.DeployProcess(ctx, "job"))
	if stale := check(w.test.Stale(ctx))(t); len(stale) != 0 {
		t.Errorf("%+v", stale)
	}
	check(w.Renew(ctx, "other", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	if stale := check(w.test.Stale(ctx))(t); len(stale) != 1 || stale[0].Component != "other" {
		t.Errorf("%+v", stale)
	}
}
