package sshctx

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep/internal/testnet"
)

var testTime = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return testTime }

func newEd25519(t testing.TB) crypto.Signer {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newECDSA(t testing.TB) crypto.Signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return key
})

func signer(t testing.TB, key crypto.Signer) ssh.Signer {
	t.Helper()
	s, err := ssh.NewSignerFromSigner(key)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func public(t testing.TB, key crypto.Signer) ssh.PublicKey {
	t.Helper()
	return signer(t, key).PublicKey()
}

// certify makes a certificate for a key, valid for a day around testTime unless change says
// otherwise.
func certify(t testing.TB, by crypto.Signer, key ssh.PublicKey, kind uint32, change func(*ssh.Certificate), principals ...string) *ssh.Certificate {
	t.Helper()
	c := &ssh.Certificate{
		Key: key, CertType: kind, KeyId: "test", ValidPrincipals: principals,
		ValidAfter: uint64(testTime.Add(-12 * time.Hour).Unix()), ValidBefore: uint64(testTime.Add(12 * time.Hour).Unix()),
	}
	if change != nil {
		change(c)
	}
	if err := c.SignCert(rand.Reader, signer(t, by)); err != nil {
		t.Fatal(err)
	}
	return c
}

// known parses a known_hosts file.
func known(t testing.TB, lines ...string) *KnownHosts {
	t.Helper()
	k, err := Options{Strict: true}.ParseKnownHosts([]byte(strings.Join(lines, "\n") + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// server is an SSH server in this process that accepts connections and serves nothing.
type server struct {
	address string
	host    string

	mu     sync.Mutex
	logins []string // users
	users  []ssh.PublicKey
	denied []error
}

// serve starts a server; the configuration decides who may log in.
func serve(t testing.TB, config *ssh.ServerConfig) *server {
	t.Helper()
	s := new(server)
	check := config.PublicKeyCallback
	if check != nil {
		config.PublicKeyCallback = func(c ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			p, err := check(c, key)
			s.mu.Lock()
			defer s.mu.Unlock()
			if err == nil {
				s.users = append(s.users, key)
			} else {
				s.denied = append(s.denied, err)
			}
			return p, err
		}
	}
	s.address = testnet.Serve(t, func(raw net.Conn) {
		defer raw.Close()
		conn, channels, requests, err := ssh.NewServerConn(raw, config)
		if err != nil {
			return
		}
		s.mu.Lock()
		s.logins = append(s.logins, conn.User())
		s.mu.Unlock()
		go ssh.DiscardRequests(requests)
		for c := range channels {
			c.Reject(ssh.Prohibited, "nothing is served")
		}
	})
	at, err := parseHost(s.address)
	if err != nil {
		t.Fatal(err)
	}
	s.host = at.String()
	return s
}

// openServer lets everybody in who has a key.
func openServer(t testing.TB, keys ...crypto.Signer) *server {
	t.Helper()
	config := &ssh.ServerConfig{PublicKeyCallback: func(ssh.ConnMetadata, ssh.PublicKey) (*ssh.Permissions, error) { return nil, nil }}
	for _, key := range keys {
		config.AddHostKey(signer(t, key))
	}
	return serve(t, config)
}

// dial connects by the Dialer of a Builder.
func dial(t testing.TB, b Builder, address string) error {
	t.Helper()
	d, err := b.Dialer()
	if err != nil {
		return err
	}
	client, err := d.DialContext(context.Background(), "tcp", address)
	if err == nil {
		client.Close()
	}
	return err
}

func keyLine(name string, key ssh.PublicKey) string { return name + " " + keyText(key) }

// connection is the login of the user "u" from loopback.
type connection struct{ ssh.ConnMetadata }

func (connection) User() string         { return "u" }
func (connection) RemoteAddr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 1} }
