package keystore_test

import (
	"encoding/pem"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// isRefusal reports whether an error says what is wrong with a request or reply.
func isRefusal(err error) bool {
	return isTyped(err) || errors.Is(err, trustkeep.ErrNotFound) || errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrExpired)
}

func FuzzSignRequest(f *testing.F) {
	ca, _, intermediate := newCA(f, at(noon))
	ks := newServer(f)
	csr := mustRequest(f, ks, "server")
	block, _ := pem.Decode(csr)
	f.Add(csr)
	f.Add(block.Bytes)
	f.Add(weakRequest(f))
	f.Fuzz(func(t *testing.T, data []byte) {
		reply, err := ca.SignRequest("intermediate", data, keystore.CertificateOptions{})
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

func FuzzInstallReply(f *testing.F) {
	ca, root, intermediate := newCA(f, at(noon))
	ks := newServer(f)
	old, err := ks.Identity("server")
	if err != nil {
		f.Fatal(err)
	}
	leaf := reply(f, ca, "intermediate", mustRequest(f, ks, "server"), keystore.CertificateOptions{})[0]
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
		id, err := ks.InstallReply("server", data, keystore.ReplyOptions{Trust: trust})
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
