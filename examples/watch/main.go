// Command watch replaces the certificates of a server and its clients and the trust of
// both on disk, again and again, while connections are made all the time, and counts what
// fails: nothing may.
//
//	watch [-swaps N] [-clients N] [-v]
//
// Both sides move between two authorities. Each move is what an administrator would do:
// the new authority is trusted first, then the certificates are replaced, one after the
// other, then the old authority is no longer trusted. It exits with 1 if a connection
// failed, or if one side accepted the other although the trust of that moment refuses it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command with its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("watch", flag.ContinueOnError)
	flags.SetOutput(stderr)
	swaps := flags.Int("swaps", 20, "how many times the certificates move to another authority")
	clients := flags.Int("clients", 4, "how many clients connect at once")
	verbose := flags.Bool("v", false, "print each change")
	switch err := flags.Parse(args); {
	case errors.Is(err, flag.ErrHelp):
		return 0
	case err != nil:
		return 2
	case flags.NArg() > 0 || *swaps < 1 || *clients < 1:
		fmt.Fprintln(stderr, "watch: want -swaps and -clients of at least 1, and nothing else")
		return 2
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	log := io.Discard
	if *verbose {
		log = stdout
	}
	counts, err := story(ctx, *swaps, *clients, log)
	if err != nil {
		fmt.Fprintln(stderr, "watch:", err)
		return 1
	}
	fmt.Fprintf(stdout, "certificate replaced  %6d times\ntrust replaced        %6d times\nconnections           %6d\n  resumed             %6d\n  failed              %6d\nwrongly accepted      %6d\n",
		counts.certificates, counts.trusts, counts.connections.Load(), counts.resumed.Load(), counts.failed.Load(), counts.wrong.Load())
	if counts.failed.Load()+counts.wrong.Load() > 0 {
		fmt.Fprintln(stderr, "watch:", counts.first())
		return 1
	}
	return 0
}
