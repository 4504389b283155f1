package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp"
)

func generate(c *command, args []string) error {
	var uids list
	c.Var(&uids, "uid", `user ID such as "Name <address>"; can be repeated`)
	profile := c.String("profile", string(pgp.PresetGnuPG22), fmt.Sprint("one of ", pgp.Presets()))
	expires := c.String("expires", "3y", "when the key ends: 2y, 90d, 2030-12-31, never")
	signing := c.Bool("signing-subkey", false, "sign with a subkey instead of the primary key")
	passphrase := c.secret("passphrase", "passphrase of the new key")
	out := c.String("out", "-", "file for the private key")
	pub := c.String("pub", "", "file for the public key")
	revocation := c.String("revocation", "", "file for the revocation certificate")
	if _, err := c.parse(args); err != nil {
		return err
	}
	end, err := when(*expires)
	if err != nil {
		return err
	}
	if len(uids) == 0 {
		return usage("-uid is missing")
	}
	if passphrase.source() == nil {
		return usage("-passphrase is missing")
	}
	key, certificate, err := pgp.Generate(pgp.GenerateOptions{
		UserIDs: uids, Preset: pgp.Preset(*profile), Expires: end, SigningSubkey: *signing, Passphrase: passphrase.source(),
	})
	if err != nil {
		return err
	}
	if *revocation != "" {
		if err := c.writeFile(*revocation, certificate, 0o600); err != nil {
			return err
		}
	}
	if err := c.writeKey(key, *out, *pub); err != nil {
		return err
	}
	fmt.Fprintln(c.stderr, key)
	return nil
}

// writeKey writes a private key and, if a file is named, its public part.
func (c *command) writeKey(key *pgp.Key, out, pub string) error {
	if pub != "" {
		data, err := key.Armor()
		if err != nil {
			return err
		}
		if err := c.writeFile(pub, data, 0o644); err != nil {
			return err
		}
	}
	data, mode := []byte(nil), os.FileMode(0o644)
	var err error
	if key.IsPrivate() {
		mode = 0o600
		data, err = key.ArmorPrivate()
	} else {
		data, err = key.Armor()
	}
	if err != nil {
		return err
	}
	return c.writeFile(out, data, mode)
}

// The shape of inspect -json.
type (
	keyJSON struct {
		Fingerprint string       `json:"fingerprint"`
		Version     int          `json:"version"`
		UIDs        []string     `json:"uids"`
		Secret      bool         `json:"secret"`
		Expired     bool         `json:"expired"`
		Revoked     bool         `json:"revoked"`
		Subkeys     []subkeyJSON `json:"subkeys"`
	}
	subkeyJSON struct {
		Fingerprint string `json:"fingerprint"`
		Usage       string `json:"usage"`
		Expired     bool   `json:"expired"`
		Revoked     bool   `json:"revoked"`
	}
	skippedJSON struct {
		Offset int64  `json:"offset"`
		Error  string `json:"error"`
	}
	inspectJSON struct {
		Keys    []keyJSON     `json:"keys"`
		Skipped []skippedJSON `json:"skipped"`
	}
)

func inspect(c *command, args []string) error {
	asJSON := c.Bool("json", false, "print JSON")
	file, err := c.parse(args)
	if err != nil {
		return err
	}
	in, err := c.open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	ring, refused := pgp.Read(in)
	skipped := []pgp.Skipped(nil)
	var unreadable *pgp.UnreadableError
	switch {
	case refused == nil:
		skipped = ring.Skipped()
	case errors.As(refused, &unreadable):
		ring, skipped = new(pgp.Keyring), unreadable.Skipped
	default:
		ring = new(pgp.Keyring)
	}
	out := inspectJSON{Keys: []keyJSON{}, Skipped: []skippedJSON{}}
	for k := range ring.All() {
		// As GnuPG shows it: with whatever self-signature there is.
		info := k.Info(pgp.Options{Allow: pgp.Legacy})
		if !*asJSON {
			c.print(info)
		}
		key := keyJSON{
			Fingerprint: info.Fingerprint, Version: info.Version, UIDs: []string{}, Secret: k.IsPrivate(),
			Expired: info.Expired, Revoked: info.Revoked, Subkeys: []subkeyJSON{},
		}
		for _, u := range info.UserIDs {
			key.UIDs = append(key.UIDs, u.ID)
		}
		for _, s := range info.Subkeys {
			key.Subkeys = append(key.Subkeys, subkeyJSON{s.Fingerprint, s.Usage.String(), s.Expired, s.Revoked})
		}
		out.Keys = append(out.Keys, key)
	}
	for _, s := range skipped {
		out.Skipped = append(out.Skipped, skippedJSON{s.Offset, s.Err.Error()})
		if !*asJSON {
			fmt.Fprintf(c.stdout, "skipped at %d: %v\n", s.Offset, s.Err)
		}
	}
	if *asJSON {
		if err := json.NewEncoder(c.stdout).Encode(out); err != nil {
			return err
		}
	}
	return refused
}

