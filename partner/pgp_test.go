package partner_test

import (
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/pgp"
)

// TestSubkeysDecide: of PGP keys, the one that can still encrypt is chosen, not the newest, and
// reports tell when the subkey ends.
func TestSubkeysDecide(t *testing.T) {
	key := func(made int, subkeyEnds int) *pgp.Key {
		o := pgp.Options{Clock: func() time.Time { return day(made) }}
		k, _, err := pgp.Generate(pgp.GenerateOptions{Options: o, UserIDs: []string{"p <p@example.com>"}})
		if err != nil {
			t.Fatal(err)
		}
		if subkeyEnds > 0 {
			if k, err = k.SetSubkeyExpiry(k.Info(o).Subkeys[0].Fingerprint, day(subkeyEnds), o); err != nil {
				t.Fatal(err)
			}
		}
		return k
	}
	old, fresh := key(0, 0), key(10, 50)
	uses := partner.Encrypt | partner.Verify | partner.Sign
	var s partner.Set[*pgp.Key]
	for _, k := range []*pgp.Key{old, fresh} {
		if err := s.Add(partner.Member[*pgp.Key]{Item: k, Uses: uses}); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		use  partner.Use
		at   int
		want *pgp.Key
	}{
		{partner.Encrypt, 20, fresh}, {partner.Encrypt, 60, old}, {partner.Sign, 60, fresh}, {partner.Encrypt, 5, old},
	} {
		got, err := s.Send(tt.use, day(tt.at))
		if err != nil || got != tt.want {
			t.Errorf("%s on day %d: %v, %v", tt.use, tt.at, got, err)
		}
		if tt.use == partner.Encrypt {
			if err := got.CanEncrypt(pgp.Options{Clock: func() time.Time { return day(tt.at) }}); err != nil {
				t.Errorf("day %d: %v", tt.at, err)
			}
		}
	}
	if got := s.Expiring(day(60)); len(got) != 1 || got[0].Item != fresh {
		t.Errorf("expiring: %v", got)
	}
	if got, err := s.Resolve(partner.Verify, day(60)); err != nil || len(got) != 2 || got[0] != fresh {
		t.Errorf("to verify: %v, %v", got, err)
	}
	if err := s.Remove(old.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	if k, err := s.Send(partner.Encrypt, day(60)); !errors.Is(err, partner.ErrNoneValid) {
		t.Errorf("%v, %v", k, err)
	}
	for _, zero := range []*pgp.Key{nil, {}} {
		if err := s.Add(partner.Member[*pgp.Key]{Item: zero, Uses: uses}); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("no key: %v", err)
		}
	}
}
