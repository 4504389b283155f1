package main

import (
	"context"
	"crypto"
	_ "crypto/sha256"
	_ "crypto/sha512"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp"
)

// made are the flags about signatures to be made.
type made struct {
	text              *bool
	hash, context     *string
	lifetime          *time.Duration
	notations         list
	cipher            *string
	ignore, aead, all *bool
}

func (c *command) made() *made {
	m := &made{
		text:     c.Bool("text", false, "treat the content as text: line endings may change on the way"),
		hash:     c.String("hash", "", "sha256, sha384 or sha512; by default what the key takes"),
		context:  c.String("context", "", "what the signatures are for; verifiers have to expect it"),
		lifetime: c.Duration("lifetime", 0, "how long the signatures count"),
	}
	c.Var(&m.notations, "notation", "name@domain=value in the signatures; can be repeated")
	return m
}

// forPartner adds the flags of encrypt alone.
func (c *command) forPartner() *made {
	m := c.made()
	m.cipher = c.String("cipher", "", "aes128, aes192 or aes256; by default what the recipients prefer")
	m.ignore = c.Bool("ignore-preferences", false, "use -cipher, -compress and -aead whatever the recipients' keys state")
	m.aead = c.Bool("aead", false, "the encryption of RFC 9580, for messages to passwords alone or with -ignore-preferences")
	m.all = c.Bool("all-subkeys", false, "encrypt to every subkey of the recipients that encrypts")
	return m
}

func (m *made) signature() (hash crypto.Hash, notations []pgp.Notation, err error) {
	hash, ok := map[string]crypto.Hash{"": 0, "sha256": crypto.SHA256, "sha384": crypto.SHA384, "sha512": crypto.SHA512}[*m.hash]
	if !ok {
		return 0, nil, usage("hash %q", *m.hash)
	}
	notations, err = parseNotations(m.notations, *m.context)
	return hash, notations, err
}

func parseNotations(pairs []string, context string) (out []pgp.Notation, err error) {
	for _, pair := range pairs {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			return nil, usage("notation %q", pair)
		}
		out = append(out, pgp.Notation{Name: name, Value: value})
	}
	if context != "" {
		out = append(out, pgp.SigningContext(context))
	}
	return out, nil
}

// apply sets what encrypt is asked for.
func (m *made) apply(e *pgp.Encryption) error {
	var ok bool
	e.Cipher, ok = map[string]pgp.Cipher{"": 0, "aes128": pgp.AES128, "aes192": pgp.AES192, "aes256": pgp.AES256}[*m.cipher]
	if !ok {
		return usage("cipher %q", *m.cipher)
	}
	e.IgnorePreferences, e.AEAD, e.AllSubkeys, e.Text, e.Lifetime = *m.ignore, *m.aead, *m.all, *m.text, *m.lifetime
	var err error
	e.Hash, e.Notations, err = m.signature()
	return err
}

// demanded are the flags about signatures to be verified.
type demanded struct {
	also, notations list
	context         *string
	maxAge          *time.Duration
}

func (c *command) demanded() *demanded {
	d := &demanded{
		context: c.String("context", "", "what the signatures must be for"),
		maxAge:  c.Duration("max-age", 0, "how old the signatures may be"),
	}
	c.Var(&d.also, "also", "file of keys of which one must have signed as well; can be repeated")
	c.Var(&d.notations, "notation", "name@domain=value that must be in the signatures; can be repeated")
	return d
}

func (d *demanded) lists() (also [][]*pgp.Key, notations []pgp.Notation, err error) {
	for _, f := range d.also {
		found, err := keys([]string{f})
		if err != nil {
			return nil, nil, err
		}
		also = append(also, found)
	}
	notations, err = parseNotations(d.notations, *d.context)
	return also, notations, err
}

// lookup gets the keys of an address from the Web Key Directory of its domain.
func lookup(c *command, args []string) error {
	out := c.String("out", "-", "file for the keys")
	address, err := c.parse(args)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	ring, err := pgp.Options{}.LookupWKD(ctx, address, fetch)
	if err != nil {
		return err
	}
	data, err := ring.Armor()
	if err != nil {
		return err
	}
	for k := range ring.All() {
		fmt.Fprintln(c.stderr, k)
	}
	return c.writeFile(*out, data, 0o644)
}

// fetch gets a page and follows no redirect: the directory of a domain is on its hosts.
func fetch(ctx context.Context, url string) ([]byte, error) {
	const most = 1 << 20
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	res, err := client.Do(req)
	if missing := (*net.DNSError)(nil); errors.As(err, &missing) && missing.IsNotFound {
		return nil, fmt.Errorf("%w: %w", err, trustkeep.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	switch res.StatusCode {
	case http.StatusOK:
		return io.ReadAll(io.LimitReader(res.Body, most))
	case http.StatusNotFound:
		return nil, fmt.Errorf("%s: %w", res.Status, trustkeep.ErrNotFound)
	}
	return nil, errors.New(res.Status)
}
