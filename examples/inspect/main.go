// Command inspect shows what is in key stores, trust stores and files of
// certificates and keys, whatever their format: entries, chains, algorithms,
// validity, fingerprints, and what is remarkable about them.
//
//	inspect [-password P | -password-env V | -password-file F] [-key-password ALIAS=P]... [-json] FILE...
//
// It exits with 0 if all files can be read, with 1 if one of them cannot, for the
// reason on standard error, and with 2 for wrong usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

const (
	exitReadable   = 0
	exitUnreadable = 1
	exitUsage      = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is the command with its exit status.
func run(args []string, stdout, stderr io.Writer) int {
	c, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitReadable
	case err != nil:
		fmt.Fprintln(stderr, "inspect:", err)
		return exitUsage
	}
	status := exitReadable
	print := printerFor(stdout, c.json)
	for _, file := range c.files {
		ks, err := c.options.Load(file, c.password)
		if err == nil {
			err = print(describe(file, ks))
			ks.Close()
		}
		if err != nil {
			fmt.Fprintln(stderr, "inspect:", trustkeep.Printable(err.Error()))
			status = exitUnreadable
		}
	}
	return status
}

// command is what the arguments ask for.
type command struct {
	files    []string
	password trustkeep.PasswordSource
	options  keystore.Options
	json     bool
}

func parse(args []string, stderr io.Writer) (*command, error) {
	c := &command{options: keystore.Options{AllowUnauthenticated: true, KeyPasswords: map[string]trustkeep.PasswordSource{}}}
	flags := flag.NewFlagSet("inspect", flag.ContinueOnError)
	flags.SetOutput(io.Discard) // errors are returned
	usage := func() {
		fmt.Fprintln(stderr, "usage: inspect [-password P | -password-env V | -password-file F] [-key-password ALIAS=P]... [-json] FILE...")
		flags.SetOutput(stderr)
		flags.PrintDefaults()
	}
	flags.Usage = func() {}
	// A password that is given as empty is not the same as none.
	set := func(source func(string) trustkeep.PasswordSource) func(string) error {
		return func(value string) error {
			if c.password != nil {
				return errors.New("more than one password")
			}
			c.password = source(value)
			return nil
		}
	}
	flags.Func("password", "password of the store; visible to other users of the machine", set(trustkeep.Password))
	flags.Func("password-env", "environment variable that holds the password", set(trustkeep.PasswordFromEnv))
	flags.Func("password-file", "file that holds the password in its first line", set(trustkeep.PasswordFromFile))
	flags.Func("key-password", "ALIAS=P: password of one key, where it differs; can be repeated", func(value string) error {
		alias, password, ok := cutKeyPassword(value)
		if !ok {
			return errors.New("want ALIAS=PASSWORD")
		}
		c.options.KeyPasswords[alias] = trustkeep.Password(password)
		return nil
	})
	flags.BoolVar(&c.json, "json", false, "print one JSON object per file")
	if err := flags.Parse(args); err != nil {
		usage()
		return nil, err
	}
	if c.files = flags.Args(); len(c.files) == 0 {
		usage()
		return nil, errors.New("no file given")
	}
	return c, nil
}

// cutKeyPassword divides at the first equals sign; an alias that has one itself
// can spell it as two.
func cutKeyPassword(value string) (alias, password string, ok bool) {
	const escaped = "\x00"
	alias, password, ok = strings.Cut(strings.ReplaceAll(value, "==", escaped), "=")
	if !ok {
		return "", "", false
	}
	return strings.ReplaceAll(alias, escaped, "="), strings.ReplaceAll(password, escaped, "=="), true
}
