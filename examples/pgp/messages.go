package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/storefile"
	"github.com/trustkeep/trustkeep/pgp"
)

// verdict is what decrypt and verify print with -json.
type verdict struct {
	OK         bool               `json:"ok"`
	Encrypted  bool               `json:"encrypted"`
	Signature  pgp.SignatureState `json:"signature"`
	Signers    []string           `json:"signers"`    // fingerprints of those whose signature is valid
	Recipients []string           `json:"recipients"` // key IDs
	FileName   string             `json:"fileName"`   // the sender's hint, made harmless
	Text       bool               `json:"text"`
	Error      string             `json:"error"`
}

// report prints the verdict and returns the error. Without a result, the
// signature is what the caller says.
func report(w io.Writer, asJSON bool, res *pgp.Result, signature pgp.SignatureState, err error) error {
	if !asJSON || errors.Is(err, errUsage) {
		return err
	}
	v := verdict{OK: err == nil, Signature: signature, Signers: []string{}, Recipients: []string{}}
	if res != nil {
		v.Encrypted = res.Encrypted
		if res.Signature != pgp.SignatureUnverified { // else the message was not opened
			v.Signature = res.Signature
		}
		v.Recipients = append(v.Recipients, res.Recipients...)
		v.FileName, v.Text = res.SafeFileName(""), res.Text
		for _, k := range res.SignedBy() {
			v.Signers = append(v.Signers, k.Fingerprint())
		}
	}
	if err != nil {
		v.Error = err.Error()
	}
	if jerr := json.NewEncoder(w).Encode(v); jerr != nil {
		return errors.Join(err, jerr)
	}
	return err
}

func decrypt(c *command, args []string) error {
	var keyFiles, signers, passwords list
	c.Var(&keyFiles, "key", "file of private keys; can be repeated")
	passphrase := c.secret("passphrase", "passphrase of the keys")
	c.Var(&passwords, "password", "password of the message; can be repeated")
	c.Var(&signers, "verify", "file of keys of the expected signers; can be repeated")
	policyName := c.String("policy", "strict", "strict or legacy")
	var sessionKeys list
	c.Var(&sessionKeys, "session-key", "session key of the message, as -show-session-key and gpg print it; can be repeated")
	showKey := c.Bool("show-session-key", false, "print the session key, which opens this one message, and nothing else")
	demands := c.demanded()
	asJSON := c.Bool("json", false, "print the verdict as JSON, on standard error if the content goes to standard output")
	out := c.String("out", "-", "file for the content")
	file, err := c.parse(args)
	if err != nil {
		return err
	}
	allow, err := relaxations(*policyName)
	if err != nil {
		return err
	}
	if len(keyFiles)+len(passwords)+len(sessionKeys) == 0 {
		return usage("-key, -password or -session-key is missing")
	}
	also, notations, err := demands.lists()
	if err != nil {
		return err
	}
	printTo := c.stdout
	if *out == "-" {
		printTo = c.stderr
	}
	var res *pgp.Result
	err = func() error {
		d := pgp.Decryption{Options: pgp.Options{Allow: allow}, Passphrase: passphrase.source()}
		var err error
		if d.Keys, err = keys(keyFiles); err != nil {
			return err
		}
		if len(signers) > 0 {
			d.MustBeSigned = true
			if d.Signers, err = keys(signers); err != nil {
				return err
			}
			// A message that was never encrypted is accepted if it is signed by
			// whom it should be.
			d.AllowUnencrypted = true
		}
		d.AlsoSignedBy, d.Notations, d.MaxAge = also, notations, *demands.maxAge
		for _, k := range sessionKeys {
			d.SessionKeys = append(d.SessionKeys, trustkeep.Password(k))
		}
		for _, pw := range passwords {
			d.Passwords = append(d.Passwords, trustkeep.Password(pw))
		}
		in, err := c.open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		if *showKey {
			return printSessionKey(c.stdout, d, in)
		}
		return c.produce(*out, func(path string) error {
			res, err = d.DecryptFile(path, in)
			return err
		})
	}()
	return report(printTo, *asJSON, res, pgp.SignatureNone, err)
}

// printSessionKey reveals the session key: it is what the caller asked for.
func printSessionKey(w io.Writer, d pgp.Decryption, in io.Reader) error {
	source, err := d.SessionKey(in)
	if err != nil {
		return err
	}
	text, err := source.Reveal()
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", text)
	return err
}

