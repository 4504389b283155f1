//go:build !(linux || freebsd || openbsd || netbsd || dragonfly)

package truststore

import (
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// systemCertificates finds none: the roots of these systems can be used through
// x509.SystemCertPool but not listed.
func systemCertificates() ([]*entry.Certificate, []trustkeep.Finding, error) { return nil, nil, nil }
