package environment_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestImportAllReturnsWhatIsStored: in a sealed registry, keys are stored under other passwords.
func TestImportAllReturnsWhatIsStored(t *testing.T) {
	s := newSealedWorld(t)
	password := trustkeep.Password("store")
	ks := keystore.New()
	pki := newPKI(t, s.world)
	must(t, errors.Join(ks.SetIdentity("a", pki.Client), ks.SetIdentity("b", pki.Server)))
	file := check(ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: password}))(t)
	all := check(s.ImportAll(t.Context(), file, environment.ComponentOptions{Password: password}))(t)
	for _, c := range all {
		if stored := check(s.Component(t.Context(), c.ID()))(t); !c.Equal(stored) {
			t.Errorf("%s is not what is stored", c.Name())
		}
		if err := c.CheckPassword(check(s.Password(t.Context(), c.ID()))(t)); err != nil {
			t.Errorf("%s: %v", c.Name(), err)
		}
	}
	if len(all) != 2 {
		t.Errorf("%d components", len(all))
	}
}

// TestImportAllUnique compares the entries of the file, too.
func TestImportAllUnique(t *testing.T) {
	w := newWorld(t, environment.Options{})
	pki := newPKI(t, w)
	file := func(aliases ...string) []byte {
		ks := keystore.New()
		for _, alias := range aliases {
			must(t, ks.SetTrusted(alias, pki.CA.Leaf()))
		}
		return check(ks.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("changeit")}))(t)
	}
	o := environment.ComponentOptions{Password: trustkeep.Password("changeit"), Unique: true}
	all, err := w.ImportAll(t.Context(), file("first", "second"), o)
	if !errors.Is(err, trustkeep.ErrExists) || !strings.Contains(fmt.Sprint(err), "first") || all != nil {
		t.Errorf("%v, %v", all, err)
	}
	if stored := check(w.Components(t.Context()))(t); len(stored) != 0 {
		t.Errorf("stored all the same: %v", stored)
	}
	o.Unique = false
	if all := check(w.ImportAll(t.Context(), file("first", "second"), o))(t); len(all) != 2 {
		t.Errorf("%v", all)
	}
}

// TestImportAllOfTooMuch: entries beyond the limit cost no more than reading the file.
func TestImportAllOfTooMuch(t *testing.T) {
	w := newWorld(t, environment.Options{})
	root := inPEM(newPKI(t, w).CA.Leaf())
	if all, err := w.ImportAll(t.Context(), []byte(strings.Repeat(string(root), 10_000)), environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrLimit) || all != nil {
		t.Errorf("%d, %v", len(all), err)
	}
	if stored := check(w.Components(t.Context()))(t); len(stored) != 0 {
		t.Errorf("%d are stored", len(stored))
	}
}

// TestExpirySaysAll: that something expires for all atoms is said by name.
func TestExpirySaysAll(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	for _, id := range []string{"a", "b", "c"} {
		w.public(w.identity("own-"+id), id)
	}
	must(t, errors.Join(w.test.Deploy(ctx, "a"), w.test.DeployTo(ctx, "b", "one")))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"b"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "p", Connections: []string{"own"}}))
	must(t, w.test.DeployProcessTo(ctx, "p", "one"))
	got := make(map[string]string)
	for _, e := range check(w.Expiring(ctx, environment.ExpiryQuery{All: true, Before: w.clock.Now().AddDate(2, 0, 0)}))(t) {
		if !strings.HasPrefix(e.Component, "own-") {
			got[e.Component+" "+e.Location] = fmt.Sprint(e.All, " ", e.Atoms)
		}
	}
	for place, want := range map[string]string{
		"a deployed": "true []", "b deployed": "false [one]", "b connection own": "true []", "b frozen in process p": "false [one]", "c component": "false []",
	} {
		if got[place] != want {
			t.Errorf("%s: %s, want %s", place, got[place], want)
		}
	}
	if len(got) != 5 {
		t.Errorf("%v", got)
	}
}
