package audit_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/pgp"
)

// TestSubkeysExpire: a PGP key that does not expire is reported when the subkey that
// encrypts does.
func TestSubkeysExpire(t *testing.T) {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	o := pgp.Options{Clock: func() time.Time { return now.AddDate(-1, 0, 0) }}
	key, _, err := pgp.Generate(pgp.GenerateOptions{Options: o, UserIDs: []string{"p <p@example.com>"}})
	if err != nil {
		t.Fatal(err)
	}
	subkey := key.Info(o).Subkeys[0]
	if key, err = key.SetSubkeyExpiry(subkey.Fingerprint, now.AddDate(0, 0, -1), o); err != nil {
		t.Fatal(err)
	}
	imported := func() *component.Component {
		c, err := component.Import(context.Background(), "partner", key.Marshal(), component.Options{Kinds: []component.Kind{pgp.ComponentKind()}})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	a := audit.Options{Clock: func() time.Time { return now }}
	soon := a.Expiring(audit.Target{Component: imported()})
	if len(soon) != 1 || !strings.Contains(soon[0].Subject, subkey.KeyID) || !soon[0].NotAfter.Equal(now.AddDate(0, 0, -1)) {
		t.Errorf("expiring: %v", soon)
	}
	found := false
	for _, f := range a.Run(audit.Target{Component: imported()}).Findings {
		found = found || f.Code == audit.Expired && strings.Contains(f.Subject, subkey.KeyID)
	}
	if !found {
		t.Error("no finding")
	}
	// A successor takes over.
	if key, err = key.RotateSubkey(subkey.Fingerprint, pgp.SubkeyOptions{Options: o}); err != nil {
		t.Fatal(err)
	}
	if soon := a.Expiring(audit.Target{Component: imported()}); len(soon) != 0 {
		t.Errorf("after rotation: %v", soon)
	}
}
