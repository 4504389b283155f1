package sshctx

import (
	"bytes"
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testnet"
)

// If the server has key A, A is known to the environment, and the connection is set to B, the
// connection fails.
func TestTrustedReplacesGlobal(t *testing.T) {
	a, b, user := newEd25519(t), newEd25519(t), newEd25519(t)
	s := openServer(t, a)
	global := known(t, keyLine(s.host, public(t, a)))
	builder := Builder{Global: global, User: "u", Identities: []Identity{FromSigner(user)}, Clock: clock}
	if err := dial(t, builder, s.address); err != nil {
		t.Fatal(err)
	}
	for name, trusted := range map[string]HostSource{
		"lines": known(t, keyLine(s.host, public(t, b))), "pin": Pinned(PinKey(public(t, b))), "nothing": Pinned(), "empty file": known(t),
		"authority": known(t, "@cert-authority * "+keyText(public(t, b))),
	} {
		builder.Trusted = trusted
		var refused *HandshakeError
		if err := dial(t, builder, s.address); !errors.As(err, &refused) || refused.HostKey == nil && refused.Code != CodeNothingInCommon {
			t.Errorf("%s: %v", name, err)
		}
	}
	builder.Trusted = Pinned(PinKey(public(t, a)))
	if err := dial(t, builder, s.address); err != nil {
		t.Error(err)
	}
	builder.Trusted = Union(known(t, keyLine(s.host, public(t, b))), global) // adding is by name
	if err := dial(t, builder, s.address); err != nil {
		t.Error(err)
	}
}

func TestNoTrustIsAnError(t *testing.T) {
	id := []Identity{FromSigner(newEd25519(t))}
	for name, b := range map[string]Builder{
		"no trust":          {User: "u", Identities: id},
		"nil pointer":       {User: "u", Identities: id, Global: known(t), Trusted: (*KnownHosts)(nil)},
		"nil watched":       {User: "u", Identities: id, Trusted: (*WatchedHosts)(nil)},
		"nil hosts":         {User: "u", Identities: id, Global: (*Hosts)(nil)},
		"no user":           {Identities: id, Global: known(t)},
		"odd user":          {User: "a\nb", Identities: id, Global: known(t)},
		"nil identity":      {User: "u", Identities: []Identity{nil}, Global: known(t)},
		"nil key":           {User: "u", Identities: []Identity{FromSigner(nil)}, Global: known(t)},
		"nil X.509":         {User: "u", Identities: []Identity{FromIdentity(nil)}, Global: known(t)},
		"nil agent":         {User: "u", Identities: []Identity{FromAgent(nil)}, Global: known(t)},
		"unknown algorithm": {User: "u", Identities: id, Global: known(t), Legacy: []string{"none"}},
		"modern as legacy":  {User: "u", Identities: id, Global: known(t), Legacy: []string{"ssh-ed25519"}},
	} {
		if _, err := b.Client("a"); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := b.Dialer(); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: dialer: %v", name, err)
		}
	}
}

