// Command convert writes a key store, trust store or file of certificates and
// keys in another format.
//
//	convert -in F -in-password P [-out-format pkcs12|jks|pem|p7b|der] [-profile NAME] -out F2 -out-password P2 [-alias A]...
//
// What the target format cannot carry is an error that says so, unless -drop names
// it. A file that exists is not written over without -force, and is replaced as a
// whole or not at all.
//
// It exits with 0 when the file is written, with 1 when it is not, for the reason
// on standard error, and with 2 for wrong usage.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/internal/storefile"
	"github.com/trustkeep/trustkeep/keystore"
)

const (
	exitWritten = 0
	exitRefused = 1
	exitUsage   = 2
)

func main() { os.Exit(run(os.Args[1:], os.Stderr)) }

// run is the command with its exit status. All it has to say goes to stderr.
func run(args []string, stderr io.Writer) int {
	c, err := parse(args, stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
		return exitWritten
	case err != nil:
		fmt.Fprintln(stderr, "convert:", trustkeep.Printable(err.Error()))
		return exitUsage
	}
	if err := c.convert(); err != nil {
		for _, line := range strings.Split(err.Error(), "\n") {
			fmt.Fprintln(stderr, "convert:", trustkeep.Printable(line))
		}
		if errors.Is(err, errUsage) {
			return exitUsage
		}
		return exitRefused
	}
	return exitWritten
}

// convert does what the arguments ask for.
func (c *command) convert() error {
	if !c.force {
		// Looked at first, to fail before the work; see save for the
		// decision.
		if _, err := os.Lstat(c.out); err == nil {
			return errExists(c.out)
		}
	}
	ks, err := c.options.Load(c.in, c.inPassword.source)
	if err != nil {
		return err
	}
	defer ks.Close()
	for _, f := range ks.Findings() {
		c.note("%s: %s", f.Code, f.Text)
	}
	if err := c.choose(ks); err != nil {
		return err
	}
	if err := c.fit(ks); err != nil {
		return err
	}
	if err := c.keyPasswords(ks); err != nil {
		return err
	}
	o := trustkeep.SaveOptions{Format: c.format, Profile: c.profile, Password: c.outPassword.source, NoPassword: c.outPassword.source == nil}
	if err := c.warn(ks, o); err != nil {
		return err
	}
	data, err := c.encode(ks, o)
	if err != nil {
		return err
	}
	return c.save(data)
}

// choose leaves the entries that -alias names, or all.
func (c *command) choose(ks *keystore.Keystore) error {
	if len(c.aliases) == 0 {
		return nil
	}
	wanted := map[string]bool{}
	for _, a := range c.aliases {
		e, err := ks.Entry(a)
		if err != nil {
			return err
		}
		wanted[e.Alias] = true
	}
	for _, a := range ks.Aliases() {
		if !wanted[a] {
			if err := ks.Delete(a); err != nil {
				return err
			}
		}
	}
	return nil
}

// keyPasswords gives every key the password of the file to write.
func (c *command) keyPasswords(ks *keystore.Keystore) error {
	for _, e := range ks.Entries() {
		if e.Kind != keystore.KeyEntry || !e.OwnPassword || c.format == trustkeep.PKCS7 || c.format == trustkeep.DER {
			continue
		}
		if err := ks.ChangeKeyPassword(e.Alias, c.options.KeyPasswords[e.Alias], nil); err != nil {
			return err
		}
		c.note("key %q, which had a password of its own, gets that of the file", e.Alias)
	}
	return nil
}

// warn says which consumers would fail on the result.
func (c *command) warn(ks *keystore.Keystore, o trustkeep.SaveOptions) error {
	if c.format == trustkeep.PKCS7 || c.format == trustkeep.DER {
		return nil
	}
	consumer := c.profile
	if consumer == "" && c.format == trustkeep.JKS {
		consumer = trustkeep.Java17
	}
	if !slices.Contains(audit.Consumers(), consumer) {
		return nil // for nobody in particular
	}
	found, err := audit.CanRead(ks, consumer, o)
	for _, i := range found {
		c.note("%s", i)
	}
	return err
}

func (c *command) note(format string, args ...any) {
	fmt.Fprintln(c.stderr, "convert: note:", trustkeep.Printable(fmt.Sprintf(format, args...)))
}

func errExists(path string) error {
	return &trustkeep.Error{Op: "write", Path: path, Err: fs.ErrExist, Hint: "-force replaces it"}
}

// save puts the whole file in place, or nothing.
func (c *command) save(data []byte) error {
	err := storefile.Write(c.out, data, storefile.Options{New: !c.force, SetMode: true}) // with mode 0600
	if errors.Is(err, fs.ErrExist) {
		return errExists(c.out)
	}
	return err
}
