package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep/examples/internal/ftpserver"
	"github.com/trustkeep/trustkeep/examples/internal/proof"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
	"github.com/trustkeep/trustkeep/truststore"
)

// tb lets a program use pkitest, which is made for tests.
type tb struct{ folder string }

func (tb) Helper()                      {}
func (tb) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (t tb) TempDir() string            { return t.folder }

// prove shows that files arrive whole, and that a connection trusts what it is set to and nothing
// else.
func prove(ctx context.Context, out io.Writer) error {
	folder, err := os.MkdirTemp("", "ftps")
	if err != nil {
		return err
	}
	defer os.RemoveAll(folder)
	a, b := pkitest.Options{Now: time.Now(), Name: "A"}.New(tb{folder}), pkitest.Options{Now: time.Now(), Name: "B"}.New(tb{folder})
	content := bytes.Repeat([]byte("an order, a dispatch note, an invoice\n"), 1<<20/38)
	file := filepath.Join(folder, "orders.csv")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		return err
	}
	results := proof.Report{Out: out}
	report := results.Step
	for _, implicit := range []bool{false, true} {
		mode := "explicit"
		if implicit {
			mode = "implicit"
		}
		cfg, err := tlsctx.Builder{Identity: a.NewServer("127.0.0.1"), Trusted: a.Trust(), ClientAuth: tlsctx.RequireClientAuth}.Server()
		if err != nil {
			return err
		}
		server := &ftpserver.Server{TLS: cfg, Implicit: implicit, User: "partner", Password: "secret"}
		address, err := server.Listen()
		if err != nil {
			return err
		}
		defer server.Close()
		try := func(b tlsctx.Builder) error {
			return transfer(ctx, b, address, ftps.Options{Implicit: implicit, Timeout: 5 * time.Second}, server, file, folder)
		}
		me := a.NewClient("partner")
		report(mode+": the server has A, A is deployed", true, try(tlsctx.Builder{Global: a.Trust(), Identity: me}))
		report(mode+": the server has A, A is deployed, the connection is set to B", false, try(tlsctx.Builder{Global: a.Trust(), Trusted: b.Trust(), Identity: me}))
		report(mode+": the server has A, B is deployed, the connection is set to A", true, try(tlsctx.Builder{Global: b.Trust(), Trusted: a.Trust(), Identity: me}))
		report(mode+": both are added up by name", true, try(tlsctx.Builder{Trusted: truststore.Union(a.Trust(), b.Trust()), Identity: me}))
		report(mode+": nothing to present", false, try(tlsctx.Builder{Global: a.Trust()}))
		report(mode+": a client certificate by B", false, try(tlsctx.Builder{Global: a.Trust(), Identity: b.NewClient("partner")}))
		if !slices.Contains(server.Commands(), "PROT P") {
			report(mode+": data connections are protected", true, errors.New("PROT P was never sent"))
		}
	}
	return results.Err()
}

// transfer sends a file, compares it at the server, fetches it back and compares it again.
func transfer(ctx context.Context, b tlsctx.Builder, address string, o ftps.Options, server *ftpserver.Server, file, folder string) error {
	c, session, err := connect(ctx, b, address, o)
	if err != nil {
		return err
	}
	defer c.Quit()
	if err := c.Login("partner", "secret"); err != nil {
		return session.Explain(err)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	name := filepath.Base(file)
	if err := c.Stor(name, bytes.NewReader(content)); err != nil {
		return err
	}
	stored, _ := server.File(name)
	if sha256.Sum256(stored) != sha256.Sum256(content) {
		return fmt.Errorf("the server has %d of %d bytes", len(stored), len(content))
	}
	r, err := c.Retr(name)
	if err != nil {
		return err
	}
	got, err := io.ReadAll(r)
	if err := errors.Join(err, r.Close()); err != nil {
		return err
	}
	if !bytes.Equal(got, content) {
		return fmt.Errorf("fetched %d of %d bytes", len(got), len(content))
	}
	return nil
}