// What is known decides which key the host is asked for.
func TestHostKeyAlgorithms(t *testing.T) {
	ed, ec, ca := newEd25519(t), newECDSA(t), newEd25519(t)
	certSigner, err := ssh.NewCertSigner(certify(t, ca, public(t, ec), ssh.HostCert, nil, "127.0.0.1"), signer(t, ec))
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	for _, s := range []ssh.Signer{signer(t, rsaKey()), certSigner, signer(t, ec), signer(t, ed)} {
		config.AddHostKey(s)
	}
	s := serve(t, config)
	b := Builder{User: "u", Identities: []Identity{FromSigner(newEd25519(t))}, Clock: clock}
	fingerprint := func(k crypto.Signer) *Hosts {
		p, err := ParsePin(Fingerprint(public(t, k)))
		if err != nil {
			t.Fatal(err)
		}
		return Pinned(p)
	}
	for name, source := range map[string]HostSource{
		"RSA": known(t, keyLine(s.host, public(t, rsaKey()))), "ECDSA": known(t, keyLine(s.host, public(t, ec))), "Ed25519": known(t, keyLine(s.host, public(t, ed))),
		"authority":               known(t, "@cert-authority [127.0.0.1]:* "+keyText(public(t, ca))),
		"authority and wrong key": known(t, keyLine("[127.0.0.1]:*", public(t, newEd25519(t))), "@cert-authority [127.0.0.1]:* "+keyText(public(t, ca))),
		"pinned RSA":              Pinned(PinKey(public(t, rsaKey()))), "pinned Ed25519": Pinned(PinKey(public(t, ed))),
		"fingerprint of RSA": fingerprint(rsaKey()), "fingerprint of ECDSA": fingerprint(ec), "fingerprint of Ed25519": fingerprint(ed),
		"fingerprint and line": Union(fingerprint(ed), known(t, keyLine("other", public(t, ec)))),
	} {
		b.Trusted = source
		if err := dial(t, b, s.address); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	// A pin of nothing that the host has costs a bounded number of attempts.
	attempts := 0
	d, err := Builder{User: "u", Trusted: fingerprint(newEd25519(t)), Password: trustkeep.Password("x")}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		attempts++
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	var refused *HandshakeError
	if _, err := d.DialContext(t.Context(), "tcp", s.address); !errors.As(err, &refused) || attempts > mostTypes+1 {
		t.Errorf("%d attempts: %v", attempts, err)
	}
}

// Each kind of key logs in, and RSA keys where only one hash of SHA-2 is accepted.
func TestIdentities(t *testing.T) {
	hostKey := newEd25519(t)
	ca, certified := newEd25519(t), newECDSA(t)
	userCert := certify(t, ca, public(t, certified), ssh.UserCert, nil, "u")
	withCert, err := WithCertificate(FromSigner(certified), []byte(keyText(userCert)+" comment\n"))
	if err != nil {
		t.Fatal(err)
	}
	keyring := agentOf{signer(t, newEd25519(t)), signer(t, rsaKey())}
	for name, c := range map[string]struct {
		id      Identity
		only    []string // what the server accepts
		refused bool
	}{
		"Ed25519":               {id: FromSigner(newEd25519(t))},
		"ECDSA":                 {id: FromSigner(newECDSA(t))},
		"RSA":                   {id: FromSigner(rsaKey())},
		"RSA by SHA-512":        {id: FromSigner(rsaKey()), only: []string{ssh.KeyAlgoRSASHA512}},
		"RSA by SHA-256":        {id: FromSigner(rsaKey()), only: []string{ssh.KeyAlgoRSASHA256}},
		"RSA by SHA-1":          {id: FromSigner(rsaKey()), only: []string{ssh.KeyAlgoRSA}, refused: true},
		"agent":                 {id: FromAgent(keyring)},
		"agent, RSA by SHA-512": {id: FromAgent(keyring), only: []string{ssh.KeyAlgoRSASHA512}},
		"certificate":           {id: withCert},
	} {
		config := &ssh.ServerConfig{PublicKeyAuthAlgorithms: c.only, PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
		config.AddHostKey(signer(t, hostKey))
		s := serve(t, config)
		err := dial(t, Builder{Trusted: Pinned(PinKey(public(t, hostKey))), User: "u", Identities: []Identity{c.id}}, s.address)
		var refused *HandshakeError
		if c.refused != (err != nil) || c.refused && (!errors.As(err, &refused) || refused.Code != CodeIdentityRefused) {
			t.Errorf("%s: %v", name, err)
		}
		if _, ok := s.users, name == "certificate"; ok && err == nil {
			if _, isCert := s.users[0].(*ssh.Certificate); !isCert {
				t.Errorf("%s: the server saw %T", name, s.users[0])
			}
		}
	}
	if _, err := WithCertificate(FromSigner(certified), []byte(keyText(public(t, certified)))); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Error(err)
	}
	if _, err := WithCertificate(FromSigner(certified), []byte("x")); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Error(err)
	}
	stranger, err := WithCertificate(FromSigner(newECDSA(t)), []byte(keyText(userCert)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stranger.SSHSigners(); !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Error(err)
	}
}

type agentOf []ssh.Signer

func (a agentOf) Signers() ([]ssh.Signer, error) { return a, nil }

func TestAuthorizedLines(t *testing.T) {
	ca, key := newEd25519(t), newECDSA(t)
	id, err := WithCertificate(FromSigner(key), []byte(keyText(certify(t, ca, public(t, key), ssh.UserCert, nil, "u"))))
	if err != nil {
		t.Fatal(err)
	}
	lines, err := AuthorizedLines(id)
	if err != nil || !slices.Equal(lines, []string{keyText(public(t, key))}) {
		t.Errorf("%q, %v", lines, err)
	}
	if _, err := AuthorizedLines(nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
}

// Passwords are sent to hosts that have been verified, after keys have failed, and by both
// methods.
func TestPassword(t *testing.T) {
	hostKey := newEd25519(t)
	asked := 0
	password := trustkeep.PasswordFunc(func() ([]byte, error) { asked++; return []byte("geheim"), nil })
	check := func(given string) error {
		if given != "geheim" {
			return errors.New("wrong")
		}
		return nil
	}
	plain := &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, p []byte) (*ssh.Permissions, error) { return nil, check(string(p)) }}
	interactive := func(questions []string, echos []bool) *ssh.ServerConfig {
		return &ssh.ServerConfig{KeyboardInteractiveCallback: func(_ ssh.ConnMetadata, ask ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			answers, err := ask("", "", questions, echos)
			if err != nil {
				return nil, err
			}
			return nil, check(strings.Join(answers, ","))
		}}
	}
	for name, c := range map[string]struct {
		config *ssh.ServerConfig
		code   trustkeep.Code
	}{
		"password": {config: plain}, "keyboard-interactive": {config: interactive([]string{"Password: "}, []bool{false})},
		"two questions":       {interactive([]string{"Password: ", "Token: "}, []bool{false, false}), CodeSetup},
		"a question in clear": {interactive([]string{"Name: "}, []bool{true}), CodeSetup},
	} {
		c.config.AddHostKey(signer(t, hostKey))
		s := serve(t, c.config)
		b := Builder{Trusted: Pinned(PinKey(public(t, hostKey))), User: "u", Password: password, Identities: []Identity{FromSigner(newEd25519(t))}}
		err := dial(t, b, s.address)
		var failed *HandshakeError
		if c.code == "" && err != nil || c.code != "" && (!errors.As(err, &failed) || failed.Code != c.code) {
			t.Errorf("%s: %v", name, err)
		}
		asked = 0
		b.Trusted = Pinned(PinKey(public(t, newEd25519(t))))
		if err := dial(t, b, s.address); err == nil || asked > 0 {
			t.Errorf("%s: a stranger was sent the password (%d): %v", name, asked, err)
		}
	}
}

