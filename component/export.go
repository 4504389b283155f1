package component

import (
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// ExportPublic returns the public part as a file and a name for it. Partners need it to trust
// the component and to encrypt to it; it never contains a private key. The suffix selects the
// form: one of package keystore for X.509, of package pgp for PGP. If empty,
// keystore.SuffixCER or pgp.PublicSuffix. The error wraps ErrUnsupported for another suffix.
func (c *Component) ExportPublic(suffix string) (fileName string, data []byte, err error) {
	f, err := c.content.ExportPublic(suffix)
	if err != nil {
		return "", nil, failure("export", c.name, err)
	}
	return content.FileName(c.name) + f.Suffix, f.Data, nil
}

// ExportOptions configures the export of a private key.
type ExportOptions struct {
	// Suffix selects the form: keystore.SuffixP12 or SuffixPFX for X.509, pgp.PrivateSuffix
	// for PGP. If empty, keystore.SuffixP12 or pgp.PrivateSuffix.
	Suffix string
	// Profile of an X.509 file, by the programs that will read it. If empty, trustkeep.Modern.
	// Ignored for PGP.
	Profile trustkeep.Profile
	// Rand supplies salts. If nil, crypto/rand.
	Rand io.Reader
}

// ExportPrivate returns the private key, with certificate and chain, as a file under another
// password, and a name for the file. current is the component's own password.
//
// Errors wrap ErrUnsupported for a public component or another suffix, ErrInvalid without a
// password, or ErrIncorrectPassword.
func (c *Component) ExportPrivate(current, password trustkeep.PasswordSource, o ExportOptions) (fileName string, data []byte, err error) {
	of, forget := Options{Password: current, NewPassword: password, Rand: o.Rand}.of(c.name)
	defer forget()
	f, err := c.content.ExportPrivate(content.ExportOptions{Suffix: o.Suffix, Profile: o.Profile}, of)
	if err != nil {
		return "", nil, failure("export", c.name, err)
	}
	return content.FileName(c.name) + f.Suffix, f.Data, nil
}
