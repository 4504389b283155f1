package environment_test

import (
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
)

// TestWaitingKeysAreForAdministrators: until the reply is installed, nobody but administrators
// opens the key of a request, wherever the component counts.
func TestWaitingKeysAreForAdministrators(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	s.identity("x")
	ca := newCountingCA(t, s.world)
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "x"))
	s.want("test:x")
	request := check(s.Request(ctx, "x", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	s.want("administrators:x test:x")
	sealedWell(t, s.Registry, "requested")
	for _, one := range s.document("environments/test/secrets/x")["secrets"].([]any) {
		if n := one.(map[string]any)["version"].(float64); n < 0 {
			t.Errorf("the key of request %v is sealed for test", -n)
		}
	}
	for _, one := range s.document("administrators/secrets/x")["secrets"].([]any) {
		if n := one.(map[string]any)["version"].(float64); n > 0 {
			t.Errorf("version %v is sealed for administrators", n)
		}
	}
	// Who is no administrator can use and rename the component, and not install the reply.
	tester := newKey(t)
	must(t, s.test.AddRecipient(ctx, recipient("tester", tester)))
	r := s.as(tester)
	check(r.Rename(ctx, "x", "renamed"))(t)
	must(t, check(r.Environment(ctx, "test"))(t).SetRole(ctx, "another", "x"))
	reply := ca.answer(t, request)
	if _, err := r.Install(ctx, "x", reply, nil, environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrNotPermitted) {
		t.Errorf("installed: %v", err)
	}
	sealedWell(t, s.Registry, "before")
	check(s.Install(ctx, "x", reply, nil, environment.ComponentOptions{}))(t)
	s.want("test:x")
	sealedWell(t, s.Registry, "installed")
	a := s.atom("test")
	check(a.Role(environment.RoleTLS))(t)
}
