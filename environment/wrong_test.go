package environment_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/truststore"
)

// scanner would pass everything as a nil pointer.
type scanner struct{}

func (*scanner) Scan(context.Context, string, []byte) error { return nil }

func TestWrongCalls(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, environment.Options{})
	w.public(w.identity("x"), "p")
	for about, call := range map[string]func() error{
		"no storage": func() error { _, err := environment.Open(ctx, nil, environment.Options{}); return err },
		"a storage that is a nil pointer": func() error {
			_, err := environment.Open(ctx, (*dirstore.Directory)(nil), environment.Options{})
			return err
		},
		"a scanner that is a nil pointer": func() error {
			_, err := environment.Open(ctx, w.storage, environment.Options{Scanner: (*scanner)(nil)})
			return err
		},
		"a base that is a nil pointer": func() error {
			_, err := w.test.Attach(ctx, "a", environment.AtomOptions{Base: (*truststore.Truststore)(nil)})
			return err
		},
		"no sealer":          func() error { return w.AddSealer(ctx, nil) },
		"no change":          func() error { _, err := w.Update(ctx, "x", nil, nil); return err },
		"no source":          func() error { _, err := w.Renew(ctx, "x", nil, environment.ComponentOptions{}); return err },
		"no component":       func() error { return w.Add(ctx, nil, nil) },
		"the zero component": func() error { return w.Add(ctx, new(component.Component), nil) },
		"no reference":       func() error { return w.SetPasswordReference(ctx, "x", "") },
		"no ID to undeploy":  func() error { return w.test.Undeploy(ctx, "../p") },
		"no ID to deploy":    func() error { return w.test.DeployProcess(ctx, "../p") },
		"no ID to use":       func() error { _, err := w.Uses(ctx, "../p"); return err },
		"nothing to put in the place of": func() error {
			return w.test.Substitute(ctx, environment.Substitution{})
		},
		"an empty list of atoms":              func() error { return w.test.DeployTo(ctx, "p", []string{}...) },
		"no list of atoms":                    func() error { return w.test.DeployTo(ctx, "p") },
		"no atoms to deploy to as well":       func() error { return w.test.DeployAlso(ctx, "p") },
		"no atoms to undeploy from":           func() error { return w.test.UndeployFrom(ctx, "p") },
		"no atoms for a process":              func() error { return w.test.DeployProcessTo(ctx, "orders") },
		"no more atoms for a process":         func() error { return w.test.DeployProcessAlso(ctx, "orders") },
		"no atoms to undeploy a process from": func() error { return w.test.UndeployProcessFrom(ctx, "orders") },
		"an atom that has no ID":              func() error { return w.test.DeployAlso(ctx, "p", "A b") },
		"a replacement that is nil": func() error {
			_, err := w.test.DryRun(ctx, environment.Proposal{Replace: []*component.Component{nil}})
			return err
		},
		"a member with a use that there is not": func() error {
			return w.SetPartner(ctx, environment.Partner{ID: "a", Members: []environment.PartnerMember{{Component: "p", Uses: 1 << 14}}})
		},
	} {
		if err := call(); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
	}
	if all := check(w.test.Deployments(ctx))(t); len(all) != 0 {
		t.Errorf("a wrong call deployed %v", all)
	}
	must(t, w.test.Deploy(ctx, "p"))
	other := check(component.Create(ctx, "x", issue.Options{DNSNames: []string{"a.example"}}, component.Options{ID: "p", Password: trustkeep.Password("secret")}))(t)
	if _, err := w.test.DryRun(ctx, environment.Proposal{Replace: []*component.Component{other}}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("what Update refuses: %v", err)
	}
}

// TestComponentThatBeginsAnew: a password is kept for a key, not for the number of a version.
func TestComponentThatBeginsAnew(t *testing.T) {
	ctx := t.Context()
	w := newWorld(t, environment.Options{})
	before := w.identity("x")
	must(t, w.SetProcess(ctx, environment.Process{ID: "p", Components: []string{"x"}}))
	must(t, w.test.DeployProcess(ctx, "p"))
	anew := func(*component.Component) (*component.Component, error) {
		return component.Create(ctx, "x", issue.Options{DNSNames: []string{"a.example"}}, component.Options{ID: "x", Password: trustkeep.Password("another")})
	}
	if c, err := w.Update(ctx, "x", nil, anew); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("kept with the password of another key: %v, %v", c, err)
	}
	c := check(w.Update(ctx, "x", trustkeep.Password("another"), anew))(t)
	if c.Version() != before.Version() {
		t.Fatalf("version %d", c.Version())
	}
	if err := c.CheckPassword(check(w.Password(ctx, "x"))(t)); err != nil {
		t.Error(err)
	}
	if stale := check(w.test.Stale(ctx))(t); len(stale) != 1 {
		t.Errorf("the frozen copy is of another certificate: %v", stale)
	}
}

// TestSourceOfPasswordsThatPanics does not end the program: it is called in a goroutine of
// ours.
func TestSourceOfPasswordsThatPanics(t *testing.T) {
	panics := false
	w := newWorld(t, environment.Options{Resolve: func(context.Context, string) ([]byte, error) {
		if panics {
			panic("vault")
		}
		return []byte("secret-x"), nil
	}})
	w.identity("x")
	must(t, w.SetPasswordReference(t.Context(), "x", "vault/x"))
	atom := w.attach("one", environment.AtomOptions{})
	atom.WaitForPasswords(time.Hour)
	panics = true
	if _, err := atom.Identity("x"); err == nil {
		t.Error("opened without a password")
	}
	panics = false
	if _, err := atom.Identity("x"); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestKeptPasswordIsTriedOnce: opening a key takes a while, and up to 64 versions have the
// same password.
func TestKeptPasswordIsTriedOnce(t *testing.T) {
	ctx := t.Context()
	asked := 0
	w := newWorld(t, environment.Options{Resolve: func(context.Context, string) ([]byte, error) {
		asked++
		return []byte("secret-x"), nil
	}})
	w.identity("x")
	must(t, w.SetPasswordReference(ctx, "x", "vault/x"))
	for range 4 {
		check(w.Rollback(ctx, "x", 1))(t)
	}
	asked = 0
	_, err := w.Update(ctx, "x", nil, func(c *component.Component) (*component.Component, error) {
		return c.ChangePassword(trustkeep.Password("secret-x"), trustkeep.Password("another"), component.Options{})
	})
	if !errors.Is(err, trustkeep.ErrIncorrectPassword) || asked != 1 {
		t.Errorf("%v, asked %d times", err, asked)
	}
}