func verify(c *command, args []string) error {
	var signers list
	demands := c.demanded()
	c.Var(&signers, "verify", "file of keys of the expected signers; can be repeated")
	signature := c.String("signature", "", "file of a detached signature")
	policyName := c.String("policy", "strict", "strict or legacy")
	asJSON := c.Bool("json", false, "print the verdict as JSON")
	out := c.String("out", "", "file for the content of a message that is not detached")
	file, err := c.parse(args)
	if err != nil {
		return err
	}
	allow, err := relaxations(*policyName)
	if err != nil {
		return err
	}
	if len(signers) == 0 {
		return usage("-verify is missing")
	}
	also, notations, err := demands.lists()
	if err != nil {
		return err
	}
	if *out != "" && *signature != "" {
		return usage("-out with a detached signature")
	}
	printTo := c.stdout
	if *out == "-" {
		printTo = c.stderr
	}
	var res *pgp.Result
	state := pgp.SignatureNone // before anything has been read
	err = func() error {
		v := pgp.Verification{Options: pgp.Options{Allow: allow}, AlsoSignedBy: also, Notations: notations, MaxAge: *demands.maxAge}
		var err error
		if v.Signers, err = keys(signers); err != nil {
			return err
		}
		in, err := c.open(file)
		if err != nil {
			return err
		}
		defer in.Close()
		state = pgp.SignatureInvalid // what cannot be read to its end does not hold
		if *signature != "" {
			sig, err := os.Open(*signature)
			if err != nil {
				return err
			}
			defer sig.Close()
			res, err = v.Detached(in, sig)
			return err
		}
		if *out == "" {
			// Nobody wants the content, but it may be long.
			dir, err := os.MkdirTemp("", "pgp")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			res, err = v.MessageFile(dir+"/out", in)
			return err
		}
		return c.produce(*out, func(path string) error {
			res, err = v.MessageFile(path, in)
			return err
		})
	}()
	return report(printTo, *asJSON, res, state, err)
}

func encrypt(c *command, args []string) error {
	var to, hidden, signers, passwords list
	c.Var(&to, "to", "file of keys of recipients; can be repeated")
	c.Var(&hidden, "to-hidden", "file of keys of recipients that the message does not name; can be repeated")
	c.Var(&passwords, "password", "password that opens the message; can be repeated")
	c.Var(&signers, "sign", "file of the private key to sign with; can be repeated")
	passphrase := c.secret("passphrase", "passphrase of the signing keys")
	armor := c.Bool("armor", false, "write text")
	compress := c.String("compress", "none", "none, zip or zlib")
	policyName := c.String("policy", "strict", "strict or legacy")
	partner := c.forPartner()
	out := c.String("out", "-", "file for the message")
	file, err := c.parse(args)
	if err != nil {
		return err
	}
	allow, err := relaxations(*policyName)
	if err != nil {
		return err
	}
	compression, ok := map[string]pgp.Compression{"none": pgp.NoCompression, "zip": pgp.ZIP, "zlib": pgp.ZLIB}[*compress]
	if !ok {
		return usage("compression %q", *compress)
	}
	if len(to)+len(hidden)+len(passwords) == 0 {
		return usage("-to or -password is missing")
	}
	e := pgp.Encryption{Options: pgp.Options{Allow: allow}, Armor: *armor, Compression: compression}
	if err := partner.apply(&e); err != nil {
		return err
	}
	if e.To, err = keys(to); err != nil {
		return err
	}
	if e.ToHidden, err = keys(hidden); err != nil {
		return err
	}
	if e.Signers, err = unlocked(signers, passphrase.source()); err != nil {
		return err
	}
	for _, pw := range passwords {
		e.Passwords = append(e.Passwords, trustkeep.Password(pw))
	}
	in, err := c.open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	if *out == "-" {
		return e.Encrypt(c.stdout, in)
	}
	return e.EncryptFile(*out, in)
}

func sign(c *command, args []string) error {
	var keyFiles list
	c.Var(&keyFiles, "key", "file of the private key; can be repeated")
	passphrase := c.secret("passphrase", "passphrase of the keys")
	detach := c.Bool("detach", false, "write the signature alone")
	clear := c.Bool("clear", false, "write readable text with the signature below")
	armor := c.Bool("armor", false, "write text")
	policyName := c.String("policy", "strict", "strict or legacy")
	how := c.made()
	out := c.String("out", "-", "file for the signature or the signed message")
	file, err := c.parse(args)
	if err != nil {
		return err
	}
	allow, err := relaxations(*policyName)
	if err != nil {
		return err
	}
	if len(keyFiles) == 0 || *detach && *clear {
		return usage("-key is missing, or both -detach and -clear are there")
	}
	s := pgp.Signing{Options: pgp.Options{Allow: allow}, Armor: *armor, Text: *how.text, Lifetime: *how.lifetime}
	if s.Hash, s.Notations, err = how.signature(); err != nil {
		return err
	}
	if s.Signers, err = unlocked(keyFiles, passphrase.source()); err != nil {
		return err
	}
	in, err := c.open(file)
	if err != nil {
		return err
	}
	defer in.Close()
	write := s.Sign
	switch {
	case *detach:
		write = s.Detached
	case *clear:
		write = s.Cleartext
	}
	if *out == "-" {
		return write(c.stdout, in)
	}
	return storefile.Stream(*out, storefile.Options{Mode: 0o644}, func(w io.Writer) error { return write(w, in) })
}
