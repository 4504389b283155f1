package truststore

import (
	"errors"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// The codes of what Findings says. Remarks of a format's reader have codes of their own,
// such as "no-mac".
const (
	CodePrivateKey           trustkeep.Code = "private-key"           // the file holds a key, whose chain makes nobody trusted
	CodeUnusableEntry        trustkeep.Code = "unusable-entry"        // an entry is not understood
	CodeUnusableCertificate  trustkeep.Code = "unusable-certificate"  // a certificate cannot be parsed
	CodeUntrustedCertificate trustkeep.Code = "untrusted-certificate" // the store does not offer it for trusting
	CodeUnchecked            trustkeep.Code = "unchecked"             // read without the password that its digest takes
	CodeUnusableFile         trustkeep.Code = "unusable-file"         // a file of a directory cannot be read or is no store
)

// Findings lists what was remarkable about the store as it was read: above all the
// entries that are kept but make nobody trusted, such as certificates that cannot be
// parsed and the chains of private keys. Err of a finding wraps a sentinel of package
// trustkeep where one fits.
func (t *Truststore) Findings() []trustkeep.Finding { return slices.Clone(t.current().findings) }

func findingError(f trustkeep.Finding) error {
	err := f.Err
	if err == nil {
		err = errors.New(f.Text)
	}
	return &trustkeep.Error{Alias: f.Alias, Err: err}
}

// finding is about an entry, or about the store where alias is empty.
func finding(alias string, code trustkeep.Code, err error) trustkeep.Finding {
	return trustkeep.Finding{Alias: alias, Code: code, Text: trustkeep.Printable(err.Error()), Err: err}
}
