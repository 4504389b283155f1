package keystore

import (
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// The codes of Findings.
const (
	// CodeUnchecked (warning): no password was given, so the MAC or digest of the file
	// was not checked.
	CodeUnchecked trustkeep.Code = "unchecked"
	// CodeNoMAC (warning): the file has no MAC.
	CodeNoMAC trustkeep.Code = "no-mac"
	// CodeWeakMAC (warning): the MAC of the file can be forged.
	CodeWeakMAC trustkeep.Code = "weak-mac"
	// CodeUnusableEntry (warning): an entry cannot be understood. It is kept.
	CodeUnusableEntry trustkeep.Code = "unusable-entry"
	// CodeUnusableKey (warning): a private key was opened and cannot be used.
	CodeUnusableKey trustkeep.Code = "unusable-key"
	// CodeKeyWithoutCertificate (note): no certificate of the file belongs to the key.
	CodeKeyWithoutCertificate trustkeep.Code = "key-without-certificate"
	// CodeUnpairedKey (note): no certificate of a PEM file belongs to the key.
	CodeUnpairedKey trustkeep.Code = "unpaired-key"
	// CodeRejectedCertificate (note): an OpenSSL file rejects the certificate for some
	// use, so it does not count as trusted.
	CodeRejectedCertificate trustkeep.Code = "rejected-certificate"
	// CodeLimitedTrust (note): an OpenSSL file trusts the certificate for some uses only,
	// which is kept but not enforced.
	CodeLimitedTrust trustkeep.Code = "limited-trust"
	// CodeStrayLine (note): a BEGIN or END line belongs to no PEM block.
	CodeStrayLine trustkeep.Code = "stray-line"
	// CodeInvalidName (note): the name of an entry cannot be read, and another was made
	// up.
	CodeInvalidName trustkeep.Code = "invalid-name"
	// CodeDuplicateAlias (note): two entries have the same alias, and one got another.
	CodeDuplicateAlias trustkeep.Code = "duplicate-alias"
)

// finding is a codec's remark.
func finding(f entry.Finding) trustkeep.Finding {
	return trustkeep.Finding{Alias: f.Alias, Code: trustkeep.Code(f.Code), Severity: severity(trustkeep.Code(f.Code)), Text: trustkeep.Printable(f.Text)}
}

// unusable is a remark about an entry with which something is wrong.
func unusable(code trustkeep.Code, alias string, err error) trustkeep.Finding {
	return trustkeep.Finding{Alias: alias, Code: code, Severity: severity(code), Text: trustkeep.Printable(err.Error()), Err: err}
}

func severity(code trustkeep.Code) trustkeep.Severity {
	switch code {
	case CodeUnchecked, CodeNoMAC, CodeWeakMAC, CodeUnusableEntry, CodeUnusableKey:
		return trustkeep.Warning
	}
	return trustkeep.Note
}

// strictError is what Options.Strict makes of the findings about a store.
func strictError(findings []trustkeep.Finding) error {
	worst := findings[0]
	for _, f := range findings {
		if f.Err != nil {
			worst = f
			break
		}
	}
	err := worst.Err
	if err == nil {
		err = fmt.Errorf("%w: %s", trustkeep.ErrCorrupt, worst.Text)
	}
	return &trustkeep.Error{Op: "strict", Alias: worst.Alias, Err: err}
}

// refuseCertificates is a finding for each certificate that crypto/x509 refuses.
func refuseCertificates(items []*item) (found []trustkeep.Finding) {
	var certs []*entry.Certificate
	for _, it := range items {
		certs = append(certs, it.e.Chain...)
	}
	entry.ParseAll(certs)
	for _, it := range items {
		var errs []error
		for _, c := range it.e.Chain {
			if _, err := c.X509(); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) > 0 && it.e.Err == nil {
			found = append(found, unusable(CodeUnusableEntry, it.e.Alias, errors.Join(errs...)))
		}
	}
	return found
}