func (c *command) print(info pgp.Info) {
	state := func(expired, revoked bool, problem error) string {
		switch {
		case revoked:
			return " revoked"
		case expired:
			return " expired"
		case problem != nil:
			return " unusable: " + problem.Error()
		}
		return ""
	}
	end := "never expires"
	if !info.Expires.IsZero() {
		end = "expires " + info.Expires.Format("2006-01-02")
	}
	fmt.Fprintf(c.stdout, "%s %s [%s] %s, secret %s%s\n", info.Fingerprint, info.Algorithm, strings.ToUpper(info.Usage.String()), end,
		info.Secret, state(info.Expired, info.Revoked, info.Problem))
	for _, u := range info.UserIDs {
		fmt.Fprintf(c.stdout, "  uid %s%s\n", trustkeep.Printable(u.ID), state(false, u.Revoked, nil))
	}
	for _, s := range info.Subkeys {
		fmt.Fprintf(c.stdout, "  sub %s %s [%s]%s\n", s.Fingerprint, s.Algorithm, strings.ToUpper(s.Usage.String()), state(s.Expired, s.Revoked, s.Problem))
	}
	for _, f := range info.Findings {
		fmt.Fprintf(c.stdout, "  note: %s\n", f)
	}
}

func extend(c *command, args []string) error {
	file := c.String("key", "", "file of the private key")
	passphrase := c.secret("passphrase", "passphrase of the key")
	expires := c.String("expires", "", "when the key ends: 2y, 90d, 2030-12-31, never")
	subkey := c.String("subkey", "", "fingerprint of the one subkey to change")
	out := c.String("out", "-", "file for the changed private key")
	pub := c.String("pub", "", "file for the public key")
	if rest, err := c.parse(args); err != nil {
		return err
	} else if rest != "-" && *file == "" {
		*file = rest
	}
	if *file == "" || *expires == "" {
		return usage("-key or -expires is missing")
	}
	end, err := when(*expires)
	if err != nil {
		return err
	}
	key, err := oneKey(*file, passphrase.source())
	if err != nil {
		return err
	}
	if *subkey != "" {
		key, err = key.SetSubkeyExpiry(*subkey, end, pgp.Options{})
	} else {
		key, err = key.SetExpiry(end, pgp.Options{})
	}
	if err != nil {
		return err
	}
	return c.writeKey(key, *out, *pub)
}

func revoke(c *command, args []string) error {
	file := c.String("key", "", "file of the key")
	passphrase := c.secret("passphrase", "passphrase of the key")
	certificate := c.String("certificate", "", "revocation certificate to apply; the key may be public then")
	subkey := c.String("subkey", "", "fingerprint of the one subkey to revoke")
	uid := c.String("uid", "", "the one user ID to revoke")
	reason := c.String("reason", "none", "none, superseded, compromised or retired")
	text := c.String("text", "", "explanation for people")
	out := c.String("out", "-", "file for the revoked key")
	pub := c.String("pub", "", "file for the public key")
	if rest, err := c.parse(args); err != nil {
		return err
	} else if rest != "-" && *file == "" {
		*file = rest
	}
	if *file == "" {
		return usage("-key is missing")
	}
	why, ok := map[string]pgp.RevocationReason{
		"none": pgp.ReasonNone, "superseded": pgp.ReasonSuperseded, "compromised": pgp.ReasonCompromised, "retired": pgp.ReasonRetired,
	}[*reason]
	if !ok {
		return usage("reason %q", *reason)
	}
	if *certificate != "" {
		found, err := keys([]string{*file})
		if err != nil {
			return err
		}
		data, err := os.ReadFile(*certificate)
		if err != nil {
			return err
		}
		key, err := found[0].ApplyRevocation(data)
		if err != nil {
			return err
		}
		return c.writeKey(key, *out, *pub)
	}
	key, err := oneKey(*file, passphrase.source())
	if err != nil {
		return err
	}
	switch {
	case *subkey != "":
		key, err = key.RevokeSubkey(*subkey, why, *text, pgp.Options{})
	case *uid != "":
		key, err = key.RevokeUserID(*uid, *text, pgp.Options{})
	default:
		key, err = key.Revoke(why, *text, pgp.Options{})
	}
	if err != nil {
		return err
	}
	return c.writeKey(key, *out, *pub)
}
