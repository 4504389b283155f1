package truststore

import (
	"crypto/x509"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// System returns the roots that the operating system trusts, read now.
//
// On Linux and the BSDs these are the certificates of the usual bundle file and
// folders, or of those that the environment variables SSL_CERT_FILE and
// SSL_CERT_DIR name, by the rules of crypto/x509; each can be listed. On other
// systems, and where the program brings its own roots by x509.SetFallbackRoots,
// the roots can be used but not listed (see Snapshot.Platform): the store then
// wraps x509.SystemCertPool.
//
// The store does not follow later changes of the system; call System again. It
// fails with trustkeep.ErrEmpty when the system has no roots.
func System() (*Truststore, error) {
	const op = "truststore: system roots"
	certs, findings, err := systemCertificates()
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	if len(certs) > 0 {
		t := fromCertificates(certs, nil)
		t.current().findings = findings
		return t, nil
	}
	s, err := Platform()
	if err != nil {
		return nil, err
	}
	return fromCertificates(nil, s.platform), nil
}

// Platform returns a snapshot of the roots that crypto/tls uses by default: those of
// x509.SystemCertPool, which Go reads once per process. They can be used but not listed.
// It is cheap, whereas System reads and parses the certificates anew.
//
// It fails with trustkeep.ErrEmpty when the system has no roots.
func Platform() (*Snapshot, error) {
	const op = "truststore: platform roots"
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Err: err}
	}
	if pool == nil || pool.Equal(x509.NewCertPool()) {
		return nil, &trustkeep.Error{
			Op: op, Err: trustkeep.ErrEmpty,
			Hint: "install the system's CA certificates (package ca-certificates) or set SSL_CERT_FILE",
		}
	}
	return newSnapshot(1, nil, pool), nil
}

func fromCertificates(certs []*entry.Certificate, platform *x509.CertPool) *Truststore {
	t := new(Truststore)
	b := newEditor(&state{
		snapshot: newSnapshot(0, nil, platform),
		origin:   origin{format: trustkeep.PEM},
	})
	for _, c := range certs {
		x, err := c.X509()
		if err == nil && !b.has(x) {
			b.add(b.freeAlias(x), x, time.Time{})
		}
	}
	t.state.Store(b.state(1))
	return t
}
