package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// command is what the arguments ask for.
type command struct {
	stderr      io.Writer
	in, out     string
	inPassword  password
	outPassword password
	options     keystore.Options
	format      trustkeep.Format
	profile     trustkeep.Profile
	aliases     []string
	drop        []string
	force       bool
	noPassword  bool // asked for by name
}

var errUsage = errors.New("wrong usage")

// password is one that is given in one of three ways, and nil if in none.
type password struct{ source trustkeep.PasswordSource }

// flags defines -NAME, -NAME-env and -NAME-file.
func (p *password) flags(f *flag.FlagSet, name, what string) {
	set := func(source func(string) trustkeep.PasswordSource) func(string) error {
		return func(value string) error {
			if p.source != nil {
				return errors.New("more than one " + what)
			}
			p.source = source(value)
			return nil
		}
	}
	f.Func(name, what+"; visible to other users of the machine", set(trustkeep.Password))
	f.Func(name+"-env", "environment variable that holds the "+what, set(trustkeep.PasswordFromEnv))
	f.Func(name+"-file", "file that holds the "+what+" in its first line", set(trustkeep.PasswordFromFile))
}

// outFormats are what -out-format takes, with the extensions that stand for them.
var outFormats = []struct {
	name       string
	format     trustkeep.Format
	extensions []string
}{
	{"pkcs12", trustkeep.PKCS12, []string{".p12", ".pfx"}},
	{"jks", trustkeep.JKS, []string{".jks"}},
	{"pem", trustkeep.PEM, []string{".pem", ".crt", ".key"}},
	{"p7b", trustkeep.PKCS7, []string{".p7b", ".p7c"}},
	{"der", trustkeep.DER, []string{".der", ".cer"}},
	{"jceks", trustkeep.JCEKS, []string{".jceks"}},
	{"bks", trustkeep.BKS, []string{".bks"}},
	{"bcfks", trustkeep.BCFKS, []string{".bcfks", ".bcf"}},
	{"uber", trustkeep.UBER, []string{".ubr", ".uber"}},
}

// formatOf finds the format of the result: named, else by the extension.
func formatOf(name, path string) (trustkeep.Format, error) {
	var names []string
	for _, f := range outFormats {
		names = append(names, f.name)
		if f.name == name || name == "" && slices.Contains(f.extensions, strings.ToLower(filepath.Ext(path))) {
			return f.format, nil
		}
	}
	if name == "" {
		return "", fmt.Errorf("-out-format is missing, and the name of the file tells none of %s", strings.Join(names, ", "))
	}
	return "", fmt.Errorf("-out-format %q is none of %s", name, strings.Join(names, ", "))
}

func parse(args []string, stderr io.Writer) (*command, error) {
	c := &command{stderr: stderr, options: keystore.Options{AllowUnauthenticated: true, KeyPasswords: map[string]trustkeep.PasswordSource{}}}
	f := flag.NewFlagSet("convert", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are returned
	f.Usage = func() {}
	var format, profile string
	f.StringVar(&c.in, "in", "", "file to read")
	f.StringVar(&c.out, "out", "", "file to write")
	f.StringVar(&format, "out-format", "", "pkcs12, jks, pem, p7b, der, or jceks, bks, bcfks, uber; by default what the extension of -out says")
	f.StringVar(&profile, "profile", "", fmt.Sprintf("algorithms of PKCS#12, by who is to read it: one of %v", trustkeep.Profiles()))
	c.inPassword.flags(f, "in-password", "password of the file to read")
	c.outPassword.flags(f, "out-password", "password of the file to write")
	f.BoolVar(&c.noPassword, "no-out-password", false, "write without a password: trust stores, and PEM with its keys in the clear")
	f.Func("key-password", "ALIAS=P: password of one key to read, where it differs; can be repeated", func(value string) error {
		alias, p, ok := strings.Cut(value, "=")
		if !ok {
			return errors.New("want ALIAS=PASSWORD")
		}
		c.options.KeyPasswords[alias] = trustkeep.Password(p)
		return nil
	})
	f.Func("alias", "entry to convert; can be repeated; by default all", func(value string) error {
		c.aliases = append(c.aliases, value)
		return nil
	})
	f.Func("drop", "what may be lost, separated by commas: keys, secrets, crls, opaque, chain, or the alias of an entry; can be repeated", func(value string) error {
		c.drop = append(c.drop, value)
		c.drop = append(c.drop, strings.Split(value, ",")...)
		return nil
	})
	f.BoolVar(&c.force, "force", false, "replace a file that exists")
	err := f.Parse(args)
	switch {
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case c.in == "":
		err = errors.New("-in is missing")
	case c.out == "":
		err = errors.New("-out is missing")
	default:
		c.profile = trustkeep.Profile(profile)
		c.format, err = formatOf(format, c.out)
	}
	switch {
	case err != nil:
	case profile != "" && !slices.Contains(trustkeep.Profiles(), c.profile):
		err = fmt.Errorf("-profile %q is none of %v", profile, trustkeep.Profiles())
	case c.profile == trustkeep.Passwordless || c.format == trustkeep.PKCS7 || c.format == trustkeep.DER:
		c.outPassword.source = nil // there is none to have
	case c.outPassword.source != nil && c.noPassword:
		err = errors.New("-out-password and -no-out-password")
	case c.outPassword.source == nil && !c.noPassword && c.format != trustkeep.PEM: // of PEM it depends
		err = errors.New("-out-password is missing (or -no-out-password, for trust stores and PEM with keys in the clear)")
	}
	if err != nil {
		fmt.Fprintln(stderr, "usage: convert -in F -in-password P [-out-format FORMAT] [-profile NAME] -out F2 -out-password P2 [-alias A]... [-drop WHAT]... [-force]")
		f.SetOutput(stderr)
		f.PrintDefaults()
		return nil, err
	}
	return c, nil
}