// Every refusal has one explanation, by the Dialer and for bare configurations.
func TestExplain(t *testing.T) {
	hostKey, user := newEd25519(t), newEd25519(t)
	refuse := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, errors.New("no") }}
	refuse.AddHostKey(signer(t, hostKey))
	old := &ssh.ServerConfig{NoClientAuth: true, Config: ssh.Config{KeyExchanges: []string{ssh.InsecureKeyExchangeDH14SHA1}}}
	old.AddHostKey(signer(t, hostKey))
	raw := func(f func(net.Conn)) string {
		return testnet.Serve(t, func(c net.Conn) { defer c.Close(); f(c) })
	}
	pinned := Pinned(PinKey(public(t, hostKey)))
	for name, c := range map[string]struct {
		address string
		b       Builder
		code    trustkeep.Code
		says    string
	}{
		"host key":       {openServer(t, newEd25519(t)).address, Builder{Trusted: pinned}, CodePinMismatch, "not pinned"},
		"login":          {serve(t, refuse).address, Builder{Trusted: pinned}, CodeIdentityRefused, Fingerprint(public(t, user))},
		"old host":       {serve(t, old).address, Builder{Trusted: pinned}, CodeNothingInCommon, "no key exchange in common"},
		"no such key":    {openServer(t, newECDSA(t)).address, Builder{Trusted: pinned}, CodeNothingInCommon, "host key"},
		"hangs up":       {raw(func(net.Conn) {}), Builder{Trusted: pinned}, CodeClosed, "hung up"},
		"HTTP":           {raw(func(c net.Conn) { io.WriteString(c, strings.Repeat("HTTP/1.1 400 Bad Request ", 100)) }), Builder{Trusted: pinned}, CodeNotSSH, "does not speak SSH"},
		"stops midway":   {raw(func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n") }), Builder{Trusted: pinned}, CodeClosed, "hung up"},
		"broken trust":   {openServer(t, hostKey).address, Builder{Trusted: &failing{good: 1}}, CodeSetup, "vault"},
		"broken key":     {openServer(t, hostKey).address, Builder{Trusted: pinned, Identities: []Identity{&failingIdentity{signer: signer(t, user), good: 2}}}, CodeSetup, "token"},
		"no credentials": {openServer(t, hostKey).address, Builder{Trusted: pinned, Identities: []Identity{}}, CodeIdentityRequired, "neither a key nor a password"},
	} {
		c.b.User = "u"
		if c.b.Identities == nil {
			c.b.Identities = []Identity{FromSigner(user)}
		}
		err := dial(t, c.b, c.address)
		var failed *HandshakeError
		if !errors.As(err, &failed) || failed.Code != c.code || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if _, err := json.Marshal(failed); err != nil || strings.Contains(failed.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}

	b := Builder{Trusted: pinned, User: "u", Identities: []Identity{FromSigner(user)}}
	s := openServer(t, newEd25519(t))
	config, err := b.Client(s.address)
	if err != nil {
		t.Fatal(err)
	}
	_, err = ssh.Dial("tcp", s.address, config)
	var failed *HandshakeError
	if err := b.ExplainError(s.address, err); !errors.As(err, &failed) || failed.Code != CodePinMismatch || !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Error(err)
	}
	if b.ExplainError(s.address, nil) != nil {
		t.Error("an error out of nothing")
	}
	if again := b.ExplainError(s.address, failed); again != error(failed) {
		t.Error(again)
	}
}

type failing struct {
	mu   sync.Mutex
	good int
}

func (f *failing) Snapshot() (*Hosts, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.good--; f.good < -1 {
		return nil, errors.New("vault is sealed")
	}
	return newHosts(nil, nil), nil
}

type failingIdentity struct {
	mu     sync.Mutex
	signer ssh.Signer
	good   int
}

func (f *failingIdentity) SSHSigners() ([]ssh.Signer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.good--; f.good < 0 {
		return nil, errors.New("token was removed")
	}
	return []ssh.Signer{f.signer}, nil
}

// A host that does not answer, at any stage, is given up in time, and nothing stays behind.
func TestHangingHost(t *testing.T) {
	stages := map[string]func(net.Conn){
		"says nothing": func(net.Conn) {},
		"version only": func(c net.Conn) { io.WriteString(c, "SSH-2.0-x\r\n") },
		"drip":         func(c net.Conn) { io.WriteString(c, "SSH-2.0-") },
	}
	for name, stage := range stages {
		address := testnet.Serve(t, func(c net.Conn) {
			defer c.Close()
			stage(c)
			io.Copy(io.Discard, c) // until the client gives up
		})
		d, err := Builder{Trusted: Pinned(PinKey(public(t, newEd25519(t)))), User: "u", Password: trustkeep.Password("x"), Timeout: 50 * time.Millisecond}.Dialer()
		if err != nil {
			t.Fatal(err)
		}
		var failed *HandshakeError
		if _, err := d.DialContext(context.Background(), "tcp", address); !errors.As(err, &failed) || failed.Code != CodeTimeout || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: %v", name, err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		d.b.Timeout = time.Hour
		d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			defer cancel()
			return new(net.Dialer).DialContext(ctx, network, address)
		}
		if _, err := d.DialContext(ctx, "tcp", address); !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDialErrorIsKept(t *testing.T) {
	d, err := Builder{Trusted: Pinned(), User: "u"}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	broken := errors.New("no route")
	d.Dial = func(context.Context, string, string) (net.Conn, error) { return nil, broken }
	var failed *HandshakeError
	if _, err := d.DialContext(t.Context(), "tcp", "a:22"); !errors.Is(err, broken) || errors.As(err, &failed) {
		t.Error(err)
	}
	if _, err := d.DialContext(t.Context(), "tcp", "a:b"); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
}

// Recheck ends what would no longer be accepted, and nothing else.
func TestRecheck(t *testing.T) {
	a, b := newEd25519(t), newEd25519(t)
	one, two := openServer(t, a), openServer(t, b)
	hosts := known(t, keyLine(one.host, public(t, a)), keyLine(two.host, public(t, b)))
	d, err := Builder{Global: hosts, User: "u", Identities: []Identity{FromSigner(newEd25519(t))}}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	clients := map[string]*ssh.Client{}
	for _, s := range []*server{one, two} {
		if clients[s.address], err = d.DialContext(t.Context(), "tcp", s.address); err != nil {
			t.Fatal(err)
		}
	}
	if d.Recheck() != 0 || len(d.Stale()) != 0 {
		t.Error("nothing has changed")
	}
	if err := hosts.Remove(one.address); err != nil {
		t.Fatal(err)
	}
	stale := d.Stale()
	var refused *HostKeyError
	if len(stale) != 1 || stale[0].Address != one.host || !errors.As(stale[0].Err, &refused) {
		t.Errorf("%+v", stale)
	}
	if n := d.Recheck(); n != 1 {
		t.Error(n)
	}
	clients[one.address].Wait() // it has ended
	if _, _, err := clients[two.address].SendRequest("ping", true, nil); err != nil {
		t.Error(err)
	}
	clients[two.address].Close()

	// A Recheck while a connection is being made counts for it.
	d.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		defer func() {
			if err := hosts.Revoke(public(t, b)); err != nil {
				t.Error(err)
			}
			d.Recheck()
		}()
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	if _, err := d.DialContext(t.Context(), "tcp", two.address); !errors.Is(err, trustkeep.ErrRevoked) {
		t.Error(err)
	}
}

// A change counts from the next connection on, types of keys included.
func TestDialerFollows(t *testing.T) {
	a, b := newEd25519(t), newECDSA(t)
	s := openServer(t, a, b)
	hosts := known(t, keyLine(s.host, public(t, a)))
	d, err := Builder{Global: hosts, User: "u", Identities: []Identity{FromSigner(newEd25519(t))}}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range []crypto.Signer{a, b, a} {
		if err := hosts.Replace(s.address, public(t, key)); err != nil {
			t.Fatal(err)
		}
		client, err := d.DialContext(t.Context(), "tcp", s.address)
		if err != nil {
			t.Fatal(err)
		}
		client.Close()
	}
	config, err := d.b.Client(s.address)
	if err != nil {
		t.Fatal(err)
	}
	if err := hosts.Replace(s.address, public(t, b)); err != nil {
		t.Fatal(err)
	}
	if _, err := ssh.Dial("tcp", s.address, config); !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Error("an old configuration goes by old trust:", err)
	}
}

func TestBuilderPrintsNoSecret(t *testing.T) {
	const secret = "geheimes-wort"
	b := Builder{Global: known(t), User: "u", Password: trustkeep.Password(secret), Identities: []Identity{FromSigner(newEd25519(t))}}
	testleak.Check(t, b, []byte(secret))
	if text := fmt.Sprint(b); !strings.Contains(text, `"u"`) {
		t.Error(text)
	}
}

// A host that goes wrong at any point is an error that is explained, and no goroutine stays.
func TestHostileHosts(t *testing.T) {
	hostKey := newEd25519(t)
	config := &ssh.ServerConfig{NoClientAuth: true}
	signer, err := ssh.NewSignerFromSigner(hostKey)
	if err != nil {
		t.Fatal(err)
	}
	config.AddHostKey(signer)
	garbage := bytes.Repeat([]byte{0xff, 'x', 0}, 1000)
	say := func(b []byte) func(net.Conn) { return func(c net.Conn) { c.Write(b); io.CopyN(io.Discard, c, 20) } }
	// cut lets so many bytes of a host that behaves through.
	cut := func(n int64, silent bool) func(net.Conn) {
		return func(c net.Conn) {
			if conn, _, _, err := ssh.NewServerConn(&cutConn{c, n, silent}, config); err == nil {
				conn.Close()
			}
		}
	}
	close := func(net.Conn) {}
	cases := map[string]struct {
		serve func(net.Conn)
		late  bool
	}{
		"closes":             {close, false},
		"garbage":            {say(garbage), false},
		"lines before":       {say(bytes.Repeat([]byte("hello\r\n"), 1<<17)), false},
		"a line without end": {say(bytes.Repeat([]byte{'x'}, 1<<20)), false},
		"version, garbage":   {say(append([]byte("SSH-2.0-x\r\n"), garbage...)), false},
		"version, closes":    {say([]byte("SSH-2.0-x\r\n")), false},
		"a huge packet":      {say([]byte("SSH-2.0-x\r\n\xff\xff\xff\xff\x04aaaaaaaaaaaaaa")), false},
		"old version":        {say([]byte("SSH-1.5-x\r\n")), false},
	}
	for _, n := range []int64{100, 400, 900, 1200} { // in the exchange of keys, and behind it
		cases[fmt.Sprint("closes after ", n)] = struct {
			serve func(net.Conn)
			late  bool
		}{cut(n, false), false}
		cases[fmt.Sprint("silent after ", n)] = struct {
			serve func(net.Conn)
			late  bool
		}{cut(n, true), true}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			address := testnet.Serve(t, c.serve)
			before := runtime.NumGoroutine()
			b := Builder{Trusted: Pinned(PinKey(signer.PublicKey())), User: "u", Password: trustkeep.Password("x"), Timeout: 20 * time.Second}
			if c.late {
				b.Timeout = 100 * time.Millisecond
			}
			d, err := b.Dialer()
			if err != nil {
				t.Fatal(err)
			}
			conn, err := d.DialContext(t.Context(), "tcp", address)
			if err == nil {
				conn.Close()
			}
			var failed *HandshakeError
			if !errors.As(err, &failed) || c.late != (failed.Code == CodeTimeout) || len(err.Error()) > 2000 {
				t.Errorf("%v", err)
			}
			testnet.Goroutines(t, before)
		})
	}

	// An open connection whose host stalls ends with Close, and so does all that waits for it.
	address := testnet.Serve(t, func(c net.Conn) {
		conn, channels, requests, err := ssh.NewServerConn(c, config)
		if err != nil {
			return
		}
		go ssh.DiscardRequests(requests)
		for one := range channels { // is never answered
			_ = one
		}
		conn.Wait()
	})
	before := runtime.NumGoroutine()
	d, err := Builder{Trusted: Pinned(PinKey(signer.PublicKey())), User: "u", Password: trustkeep.Password("x")}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	waits := make(chan error, 1)
	go func() {
		_, err := conn.NewSession()
		waits <- err
	}()
	conn.Close()
	if err := <-waits; err == nil {
		t.Error("a session was opened")
	}
	testnet.Goroutines(t, before)
}

// cutConn lets some bytes out. It swallows all others or fails.
type cutConn struct {
	net.Conn
	left   int64
	silent bool
}

func (c *cutConn) Write(b []byte) (int, error) {
	n := min(int64(len(b)), c.left)
	c.left -= n
	if _, err := c.Conn.Write(b[:n]); err != nil {
		return 0, err
	}
	if n < int64(len(b)) && !c.silent {
		return 0, io.ErrClosedPipe
	}
	return len(b), nil
}
