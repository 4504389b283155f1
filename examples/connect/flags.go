package main

import (
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep/extract"
	"github.com/trustkeep/trustkeep/truststore"
)

// file is one with the password that follows it.
type file struct {
	path     string
	password *string // nil: none was given
}

// command is what the arguments ask for.
type command struct {
	addr, serverName string
	trust            []file
	trustedCerts     []string
	pins             []string
	identity         file
	alias            string
	allow            []truststore.Relaxation
	startTLS         extract.Protocol
	version          uint16 // zero: any
	repeat           int
	timeout          time.Duration
	json             bool
}

func parse(args []string, stderr io.Writer) (*command, error) {
	c := new(command)
	f := flag.NewFlagSet("connect", flag.ContinueOnError)
	f.SetOutput(io.Discard) // errors are returned
	f.Usage = func() {}
	f.StringVar(&c.addr, "addr", "", "HOST:PORT to connect to")
	f.StringVar(&c.serverName, "servername", "", "name of the server, if it is not that of the address")
	f.Func("trust", "trust store that is deployed for all connections; can be repeated", func(v string) error {
		c.trust = append(c.trust, file{path: v})
		return nil
	})
	f.Func("trust-password", "password of the -trust before it", func(v string) error {
		if len(c.trust) == 0 {
			return errors.New("before any -trust")
		}
		c.trust[len(c.trust)-1].password = &v
		return nil
	})
	f.Func("trusted-cert", "file of certificates that this connection trusts, in the place of -trust; can be repeated", func(v string) error {
		c.trustedCerts = append(c.trustedCerts, v)
		return nil
	})
	f.Func("pin", "file of the certificate that the server must have, or sha256:HEX of it, or sha256/BASE64 of its key; can be repeated", func(v string) error {
		c.pins = append(c.pins, v)
		return nil
	})
	f.StringVar(&c.identity.path, "identity", "", "key store with the identity to present")
	f.Func("identity-password", "password of -identity", func(v string) error {
		c.identity.password = &v
		return nil
	})
	f.StringVar(&c.alias, "alias", "", "alias of the identity; by default the only one")
	f.Func("allow", "what to accept of an exactly trusted certificate: expired, common-name, any-name, separated by commas", func(v string) error {
		for r := range strings.SplitSeq(v, ",") {
			if !slices.Contains(truststore.Relaxations(), truststore.Relaxation(r)) {
				return fmt.Errorf("%q is none of %v", r, truststore.Relaxations())
			}
			c.allow = append(c.allow, truststore.Relaxation(r))
		}
		return nil
	})
	f.Func("starttls", "protocol to speak before TLS: ftp, smtp, imap or ldap", func(v string) error {
		c.startTLS = extract.Protocol(v)
		if !slices.Contains([]extract.Protocol{extract.FTP, extract.SMTP, extract.IMAP, extract.LDAP}, c.startTLS) {
			return errors.New("not one of ftp, smtp, imap and ldap")
		}
		return nil
	})
	f.Func("tls", "version: 1.2 or 1.3; by default the best in common", func(v string) error {
		switch v {
		case "1.2":
			c.version = tls.VersionTLS12
		case "1.3":
			c.version = tls.VersionTLS13
		default:
			return errors.New("neither 1.2 nor 1.3")
		}
		return nil
	})
	f.IntVar(&c.repeat, "repeat", 1, "how many connections to make, one after the other")
	f.DurationVar(&c.timeout, "timeout", 30*time.Second, "of each connection")
	f.BoolVar(&c.json, "json", false, "print the result as JSON")
	err := f.Parse(args)
	switch {
	case err != nil:
	case f.NArg() > 0:
		err = fmt.Errorf("unexpected argument %q", f.Arg(0))
	case c.addr == "":
		err = errors.New("-addr is missing")
	case c.repeat < 1:
		err = errors.New("-repeat must be at least 1")
	case c.identity.path == "" && (c.alias != "" || c.identity.password != nil):
		err = errors.New("-alias and -identity-password without -identity")
	default:
		_, _, err = net.SplitHostPort(c.addr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "usage: connect -addr HOST:PORT [flags]")
		f.SetOutput(stderr)
		f.PrintDefaults()
		return nil, err
	}
	return c, nil
}
