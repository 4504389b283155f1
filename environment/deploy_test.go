package environment_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestDeployedCertificateIsTrustedByConnectionsWithoutTheirOwnTrust(t *testing.T) {
	w := newWorld(t, environment.Options{})
	server := w.identity("server-a")
	w.public(server, "a")
	atom := w.attach("one", environment.AtomOptions{})
	address := serve(t, atom, "server-a")
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "https"}))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Connection("https"); return err == nil })
	https := check(atom.Connection("https"))(t)
	if err := dial(t, address, https); err == nil {
		t.Fatal("accepted before anything was deployed")
	}
	must(t, w.test.Deploy(t.Context(), "a"))
	settled(t, atom, trusts(1))
	for name, b := range map[string]tlsctx.Builder{"a connection without settings": atom.Implicit(), "a connection of its own": https} {
		if err := dial(t, address, b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	must(t, w.test.Undeploy(t.Context(), "a"))
	settled(t, atom, trusts(0))
	if err := dial(t, address, https); err == nil {
		t.Error("accepted after it was taken back")
	}
}

// TestTrustedCertificateOfAConnectionReplacesWhatIsDeployed: the server runs A, A is
// deployed, the connection is set to B.
func TestTrustedCertificateOfAConnectionReplacesWhatIsDeployed(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.public(w.identity("server-a"), "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.test.Deploy(t.Context(), "a"))
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "ftps", Trusted: []string{"b"}}))
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "plain"}))
	atom := w.attach("one", environment.AtomOptions{})
	a, b := serve(t, atom, "server-a"), serve(t, atom, "server-b")
	ftps := check(atom.Connection("ftps"))(t)
	if err := dial(t, a, ftps); err == nil {
		t.Error("a connection that is set to B accepted A because A is deployed")
	}
	if err := dial(t, b, ftps); err != nil {
		t.Errorf("a connection that is set to B refused B: %v", err)
	}
	if err := dial(t, a, check(atom.Connection("plain"))(t)); err != nil {
		t.Errorf("A is deployed: %v", err)
	}
	// Nor does it come back when B is gone from what the atom can read.
	text := ftps.Explain().String()
	if !strings.Contains(text, "ignored") {
		t.Errorf("the explanation does not say what is ignored:\n%s", text)
	}
}

