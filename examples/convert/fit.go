package main

import (
	"errors"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// Names of what can be dropped.
const (
	keys    = "keys"
	secrets = "secrets"
	crls    = "crls"
	opaque  = "opaque"
	chain   = "chain"
)

// carries reports whether entries of a kind can be written in the format.
func (c *command) carries(from trustkeep.Format, e keystore.Entry) (what string, ok bool) {
	switch e.Kind {
	case keystore.KeyEntry:
		// BouncyCastle's formats hold no key without a certificate.
		alone := len(e.RawChain) == 0 && isJava(c.format) && c.format != trustkeep.JKS && c.format != trustkeep.JCEKS
		return keys, c.format != trustkeep.PKCS7 && c.format != trustkeep.DER && !alone
	case keystore.SecretEntry:
		return secrets, c.format == trustkeep.PKCS12 || c.format != trustkeep.JKS && isJava(c.format)
	case keystore.CRLEntry:
		return crls, c.format == trustkeep.PKCS12 || c.format == trustkeep.PEM
	case keystore.OpaqueEntry:
		if len(e.RawChain) > 0 {
			// A certificate that nobody has marked as trusted. Java's
			// formats would make it so.
			return opaque, !isJava(c.format)
		}
		return opaque, c.format == from
	}
	return "", true
}

func isJava(f trustkeep.Format) bool {
	switch f {
	case trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS:
		return true
	}
	return false
}

// fit removes what the format cannot carry and -drop names. What -drop does not
// name is reported, all of it at once.
func (c *command) fit(ks *keystore.Keystore) error {
	from := ks.Format()
	var problems []error
	lost := map[string]int{}
	for _, e := range ks.Entries() {
		what, ok := c.carries(from, e)
		if ok {
			continue
		}
		if c.mayDrop(what, e.Alias) {
			lost[what]++
			continue
		}
		problems = append(problems, fmt.Errorf("%s cannot carry %s %q; -drop %s leaves it out", c.format, describe(e), e.Alias, what))
	}
	if len(problems) > 0 {
		return errors.Join(problems...)
	}
	for what, n := range lost {
		c.note("%d %s left out", n, what)
	}
	if c.format == trustkeep.PKCS7 || c.format == trustkeep.DER {
		return nil // see encode
	}
	for _, e := range ks.Entries() {
		if _, ok := c.carries(from, e); !ok {
			if err := ks.Delete(e.Alias); err != nil {
				return err
			}
		}
	}
	if ks.Len() == 0 {
		return errors.New("nothing is left to write")
	}
	return nil
}

func describe(e keystore.Entry) string {
	switch {
	case e.Kind == keystore.KeyEntry:
		return "the private key"
	case e.Kind == keystore.SecretEntry:
		return "the secret key"
	case e.Kind == keystore.CRLEntry:
		return "the revocation list"
	case len(e.RawChain) > 0:
		return "without trusting it the certificate"
	}
	return "the entry that is not understood,"
}

// mayDrop reports whether -drop names what is lost, or the entry.
func (c *command) mayDrop(what, alias string) bool {
	return slices.Contains(c.drop, what) || slices.Contains(c.drop, alias)
}

// encode writes the store. For the formats of certificates alone, it takes them
// out of their entries.
func (c *command) encode(ks *keystore.Keystore, o trustkeep.SaveOptions) ([]byte, error) {
	switch c.format {
	case trustkeep.PKCS7:
		return c.encodePKCS7(ks)
	case trustkeep.DER:
		return c.encodeDER(ks)
	}
	if o.NoPassword && hasKeys(ks) && (c.format != trustkeep.PEM || !c.noPassword) {
		hint := ""
		if c.format == trustkeep.PEM {
			hint = ", or -no-out-password for keys in the clear"
		}
		return nil, fmt.Errorf("%w: keys need an -out-password%s", errUsage, hint)
	}
	if o.NoPassword && c.format == trustkeep.PKCS12 {
		o.Profile = trustkeep.Passwordless
	}
	return ks.Encode(o)
}

func hasKeys(ks *keystore.Keystore) bool {
	return slices.ContainsFunc(ks.Entries(), func(e keystore.Entry) bool {
		return e.Kind == keystore.KeyEntry || e.Kind == keystore.SecretEntry
	})
}

// encodePKCS7 writes every certificate once.
func (c *command) encodePKCS7(ks *keystore.Keystore) ([]byte, error) {
	if err := unparsed(ks); err != nil {
		return nil, err
	}
	certs := ks.Certificates()
	if len(certs) == 0 {
		return nil, errors.New("no certificate to write")
	}
	return truststore.New(certs...).Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS7, NoPassword: true})
}

// unparsed refuses certificates that would otherwise be lost silently.
func unparsed(ks *keystore.Keystore) error {
	for _, e := range ks.Entries() {
		if len(e.Chain) < len(e.RawChain) {
			return fmt.Errorf("a certificate of %q cannot be parsed: %w", e.Alias, trustkeep.ErrUnsupported)
		}
	}
	return nil
}

// encodeDER writes the certificate of the only entry.
func (c *command) encodeDER(ks *keystore.Keystore) ([]byte, error) {
	var entries []keystore.Entry
	for _, e := range ks.Entries() {
		if len(e.RawChain) > 0 && !slices.Contains(c.drop, e.Alias) {
			entries = append(entries, e)
		}
	}
	if len(entries) != 1 {
		return nil, fmt.Errorf("der holds one certificate, and there are %d entries with certificates; choose one with -alias", len(entries))
	}
	e := entries[0]
	if len(e.RawChain) > 1 && !c.mayDrop(chain, "") {
		return nil, fmt.Errorf("der cannot carry the %d issuers of %q; -drop chain leaves them out", len(e.RawChain)-1, e.Alias)
	}
	return e.RawChain[0], nil
}
