package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509/pkix"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"

	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep/examples/internal/proof"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/sshctx"
)

// server is an SFTP server in this process, in memory.
type server struct {
	address  string
	listener net.Listener
	serving  sync.WaitGroup

	mu   sync.Mutex
	open map[net.Conn]bool
}

// listen starts a server with a host key, where those of authorized may log in.
func listen(hostKey sshctx.Identity, authorized *sshctx.AuthorizedKeys) (*server, error) {
	b := sshctx.Builder{Identities: []sshctx.Identity{hostKey}, Authorized: authorized}
	if _, err := b.Server(); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &server{address: l.Addr().String(), listener: l, open: make(map[net.Conn]bool)}
	files := sftp.InMemHandler()
	s.serving.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[raw] = true
			s.mu.Unlock()
			s.serving.Go(func() {
				defer raw.Close()
				config, err := b.Server() // one for each connection follows new host keys
				if err == nil {
					serve(raw, config, files)
				}
			})
		}
	})
	return s, nil
}

// Close ends the server and its connections.
func (s *server) Close() {
	s.listener.Close()
	s.mu.Lock()
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	s.serving.Wait()
}

// serve offers SFTP and nothing else.
func serve(raw net.Conn, config *ssh.ServerConfig, files sftp.Handlers) {
	conn, channels, requests, err := ssh.NewServerConn(raw, config)
	if err != nil {
		return
	}
	defer conn.Close()
	go ssh.DiscardRequests(requests)
	for each := range channels {
		if each.ChannelType() != "session" {
			each.Reject(ssh.UnknownChannelType, "SFTP alone")
			continue
		}
		channel, wishes, err := each.Accept()
		if err != nil {
			return
		}
		go func() {
			defer channel.Close()
			for w := range wishes {
				ok := w.Type == "subsystem" && string(w.Payload[min(4, len(w.Payload)):]) == "sftp"
				w.Reply(ok, nil)
				if ok {
					sftp.NewRequestServer(channel, files).Serve()
					return
				}
			}
		}()
	}
}

// prove shows that a connection trusts what it is set to and nothing else, and that keys of X.509
// stores log in.
func prove(ctx context.Context, out io.Writer) error {
	results := proof.Report{Out: out}
	report := results.Step
	keys := make(map[string]*keystore.Identity)
	for name, kind := range map[string]issue.KeyType{"A": issue.Ed25519, "B": issue.Ed25519, "RSA": issue.RSA3072, "EC": issue.ECP256, "Ed25519": issue.Ed25519, "stranger": issue.Ed25519} {
		id, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: name}, Key: kind})
		if err != nil {
			return err
		}
		keys[name] = id
	}
	var lines []string
	for _, name := range []string{"RSA", "EC", "Ed25519"} {
		own, err := sshctx.AuthorizedLines(sshctx.FromIdentity(keys[name]))
		if err != nil {
			return err
		}
		lines = append(lines, own...)
	}
	authorized, err := sshctx.ParseAuthorizedKeys([]byte(strings.Join(lines, "\n")))
	if err != nil {
		return err
	}
	s, err := listen(sshctx.FromIdentity(keys["A"]), authorized)
	if err != nil {
		return err
	}
	defer s.Close()

	hosts := make(map[string]*sshctx.KnownHosts)
	for _, name := range []string{"A", "B"} {
		signers, err := sshctx.FromIdentity(keys[name]).SSHSigners()
		if err != nil {
			return err
		}
		hosts[name] = new(sshctx.KnownHosts)
		if err := hosts[name].Add(s.address, signers[0].PublicKey()); err != nil {
			return err
		}
	}
	try := func(global, trusted sshctx.HostSource, key string) error {
		b := sshctx.Builder{Global: global, User: "partner", Identities: []sshctx.Identity{sshctx.FromIdentity(keys[key])}}
		if trusted != nil {
			b.Trusted = trusted
		}
		return transfer(ctx, b, s.address)
	}
	for _, key := range []string{"RSA", "EC", "Ed25519"} {
		report("the server has A, A is known, an X.509 key logs in: "+key, true, try(hosts["A"], nil, key))
	}
	report("the server has A, A is known, the connection is set to B", false, try(hosts["A"], hosts["B"], "EC"))
	report("the server has A, B is known, the connection is set to A", true, try(hosts["B"], hosts["A"], "EC"))
	report("nothing is known", false, try(new(sshctx.KnownHosts), nil, "EC"))
	report("a key that the server does not know", false, try(hosts["A"], nil, "stranger"))

	shown, err := sshctx.FetchHostKeys(ctx, s.address, sshctx.FetchOptions{})
	if err != nil {
		return err
	}
	key, err := shown.Accept(sshctx.Fingerprint(shown.Keys[0])) // a person types it, after comparing
	if err != nil {
		return err
	}
	report("met for the first time, the fingerprint was compared", true, try(nil, sshctx.Pinned(sshctx.PinKey(key)), "EC"))
	if err := hosts["A"].Revoke(key); err != nil {
		return err
	}
	report("the key of A is revoked", false, try(hosts["A"], nil, "EC"))
	return results.Err()
}

// transfer sends a file, fetches it back and compares it.
func transfer(ctx context.Context, b sshctx.Builder, address string) error {
	c, err := connect(ctx, b, address)
	if err != nil {
		return err
	}
	defer c.Close()
	content := bytes.Repeat([]byte("an order, a dispatch note, an invoice\n"), 1<<20/38)
	to, err := c.Create("/orders.csv")
	if err != nil {
		return err
	}
	if _, err := to.ReadFrom(bytes.NewReader(content)); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	from, err := c.Open("/orders.csv")
	if err != nil {
		return err
	}
	defer from.Close()
	sum := sha256.New()
	if n, err := from.WriteTo(sum); err != nil || n != int64(len(content)) || !bytes.Equal(sum.Sum(nil), sumOf(content)) {
		return fmt.Errorf("fetched %d of %d bytes: %w", n, len(content), err)
	}
	return nil
}

func sumOf(content []byte) []byte {
	sum := sha256.Sum256(content)
	return sum[:]
}