// TestMissingTrustOfAConnectionTrustsNobody: a storage that lost the component must not
// make the connection fall back to what is deployed.
func TestMissingTrustOfAConnectionTrustsNobody(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.public(w.identity("server-a"), "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.test.Deploy(t.Context(), "a"))
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "ftps", Trusted: []string{"b"}}))
	r := check(w.storage.Get(t.Context(), "components/b"))(t)
	must(t, w.storage.Delete(t.Context(), "components/b", r.Revision))
	atom := w.attach("one", environment.AtomOptions{})
	if err := dial(t, serve(t, atom, "server-a"), check(atom.Connection("ftps"))(t)); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestReplacedInPlaceEveryReferenceStaysValid(t *testing.T) {
	w := newWorld(t, environment.Options{})
	server := w.identity("server-a")
	w.public(server, "a")
	must(t, w.test.Deploy(t.Context(), "a"))
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "own", Trusted: []string{"a"}}))
	must(t, w.SetProcess(t.Context(), environment.Process{ID: "orders", Connections: []string{"own"}}))
	must(t, w.test.DeployProcess(t.Context(), "orders"))
	atom := w.attach("one", environment.AtomOptions{})
	address := serve(t, atom, "server-a")
	own := check(atom.Connection("own"))(t)
	frozen := check(check(atom.Process("orders"))(t).Connection("own"))(t)
	for _, b := range []tlsctx.Builder{atom.Implicit(), own, frozen} {
		must(t, dial(t, address, b))
	}

	w.clock.Advance(400 * 24 * time.Hour)
	if err := dial(t, address, own); err == nil {
		t.Fatal("an expired certificate was accepted")
	}
	after := check(w.Renew(t.Context(), "server-a", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	if after.ID() != server.ID() || after.Version() != 2 || after.Fingerprint() == server.Fingerprint() {
		t.Errorf("%v", after)
	}
	_, data, err := after.ExportPublic(keystore.SuffixDER)
	must(t, err)
	check(w.Reimport(t.Context(), "a", data, environment.ComponentOptions{}))(t)
	settled(t, atom, func(a *environment.Atom) bool { return version("a", 2)(a) && version("server-a", 2)(a) })
	for _, b := range []tlsctx.Builder{atom.Implicit(), own} {
		if err := dial(t, address, b); err != nil {
			t.Error(err)
		}
	}
	// The process has its copy until it is deployed again.
	if err := dial(t, address, frozen); err == nil {
		t.Error("a frozen copy followed the component")
	}
	stale := check(w.test.Stale(t.Context()))(t)
	if len(stale) != 1 || stale[0].Process != "orders" || stale[0].Component != "a" || stale[0].Frozen != 1 || stale[0].Current != 2 {
		t.Errorf("%+v", stale)
	}
	must(t, w.test.DeployProcess(t.Context(), "orders"))
	if stale := check(w.test.Stale(t.Context()))(t); len(stale) != 0 {
		t.Errorf("%+v", stale)
	}
	settled(t, atom, func(a *environment.Atom) bool { return dial(t, address, frozen) == nil })
}

func TestOnlyPublicX509AndPGPComponentsDeployIndependently(t *testing.T) {
	w := newWorld(t, environment.Options{})
	private := w.identity("private")
	w.public(private, "public")
	w.pgpKey("pgp-private")
	_, armored, err := w.pgpKey("other").ExportPublic("")
	must(t, err)
	check(w.Import(t.Context(), "pgp-public", armored, environment.ComponentOptions{ID: "pgp-public"}))(t)
	if err := w.test.Deploy(t.Context(), "private"); !errors.Is(err, trustkeep.ErrNotDeployable) {
		t.Errorf("a private X.509 component was deployed: %v", err)
	}
	for _, id := range []string{"public", "pgp-private", "pgp-public"} {
		if err := w.test.Deploy(t.Context(), id); err != nil {
			t.Errorf("%s: %v", id, err)
		}
	}
	if err := w.test.Deploy(t.Context(), "nobody"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	atom := w.attach("one", environment.AtomOptions{})
	if n := len(check(atom.Certificates())(t)); n != 1 {
		t.Errorf("%d certificates are trusted: only public X.509 components are", n)
	}
	key := check(atom.PGP(t.Context(), "pgp-private"))(t)
	if key.IsLocked() {
		t.Error("the key was not unlocked with the password that is kept")
	}
	if _, err := atom.PGP(t.Context(), "other"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a PGP key that is not deployed: %v", err)
	}
	deployments := check(w.test.Deployments(t.Context()))(t)
	var ids []string
	for _, d := range deployments {
		ids = append(ids, d.Component)
	}
	if !slices.Equal(ids, []string{"pgp-private", "pgp-public", "public"}) {
		t.Errorf("the deployments are listed as %v", ids)
	}
}

func TestDeployToSingleAtoms(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.public(w.identity("server-a"), "a")
	must(t, w.test.DeployTo(t.Context(), "a", "two"))
	if n := len(check(w.attach("one", environment.AtomOptions{}).Certificates())(t)); n != 0 {
		t.Errorf("the first atom trusts %d", n)
	}
	if n := len(check(w.attach("two", environment.AtomOptions{}).Certificates())(t)); n != 1 {
		t.Errorf("the second atom trusts %d", n)
	}
	if got := check(w.test.Atoms(t.Context()))(t); !slices.Equal(got, []string{"one", "two"}) {
		t.Errorf("%v", got)
	}
}

func TestDeployingAProcessDeploysWhatItDependsOn(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.identity("client")
	w.public(w.identity("server-a"), "a")
	w.pgpKey("key")
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "as2", Trusted: []string{"a"}, Identity: "client"}))
	must(t, w.SetProcess(t.Context(), environment.Process{ID: "orders", Connections: []string{"as2"}, Components: []string{"key"}}))
	atom := w.attach("one", environment.AtomOptions{})
	if _, err := atom.Process("orders"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, w.test.DeployProcess(t.Context(), "orders"))
	got := check(w.test.Processes(t.Context()))(t)
	if len(got) != 1 || len(got[0].Frozen) != 3 || got[0].Frozen["a"] != 1 || got[0].Frozen["client"] != 1 || got[0].Frozen["key"] != 1 {
		t.Fatalf("%+v", got)
	}
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Process("orders"); return err == nil })
	p := check(atom.Process("orders"))(t)
	b := check(p.Connection("as2"))(t)
	if b.Identity == nil || b.Trusted == nil {
		t.Errorf("%+v", b)
	}
	if key := check(p.PGP(t.Context(), "key"))(t); key.IsLocked() {
		t.Error("locked")
	}
	if _, err := p.Connection("other"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// What comes with a process trusts nobody outside of it.
	if n := len(check(atom.Certificates())(t)); n != 0 {
		t.Errorf("%d certificates are trusted by everybody", n)
	}
	must(t, w.test.UndeployProcess(t.Context(), "orders"))
	settled(t, atom, func(a *environment.Atom) bool { _, err := a.Process("orders"); return err != nil })
	if _, err := b.Trusted.Snapshot(); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("the trust of a process that is no longer deployed: %v", err)
	}
}

