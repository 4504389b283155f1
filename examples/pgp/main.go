// Command pgp makes, shows and changes OpenPGP keys, and encrypts, decrypts,
// signs and verifies files and pipes with them.
//
//	pgp generate -uid "Name <address>" -passphrase P -out key_priv.asc [-pub key_pub.asc]
//	pgp inspect  [-json] FILE
//	pgp encrypt  -to FILE... [-sign FILE...] -out OUT IN
//	pgp decrypt  -key FILE... [-verify FILE...] [-json] -out OUT IN
//	pgp sign     -key FILE [-detach | -clear] -out OUT IN
//	pgp verify   -verify FILE... [-signature SIG] [-json] IN
//	pgp extend   -key FILE -expires 2y -out FILE
//	pgp revoke   -key FILE [-certificate CERT] -out FILE
//	pgp lookup   -out FILE ADDRESS
//
// What one partner needs: encrypt -cipher aes128 -ignore-preferences -all-subkeys; sign -text -hash sha512
// -lifetime 720h -notation order@example.com=7 -context invoice; verify and decrypt -also SECOND_SIGNER_pub.asc
// -context invoice -max-age 24h; decrypt -show-session-key, and -session-key for whoever got that.
//
// A missing IN or OUT, or "-", is standard input or output. The exit status is
// 0 when all is good, 1 when something was refused, with the reason on standard
// error, and 2 for wrong usage. Nothing appears at OUT unless the whole message
// is good.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
)

// Exit statuses.
const (
	exitGood    = 0
	exitRefused = 1
	exitUsage   = 2
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// errUsage is wrapped by errors in how the command was called.
var errUsage = errors.New("wrong usage")

func usage(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), errUsage)
}

// command is one call with its streams.
type command struct {
	*flag.FlagSet
	stdin          io.Reader
	stdout, stderr io.Writer
}

func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	commands := map[string]func(*command, []string) error{
		"generate": generate, "inspect": inspect, "encrypt": encrypt, "decrypt": decrypt,
		"sign": sign, "verify": verify, "extend": extend, "revoke": revoke, "lookup": lookup,
	}
	if len(args) == 0 || commands[args[0]] == nil {
		fmt.Fprintln(stderr, "usage: pgp generate|inspect|encrypt|decrypt|sign|verify|extend|revoke|lookup [flags] [file]")
		return exitUsage
	}
	c := &command{flag.NewFlagSet("pgp "+args[0], flag.ContinueOnError), stdin, stdout, stderr}
	c.SetOutput(stderr)
	err := commands[args[0]](c, args[1:])
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitGood
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "pgp:", err)
		return exitUsage
	}
	fmt.Fprintln(stderr, err)
	return exitRefused
}

// parse reads the flags and returns the one file name that may follow.
func (c *command) parse(args []string) (file string, err error) {
	if err := c.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return "", err
		}
		return "", fmt.Errorf("%v: %w", err, errUsage)
	}
	switch c.NArg() {
	case 0:
		return "-", nil
	case 1:
		return c.Arg(0), nil
	}
	return "", usage("more than one file: %q", c.Args())
}
