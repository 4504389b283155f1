package sshctx

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
)

// A line that revokes a key counts if the key can be read, whatever is wrong with the rest of it.
func TestRevokedLinesAlwaysCount(t *testing.T) {
	key, ca := newEd25519(t), newEd25519(t)
	cert := certify(t, ca, public(t, key), ssh.HostCert, nil, "a")
	for name, line := range map[string]string{
		"as it should be":    "@revoked * " + keyText(public(t, key)),
		"empty pattern":      "@revoked a,,b " + keyText(public(t, key)),
		"comma at the end":   "@revoked a, " + keyText(public(t, key)),
		"bad hash":           "@revoked |1|x|y " + keyText(public(t, key)),
		"certificate of it":  "@revoked * " + keyText(cert),
		"many patterns":      "@revoked " + strings.Repeat("host.example,", 8000) + "a " + keyText(public(t, key)),
		"blanks before":      " \t@revoked * " + keyText(public(t, key)),
		"in upper case name": "@revoked A.EXAMPLE " + keyText(public(t, key)),
	} {
		k, err := ParseKnownHosts([]byte("* " + keyText(public(t, key)) + "\n" + line + "\n"))
		if err != nil {
			t.Fatal(err)
		}
		hosts, _ := k.Snapshot()
		if _, err := hosts.Verify("a", public(t, key), VerifyOptions{Time: testTime}); !errors.Is(err, trustkeep.ErrRevoked) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// OpenSSH knows no critical option of host certificates; package ssh lets source-address pass.
func TestHostCertificateWithCriticalOption(t *testing.T) {
	key, ca := newEd25519(t), newEd25519(t)
	k := known(t, "@cert-authority * "+keyText(public(t, ca)))
	hosts, _ := k.Snapshot()
	for _, option := range []string{"source-address", "force-command", "x"} {
		cert := certify(t, ca, public(t, key), ssh.HostCert, func(c *ssh.Certificate) { c.CriticalOptions = map[string]string{option: "10.0.0.0/8"} }, "a")
		var refused *HostKeyError
		if _, err := hosts.Verify("a", cert, VerifyOptions{Time: testTime}); !errors.As(err, &refused) || refused.Code != CodeBadCertificate {
			t.Errorf("%s: %v", option, err)
		}
	}
}

// Lines of authorized_keys that OpenSSH refuses, or that it does not let this address in by.
func TestAuthorizedLinesThatOpenSSHRefuses(t *testing.T) {
	user, ca := newEd25519(t), newEd25519(t)
	at := func(ip string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(ip), Port: 1} }
	for _, c := range []struct {
		options, from string
		ok            bool
	}{
		{`from="2001:db8::/32"`, "2001:db8::5", true},
		{`from="2001:DB8:0::5"`, "2001:db8::5", true},
		{`from="2001:db8::/32,!2001:0DB8:0::5"`, "2001:db8::5", false},
		{`from="*,!2001:0DB8::/32"`, "2001:db8::5", false},
		{`from="10.0.0.0/8"`, "10.1.2.3", true},
		{`from="10.0.0.1/8"`, "10.1.2.3", false},
		{`from="10.0.0.0/8,!192.168.1.1/16"`, "10.1.2.3", false},
		{`from="10.0.0.0/33,10.*"`, "10.1.2.3", false},
		{`from="10.*,"`, "10.1.2.3", false},
		{`from="192.0.2.1",from="10.1.2.3"`, "10.1.2.3", false},
		{`from="10.*"x",*"`, "10.1.2.3", false},
		{`pty="yes"`, "10.1.2.3", false},
		{`command="a",command="b"`, "10.1.2.3", false},
		{`command="a"b"c"`, "10.1.2.3", false},
		{`command="a \"b\" c"`, "10.1.2.3", true},
		{`,from="10.*"`, "10.1.2.3", false},
		{`from="10.*,!10.66051"`, "10.1.2.3", false},
		{`from="10.*,!0xa.1.2.3"`, "10.1.2.3", false},
		{`from="10.*,!dead.beef,a1.de"`, "10.1.2.3", true},
		{`restrict,,no-pty`, "10.1.2.3", false},
	} {
		l := parseAuthorizedLine(c.options + " " + keyText(public(t, user)))
		if ok := l.err == nil && l.admits(at(c.from), testTime); ok != c.ok {
			t.Errorf("%s from %s: %v, %v", c.options, c.from, ok, l.err)
		}
	}
	if l := parseAuthorizedLine(`cert-authority,principals="a",principals="b" ` + keyText(public(t, ca))); l.err == nil {
		t.Error("principals twice")
	}
}

// A change counts on lines that begin with blanks, too, and moved lines have their new numbers.
func TestWatchSeesEveryChange(t *testing.T) {
	a := public(t, newEd25519(t))
	path := filepath.Join(t.TempDir(), "known_hosts")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(" one " + keyText(a))
	w, err := Options{ticks: make(chan struct{})}.WatchKnownHosts(path, trustkeep.WatchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	line := func(host string) string {
		if err := w.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		hosts, _ := w.Snapshot()
		v, err := hosts.Verify(host, a, VerifyOptions{Time: testTime})
		if err != nil {
			return ""
		}
		return v.Line
	}
	if line("one") != path+":1" {
		t.Error("not known")
	}
	write(" two " + keyText(a))
	if line("one") != "" || line("two") != path+":1" {
		t.Error("a change of the name was not seen")
	}
	write("# a comment\n two " + keyText(a))
	if got := line("two"); got != path+":2" {
		t.Errorf("line %q", got)
	}
	write("two " + keyText(a) + "\nbroken")
	line("two")
	if hosts, _ := w.Snapshot(); len(hosts.Findings()) != 1 {
		t.Error(hosts.Findings())
	}
}

// liar claims another type for its host key than it has.
type liar struct {
	ssh.Signer
	kind string
}

func (l liar) PublicKey() ssh.PublicKey { return lyingKey{l.Signer.PublicKey(), l.kind} }

type lyingKey struct {
	ssh.PublicKey
	kind string
}

func (k lyingKey) Type() string { return k.kind }

// A host that answers with a plain key where a certificate was agreed on is asked once.
func TestFetchFromHostWithoutItsCertificate(t *testing.T) {
	key := newEd25519(t)
	var asked atomic.Int32
	address := testnet.Serve(t, func(raw net.Conn) {
		defer raw.Close()
		asked.Add(1)
		config := &ssh.ServerConfig{NoClientAuth: true}
		config.AddHostKey(liar{signer(t, key), ssh.CertAlgoED25519v01})
		ssh.NewServerConn(raw, config)
	})
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	shown, err := FetchHostKeys(ctx, address, FetchOptions{})
	if asked.Load() > 20 {
		t.Errorf("asked %d times", asked.Load())
	}
	if err == nil && len(shown.Keys) > 1 {
		t.Error(shown)
	}
}

// A fingerprint beside known keys does not keep the known ones from counting.
func TestPinBesideKnownHosts(t *testing.T) {
	for name, key := range map[string]func(testing.TB) ssh.Signer{
		"Ed25519": func(t testing.TB) ssh.Signer { return signer(t, newEd25519(t)) },
		"RSA":     func(t testing.TB) ssh.Signer { return signer(t, rsaKey()) },
		"ECDSA":   func(t testing.TB) ssh.Signer { return signer(t, newECDSA(t)) },
	} {
		wanted := key(t)
		config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
		config.AddHostKey(wanted)
		for _, other := range []ssh.Signer{signer(t, newEd25519(t)), signer(t, newECDSA(t)), signer(t, rsaKey())} {
			if other.PublicKey().Type() != wanted.PublicKey().Type() {
				config.AddHostKey(other)
			}
		}
		s := serve(t, config)
		pin, err := ParsePin(Fingerprint(public(t, newEd25519(t))))
		if err != nil {
			t.Fatal(err)
		}
		b := Builder{Global: Union(known(t, keyLine(s.host, wanted.PublicKey())), Pinned(pin)), User: "u", Identities: []Identity{FromSigner(newEd25519(t))}, Clock: clock}
		if err := dial(t, b, s.address); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A host may ask for the password a few times, and not for ever.
func TestEndlessQuestions(t *testing.T) {
	for name, questions := range map[string][]string{"password": {"Password: "}, "nothing": nil} {
		key := newEd25519(t)
		config := &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			for i := range 10000 {
				if _, err := ask("", "", questions, make([]bool, len(questions))); err != nil {
					return nil, err
				}
				if i == 5000 {
					t.Error("asked 5,000 times")
				}
			}
			return nil, errors.New("no")
		}}
		config.AddHostKey(signer(t, key))
		s := serve(t, config)
		var revealed atomic.Int32
		password := trustkeep.PasswordFunc(func() ([]byte, error) { revealed.Add(1); return []byte("secret"), nil })
		b := Builder{Trusted: Pinned(PinKey(public(t, key))), User: "u", Password: password, Clock: clock}
		var refused *HandshakeError
		if err := dial(t, b, s.address); !errors.As(err, &refused) || refused.Code != CodeIdentityRefused || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", name, err)
		}
		if revealed.Load() > 4 {
			t.Errorf("%s: the password was asked for %d times", name, revealed.Load())
		}
	}
}

// What a host says does not decide how its refusal is classified.
func TestExplainDoesNotBelieveTheHost(t *testing.T) {
	b := Builder{User: "u", Trusted: known(t), Password: trustkeep.Password("x")}
	for text, want := range map[string]trustkeep.Code{
		"ssh: handshake failed: ssh: disconnect, reason 11: EOF, ssh: unable to authenticate, no host keys trusted": CodeSSH,
		"ssh: handshake failed: ssh: disconnect, reason 2: Too many authentication failures":                        CodeIdentityRefused,
		"ssh: handshake failed: ssh: unable to authenticate, attempted methods [none], no supported methods remain": CodeIdentityRefused,
	} {
		var e *HandshakeError
		if err := b.ExplainError("a", errors.New(text)); !errors.As(err, &e) || e.Code != want {
			t.Errorf("%s: %v", text, err)
		} else if want == CodeSSH && !strings.Contains(e.Text, "reason 11") {
			t.Error(e.Text)
		}
	}
}

// An authority that could not be read back is not added.
func TestAddAuthorityChecksPatterns(t *testing.T) {
	key := public(t, newEd25519(t))
	for _, hosts := range []string{"", "a\x00b", "a,", "!", "a b", "#", strings.Repeat("a,", maxLine) + "a", "|1|x|y"} {
		k := known(t)
		if err := k.AddAuthority(hosts, key); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%.20q: %v", hosts, err)
		}
	}
}

// A host that asks for new keys at once does not race with the end of the handshake.
func TestRekeyDuringLogin(t *testing.T) {
	key := newEd25519(t)
	config := &ssh.ServerConfig{Config: ssh.Config{RekeyThreshold: 1}, PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	config.AddHostKey(signer(t, key))
	s := serve(t, config)
	b := Builder{Trusted: Pinned(PinKey(public(t, key))), User: "u", Identities: []Identity{FromSigner(newEd25519(t))}, Clock: clock}
	for range 20 {
		if err := dial(t, b, s.address); err != nil {
			t.Fatal(err)
		}
	}
}

// A host without the pinned key is refused for that, not for having no keys of further types.
func TestPinMismatchIsExplained(t *testing.T) {
	s := openServer(t, newEd25519(t))
	pin, err := ParsePin(Fingerprint(public(t, newEd25519(t))))
	if err != nil {
		t.Fatal(err)
	}
	var refused *HandshakeError
	if err := dial(t, Builder{Trusted: Pinned(pin), User: "u", Clock: clock}, s.address); !errors.As(err, &refused) || refused.Code != CodePinMismatch || refused.HostKey == nil {
		t.Error(err)
	}
}