func TestSubstitutedPGPComponent(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	fingerprints := map[string]string{}
	for _, id := range []string{"test-key", "production-key", "process-key"} {
		fingerprints[id] = w.pgpKey(id).Fingerprint()
	}
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"test-key"}}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "invoices", Components: []string{"test-key"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	must(t, w.test.DeployProcess(ctx, "invoices"))
	atom := w.attach("one", environment.AtomOptions{})
	uses := func(process, id string) func(*environment.Atom) bool {
		return func(a *environment.Atom) bool {
			p, err := a.Process(process)
			if err != nil {
				return false
			}
			key, err := p.PGP(ctx, "test-key")
			return err == nil && key.Fingerprint() == fingerprints[id]
		}
	}
	both := func(orders, invoices string) {
		t.Helper()
		settled(t, atom, func(a *environment.Atom) bool { return uses("orders", orders)(a) && uses("invoices", invoices)(a) })
	}
	both("test-key", "test-key")
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "test-key", Replacement: "production-key"}))
	both("production-key", "production-key")
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "test-key", Process: "orders", Replacement: "process-key"}))
	both("process-key", "production-key")
	if n := len(check(w.test.Substitutions(ctx))(t)); n != 2 {
		t.Errorf("%d substitutions", n)
	}
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "test-key", Process: "orders"}))
	both("production-key", "production-key")
	must(t, w.test.Substitute(ctx, environment.Substitution{Component: "test-key"}))
	both("test-key", "test-key")

	w.public(w.identity("x"), "x509")
	if err := w.test.Substitute(ctx, environment.Substitution{Component: "test-key", Replacement: "x509"}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("an X.509 component in the place of a PGP one: %v", err)
	}
	// Another environment is not concerned.
	production := check(w.CreateEnvironment(ctx, "production"))(t)
	if s := check(production.Substitutions(ctx))(t); len(s) != 0 {
		t.Errorf("%v", s)
	}
}

func TestOverrideForOneEnvironment(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server-a"), "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "ftps", Trusted: []string{"a"}, Pins: nil, Allow: []truststore.Relaxation{truststore.AllowExpired}}))
	must(t, w.test.Override(ctx, "ftps", environment.Override{Trusted: &[]string{"b"}}))
	atom := w.attach("one", environment.AtomOptions{})
	a, b := serve(t, atom, "server-a"), serve(t, atom, "server-b")
	ftps := check(atom.Connection("ftps"))(t)
	if err := dial(t, b, ftps); err != nil {
		t.Error(err)
	}
	if err := dial(t, a, ftps); err == nil {
		t.Error("the override did not replace the connection's trust")
	}
	if !contains(ftps.Allow, truststore.AllowExpired) {
		t.Error("the override changed a field that it does not name")
	}
	if err := override(ctx, w.test, "ftps", environment.Override{Identity: new(string)}); err != nil {
		t.Error(err)
	}
	if err := w.test.Override(ctx, "ftps", environment.Override{}); err != nil {
		t.Error(err)
	}
	settled(t, atom, func(atom *environment.Atom) bool { return dial(t, a, check(atom.Connection("ftps"))(t)) == nil })
}

func TestRoles(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.identity("client")
	w.public(w.identity("other"), "public")
	if err := w.test.SetRole(t.Context(), environment.RoleTLS, "public"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a public component with a role: %v", err)
	}
	must(t, w.test.SetRole(t.Context(), environment.RoleTLS, "client"))
	atom := w.attach("one", environment.AtomOptions{})
	if _, err := atom.Role(environment.RoleTLS); err != nil {
		t.Error(err)
	}
	if _, err := atom.Role(environment.RolePrimary); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := w.Delete(t.Context(), "client"); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("%v", err)
	}
	must(t, w.test.SetRole(t.Context(), environment.RoleTLS, ""))
	must(t, w.Delete(t.Context(), "client"))
}

// TestAtomGoesOnWithWhatItHad when the storage is gone or holds garbage.
func TestAtomGoesOnWithWhatItHad(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.public(w.identity("server-a"), "a")
	must(t, w.test.Deploy(t.Context(), "a"))
	atom := w.attach("one", environment.AtomOptions{})
	address := serve(t, atom, "server-a")
	must(t, dial(t, address, atom.Implicit()))
	for _, key := range []string{"components/a", "environments/test"} {
		r := check(w.storage.Get(t.Context(), key))(t)
		check(w.storage.Put(t.Context(), key, []byte("{"), r.Revision))(t)
	}
	settled(t, atom, func(a *environment.Atom) bool {
		err := a.Problem()
		return err != nil && strings.Count(err.Error(), "corrupt") == 2
	})
	if err := dial(t, address, atom.Implicit()); err != nil {
		t.Error(err)
	}
	must(t, atom.Close())
	if err := dial(t, address, atom.Implicit()); err != nil {
		t.Errorf("after Close: %v", err)
	}
}

