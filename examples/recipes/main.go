// Command recipes connects the libraries that Go programs use for their protocols, each by the form
// and the hook that docs/recipes.md names, to servers in this process. It prints a line for each and
// exits with 1 if anything turns out other than it should.
//
// Each server has a certificate by A and wants one by A. Each library has to work where A is
// deployed, to be refused where the connection is set to B besides, and to be ended, or refused when
// it connects again, once A is no longer trusted.
package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
)

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if failed := run(ctx, os.Stdout); failed > 0 {
		fmt.Fprintf(os.Stderr, "recipes: %d are not as they should be\n", failed)
		cancel()
		os.Exit(1)
	}
}

// recipe is one library, by one form of tlsctx.
type recipe struct {
	library, form, hook string
	// serve starts a server with the certificate of its side and returns the address.
	serve func(*site) (address string, err error)
	// open connects by the Builder, or is ready to.
	open func(ctx context.Context, b tlsctx.Builder, address string) (*session, error)
	// prove, if set, is all of it, for what is not TLS.
	prove func(context.Context) error
	ends  string // what ends open connections; if empty, Recheck
}

// session is an open client.
type session struct {
	use   func() error // exchanges something with the server
	close func()
	// recheck is that of the form; nil if it does not know its connections. Then forget, which a
	// program calls when trust has shrunk, closes those that are open.
	recheck func() int
	forget  func()
}

func recipes() []recipe {
	return []recipe{
		overHTTP, overHTTP2, overHTTPServer, overReverseProxy, overWebSocket, overGRPC, overGRPCServer,
		overNATS, overMQTT, overKafka,
		overPostgres, overMySQL, overRedis,
		overSMTP, overGoMail, overLDAP,
		overFTPS, overSFTP,
	}
}

func run(ctx context.Context, out io.Writer) (failed int) {
	fmt.Fprintf(out, "%-24s %-13s %-36s %s\n", "library", "form", "hook", "A deployed / set to B / A removed")
	for _, r := range recipes() {
		verdict := "works / refused / ended by " + cmp.Or(r.ends, "Recheck")
		ended, err := r.check(ctx)
		switch {
		case err != nil:
			verdict, failed = "NOT AS IT SHOULD: "+err.Error(), failed+1
		case !ended:
			verdict = "works / refused / refused when it connects again"
		}
		fmt.Fprintf(out, "%-24s %-13s %-36s %s\n", r.library, r.form, r.hook, verdict)
	}
	return failed
}

// check reports whether open connections are ended by the form itself.
func (r recipe) check(ctx context.Context) (ended bool, err error) {
	if r.prove != nil {
		return true, r.prove(ctx)
	}
	a, b := pkitest.Options{Now: time.Now(), Name: "A"}.New(tb{}), pkitest.Options{Now: time.Now(), Name: "B"}.New(tb{})
	s, err := newSite(a)
	if err != nil {
		return false, err
	}
	defer s.close()
	address, err := r.serve(s)
	if err != nil {
		return false, err
	}
	me := a.NewClient("me")
	deployed := a.Trust()

	open, err := r.open(ctx, tlsctx.Builder{Global: deployed, Identity: me}, address)
	if err == nil {
		defer open.close()
		err = open.use()
	}
	if err != nil {
		return false, fmt.Errorf("the server has A, A is deployed: %w", err)
	}

	own := tlsctx.Builder{Global: deployed, Trusted: b.Trust(), Identity: me}
	override, err := r.open(ctx, own, address)
	if err == nil {
		defer override.close()
		err = override.use()
	}
	if err := refused(err); err != nil {
		return false, fmt.Errorf("the server has A, the connection is set to B: %w", err)
	}

	if err := open.use(); err != nil {
		return false, fmt.Errorf("afterwards: %w", err)
	}
	if err := deployed.Set(b.CA.Leaf()); err != nil {
		return false, err
	}
	if open.recheck == nil {
		if err := open.use(); err != nil {
			return false, fmt.Errorf("a connection that is open ended, though nobody knows of it: %w", err)
		}
		open.forget()
	} else if n := open.recheck(); n == 0 {
		return false, errors.New("the trust in A has gone, and Recheck has ended nothing")
	}
	if open.use() == nil {
		return false, errors.New("the trust in A has gone, and the connection goes on")
	}
	return open.recheck != nil, nil
}

// refused checks that an error is a refusal of the server's certificate.
func refused(err error) error {
	if err == nil {
		return errors.New("it works")
	}
	for _, text := range []string{"is not trusted", "signed by unknown authority"} {
		if strings.Contains(err.Error(), text) {
			return nil
		}
	}
	return fmt.Errorf("refused for another reason: %w", err)
}

// tb lets a program use pkitest, which is made for tests.
type tb struct{}

func (tb) Helper()                      {}
func (tb) Fatalf(f string, args ...any) { panic(fmt.Sprintf(f, args...)) }
func (tb) TempDir() string              { panic("no files") }
