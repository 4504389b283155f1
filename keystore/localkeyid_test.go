package keystore_test

import (
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// An entry that is kept beside its successor, or comes from another store, has its local
// key ID. Locked keys are paired with their certificates by nothing else.
func TestLocalKeyIDsStayApart(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, f := range []trustkeep.Format{trustkeep.PEM, trustkeep.PKCS12} {
		t.Run(string(f), func(t *testing.T) {
			server := pki.Server("server")
			ks := keystore.New()
			for _, alias := range []string{"server", "other"} {
				if err := ks.SetIdentity(alias, newIdentity(t, server)); err != nil {
					t.Fatal(err)
				}
			}
			ks = again(t, ks, f, keystore.Options{})
			if f == trustkeep.PEM {
				if err := ks.ChangeKeyPassword("server", first, second); err != nil {
					t.Fatal(err)
				}
			}
			ks = again(t, ks, f, keystore.Options{})
			renewed := pki.Issue(testpki.Request{CommonName: "renewed", KeyOf: server})
			if _, err := ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Chain: renewed.Chain, KeepAs: "kept"}); err != nil {
				t.Fatal(err)
			}
			own := second
			if f == trustkeep.PKCS12 {
				own = first
			}
			loaded := again(t, ks, f, keystore.Options{})
			for alias, want := range map[string]*testpki.Identity{"server": renewed, "kept": server} {
				if id, err := loaded.IdentityWithPassword(alias, own); err != nil || !id.Leaf().Equal(want.Cert) {
					t.Errorf("%s: %v, %v", alias, id, err)
				}
			}
		})
	}
}
