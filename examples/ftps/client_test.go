package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jlaffaye/ftp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/examples/internal/ftpserver"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
	"github.com/trustkeep/trustkeep/truststore"
)

// start starts a server in this process and returns what a client needs. A server that has a
// configuration of TLS gets another, and wants client certificates.
func start(t *testing.T, s *ftpserver.Server, version uint16) (address string, b tlsctx.Builder) {
	t.Helper()
	pki := pkitest.Options{Now: time.Now()}.New(t)
	server := tlsctx.Builder{Identity: pki.NewServer("127.0.0.1"), MaxVersion: version}
	if s.TLS != nil { // it wants client certificates
		server.ClientAuth, server.Trusted = tlsctx.RequireClientAuth, pki.Trust()
	}
	cfg, err := server.Server()
	if err != nil {
		t.Fatal(err)
	}
	s.TLS, s.User, s.Password = cfg, "u", "p"
	if address, err = s.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return address, tlsctx.Builder{Trusted: pki.Trust()}
}

var versions = []uint16{tls.VersionTLS12, tls.VersionTLS13}

func name(version uint16, implicit bool) string {
	return fmt.Sprintf("%s, implicit %v", tls.VersionName(version), implicit)
}

// Everything that jlaffaye/ftp does works, many data connections resume one session, and the
// protection of data connections is asked for, in both modes.
func TestJlaffaye(t *testing.T) {
	for _, version := range versions {
		for _, implicit := range []bool{false, true} {
			s := &ftpserver.Server{Implicit: implicit}
			address, b := start(t, s, version)
			c, _, err := connect(t.Context(), b, address, ftps.Options{Implicit: implicit})
			if err != nil {
				t.Fatal(name(version, implicit), err)
			}
			if err := exchange(c, 12, 100_000, func(file string, content []byte) error {
				if stored, _ := s.File(file); !bytes.Equal(stored, content) {
					return fmt.Errorf("stored %d of %d bytes", len(stored), len(content))
				}
				return nil
			}); err != nil {
				t.Error(name(version, implicit), err)
			}
			if err := c.Quit(); err != nil {
				t.Error(err)
			}
			commands := s.Commands()
			if i := slices.Index(commands, "PROT P"); i < 0 || slices.Contains(commands, "AUTH TLS") == implicit {
				t.Errorf("%s: %q", name(version, implicit), commands)
			}
		}
	}
}

// exchange logs in, stores files, reads them back and aborts a download; check sees what is to be
// at the server.
func exchange(c *ftp.ServerConn, files, size int, check func(file string, content []byte) error) error {
	if err := c.Login("u", "p"); err != nil {
		return fmt.Errorf("login: %w", err)
	}
	for i := range files {
		content := bytes.Repeat([]byte{byte(i), 'x', '\n'}, size/3*(i%3)) // an empty file among them
		file := fmt.Sprintf("file-%d", i)
		if err := c.Stor(file, bytes.NewReader(content)); err != nil {
			return fmt.Errorf("upload %d: %w", i, err)
		}
		if err := check(file, content); err != nil {
			return fmt.Errorf("upload %d: %w", i, err)
		}
		r, err := c.Retr(file)
		if err != nil {
			return fmt.Errorf("download %d: %w", i, err)
		}
		got, err := io.ReadAll(r)
		if err := errors.Join(err, r.Close()); err != nil || !bytes.Equal(got, content) {
			return fmt.Errorf("download %d: %d of %d bytes: %w", i, len(got), len(content), err)
		}
	}
	names, err := c.NameList("")
	if err != nil || len(names) < files {
		return fmt.Errorf("listed %q: %w", names, err)
	}
	return nil
}

