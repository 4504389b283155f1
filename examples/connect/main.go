// Command connect makes a TLS connection as an integration product would, and says
// whether the server is trusted, by what, and if not, why and what would help.
//
//	connect -addr HOST:PORT [-servername N] [-trust F [-trust-password P]]... [-trusted-cert F]... [-pin F]...
//	    [-identity F [-identity-password P] [-alias A]] [-allow expired,common-name,any-name]
//	    [-starttls ftp|smtp|imap|ldap] [-tls 1.2|1.3] [-repeat N] [-json]
//
// The stores of -trust are what is deployed for all connections; the certificates of
// -trusted-cert are the connection's own and replace them. Without either, -pin is
// trust by itself, and without that the roots of the system count.
//
// It exits with 0 if every connection was accepted, with 1 if one was refused or could not
// be tried, and with 2 for wrong usage. What -json prints has the same fields each time:
//
//	{"accepted","version","cipherSuite","resumed":[...],"rule","anchor":{"subject","sha256"},
//	 "relaxations":[...],"peer":[{"subject","sha256"}],"error":{"code","text","remedy"}}
//
// anchor is null where the server was refused, error where it was accepted.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
)

const (
	exitAccepted = 0
	exitRefused  = 1
	exitUsage    = 2
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command with its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitAccepted
	case err != nil:
		fmt.Fprintln(stderr, "connect:", trustkeep.Printable(err.Error()))
		return exitUsage
	}
	r, err := c.connect(ctx)
	if err != nil { // nothing was tried: a file cannot be read, for instance
		fmt.Fprintln(stderr, "connect:", trustkeep.Printable(err.Error()))
		if !c.json {
			return exitRefused
		}
		r = newResult(c.addr)
		r.refuse(err)
		r.Error.Code = string(tlsctx.CodeSetup)
	}
	if err := r.print(stdout, c.json); err != nil {
		fmt.Fprintln(stderr, "connect:", err)
		return exitRefused
	}
	if !r.Accepted {
		return exitRefused
	}
	return exitAccepted
}
