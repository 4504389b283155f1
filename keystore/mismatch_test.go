package keystore_test

import (
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestKeyOfAnotherCertificate opens stores in which a key is filed with the
// certificate of another. The store opens, the identity does not exist.
func TestKeyOfAnotherCertificate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	right, wrong := pki.Server("right"), pki.Server("wrong")
	for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS} {
		t.Run(string(format), func(t *testing.T) {
			e := &entry.Entry{Alias: "mixed", Kind: entry.Key, Key: &entry.PrivateKey{}, Chain: []*entry.Certificate{entry.FromX509(right.Cert)}}
			data, err := formats.Encode(&entry.Store{Format: format, Entries: []*entry.Entry{e}}, "", entry.WriteOptions{
				Password: []byte("changeit"),
				Keep:     func(*entry.Entry) bool { return false },
				Key:      func(*entry.Entry) (plain, password []byte, err error) { return wrong.PKCS8(), []byte("changeit"), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			ks, err := keystore.Parse(data, trustkeep.Password("changeit"))
			if err != nil {
				t.Fatal(err)
			}
			id, err := ks.Identity("mixed")
			wantError(t, err, trustkeep.ErrKeyMismatch, `"mixed"`)
			if id != nil {
				t.Error("an identity was returned beside the error")
			}
			ks, err = keystore.Options{Unlock: true}.Parse(data, trustkeep.Password("changeit"))
			wantError(t, err, trustkeep.ErrKeyMismatch, `"mixed"`)
			if ks != nil {
				t.Error("a store was returned beside the error")
			}
		})
	}
}
