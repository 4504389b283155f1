package revocation

import (
	"crypto/x509"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
)

// Error says which certificate was refused and why.
type Error struct {
	Certificate *x509.Certificate
	// Err wraps trustkeep.ErrRevoked if the certificate was revoked; else it
	// says why nothing could be learned.
	Err error
}

func newError(cert *x509.Certificate, err error) error { return &Error{cert, err} }

// Error names the certificate by its subject and serial number.
func (e *Error) Error() string {
	return fmt.Sprintf("revocation: certificate %q (serial %s): %v", certinfo.Subject(e.Certificate), certinfo.Brief(e.Certificate).Serial, e.Err)
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }

// revoked is what a source says about a certificate that must not be accepted.
func revoked(when time.Time, reason int, by string) error {
	return fmt.Errorf("%w on %s, reason %s, says %s", trustkeep.ErrRevoked, when.UTC().Format(time.RFC3339), reasonName(reason), by)
}

// reasonName spells a reason as RFC 5280 section 5.3.1 does.
func reasonName(reason int) string {
	names := [...]string{
		"unspecified", "keyCompromise", "cACompromise", "affiliationChanged", "superseded",
		"cessationOfOperation", "certificateHold", "", "removeFromCRL", "privilegeWithdrawn", "aACompromise",
	}
	if reason < 0 || reason >= len(names) || names[reason] == "" {
		return fmt.Sprint(reason)
	}
	return names[reason]
}
