package environment_test

import (
	"crypto/x509/pkix"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
)

// TestExposedIsListed: what recipients could open is listed until the component has another key
// in every version that is kept, frozen copies included.
func TestExposedIsListed(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	for _, id := range []string{"x", "y"} {
		s.identity(id)
	}
	same := issue.Options{Subject: pkix.Name{CommonName: "x"}}
	check(s.Renew(ctx, "x", same, environment.ComponentOptions{}))(t)
	want := func(r *environment.Registry, expected ...string) {
		t.Helper()
		var got []string
		for _, e := range check(r.Exposed(ctx))(t) {
			got = append(got, fmt.Sprintf("%s:%s%v%s@%d", e.Environment, e.Component, e.Versions, e.Recipient, int(e.Until.Sub(newClock().Now()).Hours())))
		}
		if strings.Join(got, " ") != strings.Join(expected, " ") {
			t.Errorf("exposed: %q, want %q", got, expected)
		}
	}
	want(s.Registry)
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "x"))
	must(t, s.SetProcess(ctx, environment.Process{ID: "p", Components: []string{"x"}}))
	must(t, s.production.DeployProcess(ctx, "p"))
	s.clock.Advance(time.Hour)
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "y"))
	want(s.Registry, "test:x[1 2]@1")
	if all := check(s.production.Exposed(ctx))(t); len(all) > 0 {
		t.Errorf("production: %v", all)
	}
	// Once more there, and away again.
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "x"))
	want(s.Registry, "test:y[1]@1")
	s.clock.Advance(time.Hour)
	must(t, s.test.SetRole(ctx, environment.RoleTLS, ""))
	want(s.Registry, "test:x[1 2]@2", "test:y[1]@1")
	// Another registry, and a recipient that is removed and added again.
	other := newKey(t)
	must(t, s.production.AddRecipient(ctx, recipient("other", other)))
	check(s.production.RemoveRecipient(ctx, "other"))(t)
	r := s.as(s.root)
	want(r, "production:x[1 2]other@2", "test:x[1 2]@2", "test:y[1]@1")
	must(t, s.production.AddRecipient(ctx, recipient("again", other)))
	want(r, "test:x[1 2]@2", "test:y[1]@1")
	check(s.production.RemoveRecipient(ctx, "again"))(t)
	want(r, "production:x[1 2]other@2", "production:x[1 2]again@2", "test:x[1 2]@2", "test:y[1]@1")
	// A new key is not enough while versions with the old one are kept, nor while a copy is
	// frozen.
	check(s.Renew(ctx, "x", issue.Options{Subject: pkix.Name{CommonName: "new"}}, environment.ComponentOptions{}))(t)
	want(r, "production:x[1 2]other@2", "production:x[1 2]again@2", "test:x[1 2]@2", "test:y[1]@1")
	must(t, s.Delete(ctx, "y"))
	want(r, "production:x[1 2]other@2", "production:x[1 2]again@2", "test:x[1 2]@2")
	must(t, s.DeleteEnvironment(ctx, "test"))
	want(r, "production:x[1 2]other@2", "production:x[1 2]again@2", "test:x[1 2]@2")
	// Version 1 goes away, and 2 with it but for the frozen copy.
	for range 63 {
		check(s.Renew(ctx, "x", same, environment.ComponentOptions{}))(t)
	}
	want(r, "production:x[2]other@2", "production:x[2]again@2", "test:x[2]@2")
	must(t, s.production.DeployProcess(ctx, "p"))
	want(r)
	sealedWell(t, r, "at the end")
}