// A source that fails half-way leaves no file that looks whole, and the session goes on.
func TestSourceFails(t *testing.T) {
	for _, version := range versions {
		s := new(ftpserver.Server)
		address, b := start(t, s, version)
		c, _, err := connect(t.Context(), b, address, ftps.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Quit()
		if err := c.Login("u", "p"); err != nil {
			t.Fatal(err)
		}
		broken := errors.New("disk is gone")
		source := io.MultiReader(strings.NewReader(strings.Repeat("x", 50_000)), failing{broken})
		if err := c.Stor("half", source); !errors.Is(err, broken) || !strings.Contains(err.Error(), "426") {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
		if content, ok := s.File("half"); ok {
			t.Errorf("%s: stored %d bytes", tls.VersionName(version), len(content))
		}
		if err := c.Stor("whole", strings.NewReader("x")); err != nil {
			t.Error(err)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

// A command that is refused does not hold anybody up.
func TestRefusedCommand(t *testing.T) {
	s := new(ftpserver.Server)
	address, b := start(t, s, 0)
	c, _, err := connect(t.Context(), b, address, ftps.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Quit()
	if err := c.Login("u", "p"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := c.Stor("forbidden/x", strings.NewReader("x")); err == nil || !strings.Contains(err.Error(), "553") {
			t.Error(err)
		}
		if _, err := c.Retr("none"); err == nil || !strings.Contains(err.Error(), "550") {
			t.Error(err)
		}
	}
	if err := c.Stor("x", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
}

// Two sessions side by side do not take each other's TLS sessions.
func TestInterleaved(t *testing.T) {
	for _, version := range versions {
		s := new(ftpserver.Server)
		address, b := start(t, s, version)
		var both []*ftp.ServerConn
		for range 2 {
			c, _, err := connect(t.Context(), b, address, ftps.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Quit()
			if err := c.Login("u", "p"); err != nil {
				t.Fatal(err)
			}
			both = append(both, c)
		}
		for i := range 10 {
			if err := both[i%2].Stor("x", strings.NewReader("x")); err != nil {
				t.Errorf("%s, %d: %v", tls.VersionName(version), i, err)
			}
		}
	}
}

// The connection's own trust replaces what is global: server A, A is global, B is trusted.
func TestOverride(t *testing.T) {
	other := pkitest.Options{Now: time.Now()}.New(t)
	for _, implicit := range []bool{false, true} {
		address, b := start(t, &ftpserver.Server{Implicit: implicit}, 0)
		b.Global, b.Trusted = b.Trusted, other.Trust()
		c, s, err := connect(t.Context(), b, address, ftps.Options{Implicit: implicit})
		if err == nil {
			err = s.Explain(c.Login("u", "p"))
		}
		if e, ok := errors.AsType[*tlsctx.HandshakeError](err); !ok || e.Code != truststore.CodeUnknownIssuer {
			t.Errorf("implicit %v: %v", implicit, err)
		}
	}
}

// A server that wants a client certificate says so, and the error is explained.
func TestRefusedIdentity(t *testing.T) {
	for _, version := range versions {
		for _, implicit := range []bool{false, true} {
			server := &ftpserver.Server{Implicit: implicit, TLS: new(tls.Config)}
			address, b := start(t, server, version)
			c, s, err := connect(t.Context(), b, address, ftps.Options{Implicit: implicit})
			if err == nil {
				err = s.Explain(c.Login("u", "p"))
			}
			if e, ok := errors.AsType[*tlsctx.HandshakeError](err); !ok || !strings.Contains(e.Error(), "Builder.Identity") {
				t.Errorf("%s: %v", name(version, implicit), err)
			}
		}
	}
}

// Once the control connection has ended, nothing more is dialled.
func TestEndedSession(t *testing.T) {
	address, b := start(t, new(ftpserver.Server), 0)
	s, err := ftps.New(b, address)
	if err != nil {
		t.Fatal(err)
	}
	again := s.DialFunc(t.Context())
	c, err := ftp.Dial(address, ftp.DialWithDialFunc(again), ftp.DialWithExplicitTLS(s.Config()))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Quit(); err != nil {
		t.Fatal(err)
	}
	if _, err := again("tcp", address); !errors.Is(err, net.ErrClosed) {
		t.Error(err)
	}
}

// A client that speaks the other mode gets an error within the bound, and a hint.
func TestWrongPort(t *testing.T) {
	for _, implicit := range []bool{false, true} {
		address, b := start(t, &ftpserver.Server{Implicit: implicit}, 0)
		o := ftps.Options{Implicit: !implicit}
		if implicit { // client and server wait for each other
			o.Timeout = 500 * time.Millisecond
		}
		_, _, err := connect(t.Context(), b, address, o)
		var hinted *trustkeep.Error
		if !errors.As(err, &hinted) || !strings.Contains(hinted.Hint, "Options.Implicit") {
			t.Errorf("implicit %v: %v", implicit, err)
		}
	}
}

// Through a proxy whose connections have no TCP address, data connections go to the session's host.
func TestProxy(t *testing.T) {
	address, b := start(t, new(ftpserver.Server), 0)
	hidden := func(ctx context.Context, network, address string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		return nameless{c}, err
	}
	c, _, err := connect(t.Context(), b, address, ftps.Options{Dial: hidden})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Quit()
	if err := c.Login("u", "p"); err != nil {
		t.Fatal(err)
	}
	if err := c.Stor("x", strings.NewReader("x")); err != nil {
		t.Error(err)
	}
}

type nameless struct{ net.Conn }

func (nameless) RemoteAddr() net.Addr { return &net.UnixAddr{Name: "proxy"} }
