package component

import (
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// ExportPublic returns the public part in the form that a suffix stands for, and a name for
// the file: the suffixes of package keystore for X.509, those of pgp for PGP. Empty is
// keystore.SuffixCER or pgp.PublicSuffix. It is what partners need to trust the component
// and to encrypt to it; no private key is ever in it. The error wraps ErrUnsupported for
// another suffix.
func (c *Component) ExportPublic(suffix string) (fileName string, data []byte, err error) {
	f, err := c.content.ExportPublic(suffix)
	if err != nil {
		return "", nil, failure("export", c.name, err)
	}
	return content.FileName(c.name) + f.Suffix, f.Data, nil
}

// ExportOptions configures the export of a private key.
type ExportOptions struct {
	// Suffix stands for the form: keystore.SuffixP12 or SuffixPFX for X.509,
	// pgp.PrivateSuffix for PGP. Empty is keystore.SuffixP12 or pgp.PrivateSuffix.
	Suffix string
	// Profile says which programs are to read an X.509 file; empty is
	// trustkeep.Modern. PGP does not use it.
	Profile trustkeep.Profile
	// Rand supplies salts; nil is crypto/rand.
	Rand io.Reader
}

// ExportPrivate returns the private key, with certificate and chain, under a password of the
// caller's choice, and a name for the file. current is the component's own password.
//
// The error wraps ErrUnsupported for a public component or another suffix, ErrInvalid when
// no password is given, ErrIncorrectPassword.
func (c *Component) ExportPrivate(current, password trustkeep.PasswordSource, o ExportOptions) (fileName string, data []byte, err error) {
	of, forget := Options{Password: current, NewPassword: password, Rand: o.Rand}.of(c.name)
	defer forget()
	f, err := c.content.ExportPrivate(content.ExportOptions{Suffix: o.Suffix, Profile: o.Profile}, of)
	if err != nil {
		return "", nil, failure("export", c.name, err)
	}
	return content.FileName(c.name) + f.Suffix, f.Data, nil
}
