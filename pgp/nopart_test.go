package pgp_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp"
)

// signOnly was made by GnuPG 2.2.40: gpg --quick-generate-key 'Sign only <sign@example.org>' ed25519
// cert,sign never.
const signOnly = `-----BEGIN PGP PUBLIC KEY BLOCK-----

mDMEawIfAhYJKwYBBAHaRw8BAQdA7LhNHesI3dFAd12yyjAATQd5UhIVorD/7h75
N1Dj//20HFNpZ24gb25seSA8c2lnbkBleGFtcGxlLm9yZz6IkAQTFggAOBYhBOMZ
vIVE8b/XWO0WFtU7p9R3YYmZBQJrAh8CAhsDBQsJCAcCBhUKCQgLAgQWAgMBAh4B
AheAAAoJENU7p9R3YYmZ5osBAOArlNJvHHhsFNTHsls9OIkzBOUBRmG9SGmmmSaP
7l5QAQDdRsGnzqv2BgcpaFRGhTSzoCy1fHdzfrnUpXQx03UbDA==
=NO7K
-----END PGP PUBLIC KEY BLOCK-----
`

// TestKeyWithoutAPartForTheUse: the refusal says what its owner has to do.
func TestKeyWithoutAPartForTheUse(t *testing.T) {
	o := pgp.Options{Clock: func() time.Time { return time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC) }}
	ring, err := o.Parse([]byte(signOnly))
	if err != nil {
		t.Fatal(err)
	}
	key := ring.Keys()[0]
	if err := key.CanEncrypt(o); !errors.Is(err, trustkeep.ErrRejected) || !strings.Contains(err.Error(), "add a subkey") {
		t.Errorf("%v", err)
	}
}
