package keystore

import (
	"errors"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// The codes of Findings that programs most often act on. Findings lists the others.
const (
	// CodeUnchecked (warning): no password was given, so the MAC or digest of the file
	// was not checked.
	CodeUnchecked trustkeep.Code = "unchecked"
	// CodeNoMAC (warning): the file has no MAC.
	CodeNoMAC trustkeep.Code = "no-mac"
	// CodeUnusableEntry (warning): an entry is not understood. It is kept.
	CodeUnusableEntry trustkeep.Code = "unusable-entry"
	// CodeKeyWithoutCertificate (note): no certificate of the file belongs to the key.
	CodeKeyWithoutCertificate trustkeep.Code = "key-without-certificate"
)

const (
	codeWeakMAC     trustkeep.Code = "weak-mac"
	codeUnusableKey trustkeep.Code = "unusable-key"
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
	case CodeUnchecked, CodeNoMAC, codeWeakMAC, CodeUnusableEntry, codeUnusableKey:
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
