// Package errtext prints errors of crypto/x509 and crypto/tls, which hold texts of a stranger
// as they are: whole common names, alternative names and whatever else did not parse.
package errtext

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Bound returns an error whose text is that of Of, and which wraps err. It is to be applied
// before the error is put into another, since package fmt copies the text. nil stays nil.
func Bound(err error) error {
	if err == nil {
		return nil
	}
	return &bound{err}
}

type bound struct{ err error }

func (e *bound) Error() string { return Of(e.err) }
func (e *bound) Unwrap() error { return e.err }

// maxNames is how many names a text lists.
const maxNames = 5

// Of returns the text of an error, escaped and cut as by trustkeep.Printable. The work is
// bounded before it begins for the errors of path validation.
func Of(err error) string {
	switch e := err.(type) {
	case nil:
		return ""
	case *bound:
		return Of(e.err)
	case *tls.CertificateVerificationError:
		return trustkeep.Printable("tls: failed to verify certificate: " + Of(e.Err))
	case x509.UnknownAuthorityError:
		// Its hint has the name of a certificate of the stranger's.
		return "x509: certificate signed by unknown authority"
	case x509.HostnameError:
		return hostname(e)
	case x509.CertificateInvalidError:
		kind := x509.CertificateInvalidError{Reason: e.Reason}.Error()
		if e.Detail == "" {
			return strings.TrimSuffix(kind, ": ")
		}
		return trustkeep.Printable(strings.TrimSuffix(kind, ": ") + ": " + trustkeep.Printable(e.Detail))
	case x509.SystemRootsError:
		return trustkeep.Printable(strings.TrimSuffix(x509.SystemRootsError{}.Error()+"; "+Of(e.Err), "; "))
	}
	return trustkeep.Printable(err.Error())
}

func hostname(e x509.HostnameError) string {
	host := trustkeep.Printable(e.Host)
	if e.Certificate == nil {
		return "x509: certificate is not valid for " + host
	}
	names := len(e.Certificate.DNSNames) + len(e.Certificate.IPAddresses)
	if names == 0 {
		return "x509: certificate is not valid for any names, but wanted to match " + host
	}
	var list []string
	for _, name := range e.Certificate.DNSNames[:min(len(e.Certificate.DNSNames), maxNames)] {
		list = append(list, trustkeep.Printable(name))
	}
	for _, ip := range e.Certificate.IPAddresses[:min(len(e.Certificate.IPAddresses), maxNames-len(list))] {
		list = append(list, ip.String())
	}
	more := ""
	if n := names - len(list); n > 0 {
		more = fmt.Sprintf(" and %d more", n)
	}
	return trustkeep.Printable("x509: certificate is not valid for " + host + ", but for " + strings.Join(list, ", ") + more)
}