func TestAttachEndsWithItsContext(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.test.Attach(ctx, "one", environment.AtomOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestBaseTrustIsUnited(t *testing.T) {
	w := newWorld(t, environment.Options{})
	pki := newPKI(t, w)
	w.public(w.identity("server-a"), "a")
	must(t, w.test.Deploy(t.Context(), "a"))
	atom := w.attach("one", environment.AtomOptions{Base: truststore.New(pki.CA.Leaf())})
	for _, address := range []string{serve(t, atom, "server-a"), serveWith(t, tlsctx.Builder{Identity: pki.Server})} {
		if err := dial(t, address, atom.Implicit()); err != nil {
			t.Error(err)
		}
	}
	all := check(atom.Certificates())(t)
	if len(all) != 2 || all[0].Component != "a" || all[1].Component != "" {
		t.Errorf("%+v", all)
	}
}

func TestRollbackOfWhatIsDeployed(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := environment.WithActor(t.Context(), "bob")
	w.public(w.identity("server-a"), "a")
	w.public(w.identity("server-b"), "b")
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.test.Deploy(ctx, "b"))
	must(t, w.test.Undeploy(ctx, "a"))
	all := check(w.test.History(ctx))(t)
	if len(all) != 4 || all[1].Actor != "bob" || !strings.Contains(all[2].State, "deployed [a b]") || !strings.Contains(all[3].State, "deployed [b]") {
		t.Fatalf("%+v", all)
	}
	must(t, w.test.Rollback(ctx, all[2].Revision))
	atom := w.attach("one", environment.AtomOptions{})
	if n := len(check(atom.Certificates())(t)); n != 2 {
		t.Errorf("%d are trusted", n)
	}
	must(t, w.test.Undeploy(ctx, "a"))
	must(t, w.Delete(ctx, "a"))
	if err := w.test.Rollback(ctx, all[2].Revision); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a deleted component is deployed again: %v", err)
	}
	if err := w.test.Rollback(ctx, 1<<40); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if n := len(check(w.History(ctx, "b"))(t)); n != 1 {
		t.Errorf("%d changes of b", n)
	}
}

// TestKeptConnectionsFollowDeployments: what is no longer deployed is no longer talked to,
// also over connections that were made before.
func TestKeptConnectionsFollowDeployments(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.public(w.identity("server-a"), "a")
	must(t, w.test.Deploy(t.Context(), "a"))
	atom := w.attach("one", environment.AtomOptions{})
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNoContent) }))
	server.TLS = check(tlsctx.Builder{Identity: check(atom.Identity("server-a"))(t)}.Server())(t)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // refusals are meant
	server.StartTLS()
	t.Cleanup(server.Close)
	b := atom.Implicit()
	b.ServerName = "localhost"
	client := &http.Client{Transport: check(b.Transport(nil))(t)}
	t.Cleanup(client.CloseIdleConnections)
	get := func() error {
		r, err := client.Get(server.URL)
		if err == nil {
			r.Body.Close()
		}
		return err
	}
	must(t, get())
	must(t, get())
	must(t, w.test.Undeploy(t.Context(), "a"))
	settled(t, atom, trusts(0))
	if err := get(); err == nil {
		t.Error("a connection of before was used")
	}
	must(t, w.test.Deploy(t.Context(), "a"))
	settled(t, atom, trusts(1))
	must(t, get())
	// The server's key is replaced, and then what its clients trust.
	c := check(w.Renew(t.Context(), "server-a", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	settled(t, atom, version("server-a", 2))
	client.CloseIdleConnections()
	if err := get(); err == nil {
		t.Error("the server still presents its old certificate")
	}
	_, data, err := c.ExportPublic(keystore.SuffixP7B)
	must(t, err)
	check(w.Reimport(t.Context(), "a", data, environment.ComponentOptions{}))(t)
	settled(t, atom, version("a", 2))
	must(t, get())
}

// TestNothingIsListedBeforeItIsTrusted: who has waited for a deployment connects.
func TestNothingIsListedBeforeItIsTrusted(t *testing.T) {
	w := newWorld(t, environment.Options{})
	const n = 50
	for i := range n {
		w.public(w.identity(fmt.Sprint("server", i)), fmt.Sprint("c", i))
	}
	atom := w.attach("one", environment.AtomOptions{})
	done := make(chan struct{})
	var looking sync.WaitGroup
	looking.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
			}
			listed, err := atom.Certificates()
			trusted, err2 := atom.Trust().Snapshot()
			if err != nil || err2 != nil || trusted.Len() < len(listed) {
				t.Errorf("%d listed, %d trusted: %v, %v", len(listed), trusted.Len(), err, err2)
				return
			}
		}
	})
	for i := range n {
		must(t, w.test.Deploy(t.Context(), fmt.Sprint("c", i)))
	}
	settled(t, atom, trusts(n))
	close(done)
	looking.Wait()
}
