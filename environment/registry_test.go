package environment_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/tlsctx"
)

func TestComponentsOfBothKindsUnderOneRoof(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	x := w.identity("x")
	w.public(x, "x-public")
	p := w.pgpKey("p")
	_, armored, err := p.ExportPublic("")
	must(t, err)
	check(w.Import(ctx, "p-public", armored, environment.ComponentOptions{ID: "p-public"}))(t)
	want := map[string]string{
		"x": "private X.509", "x-public": "public X.509", "p": "private PGP", "p-public": "public PGP",
	}
	all := check(w.Components(ctx))(t)
	for _, c := range all {
		if got := fmt.Sprint(c.Visibility(), " ", c.Kind()); got != want[c.ID()] {
			t.Errorf("%s is %s, not %s", c.ID(), got, want[c.ID()])
		}
	}
	if len(all) != len(want) {
		t.Errorf("%d components", len(all))
	}
	if same := check(w.ByFingerprint(ctx, x.Fingerprint()))(t); len(same) != 2 {
		t.Errorf("%d components of one certificate", len(same))
	}
	renamed := check(w.Rename(ctx, "x", "another name"))(t)
	if renamed.Name() != "another name" || renamed.Version() != 1 || check(w.Component(ctx, "x"))(t).Name() != "another name" {
		t.Errorf("%v", renamed)
	}
	if _, err := w.Import(ctx, "again", armored, environment.ComponentOptions{ID: "p-public"}); !errors.Is(err, trustkeep.ErrExists) {
		t.Errorf("an ID that is taken: %v", err)
	}
	if _, err := w.Import(ctx, "bad", armored, environment.ComponentOptions{ID: "../etc"}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("an ID that is a path: %v", err)
	}
}

func TestNothingIsStoredOfARejectedImport(t *testing.T) {
	refused := func(context.Context, string, []byte) error { return fmt.Errorf("Eicar: %w", trustkeep.ErrRejected) }
	down := func(context.Context, string, []byte) error { return errors.New("connection refused") }
	w := newWorld(t, environment.Options{})
	_, good, err := w.identity("x").ExportPublic("")
	must(t, err)
	for name, c := range map[string]struct {
		options environment.Options
		data    []byte
		want    error
	}{
		"infected":         {environment.Options{Scanner: trustkeep.ScannerFunc(refused)}, good, trustkeep.ErrRejected},
		"no verdict":       {environment.Options{Scanner: trustkeep.ScannerFunc(down)}, good, nil},
		"not understood":   {environment.Options{}, []byte("hello"), trustkeep.ErrCorrupt},
		"against policy":   {environment.Options{Policy: func(*component.Component) error { return trustkeep.ErrRejected }}, good, trustkeep.ErrRejected},
		"empty":            {environment.Options{}, nil, trustkeep.ErrEmpty},
		"infected OpenPGP": {environment.Options{Scanner: trustkeep.ScannerFunc(refused)}, []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----"), trustkeep.ErrRejected},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, c.options)
			_, err := w.Import(t.Context(), "x", c.data, environment.ComponentOptions{ID: "x"})
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Errorf("%v", err)
			}
			if all := check(w.storage.List(t.Context(), "components/"))(t); len(all) != 0 {
				t.Errorf("%d records", len(all))
			}
		})
	}
}

func TestCloseDemandsToSaveWhatWasChanged(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	d := check(w.Draft(ctx, "x", trustkeep.Password("next")))(t)
	must(t, d.Change(func(c *component.Component) (*component.Component, error) {
		return c.ChangePassword(trustkeep.Password("secret-x"), trustkeep.Password("next"), component.Options{})
	}))
	if err := d.Close(); !errors.Is(err, trustkeep.ErrUnsaved) {
		t.Errorf("a changed password is lost: %v", err)
	}
	must(t, d.Save())
	must(t, d.Close())
	if password := check(check(w.Password(ctx, "x"))(t).Reveal())(t); string(password) != "next" {
		t.Error("another password is kept")
	}
	// Somebody else is faster.
	d = check(w.Draft(ctx, "x", nil))(t)
	check(w.Rename(ctx, "x", "faster"))(t)
	must(t, d.Change(func(c *component.Component) (*component.Component, error) {
		return c.Rename("slower")
	}))
	if err := d.Save(); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("%v", err)
	}
	d.Discard()
	if name := check(w.Component(ctx, "x"))(t).Name(); name != "faster" {
		t.Errorf("%s", name)
	}
}

