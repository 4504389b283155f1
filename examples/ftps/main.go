// Command ftps sends and fetches files by FTPS.
//
// Without -addr it proves itself: it starts servers in this process, explicit and implicit ones,
// that demand client certificates and resumed sessions as vsftpd and proftpd do, and exits with 1
// if anything turns out other than it should.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path"
	"path/filepath"
	"time"

	"github.com/jlaffaye/ftp"
	"github.com/schollz/progressbar/v3"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
	"github.com/trustkeep/trustkeep/truststore"
)

type settings struct {
	address, user                string
	implicit                     bool
	trusted, identity, alias     string
	put, get, to, list           string
	passwordEnv, trustedPassword string
	identityPassword             string
}

func main() {
	var s settings
	flag.StringVar(&s.address, "addr", "", "`host:port` of the server; without it, the program proves itself")
	flag.BoolVar(&s.implicit, "implicit", false, "TLS at once, as on port 990")
	flag.StringVar(&s.user, "user", "anonymous", "`name` to log in as")
	flag.StringVar(&s.passwordEnv, "password-env", "", "environment `variable` with the password of the login")
	flag.StringVar(&s.trusted, "trusted", "", "`file` of the certificates that the server is trusted by; without it, the system's")
	flag.StringVar(&s.trustedPassword, "trusted-password-env", "", "environment `variable` with that file's password")
	flag.StringVar(&s.identity, "identity", "", "`file` of a keystore with a client certificate")
	flag.StringVar(&s.identityPassword, "identity-password-env", "", "environment `variable` with the keystore's password")
	flag.StringVar(&s.alias, "alias", "", "`alias` of the identity, if the keystore has several")
	flag.StringVar(&s.put, "put", "", "local `file` to send, into the current folder of the server")
	flag.StringVar(&s.get, "get", "", "remote `file` to fetch")
	flag.StringVar(&s.to, "to", ".", "local `folder` for what is fetched")
	flag.StringVar(&s.list, "list", "", "remote `folder` to list")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	run := func() error { return s.run(ctx) }
	if s.address == "" {
		run = func() error { return prove(ctx, os.Stdout) }
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "ftps:", err)
		stop()
		os.Exit(1)
	}
}

func fromEnv(variable string) trustkeep.PasswordSource {
	if variable == "" {
		return nil
	}
	return trustkeep.PasswordFromEnv(variable)
}

// builder is the context of the connection: what it trusts, and what it presents.
func (s settings) builder() (b tlsctx.Builder, err error) {
	if s.trusted != "" {
		trusted, err := truststore.Load(s.trusted, fromEnv(s.trustedPassword))
		if err != nil {
			return b, err
		}
		b.Trusted = trusted // replaces the system's roots
	}
	if s.identity != "" {
		store, err := keystore.Load(s.identity, fromEnv(s.identityPassword))
		if err != nil {
			return b, err
		}
		if b.Identity, err = store.Identity(s.alias); err != nil {
			return b, err
		}
	}
	return b, nil
}

func (s settings) run(ctx context.Context) error {
	b, err := s.builder()
	if err != nil {
		return err
	}
	c, session, err := connect(ctx, b, s.address, ftps.Options{Implicit: s.implicit, IdleTimeout: 2 * time.Minute})
	if err != nil {
		return err
	}
	defer c.Quit()
	var password []byte
	if source := fromEnv(s.passwordEnv); source != nil {
		if password, err = source.Reveal(); err != nil {
			return err
		}
	}
	if err := c.Login(s.user, string(password)); err != nil {
		return session.Explain(err) // under TLS 1.3, a server refuses a certificate only now
	}
	if s.list != "" {
		entries, err := c.List(s.list)
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Printf("%12d %s\n", e.Size, trustkeep.Printable(e.Name))
		}
	}
	if s.put != "" {
		if err := send(c, s.put); err != nil {
			return err
		}
	}
	if s.get != "" {
		return fetch(c, s.get, s.to)
	}
	return nil
}

// connect begins an FTPS session with jlaffaye/ftp.
func connect(ctx context.Context, b tlsctx.Builder, address string, o ftps.Options) (*ftp.ServerConn, *ftps.Session, error) {
	session, err := o.New(b, address)
	if err != nil {
		return nil, nil, err
	}
	secure := ftp.DialWithExplicitTLS(session.Config())
	if o.Implicit {
		secure = ftp.DialWithTLS(session.Config())
	}
	c, err := ftp.Dial(address, ftp.DialWithDialFunc(session.DialFunc(ctx)), secure)
	return c, session, session.Explain(err)
}

func send(c *ftp.ServerConn, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	bar := progressbar.DefaultBytes(info.Size(), "sending "+filepath.Base(name))
	defer bar.Finish()
	return c.Stor(filepath.Base(name), io.TeeReader(f, bar))
}

// fetch writes a file that is complete under its name, and nothing else.
func fetch(c *ftp.ServerConn, name, folder string) (err error) {
	size, err := c.FileSize(name)
	if err != nil {
		size = -1 // unknown
	}
	r, err := c.Retr(name)
	if err != nil {
		return err
	}
	target := filepath.Join(folder, path.Base(filepath.ToSlash(name)))
	f, err := os.OpenFile(target+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return errors.Join(err, r.Close())
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	bar := progressbar.DefaultBytes(size, "fetching "+path.Base(name))
	_, err = io.Copy(io.MultiWriter(f, bar), r)
	// The server's reply, which Close returns, says whether that was all.
	if err := errors.Join(err, r.Close(), f.Sync(), f.Close()); err != nil {
		return err
	}
	bar.Finish()
	return os.Rename(f.Name(), target)
}
