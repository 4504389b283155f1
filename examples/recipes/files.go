package main

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"net"

	"github.com/jlaffaye/ftp"
	"github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep/examples/internal/ftpserver"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/sshctx"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

// overFTPS is examples/ftps in short.
var overFTPS = recipe{
	library: "jlaffaye/ftp", form: "ftps.Session", hook: "DialWithDialFunc, DialWithExplicitTLS",
	serve: func(s *site) (string, error) {
		server := &ftpserver.Server{TLS: s.tls, User: "me", Password: "secret"}
		address, err := server.Listen()
		if err == nil {
			s.onClose(func() { server.Close() })
		}
		return address, err
	},
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		var c *ftp.ServerConn
		connect := func() error {
			session, err := ftps.New(b, address)
			if err != nil {
				return err
			}
			c, err = ftp.Dial(address, ftp.DialWithDialFunc(session.DialFunc(ctx)), ftp.DialWithExplicitTLS(session.Config()))
			if err == nil {
				err = c.Login("me", "secret")
			}
			return err
		}
		if err := connect(); err != nil {
			return nil, err
		}
		return &session{
			use: func() error {
				if c == nil {
					return connect()
				}
				return c.NoOp()
			},
			close: func() {
				if c != nil {
					c.Quit()
				}
			},
			forget: func() { c.Quit(); c = nil },
		}, nil
	},
}

// overSFTP is examples/sftp in short: the trust is a known_hosts file, the identity any key.
var overSFTP = recipe{library: "pkg/sftp", form: "sshctx.Dialer", hook: "sftp.NewClient", prove: proveSFTP}

func proveSFTP(ctx context.Context) error {
	keys := make(map[string]*keystore.Identity)
	public := make(map[string]ssh.PublicKey)
	for _, name := range []string{"A", "B", "me"} {
		id, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: name}, Key: issue.Ed25519})
		if err != nil {
			return err
		}
		signers, err := sshctx.FromIdentity(id).SSHSigners()
		if err != nil {
			return err
		}
		keys[name], public[name] = id, signers[0].PublicKey()
	}
	lines, err := sshctx.AuthorizedLines(sshctx.FromIdentity(keys["me"]))
	if err != nil {
		return err
	}
	authorized, err := sshctx.ParseAuthorizedKeys([]byte(lines[0]))
	if err != nil {
		return err
	}
	address, stop, err := serveSFTP(sshctx.Builder{Identities: []sshctx.Identity{sshctx.FromIdentity(keys["A"])}, Authorized: authorized})
	if err != nil {
		return err
	}
	defer stop()
	known := map[string]*sshctx.KnownHosts{"A": new(sshctx.KnownHosts), "B": new(sshctx.KnownHosts)}
	for name, k := range known {
		if err := k.Add(address, public[name]); err != nil {
			return err
		}
	}
	open := func(b sshctx.Builder) (*sshctx.Dialer, *sftp.Client, error) {
		b.User, b.Identities = "me", []sshctx.Identity{sshctx.FromIdentity(keys["me"])}
		d, err := b.Dialer()
		if err != nil {
			return nil, nil, err
		}
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, nil, err
		}
		c, err := sftp.NewClient(conn)
		if err != nil {
			conn.Close()
		}
		return d, c, err
	}
	d, c, err := open(sshctx.Builder{Global: known["A"]})
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.ReadDir("/"); err != nil {
		return err
	}
	if _, other, err := open(sshctx.Builder{Global: known["A"], Trusted: known["B"]}); err == nil {
		other.Close()
		return errors.New("the server has A, the connection is set to B, and it works")
	}
	if err := known["A"].Revoke(public["A"]); err != nil {
		return err
	}
	if n := d.Recheck(); n != 1 {
		return fmt.Errorf("the key of A is revoked, and Recheck has ended %d connections", n)
	}
	if _, err := c.ReadDir("/"); err == nil {
		return errors.New("the key of A is revoked, and the connection goes on")
	}
	return nil
}

// serveSFTP serves files in memory.
func serveSFTP(b sshctx.Builder) (address string, stop func(), err error) {
	config, err := b.Server()
	if err != nil {
		return "", nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", nil, err
	}
	files := sftp.InMemHandler()
	go func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer raw.Close()
				conn, channels, requests, err := ssh.NewServerConn(raw, config)
				if err != nil {
					return
				}
				defer conn.Close()
				go ssh.DiscardRequests(requests)
				for each := range channels {
					channel, wishes, err := each.Accept()
					if err != nil {
						return
					}
					go func() {
						for w := range wishes {
							w.Reply(true, nil)
							if w.Type == "subsystem" {
								go sftp.NewRequestServer(channel, files).Serve()
							}
						}
					}()
				}
			}()
		}
	}()
	return l.Addr().String(), func() { l.Close() }, nil
}
