package issue_test

import (
	"encoding/pem"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// isRefusal reports whether an error says what is wrong with a request or reply.
func isRefusal(err error) bool {
	for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrKeyMismatch, trustkeep.ErrUnsupported,
		trustkeep.ErrIncorrectPassword, trustkeep.ErrNotFound, trustkeep.ErrEmpty, trustkeep.ErrExpired} {
		if errors.Is(err, sentinel) {
			return true
		}
	}
	return false
}

func FuzzSign(f *testing.F) {
	_, _, intermediate := newCA(f, atNoon)
	ks := newServer(f)
	csr := mustRequest(f, ks, "server")
	block, _ := pem.Decode(csr)
	f.Add(csr)
	f.Add(block.Bytes)
	f.Add(weakRequest(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		reply, err := sign(intermediate, data, issue.Options{})
		if err != nil {
			if !isRefusal(err) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		made, err := keystore.Parse(reply, nil)
		if err != nil {
			t.Fatal(err)
		}
		leaf := made.Certificates()[0]
		if leaf.IsCA || leaf.CheckSignatureFrom(intermediate.Leaf()) != nil {
			t.Errorf("a reply that should not be: CA %v", leaf.IsCA)
		}
	})
}

func FuzzInstall(f *testing.F) {
	_, root, intermediate := newCA(f, atNoon)
	ks := newServer(f)
	old, err := ks.Identity("server")
	if err != nil {
		f.Fatal(err)
	}
	leaf := reply(f, intermediate, mustRequest(f, ks, "server"), issue.Options{})[0]
	f.Add(leaf.Raw)
	f.Add(pemOf(leaf, intermediate.Leaf(), root.Leaf()))
	f.Add(pemOf(root.Leaf(), leaf))
	f.Add(testpki.New(f, testpki.Options{}).Server().ChainPEM())
	trust := truststore.New(root.Leaf())
	f.Fuzz(func(t *testing.T, data []byte) {
		ks := at(noon).New()
		if err := ks.SetIdentity("server", old); err != nil {
			t.Fatal(err)
		}
		id, err := install(ks, "server", data, issue.InstallOptions{Trust: trust})
		if err != nil {
			if now, lost := ks.Identity("server"); lost != nil || !now.Leaf().Equal(old.Leaf()) {
				t.Errorf("the identity was lost: %v", lost)
			}
			if !isRefusal(err) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		chain := id.Chain()
		if !equalKeys(id, old) || !chain[len(chain)-1].Equal(root.Leaf()) {
			t.Errorf("installed %v", id)
		}
	})
}
