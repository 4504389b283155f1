package environment

import (
	"maps"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep/partner"
)

func TestCounts(t *testing.T) {
	name := func(s string) *string { return &s }
	list := func(s ...string) *[]string { return &s }
	process := func(env, id string, frozen ...string) *deployedProcess {
		d := &deployedRecord{Process: Process{ID: id}, Frozen: make(map[string]*componentRecord)}
		for _, id := range frozen {
			d.Frozen[id] = new(componentRecord)
		}
		return &deployedProcess{environment: env, record: d}
	}
	for _, c := range []struct {
		name string
		fill func(v *inventory, test, production *environmentRecord)
		// what counts besides the environments' own records
		test, production []string
	}{
		{"nothing", func(v *inventory, _, _ *environmentRecord) {
			v.components["unused"] = nil
			v.processes["idle"] = Process{ID: "idle", Connections: []string{"x"}, Components: []string{"unused"}}
			v.partners["empty"] = Partner{ID: "empty"}
			v.atoms[atomKey("test", "one")] = &attachedAtom{environment: "test", id: "one"}
			v.environments["other"] = &environmentRecord{Deployed: map[string]Deployment{"unused": {}}}
		}, nil, nil},
		{"deployments", func(_ *inventory, test, production *environmentRecord) {
			test.Deployed = map[string]Deployment{"a": {}, "b": {Atoms: []string{"one"}}}
			production.Deployed = map[string]Deployment{"a": {}}
		}, []string{"components/a", "components/b"}, []string{"components/a"}},
		{"substitutions, both ways", func(_ *inventory, test, _ *environmentRecord) {
			test.Substitutions = []Substitution{{Component: "a", Replacement: "b"}, {Component: "c", Replacement: "d", Process: "p"}}
		}, []string{"components/a", "components/b", "components/c", "components/d"}, nil},
		{"roles", func(_ *inventory, _, production *environmentRecord) {
			production.Roles = map[string]string{RoleTLS: "a"}
		}, nil, []string{"components/a"}},
		{"connections count everywhere, as they are overridden", func(v *inventory, test, _ *environmentRecord) {
			v.connections["out"] = Connection{ID: "out", Trusted: []string{"partner"}, Identity: "production-key"}
			v.connections["sftp"] = Connection{ID: "sftp", Identity: "login", SSH: &SSH{User: "u"}}
			v.connections["plain"] = Connection{ID: "plain"}
			test.Overrides = map[string]Override{
				"out": {Identity: name("test-key")}, "plain": {Trusted: list("b")}, "sftp": {Identity: name("")}, "gone": {Identity: name("lost")},
			}
		}, []string{"components/b", "components/partner", "components/test-key", "connections/out", "connections/plain", "connections/sftp"},
			[]string{"components/login", "components/partner", "components/production-key", "connections/out", "connections/plain", "connections/sftp"}},
		{"partners with members there", func(v *inventory, _, _ *environmentRecord) {
			v.partners["acme"] = Partner{ID: "acme", Members: []PartnerMember{
				{Component: "old", Uses: partner.Encrypt, Environment: "production"}, {Component: "ours", Uses: partner.Sign, Environment: "production"},
			}}
			v.partners["other"] = Partner{ID: "other", Members: []PartnerMember{
				{Component: "all", Uses: partner.Encrypt}, {Component: "only", Uses: partner.Encrypt, Environment: "test"},
			}}
		}, []string{"components/all", "components/only", "partners/other"},
			[]string{"components/all", "components/old", "components/ours", "partners/acme", "partners/other"}},
		{"deployed processes with their copies", func(v *inventory, _, _ *environmentRecord) {
			v.processes["p"] = Process{ID: "p", Components: []string{"next"}}
			v.deployed[deployedKey("test", "p")] = process("test", "p", "a", "b")
			v.deployed[deployedKey("production", "p")] = process("production", "p", "a")
		}, []string{"components/a", "components/b", "environments/test/processes/p"},
			[]string{"components/a", "environments/production/processes/p"}},
		{"what is sealed of them", func(v *inventory, test, _ *environmentRecord) {
			test.Deployed = map[string]Deployment{"a": {}}
			for _, env := range []string{"test", "production", administrators} {
				v.rings[env] = newRingRecord()
				for _, id := range []string{"a", "left"} {
					v.sealed[sealedKey(env, id)] = &sealedCopy{env: env, component: id}
				}
			}
		}, []string{"components/a", "environments/test/secrets", "environments/test/secrets/a"}, []string{"environments/production/secrets"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := newInventory()
			test, production := new(environmentRecord), new(environmentRecord)
			v.environments["test"], v.environments["production"] = test, production
			c.fill(v, test, production)
			for env, want := range map[string][]string{"test": c.test, "production": c.production} {
				want = append(want, environmentKey(env))
				slices.Sort(want)
				if got := slices.Sorted(maps.Keys(v.counts(env))); !slices.Equal(got, want) {
					t.Errorf("%s:\n%q, want\n%q", env, got, want)
				}
				for _, key := range want {
					if kind, _, id := kindOfKey(key); kind == "components" && !slices.Contains(v.environmentsOf(id), env) {
						t.Errorf("%s counts in %q", id, v.environmentsOf(id))
					}
				}
			}
			if got := v.counts("gone"); len(got) > 0 {
				t.Errorf("of an environment that does not exist: %v", got)
			}
			if got := v.environmentsOf("nothing"); len(got) > 0 {
				t.Errorf("a component that nothing refers to counts in %q", got)
			}
		})
	}
}
