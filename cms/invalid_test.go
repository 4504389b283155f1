package cms_test

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// noSource is somebody else's, who does not look whether it is nil.
type noSource struct{ s *truststore.Snapshot }

func (n *noSource) Snapshot() (*truststore.Snapshot, error) { return n.s, nil }

// A wrong call is ErrInvalid and nothing else.
func TestWrongCallsAreInvalid(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Client("me").TLSCertificate()
	own := cms.IdentityFunc(func() (*tls.Certificate, error) { return &id, nil })
	empty := cms.IdentityFunc(func() (*tls.Certificate, error) { return new(tls.Certificate), nil })
	signed, err := cms.Sign([]byte("x"), own)
	if err != nil {
		t.Fatal(err)
	}
	var noTrust *truststore.Truststore
	for name, call := range map[string]func() error{
		"Sign by nil":        func() error { _, err := cms.Sign(nil, nil); return err },
		"Sign by a nil func": func() error { _, err := cms.Sign(nil, cms.IdentityFunc(nil)); return err },
		"Sign by no key":     func() error { _, err := cms.Sign(nil, empty); return err },
		"Sign out of time": func() error {
			_, err := cms.SignOptions{Clock: func() time.Time { return time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC) }}.Sign(nil, own)
			return err
		},
		"Sign for no inclusion":         func() error { _, err := cms.SignOptions{Include: 9}.Sign(nil, own); return err },
		"Seal by no cipher":             func() error { _, err := cms.SealOptions{Cipher: 99}.Seal(nil, id.Leaf); return err },
		"Seal for what is no X.509":     func() error { _, err := cms.Seal(nil, new(x509.Certificate)); return err },
		"Seal for nil":                  func() error { _, err := cms.Seal(nil, (*x509.Certificate)(nil)); return err },
		"Open by nil":                   func() error { _, err := cms.Open([]byte("x"), nil); return err },
		"Verify without trust":          func() error { _, err := cms.Verify(signed, nil); return err },
		"Verify by another nil pointer": func() error { _, err := cms.Verify(signed, (*noSource)(nil)); return err },
		"Verify by nil trust":           func() error { _, err := cms.Verify(signed, noTrust); return err },
		"VerifyDetached of nil": func() error {
			_, err := cms.VerifyOptions{Trust: truststore.New(pki.Root.Cert)}.VerifyDetached(signed, nil)
			return err
		},
		"Result before the end": func() error {
			r, err := cms.VerifyOptions{Trust: truststore.New(pki.Root.Cert)}.Reader(bytes.NewReader(signed))
			if err != nil {
				return err
			}
			_, err = r.Result()
			return err
		},
	} {
		if err := call(); !errors.Is(err, trustkeep.ErrInvalid) || errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
