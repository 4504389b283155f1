package cms

import (
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// wrap gives an error its operation. io.EOF never gets here.
func wrap(op string, err error, hint ...string) error {
	return &trustkeep.Error{Op: "cms: " + op, Err: err, Hint: strings.Join(hint, "")}
}

// maxListed bounds what an error lists.
const maxListed = 8

// NoRecipientError says that a message was sealed for others. It wraps
// trustkeep.ErrNotFound.
type NoRecipientError struct {
	// Recipients are whom the message was sealed for, the first 8 of them.
	Recipients []CertificateRef
	// Total is how many recipients there are.
	Total int
	// Offered are the certificates of the identities that were given.
	Offered []CertificateRef
	// Unsupported is how many recipients are not addressed by certificate,
	// such as those with a password (RFC 5652 section 6.2.3 to 6.2.5).
	Unsupported int

	shared, passwords int // offered
}

// Error names who was expected and who was offered.
func (e *NoRecipientError) Error() string {
	var b strings.Builder
	b.WriteString("none of the identities is a recipient: sealed for ")
	list(&b, e.Recipients, e.Total-e.Unsupported)
	if e.Unsupported > 0 {
		fmt.Fprintf(&b, " (and %d not by certificate)", e.Unsupported)
	}
	b.WriteString("; offered ")
	list(&b, e.Offered, len(e.Offered))
	if e.shared > 0 {
		fmt.Fprintf(&b, " and %d shared keys of other identifiers", e.shared)
	}
	if e.passwords > 0 {
		fmt.Fprintf(&b, " and %d passwords, which it was not sealed for", e.passwords)
	}
	b.WriteString(": ")
	b.WriteString(trustkeep.ErrNotFound.Error())
	return b.String()
}

func list(b *strings.Builder, refs []CertificateRef, total int) {
	if total == 0 {
		b.WriteString("nobody")
		return
	}
	for i, r := range refs[:min(len(refs), maxListed)] {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(r.String())
	}
	if more := total - min(len(refs), maxListed); more > 0 {
		fmt.Fprintf(b, " and %d more", more)
	}
}

// Unwrap returns trustkeep.ErrNotFound.
func (e *NoRecipientError) Unwrap() error { return trustkeep.ErrNotFound }

// SignerError says why one signature does not count.
type SignerError struct {
	// Signer is whom the message names.
	Signer CertificateRef
	// Subject of the certificate as trustkeep.PrintableName prints it, where it was found.
	Subject string
	// Err is what is wrong. It wraps
	//   - trustkeep.ErrCorrupt: content or signature were changed, or are not
	//     of this certificate's key,
	//   - trustkeep.ErrNotFound: the signer's certificate is neither in the
	//     message nor among those given or trusted,
	//   - trustkeep.ErrUnsupported: an algorithm or certificate that does not
	//     count for signatures,
	//   - or it is a *truststore.VerifyError: the signer is not trusted.
	Err error
}

// Error names the signer and what is wrong.
func (e *SignerError) Error() string {
	who := e.Signer.String()
	if e.Subject != "" {
		who = `"` + trustkeep.Printable(e.Subject) + `" (` + who + ")"
	}
	return "signer " + who + ": " + e.Err.Error()
}

// Unwrap returns Err.
func (e *SignerError) Unwrap() error { return e.Err }
