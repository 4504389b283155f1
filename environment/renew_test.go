package environment_test

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// countingCA signs requests and counts them. meanwhile is what others do while it signs.
type countingCA struct {
	*keystore.Identity
	w         *world
	asked     int
	meanwhile func()
}

func newCountingCA(t *testing.T, w *world) *countingCA {
	t.Helper()
	id := check(issue.New(issue.Options{Subject: pkix.Name{CommonName: "Counting CA"}, Purposes: issue.ForCA, Clock: w.clock.Now}))(t)
	return &countingCA{Identity: id, w: w}
}

func (ca *countingCA) Sign(_ context.Context, request []byte) ([]byte, error) {
	ca.asked++
	if ca.meanwhile != nil {
		ca.meanwhile()
	}
	return issue.Sign(ca.Identity, request, issue.Options{Clock: ca.w.clock.Now})
}

// What others do to the component while the CA signs: the CA is asked once, and what it
// signed is not lost unless somebody else has replaced the content.
func TestRenewAsksTheCAOnce(t *testing.T) {
	for _, newKey := range []bool{false, true} {
		for _, test := range []struct {
			about     string
			meanwhile func(*world) error
			conflict  bool
		}{
			{"nothing", func(*world) error { return nil }, false},
			{"renamed", func(w *world) error { _, err := w.Rename(w.t.Context(), "server", "other"); return err }, false},
			{"password changed", func(w *world) error {
				_, err := w.ChangePassword(w.t.Context(), "server", trustkeep.Password("secret-server"), trustkeep.Password("next"))
				return err
			}, false},
			{"renewed by another", func(w *world) error {
				_, err := w.Renew(w.t.Context(), "server", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{})
				return err
			}, true},
			{"deleted", func(w *world) error { return w.Delete(w.t.Context(), "server") }, true},
		} {
			w := newWorld(t, environment.Options{})
			before := w.identity("server")
			ca := newCountingCA(t, w)
			ca.meanwhile = func() { must(t, test.meanwhile(w)) }
			after, err := w.Renew(t.Context(), "server", issue.RenewOptions{NewKey: newKey, Sign: ca.Sign, Trust: truststore.New(ca.Leaf())}, environment.ComponentOptions{})
			if ca.asked != 1 {
				t.Errorf("%s: the CA was asked %d times", test.about, ca.asked)
			}
			if test.conflict {
				if !errors.Is(err, trustkeep.ErrConflict) && !errors.Is(err, trustkeep.ErrNotFound) {
					t.Errorf("%s: %v, %v", test.about, after, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", test.about, err)
				continue
			}
			now := check(w.Component(t.Context(), "server"))(t)
			if now.Fingerprint() != after.Fingerprint() || now.Fingerprint() == before.Fingerprint() || test.about == "renamed" && now.Name() != "other" {
				t.Errorf("%s: %v after %v", test.about, now, before)
			}
			password := check(w.Password(t.Context(), "server"))(t)
			if text := string(check(password.Reveal())(t)); test.about == "password changed" && text != "next" {
				t.Errorf("%s: under %q again", test.about, text)
			}
			id := check(keystore.IdentityOf(now, password))(t)
			if id.Leaf().CheckSignatureFrom(ca.Leaf()) != nil {
				t.Errorf("%s: signed by %s", test.about, id.Leaf().Issuer)
			}
		}
	}
}

// An update that changes nothing is not written.
func TestUpdateThatChangesNothing(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.identity("server")
	before := len(check(w.History(t.Context(), "server"))(t))
	check(w.Rename(t.Context(), "server", "server"))(t)
	check(w.Update(t.Context(), "server", nil, func(c *component.Component) (*component.Component, error) { return c, nil }))(t)
	if after := len(check(w.History(t.Context(), "server"))(t)); after != before || slices.Contains(w.actions(), "component changed") {
		t.Errorf("%d changes, %d before: %v", after, before, w.actions())
	}
}