func TestDeletionIsRefusedWhileInUse(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("client")
	w.public(w.identity("server"), "a")
	w.pgpKey("p")
	w.pgpKey("q")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}, Identity: "client"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Connections: []string{"c"}, Components: []string{"p"}}))
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.test.DeployProcess(ctx, "orders"))
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "p", Replacement: "q"}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	want := map[string][]string{
		"a":      {"trusted by connection c", "deployed in test", "frozen in process orders in test"},
		"client": {"identity of connection c", "frozen in process orders in test"},
		"p":      {"used by process orders", "substituted in test", "frozen in process orders in test"},
		"q":      {"substitute in test", "frozen in process orders in test"},
		"server": nil,
	}
	for id, want := range want {
		var got []string
		for _, u := range check(w.Uses(ctx, id))(t) {
			got = append(got, u.String())
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s is used by %q, not %q", id, got, want)
		}
		err := w.Delete(ctx, id)
		if len(want) > 0 && (!errors.Is(err, trustkeep.ErrInUse) || !strings.Contains(err.Error(), want[0])) || len(want) == 0 && err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	for name, err := range map[string]error{
		"connection": w.DeleteConnection(ctx, "c"), "process": w.DeleteProcess(ctx, "orders"),
	} {
		if !errors.Is(err, trustkeep.ErrInUse) {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.attach("one", environment.AtomOptions{})
	if err := w.DeleteEnvironment(ctx, "test"); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("%v", err)
	}
	must(t, w.test.Detach(ctx, "one"))
	must(t, w.DeleteEnvironment(ctx, "test"))
	must(t, w.DeleteProcess(ctx, "orders"))
	must(t, w.DeleteConnection(ctx, "c"))
	for _, id := range []string{"a", "client", "p", "q"} {
		must(t, w.Delete(ctx, id))
	}
	if all := check(w.Components(ctx))(t); len(all) != 0 {
		t.Errorf("%v", all)
	}
}

func TestEveryChangeIsAnEvent(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := environment.WithActor(t.Context(), "alice")
	_, data, err := w.identity("server").ExportPublic("")
	must(t, err)
	check(w.Import(ctx, "a", data, environment.ComponentOptions{ID: "a"}))(t)
	check(w.Rename(ctx, "a", "renamed"))(t)
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "p", Connections: []string{"c"}}))
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.test.DeployProcess(ctx, "p"))
	must(t, w.test.UndeployProcess(ctx, "p"))
	must(t, w.test.Undeploy(ctx, "a"))
	must(t, w.DeleteProcess(ctx, "p"))
	must(t, w.DeleteConnection(ctx, "c"))
	must(t, w.Delete(ctx, "a"))
	want := []string{
		"environment created", "component created", "component created", "component changed", "connection set", "process set",
		"component deployed", "process deployed", "process undeployed", "component undeployed",
		"process deleted", "connection deleted", "component deleted",
	}
	if got := w.actions(); !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for _, e := range w.events[2:] {
		if e.Actor != "alice" || e.Time != w.clock.Now() || e.Object == "" || e.Before == "" && e.After == "" && !strings.HasSuffix(e.Action, "deleted") {
			t.Errorf("%+v", e)
		}
	}
	if e := w.events[3]; !strings.Contains(e.Before, `"a"`) || !strings.Contains(e.After, `"renamed"`) {
		t.Errorf("%+v", e)
	}
	// Who made it stays in the record, too.
	versions := check(w.storage.Versions(ctx, "components/a"))(t)
	if len(versions) < 3 || !strings.Contains(string(versions[0].Value), `"actor":"alice"`) {
		t.Errorf("%d versions", len(versions))
	}
}

func TestManyVersionsStayBounded(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	_, data, err := w.identity("server").ExportPublic("")
	must(t, err)
	check(w.Import(ctx, "a", data, environment.ComponentOptions{ID: "a"}))(t)
	for range 100 {
		check(w.Reimport(ctx, "a", data, environment.ComponentOptions{}))(t)
	}
	c := check(w.Component(ctx, "a"))(t)
	if c.Version() != 101 || len(c.Versions()) != 64 || c.Versions()[0].Number != 38 {
		t.Errorf("version %d, %d kept from %d on", c.Version(), len(c.Versions()), c.Versions()[0].Number)
	}
	if _, err := w.Rollback(ctx, "a", 1); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	check(w.Rollback(ctx, "a", 50))(t)
}

// TestTwoWritersBothCount: neither replacement gets lost.
func TestTwoWritersBothCount(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	_, data, err := w.identity("server").ExportPublic("")
	must(t, err)
	check(w.Import(ctx, "a", data, environment.ComponentOptions{ID: "a"}))(t)
	const writers, each = 4, 10
	var all sync.WaitGroup
	for range writers {
		all.Go(func() {
			for range each {
				if _, err := w.Reimport(ctx, "a", data, environment.ComponentOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if got := check(w.Component(ctx, "a"))(t).Version(); got != 1+writers*each {
		t.Errorf("version %d", got)
	}
}

func TestServerOfAConnectionAsksForClientCertificates(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("server")
	client := w.identity("client")
	w.public(client, "client-public")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "inbound", Identity: "server", Trusted: []string{"client-public"}, ClientAuth: tlsctx.RequireClientAuth}))
	atom := w.attach("one", environment.AtomOptions{})
	b := check(atom.Connection("inbound"))(t)
	if b.ClientAuth != tlsctx.RequireClientAuth {
		t.Error("the mode was lost at rest")
	}
	if _, err := b.Server(); err != nil {
		t.Error(err)
	}
}

func TestLaterFormatIsNotGuessedAt(t *testing.T) {
	w := newWorld(t, environment.Options{})
	check(w.storage.Put(t.Context(), "components/x", []byte(`{"format":99,"type":"certificate"}`), 0))(t)
	if _, err := w.Component(t.Context(), "x"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
