package cms_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// GCM under the nonce that the module draws, and CBC, are sealed and opened.
func TestSealUnderFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	person := person{testpki.New(t, testpki.Options{}).Issue(testpki.Request{Names: []string{"a@example.com"}})}
	for _, cipher := range []cms.Cipher{cms.AES128CBC, cms.AES256CBC, cms.AES128GCM, cms.AES256GCM} {
		content := random(100_001)
		sealed, err := cms.SealOptions{Cipher: cipher}.Seal(content, person.Cert)
		if err != nil {
			t.Errorf("%v: %v", cipher, err)
			continue
		}
		opened, err := cms.Open(sealed, person)
		if err != nil || !bytes.Equal(opened, content) {
			t.Errorf("%v: %v", cipher, err)
		}
	}
	if _, err := (cms.SealOptions{Cipher: cms.TripleDESCBC}).Seal(nil, person.Cert); !errors.Is(err, trustkeep.ErrUnsupported) ||
		!strings.Contains(err.Error(), "3DES is not approved while GODEBUG=fips140=only") {
		t.Errorf("3DES: %v", err)
	}
}
