package sshctx

import (
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
)

func TestFetchHostKeys(t *testing.T) {
	ed, ec, ca := newEd25519(t), newECDSA(t), newEd25519(t)
	certified, err := ssh.NewCertSigner(certify(t, ca, public(t, ec), ssh.HostCert, nil, "127.0.0.1"), signer(t, ec))
	if err != nil {
		t.Fatal(err)
	}
	var mayLogin atomic.Bool
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) {
		if !mayLogin.Load() {
			t.Error("a login")
			return nil, errors.New("no")
		}
		return nil, nil
	}}
	for _, s := range []ssh.Signer{signer(t, rsaKey()), signer(t, ed), certified, signer(t, ec)} {
		config.AddHostKey(s)
	}
	s := serve(t, config)
	shown, err := FetchHostKeys(t.Context(), s.address, FetchOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if len(shown.Keys) != 3 || len(shown.Authorities) != 1 || shown.Address != s.host {
		t.Errorf("%v", shown)
	}
	for _, key := range []ssh.PublicKey{public(t, rsaKey()), public(t, ed), public(t, ec), public(t, ca)} {
		got, err := shown.Accept(Fingerprint(key))
		if err != nil || !samePublicKey(got, key) || !strings.Contains(shown.String(), Fingerprint(key)) {
			t.Error(err)
		}
	}
	if _, err := shown.Accept(Fingerprint(public(t, newEd25519(t)))); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Error(err)
	}
	if _, err := shown.Accept("yes"); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	key, err := shown.Accept(Fingerprint(public(t, ed)))
	if err != nil {
		t.Fatal(err)
	}
	k := new(KnownHosts)
	if err := k.Add(shown.Address, key); err != nil {
		t.Fatal(err)
	}
	mayLogin.Store(true)
	if err := dial(t, Builder{Trusted: k, User: "u", Identities: []Identity{FromSigner(newEd25519(t))}}, s.address); err != nil {
		t.Error(err)
	}
}

func TestFetchFromBadHosts(t *testing.T) {
	address := testnet.Serve(t, func(c net.Conn) {
		defer c.Close()
		io.Copy(io.Discard, c)
	})
	var failed *HandshakeError
	if _, err := FetchHostKeys(t.Context(), address, FetchOptions{Timeout: 20 * time.Millisecond}); !errors.As(err, &failed) || failed.Code != CodeTimeout {
		t.Error(err)
	}
	if _, err := FetchHostKeys(t.Context(), "a:b", FetchOptions{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	if _, err := FetchHostKeys(t.Context(), address, FetchOptions{Legacy: []string{"x"}}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
}
