// Command sftp sends and fetches files by SFTP.
//
// Without -addr it proves itself: it starts servers in this process and exits with 1 if a
// connection turns out other than it should.
//
// A host that is met for the first time is shown and not trusted:
//
//	sftp -addr sftp.partner.example:22 -show
//
// Compare a fingerprint with the operator, then connect with -pin, or put the host into the file
// of -known-hosts with -accept.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/signal"
	"path"
	"path/filepath"

	"github.com/pkg/sftp"
	"github.com/schollz/progressbar/v3"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/sshctx"
)

type settings struct {
	address, user, passwordEnv   string
	knownHosts, pin, accept      string
	show                         bool
	identity, identityEnv, alias string
	put, get, to, list           string
}

func main() {
	var s settings
	flag.StringVar(&s.address, "addr", "", "`host:port` of the server; without it, the program proves itself")
	flag.StringVar(&s.user, "user", "", "`name` to log in as")
	flag.StringVar(&s.passwordEnv, "password-env", "", "environment `variable` with the password of the login")
	flag.StringVar(&s.knownHosts, "known-hosts", "", "`file` of known hosts")
	flag.StringVar(&s.pin, "pin", "", "`fingerprint` of the host's key, which replaces the known hosts")
	flag.BoolVar(&s.show, "show", false, "show the host's fingerprints, and trust none")
	flag.StringVar(&s.accept, "accept", "", "add the host's key with this `fingerprint`, which you have compared, to the known hosts")
	flag.StringVar(&s.identity, "identity", "", "`file` of a keystore or an OpenSSH key to log in with")
	flag.StringVar(&s.identityEnv, "identity-password-env", "", "environment `variable` with its password")
	flag.StringVar(&s.alias, "alias", "", "`alias` of the key, if there are several")
	flag.StringVar(&s.put, "put", "", "local `file` to send, into the login's folder")
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
		fmt.Fprintln(os.Stderr, "sftp:", err)
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

// builder is the context of the connection: which hosts it trusts, and how it logs in.
func (s settings) builder() (b sshctx.Builder, err error) {
	b.User, b.Password = s.user, fromEnv(s.passwordEnv)
	if s.knownHosts != "" {
		known, err := sshctx.LoadKnownHosts(s.knownHosts)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; -show shows the host's fingerprints, -accept makes one known", err)
		}
		if err != nil {
			return b, err
		}
		b.Global = known
	}
	if s.pin != "" {
		pin, err := sshctx.ParsePin(s.pin)
		if err != nil {
			return b, err
		}
		b.Trusted = sshctx.Pinned(pin) // replaces the known hosts
	}
	if s.identity != "" {
		store, err := keystore.Load(s.identity, fromEnv(s.identityEnv))
		if err != nil {
			return b, err
		}
		key, err := store.Signer(s.alias)
		if err != nil {
			return b, err
		}
		b.Identities = []sshctx.Identity{sshctx.FromSigner(key)}
	}
	return b, nil
}

func (s settings) run(ctx context.Context) error {
	if s.show || s.accept != "" {
		return s.meet(ctx)
	}
	b, err := s.builder()
	if err != nil {
		return err
	}
	c, err := connect(ctx, b, s.address)
	if err != nil {
		return err
	}
	defer c.Close()
	if s.list != "" {
		entries, err := c.ReadDir(s.list)
		if err != nil {
			return err
		}
		for _, e := range entries {
			fmt.Printf("%12d %s\n", e.Size(), trustkeep.Printable(e.Name()))
		}
	}
	if s.put != "" {
		if err := send(c.Client, s.put); err != nil {
			return err
		}
	}
	if s.get != "" {
		return fetch(c.Client, s.get, s.to)
	}
	return nil
}

// meet shows a host's keys, and makes the one known that a person has compared.
func (s settings) meet(ctx context.Context) error {
	shown, err := sshctx.FetchHostKeys(ctx, s.address, sshctx.FetchOptions{})
	if err != nil {
		return err
	}
	fmt.Print(shown)
	if s.accept == "" {
		return nil
	}
	key, err := shown.Accept(s.accept)
	if err != nil {
		return err
	}
	if s.knownHosts == "" {
		return errors.New("-accept needs -known-hosts")
	}
	return sshctx.UpdateKnownHosts(s.knownHosts, trustkeep.SaveOptions{}, func(k *sshctx.KnownHosts) error { return k.Add(s.address, key) })
}

// connection is an SFTP session with the connection below it.
type connection struct {
	*sftp.Client
	below io.Closer
}

// Close ends both.
func (c connection) Close() error { return errors.Join(c.Client.Close(), c.below.Close()) }

// connect begins an SFTP session.
func connect(ctx context.Context, b sshctx.Builder, address string) (connection, error) {
	dialer, err := b.Dialer()
	if err != nil {
		return connection{}, err
	}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return connection{}, err
	}
	client, err := sftp.NewClient(conn)
	if err != nil {
		conn.Close()
		return connection{}, err
	}
	return connection{client, conn}, nil
}

// send writes a file under another name first, so that nobody takes a part for the whole.
func send(c *sftp.Client, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	target := filepath.Base(name)
	to, err := c.OpenFile(target+".part", os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return err
	}
	bar := progressbar.DefaultBytes(info.Size(), "sending "+target)
	// The bar hides the size, which tells the client how much to send at once.
	_, err = to.ReadFromWithConcurrency(io.TeeReader(f, bar), 64)
	if err := errors.Join(err, to.Close()); err != nil {
		return err
	}
	bar.Finish()
	if err := c.PosixRename(target+".part", target); err != nil {
		return c.Rename(target+".part", target)
	}
	return nil
}

// fetch writes a file that is complete under its name, and nothing else.
func fetch(c *sftp.Client, name, folder string) (err error) {
	from, err := c.Open(name)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	target := filepath.Join(folder, path.Base(filepath.ToSlash(name)))
	f, err := os.OpenFile(target+".part", os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	bar := progressbar.DefaultBytes(info.Size(), "fetching "+path.Base(name))
	n, err := from.WriteTo(io.MultiWriter(f, bar))
	if err == nil && n != info.Size() {
		err = fmt.Errorf("%d of %d bytes: %w", n, info.Size(), io.ErrUnexpectedEOF)
	}
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	bar.Finish()
	return os.Rename(f.Name(), target)
}
