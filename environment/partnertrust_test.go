package environment_test

import (
	"crypto/x509/pkix"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// A connection takes trust and identity from a partner: old and new certificates are trusted side
// by side, ours is the one that is preferred, and both follow the partner's definition.
func TestConnectionOfAPartner(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	for _, id := range []string{"old", "new", "mine", "next"} {
		w.public(w.identity(id), id+"-public")
	}
	day := w.clock.Now().AddDate(0, 0, 10)
	both := []environment.PartnerMember{
		{Component: "old-public", Uses: partner.VerifyTLS},
		{Component: "mine", Uses: partner.ClientTLS},
		{Component: "next", Uses: partner.ClientTLS, PreferredFrom: day},
		{Component: "new-public", Uses: partner.Verify},
	}
	must(t, w.SetPartner(ctx, environment.Partner{ID: "acme", Members: both}))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", TrustedPartner: "acme", IdentityPartner: "acme"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "job", Connections: []string{"out"}}))
	must(t, w.test.DeployProcess(ctx, "job"))
	must(t, w.test.Deploy(ctx, "new-public")) // what is deployed does not count
	atom := w.attach("one", environment.AtomOptions{})
	oldServer, newServer := serve(t, atom, "old"), serve(t, atom, "new")
	reaches := func(address string) func(*environment.Atom) bool {
		return func(a *environment.Atom) bool { return dial(t, address, check(a.Connection("out"))(t)) == nil }
	}
	settled(t, atom, reaches(oldServer))
	if reaches(newServer)(atom) {
		t.Error("a certificate for another use is trusted")
	}
	// One of ours is presented, and the other from the agreed day on.
	for _, c := range []struct{ id, other string }{{"mine", "next"}, {"next", "mine"}} {
		for _, id := range []string{c.id, c.other} {
			cert := check(check(atom.Identity(id))(t).TLSCertificate())(t).Leaf
			for who, b := range map[string]tlsctx.Builder{
				"atom":    check(atom.Connection("out"))(t),
				"process": check(check(atom.Process("job"))(t).Connection("out"))(t),
			} {
				if got := check(b.Identity.TLSCertificate())(t).Leaf.Equal(cert); got != (id == c.id) {
					t.Errorf("%s presents %s: %v", who, id, got)
				}
			}
		}
		w.clock.Advance(11 * 24 * time.Hour)
	}
	must(t, w.UpdatePartner(ctx, "acme", func(p *environment.Partner) error {
		p.Members = append(p.Members, environment.PartnerMember{Component: "new-public", Uses: partner.VerifyTLS})
		return nil
	}))
	settled(t, atom, reaches(newServer))
	settled(t, atom, reaches(oldServer))
	frozen := check(check(atom.Process("job"))(t).Connection("out"))(t)
	if dial(t, newServer, frozen) == nil || dial(t, oldServer, frozen) != nil {
		t.Error("a process is not as it was deployed")
	}
	must(t, w.test.DeployProcess(ctx, "job"))
	settled(t, atom, func(a *environment.Atom) bool {
		return dial(t, newServer, check(check(a.Process("job"))(t).Connection("out"))(t)) == nil
	})
	// Without certificates for it nobody is trusted, and not what is deployed.
	must(t, w.UpdatePartner(ctx, "acme", func(p *environment.Partner) error {
		p.Members = []environment.PartnerMember{{Component: "mine", Uses: partner.ClientTLS}}
		return nil
	}))
	settled(t, atom, func(a *environment.Atom) bool { return !reaches(oldServer)(a) && !reaches(newServer)(a) })
	if err := w.DeletePartner(ctx, "acme"); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("%v", err)
	}
}

func TestConnectionOfAPartnerRefused(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("x"), "a")
	w.pgpKey("key")
	must(t, w.SetPartner(ctx, environment.Partner{ID: "acme", Members: []environment.PartnerMember{{Component: "a", Uses: partner.VerifyTLS}}}))
	for what, c := range map[string]struct {
		connection environment.Connection
		want       error
	}{
		"both":            {environment.Connection{Trusted: []string{"a"}, TrustedPartner: "acme"}, trustkeep.ErrInvalid},
		"both identities": {environment.Connection{Identity: "x", IdentityPartner: "acme"}, trustkeep.ErrInvalid},
		"nobody":          {environment.Connection{TrustedPartner: "no"}, trustkeep.ErrNotFound},
		"no ID":           {environment.Connection{IdentityPartner: "../no"}, trustkeep.ErrInvalid},
		"SSH":             {environment.Connection{IdentityPartner: "acme", SSH: &environment.SSH{User: "u", Pins: []string{"x"}}}, trustkeep.ErrInvalid},
	} {
		c.connection.ID = "c"
		if err := w.SetConnection(ctx, c.connection); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}}))
	for what, o := range map[string]environment.Override{
		"nobody": {TrustedPartner: new("")},
		"both":   {TrustedPartner: new("acme"), DeployedTrust: true},
		"two":    {TrustedPartner: new("acme"), Trusted: &[]string{"a"}},
	} {
		if err := w.test.Override(ctx, "c", o); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("override, %s: %v", what, err)
		}
	}
	must(t, w.test.Override(ctx, "c", environment.Override{TrustedPartner: new("acme")}))
	if err := w.DeletePartner(ctx, "acme"); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("%v", err)
	}
	if err := w.SetPartner(ctx, environment.Partner{ID: "pgp", Members: []environment.PartnerMember{{Component: "key", Uses: partner.VerifyTLS}}}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a PGP key for TLS: %v", err)
	}
}

// TestDryRunOfAPartner: a certificate that the partner would lose refuses who was seen with it.
func TestDryRunOfAPartner(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	check(w.Create(ctx, "b", issue.Options{Subject: pkix.Name{CommonName: "b"}, NotBefore: w.clock.Now(), Validity: time.Hour},
		environment.ComponentOptions{ID: "b", Password: trustkeep.Password("x")}))(t)
	p := environment.Partner{ID: "acme", Members: []environment.PartnerMember{{Component: "a", Uses: partner.VerifyTLS}}}
	must(t, w.SetPartner(ctx, p))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", TrustedPartner: "acme"}))
	atom := w.attach("one", environment.AtomOptions{})
	must(t, dial(t, serve(t, atom, "server"), check(atom.Connection("out"))(t)))
	must(t, atom.Report(ctx))
	if f := check(w.test.DryRun(ctx, environment.Proposal{}))(t); f.Checked != 1 || len(f.Failing) != 0 {
		t.Errorf("%v", f)
	}
	p.Members[0].Component = "b"
	if f := check(w.test.DryRun(ctx, environment.Proposal{Partners: []environment.Partner{p}}))(t); len(f.Failing) != 1 {
		t.Errorf("%v", f)
	}
	p.Members[0].Component = "no"
	if _, err := w.test.DryRun(ctx, environment.Proposal{Partners: []environment.Partner{p}}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
