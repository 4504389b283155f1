package cms

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// MarshalCertificates returns a message that holds certificates and nothing else, in DER: a
// SignedData that nobody signed (RFC 5652 section 5.1), the "certs-only" of S/MIME and what is
// in .p7c and .p7b files. Partners send each other their certificates so. DER sorts them; each
// is written once.
//
// The error wraps trustkeep.ErrEmpty without certificates and trustkeep.ErrInvalid for nil
// ones.
func MarshalCertificates(certificates ...*x509.Certificate) ([]byte, error) {
	const op = "marshal certificates"
	if len(certificates) == 0 {
		return nil, wrap(op, fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty))
	}
	ders := make([][]byte, len(certificates))
	for i, c := range certificates {
		if c == nil || len(c.Raw) == 0 {
			return nil, wrap(op, invalid(fmt.Sprintf("certificate %d is nil or was not parsed", i+1)))
		}
		ders[i] = c.Raw
	}
	slices.SortFunc(ders, bytes.Compare)
	ders = slices.CompactFunc(ders, bytes.Equal)
	return berio.TLV(berio.Sequence, oidSignedData.der(), berio.TLV(berio.ContextConstructed(0), berio.TLV(berio.Sequence,
		berio.TLV(berio.Integer, []byte{1}), berio.TLV(berio.Set),
		berio.TLV(berio.Sequence, oidData.der()),
		berio.SetOf(berio.ContextConstructed(0), ders...), berio.TLV(berio.Set)))), nil
}

// ParseCertificates returns the certificates of a message that holds nothing else, as
// MarshalCertificates writes it, in its order. It is DER or BER, bare or in PEM. Nobody vouches
// for them: show them to somebody who compares fingerprints, or ask
// truststore.Truststore.Verify.
//
// The error wraps trustkeep.ErrEmpty for a message without certificates,
// trustkeep.ErrUnsupported for one that is signed or has content, for other messages, and for
// certificates that crypto/x509 does not read, trustkeep.ErrCorrupt, or trustkeep.ErrLimit
// beyond the default Limits and 1000 certificates.
func ParseCertificates(data []byte) ([]*x509.Certificate, error) {
	const op = "parse certificates"
	certificates, err := parseCertificates(data)
	if err != nil {
		return nil, wrap(op, err)
	}
	return certificates, nil
}

func parseCertificates(data []byte) ([]*x509.Certificate, error) {
	budget := limits.New(trustkeep.Limits{})
	if err := budget.Size(int64(len(data))); err != nil {
		return nil, err
	}
	v := &verifier{r: berio.NewReader(unarmor(bytes.NewReader(data)), budget.MaxDepth(), int64(len(data)))}
	if err := v.readHead(); err != nil {
		return nil, err
	}
	if v.content != nil {
		return nil, unsupported("message with content, which is for Verify")
	}
	infos, err := v.readTail()
	switch {
	case err != nil:
		return nil, err
	case len(infos) > 0:
		return nil, unsupported("signed message, which is for VerifyDetached")
	case len(v.unread) > 0:
		return nil, unreadable(v.unread[0].der, v.unread[0].err)
	case v.unbearable > 0:
		return nil, unsupported("RSA key of extraordinary size")
	case len(v.certificates) == 0:
		return nil, fmt.Errorf("no certificate: %w", trustkeep.ErrEmpty)
	}
	return v.certificates, nil
}
