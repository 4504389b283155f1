package errtext_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"runtime"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/errtext"
)

func TestErrorsOfStrangersAreBounded(t *testing.T) {
	long := strings.Repeat("\x1b", 1<<20)
	c := &x509.Certificate{IPAddresses: []net.IP{net.IPv4(1, 2, 3, 4)}}
	c.Subject.CommonName = long
	for range 99 { // from 100 on crypto/x509 counts them
		c.DNSNames = append(c.DNSNames, long)
	}
	for _, err := range []error{
		x509.HostnameError{Certificate: c, Host: "www.example"},
		x509.HostnameError{Certificate: c, Host: long},
		x509.HostnameError{Certificate: &x509.Certificate{Subject: c.Subject}, Host: "www.example"},
		x509.HostnameError{Host: "www.example"},
		x509.CertificateInvalidError{Cert: c, Reason: x509.CANotAuthorizedForThisName, Detail: long},
		x509.CertificateInvalidError{Cert: c, Reason: x509.NoValidChains, Detail: long},
		x509.CertificateInvalidError{Cert: c, Reason: x509.TooManyIntermediates},
		x509.UnknownAuthorityError{Cert: c},
		x509.SystemRootsError{Err: errors.New(long)},
		&tls.CertificateVerificationError{UnverifiedCertificates: []*x509.Certificate{c}, Err: x509.HostnameError{Certificate: c, Host: "www.example"}},
		errors.New(long),
	} {
		bound := errtext.Bound(err)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		text := fmt.Errorf("%w", bound).Error()
		runtime.ReadMemStats(&after)
		if strings.Contains(text, "\x1b") || text == "" || len(text) > 1100 {
			t.Errorf("%T: %d bytes: %.300s", err, len(text), text)
		}
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<10 {
			t.Errorf("%T: %d bytes allocated", err, used)
		}
		if fmt.Sprintf("%T", errors.Unwrap(bound)) != fmt.Sprintf("%T", err) {
			t.Errorf("%T is not wrapped", err)
		}
	}
	if errtext.Bound(nil) != nil || errtext.Of(nil) != "" {
		t.Error("nil")
	}
}

// The texts of honest errors say what those of crypto/x509 say.
func TestErrorTexts(t *testing.T) {
	c := &x509.Certificate{DNSNames: []string{"a.example", "b.example"}}
	for _, test := range []struct {
		err  error
		want string
	}{
		{x509.HostnameError{Certificate: c, Host: "c.example"}, "x509: certificate is not valid for c.example, but for a.example, b.example"},
		{x509.HostnameError{Certificate: &x509.Certificate{DNSNames: strings.Fields("a b c d e f g")}, Host: "x"}, "x509: certificate is not valid for x, but for a, b, c, d, e and 2 more"},
		{x509.CertificateInvalidError{Reason: x509.Expired, Detail: "current time is after"}, "x509: certificate has expired or is not yet valid: current time is after"},
		{x509.CertificateInvalidError{Reason: x509.TooManyIntermediates}, "x509: too many intermediates for path length constraint"},
		{x509.InsecureAlgorithmError(x509.SHA1WithRSA), x509.InsecureAlgorithmError(x509.SHA1WithRSA).Error()},
		{x509.SystemRootsError{}, "x509: failed to load system roots and no roots provided"},
		{&tls.CertificateVerificationError{Err: x509.UnknownAuthorityError{}}, "tls: failed to verify certificate: x509: certificate signed by unknown authority"},
	} {
		if got := errtext.Of(test.err); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}
