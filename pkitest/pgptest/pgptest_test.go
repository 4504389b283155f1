package pgptest_test

import (
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/pkitest/pgptest"
)

func TestKeys(t *testing.T) {
	k := pgptest.New(t, time.Date(2031, 5, 6, 7, 8, 9, 0, time.UTC))
	own, partner := k.Pair()
	for name, c := range map[string]struct {
		key                *pgp.Key
		encrypt, sign      bool
		revoked, unlimited bool
	}{
		"own":            {own, true, true, false, true},
		"partner":        {partner, true, true, false, true},
		"locked":         {k.Locked("Locked <l@example.com>", trustkeep.Password("pw")), true, true, false, true},
		"expiring":       {k.ExpiringIn(time.Hour, "E <e@example.com>"), true, true, false, false},
		"expired":        {k.Expired("E <e@example.com>"), false, false, false, false},
		"revoked":        {k.Revoked("R <r@example.com>"), false, false, true, true},
		"expired subkey": {k.ExpiredSubkey("S <s@example.com>"), false, true, false, true},
	} {
		if got := c.key.CanEncrypt(k.Options()) == nil; got != c.encrypt {
			t.Errorf("%s: can encrypt is %v: %v", name, got, c.key.CanEncrypt(k.Options()))
		}
		if got := c.key.CanSign(k.Options()) == nil; got != c.sign {
			t.Errorf("%s: can sign is %v: %v", name, got, c.key.CanSign(k.Options()))
		}
		if c.key.Revoked() != c.revoked || c.key.NotAfter().IsZero() != c.unlimited {
			t.Errorf("%s: revoked %v, until %v", name, c.key.Revoked(), c.key.NotAfter())
		}
	}
	if own.Fingerprint() == partner.Fingerprint() {
		t.Error("one key twice")
	}
}

func TestSHA1SelfSigned(t *testing.T) {
	key := pgptest.New(t, time.Time{}).SHA1SelfSigned()
	if err := key.CanEncrypt(pgp.Options{Allow: pgp.Strict}); err == nil {
		t.Error("SHA-1 is taken although nothing allows it")
	}
	if err := key.CanEncrypt(pgp.Options{Allow: pgp.Legacy}); err != nil {
		t.Errorf("SHA-1 that is allowed: %v", err)
	}
}

// TestOptionsProtectAsUsual: what makes passphrases cheap in tests of this module is not to
// be had outside of it.
func TestOptionsProtectAsUsual(t *testing.T) {
	if o := pgptest.New(t, time.Time{}).Options(); o.Rand != nil {
		t.Errorf("the source of randomness %T is handed out", o.Rand)
	}
}
