// Command deploy tells how certificates get to the programs that trust them: a registry,
// a server, deployments to two environments, an expiry and what mends it. Each step is
// tried in real handshakes and printed with what was to be expected of it.
//
//	deploy [-nats] [-clamd SOCKET] [-v]
//
// The registry is a directory, and the programs are atoms within this process. With -nats
// the registry is in a NATS server, and the atoms of the environment "test" are two
// processes of their own, of which one is cut off for a while.
//
// It exits with 1 when a step turns out other than expected.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/clamd"
)

func main() {
	if os.Getenv(atomVariable) != "" {
		os.Exit(runAtom(os.Stdin, os.Stdout, os.Stderr))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is the command with its exit status.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("deploy", flag.ContinueOnError)
	flags.SetOutput(stderr)
	overNATS := flags.Bool("nats", false, "keep the registry in a NATS server, with two atoms in processes of their own")
	socket := flags.String("clamd", "", "let the ClamAV daemon behind this `socket` scan imports, instead of a search for the EICAR test file")
	verbose := flags.Bool("v", false, "print every change of the registry")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0:
		fmt.Fprintln(stderr, "deploy: wants no arguments")
		return 2
	}
	o := options{scanner: trustkeep.ScannerFunc(scanForEICAR), nats: *overNATS, events: io.Discard}
	if *socket != "" {
		o.scanner = clamd.Scanner{Address: *socket}
	}
	if *verbose {
		o.events = stdout
	}
	steps, err := tell(ctx, o)
	if e := steps.print(stdout); err == nil {
		err = e
	}
	if n := steps.differing(); err == nil && n > 0 {
		err = fmt.Errorf("%d steps turned out other than expected", n)
	}
	if err != nil {
		fmt.Fprintln(stderr, "deploy:", err)
		return 1
	}
	return 0
}
