package environment_test

import (
	"crypto/x509/pkix"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/partner"
)

// TestPartnerHasOldAndNewSideBySide: the newest valid one to send, all to receive; X.509
// and OpenPGP alike; test and production apart.
func TestPartnerHasOldAndNewSideBySide(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	check(w.CreateEnvironment(ctx, "production"))(t)
	us := w.identity("us")
	for id, days := range map[string]int{"old": 40, "new": 400} {
		c := check(w.Create(ctx, id+"-key", issue.Options{Subject: pkix.Name{CommonName: id},
			NotBefore: w.clock.Now().AddDate(0, 0, days/100), Validity: time.Duration(days) * 24 * time.Hour},
			environment.ComponentOptions{Password: trustkeep.Password("x")}))(t)
		w.public(c, id)
	}
	w.public(us, "production-only")
	w.pgpKey("pgp")
	day := w.clock.Now().AddDate(0, 0, 10)
	p := environment.Partner{ID: "acme", Members: []environment.PartnerMember{
		{Component: "us", Uses: partner.Sign | partner.Decrypt | partner.SignMDN | partner.ClientTLS},
		{Component: "old", Uses: partner.Encrypt | partner.Verify | partner.VerifyMDN},
		{Component: "new", Uses: partner.Encrypt | partner.Verify, PreferredFrom: day},
		{Component: "production-only", Uses: partner.Verify, Environment: "production"},
		{Component: "pgp", Uses: partner.Verify, Environment: "test"},
	}}
	must(t, w.SetPartner(ctx, p))
	if got := check(w.Partner(ctx, "acme"))(t); len(got.Members) != 5 || got.Members[0].Uses != p.Members[0].Uses || !got.Members[2].PreferredFrom.Equal(day) {
		t.Errorf("%+v", got)
	}
	atom := w.attach("one", environment.AtomOptions{})
	set := check(atom.Partner("acme"))(t)
	for _, c := range []struct {
		purpose partner.Use
		at      time.Time
		want    []string
	}{
		{partner.SignMDN, w.clock.Now(), []string{"us"}},
		{partner.Encrypt, w.clock.Now(), []string{"old"}},
		{partner.Encrypt, day.AddDate(0, 0, 1), []string{"new"}},
		{partner.Verify, day, []string{"new", "old", "pgp"}},
	} {
		var got []string
		for _, item := range check(set.Resolve(c.purpose, c.at))(t) {
			got = append(got, item.ID())
		}
		if slices.Sort(got); !slices.Equal(got, c.want) {
			t.Errorf("%v on %v: %q, not %q", c.purpose, c.at, got, c.want)
		}
	}
	check(atom.Identity("us"))(t)
	if err := w.Delete(ctx, "old"); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("%v", err)
	}
	if err := w.DeleteEnvironment(ctx, "production"); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("%v", err)
	}
	expiring := check(w.Expiring(ctx, environment.ExpiryQuery{Before: w.clock.Now().AddDate(0, 0, 60)}))(t)
	if len(expiring) != 2 || expiring[0].Component != "old" || expiring[0].Location != "partner acme" {
		t.Errorf("%+v", expiring)
	}
	must(t, w.DeletePartner(ctx, "acme"))
	if err := w.DeletePartner(ctx, "acme"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, w.Delete(ctx, "old"))
	if all := check(w.Partners(ctx))(t); len(all) != 0 {
		t.Errorf("%v", all)
	}
}

func TestPartnerMembersFitTheirPurposes(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("us"), "them")
	for _, c := range []struct {
		name string
		m    environment.PartnerMember
		want error
	}{
		{"signing by a partner's certificate", environment.PartnerMember{Component: "them", Uses: partner.Sign}, trustkeep.ErrUnsupported},
		{"nothing", environment.PartnerMember{Component: "them"}, trustkeep.ErrInvalid},
		{"what there is not", environment.PartnerMember{Component: "them", Uses: 1 << 12}, trustkeep.ErrInvalid},
		{"nobody", environment.PartnerMember{Component: "no", Uses: partner.Verify}, trustkeep.ErrNotFound},
		{"nowhere", environment.PartnerMember{Component: "them", Uses: partner.Verify, Environment: "no"}, trustkeep.ErrNotFound},
	} {
		if err := w.SetPartner(ctx, environment.Partner{ID: "p", Members: []environment.PartnerMember{c.m}}); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if all := check(w.Partners(ctx))(t); len(all) != 0 {
		t.Errorf("%v", all)
	}
}
