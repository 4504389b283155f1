package keystore_test

import (
	"crypto/x509"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestChainEditing(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := pki.Server("a.example")
	other := pki.Server("b.example")
	leaf, intermediate, root := server.Chain[0], server.Chain[1], server.Chain[2]
	none := truststore.New()
	tests := []struct {
		name  string
		start []*x509.Certificate
		edit  func(*keystore.Keystore) error
		want  []*x509.Certificate // nil: as before
		err   error
		text  string
	}{
		{"append", []*x509.Certificate{leaf}, func(ks *keystore.Keystore) error { return ks.AppendToChain("a", intermediate, root) }, server.Chain, nil, ""},
		{"append twice", []*x509.Certificate{leaf, root}, func(ks *keystore.Keystore) error { return ks.AppendToChain("a", intermediate, root) }, nil, trustkeep.ErrExists, "Root CA"},
		{"append nothing", []*x509.Certificate{leaf}, func(ks *keystore.Keystore) error { return ks.AppendToChain("a", nil) }, nil, trustkeep.ErrEmpty, ""},
		{"remove", server.Chain, func(ks *keystore.Keystore) error { return ks.RemoveFromChain("a", root) }, []*x509.Certificate{leaf, intermediate}, nil, ""},
		{"remove the leaf", server.Chain, func(ks *keystore.Keystore) error { return ks.RemoveFromChain("a", leaf) }, nil, trustkeep.ErrKeyMismatch, ""},
		{"remove another", server.Chain, func(ks *keystore.Keystore) error { return ks.RemoveFromChain("a", other.Cert) }, nil, trustkeep.ErrNotFound, "b.example"},
		{"remove nothing", server.Chain, func(ks *keystore.Keystore) error { return ks.RemoveFromChain("a", nil) }, nil, trustkeep.ErrEmpty, ""},
		{"unknown alias", server.Chain, func(ks *keystore.Keystore) error { return ks.RemoveFromChain("x", root) }, nil, trustkeep.ErrNotFound, `"x"`},
		{"order", []*x509.Certificate{leaf, other.Cert, root, intermediate}, func(ks *keystore.Keystore) error { return ks.OrderChain("a") }, []*x509.Certificate{leaf, intermediate, root, other.Cert}, nil, ""},
		{"reorder", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("a", leaf, root, intermediate) }, []*x509.Certificate{leaf, root, intermediate}, nil, ""},
		{"set another's chain", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("a", other.Chain...) }, nil, trustkeep.ErrKeyMismatch, "b.example"},
		{"set with the leaf last", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("a", root, leaf) }, nil, trustkeep.ErrKeyMismatch, "comes first"},
		{"set nothing", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("a") }, nil, trustkeep.ErrInvalid, ""},
		{"complete", []*x509.Certificate{leaf}, func(ks *keystore.Keystore) error {
			return ks.CompleteChain("a", truststore.New(root, other.Cert), truststore.New(intermediate))
		}, server.Chain, nil, ""},
		{"complete what is complete", server.Chain, func(ks *keystore.Keystore) error { return ks.CompleteChain("a") }, server.Chain, nil, ""},
		{"complete without the root", []*x509.Certificate{leaf}, func(ks *keystore.Keystore) error { return ks.CompleteChain("a", truststore.New(intermediate)) }, nil, trustkeep.ErrNotFound, "Test Root CA"},
		{"complete from a nil store", []*x509.Certificate{leaf}, func(ks *keystore.Keystore) error { return ks.CompleteChain("a", (*truststore.Truststore)(nil)) }, nil, trustkeep.ErrInvalid, "nil"},
		{"complete from nothing", []*x509.Certificate{leaf}, func(ks *keystore.Keystore) error { return ks.CompleteChain("a", none) }, nil, trustkeep.ErrNotFound, "Test Intermediate CA"},
	}
	for _, locked := range []bool{false, true} {
		for _, test := range tests {
			t.Run(test.name, func(t *testing.T) {
				ks := keystore.New()
				if err := ks.SetIdentity("a", newIdentity(t, server)); err != nil {
					t.Fatal(err)
				}
				if err := ks.SetChain("a", test.start...); err != nil {
					t.Fatal(err)
				}
				if locked {
					data, err := ks.Encode(keystore.SaveOptions{Format: trustkeep.JKS, Password: first})
					if err != nil {
						t.Fatal(err)
					}
					if ks, err = keystore.Parse(data, revealed(t, first)); err != nil {
						t.Fatal(err)
					}
				}
				err := test.edit(ks)
				if test.err != nil {
					wantError(t, err, test.err, "keystore: ", test.text)
				} else if err != nil {
					t.Fatal(err)
				}
				want := test.want
				if want == nil {
					want = test.start
				}
				e, err := ks.Entry("a")
				if err != nil || !slices.EqualFunc(e.Chain, want, (*x509.Certificate).Equal) {
					t.Errorf("chain %v, %v", subjects(e.Chain), err)
				}
				// The key is untouched and can be saved with its new chain.
				data, err := ks.Encode(keystore.SaveOptions{Format: trustkeep.JKS, Password: first})
				if err != nil {
					t.Fatal(err)
				}
				if ks, err = keystore.Parse(data, revealed(t, first)); err != nil {
					t.Fatal(err)
				}
				if id, err := ks.Identity("a"); err != nil || !id.Leaf().Equal(leaf) {
					t.Errorf("%v, %v", id, err)
				}
				if e, err := ks.Entry("a"); err != nil || !slices.EqualFunc(e.Chain, want, (*x509.Certificate).Equal) {
					t.Errorf("saved chain %v, %v", subjects(e.Chain), err)
				}
			})
		}
	}
}
