package environment_test

import (
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/partner"
)

// Refusals are sentences about what was asked for: no "invalid" for what was not asked, nothing
// said twice.
func TestRefusalsInWords(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("x"), "a")
	w.pgpKey("key")
	atom := w.attach("one", environment.AtomOptions{})
	second := func(_ any, err error) error { return err }
	for want, err := range map[string]error{
		`environment: set role: alias "tls": component a is public X.509, not private: unsupported`:           w.test.SetRole(ctx, "tls", "a"),
		`environment: set connection: alias "c": component key is private PGP, not X.509: unsupported`:        w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"key"}}),
		`environment: set connection: alias "c": component a is public X.509, not private X.509: unsupported`: w.SetConnection(ctx, environment.Connection{ID: "c", Identity: "a"}),
		`environment: set connection: alias "c": component no: not found`:                                     w.SetConnection(ctx, environment.Connection{ID: "c", Identity: "no"}),
		`environment: set partner: alias "p": component a is public X.509, not private: unsupported`:          w.SetPartner(ctx, environment.Partner{ID: "p", Members: []environment.PartnerMember{{Component: "a", Uses: partner.Sign}}}),
		`environment: set partner: alias "p": component a has no use: invalid argument`:                       w.SetPartner(ctx, environment.Partner{ID: "p", Members: []environment.PartnerMember{{Component: "a"}}}),
		`environment: component: alias "no": not found`:                                                       second(w.Component(ctx, "no")),
		`environment: connection: alias "no": not found`:                                                      second(w.Connection(ctx, "no")),
		`environment: process: alias "no": not found`:                                                         second(w.Process(ctx, "no")),
		`environment: partner: alias "no": not found`:                                                         second(w.Partner(ctx, "no")),
		`environment: undeploy: alias "a": it is not deployed: not found`:                                     w.test.Undeploy(ctx, "a"),
		`environment: identity: alias "a": component a is public X.509, not private X.509: unsupported`:       second(atom.Identity("a")),
		`environment: role: alias "tls": no component has this role in test: not found`:                       second(atom.Role("tls")),
	} {
		if err == nil || err.Error() != want {
			t.Errorf("%v\n\tnot %s", err, want)
		}
		if err != nil && (strings.Contains(err.Error(), "not private invalid") || strings.Contains(err.Error(), "of none")) {
			t.Errorf("%v", err)
		}
	}
}
