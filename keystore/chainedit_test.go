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
		{"append", []*x509.Certificate{leaf}, func(ks *keystore.Keystore) error { return ks.SetChain("a", leaf, intermediate, root) }, server.Chain, nil, ""},
		{"remove", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("a", leaf, intermediate) }, []*x509.Certificate{leaf, intermediate}, nil, ""},
		{"remove the leaf", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("a", intermediate, root) }, nil, trustkeep.ErrKeyMismatch, ""},
		{"set nil", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("a", leaf, nil) }, nil, trustkeep.ErrInvalid, ""},
		{"unknown alias", server.Chain, func(ks *keystore.Keystore) error { return ks.SetChain("x", leaf) }, nil, trustkeep.ErrNotFound, `"x"`},
		{"order", []*x509.Certificate{leaf, other.Cert, root, intermediate}, func(ks *keystore.Keystore) error { return ks.CompleteChain("a") }, server.Chain, nil, ""},
		{"order and keep what is no link", []*x509.Certificate{leaf, other.Cert, root, intermediate}, func(ks *keystore.Keystore) error {
			return ks.SetChain("a", leaf, intermediate, root, other.Cert)
		}, []*x509.Certificate{leaf, intermediate, root, other.Cert}, nil, ""},
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
					data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: first})
					if err != nil {
						t.Fatal(err)
					}
					if ks, err = keystore.Parse(data, first); err != nil {
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
				data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: first})
				if err != nil {
					t.Fatal(err)
				}
				if ks, err = keystore.Parse(data, first); err != nil {
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

// A chain can be given to a key whose password nobody knows.
func TestSetChainLeavesKeyLocked(t *testing.T) {
	ks := mustLoad(t, "testdata/keytool-two.jks", trustkeep.Password("storepass"))
	e := mustEntry(t, ks, "first")
	root := testpki.New(t, testpki.Options{}).Root.Cert
	if err := ks.SetChain("first", e.Chain[0], root); err != nil {
		t.Fatal(err)
	}
	if _, err := ks.Identity("first"); !isIncorrect(err) {
		t.Errorf("the key is open: %v", err)
	}
	if id, err := ks.IdentityWithPassword("first", trustkeep.Password("firstpass")); err != nil || !id.Chain()[1].Equal(root) {
		t.Errorf("%v, %v", id, err)
	}
}
