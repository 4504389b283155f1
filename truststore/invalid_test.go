package truststore_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

type noHolder struct{}

func (*noHolder) Certificates() []*x509.Certificate { panic("called on nil") }

// noSource and noChecker are somebody else's, who do not look whether they are nil.
type noSource struct{ s *truststore.Snapshot }

func (n *noSource) Snapshot() (*truststore.Snapshot, error) { return n.s, nil }

type noChecker struct{ err error }

func (n *noChecker) CheckRevocation(context.Context, truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	return nil, n.err
}

// A wrong call is ErrInvalid and nothing else: neither an empty store nor bad data.
func TestWrongCallsAreInvalid(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	chain := pki.Server("a.example").Chain
	var none *truststore.Truststore
	var noSnapshot *truststore.Snapshot
	verify := func(chain []*x509.Certificate, o truststore.VerifyOptions) func() error {
		return func() error { _, err := store.Verify(chain, o); return err }
	}
	for name, call := range map[string]func() error{
		"Snapshot of nil":            func() error { _, err := none.Snapshot(); return err },
		"Snapshot of a nil Snapshot": func() error { _, err := noSnapshot.Snapshot(); return err },
		"Verify by nil":              func() error { _, err := none.Verify(chain, truststore.VerifyOptions{Name: "a.example"}); return err },
		"Verify by a nil Snapshot": func() error {
			_, err := noSnapshot.Verify(chain, truststore.VerifyOptions{Name: "a.example"})
			return err
		},
		"Union with another nil pointer": func() error { _, err := truststore.Union(store, (*noSource)(nil)).Snapshot(); return err },
		"Verify with a nil checker":      verify(chain, truststore.VerifyOptions{Name: "a.example", Time: pki.Now(), Revocation: (*noChecker)(nil)}),
		"Union with nil":                 func() error { _, err := truststore.Union(store, nil).Snapshot(); return err },
		"Union with a nil Truststore":    func() error { _, err := truststore.Union(store, none).Snapshot(); return err },
		"Add to nil":                     func() error { return none.Add("a", pki.Root.Cert) },
		"Set of nil":                     func() error { return none.Set(pki.Root.Cert) },
		"Add nil":                        func() error { return store.Add("a", nil) },
		"Add what was not parsed":        func() error { return store.Add("a", new(x509.Certificate)) },
		"Replace by nil":                 func() error { return store.Replace("a", nil) },
		"RemoveCertificate of nil":       func() error { return store.RemoveCertificate(nil) },
		"Activate of nil":                func() error { return none.Activate(1) },
		"FromKeystore of nil":            func() error { _, err := truststore.FromKeystore(nil); return err },
		"FromKeystore of a nil holder": func() error {
			_, err := truststore.FromKeystore((*noHolder)(nil))
			return err
		},
		"ParsePin":                func() error { _, err := truststore.ParsePin("sha256:12"); return err },
		"Verify without a name":   verify(chain, truststore.VerifyOptions{}),
		"Verify for no purpose":   verify(chain, truststore.VerifyOptions{Purpose: 99, Name: "a.example"}),
		"Verify nil certificates": verify([]*x509.Certificate{nil}, truststore.VerifyOptions{Name: "a.example"}),
		"Verify with nil issuers": verify(chain, truststore.VerifyOptions{Name: "a.example", Intermediates: []*x509.Certificate{nil}}),
		"Verify what is no X.509": verify([]*x509.Certificate{{}}, truststore.VerifyOptions{Name: "a.example", Time: time.Now()}),
	} {
		err := call()
		if !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		for _, other := range []error{trustkeep.ErrEmpty, trustkeep.ErrCorrupt, trustkeep.ErrUnsupported, trustkeep.ErrNotFound} {
			if errors.Is(err, other) {
				t.Errorf("%s: %v is %v too", name, err, other)
			}
		}
	}
}

// What is empty is ErrEmpty, and no wrong call.
func TestEmptyIsNoWrongCall(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	for name, call := range map[string]func() error{
		"Verify by an empty store": func() error {
			_, err := truststore.New().Verify(pki.Server("a.example").Chain, truststore.VerifyOptions{Name: "a.example"})
			return err
		},
		"Verify of a peer without certificate": func() error {
			_, err := store.Verify(nil, truststore.VerifyOptions{Name: "a.example"})
			return err
		},
		"FromKeystore without certificates": func() error { _, err := truststore.FromKeystore(truststore.New()); return err },
	} {
		if err := call(); !errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNilCertificatesDoNotPanic(t *testing.T) {
	if truststore.PinCertificate(nil) != (truststore.Pin{}) || truststore.PinKey(nil) != (truststore.Pin{}) {
		t.Error("the pin of nil fits somebody")
	}
	if s, _ := truststore.New().Snapshot(); s.Contains(nil) {
		t.Error("nil is trusted")
	}
}
