package environment_test

import (
	"context"
	"crypto/x509/pkix"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
)

func TestComponentsOfBothKindsUnderOneRoof(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	x := w.identity("x")
	w.public(x, "x-public")
	p := w.pgpKey("p")
	_, armored, err := p.ExportPublic()
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
	if _, err := w.Import(ctx, "bad", armored, environment.ComponentOptions{ID: "../etc"}); !errors.Is(err, trustkeep.ErrUnsupported) {
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
		"against policy":   {environment.Options{Policy: func(trustkeep.Component) error { return trustkeep.ErrRejected }}, good, trustkeep.ErrRejected},
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

func TestPasswordsAreKeptEncryptedAndTellOnlyWhetherTheyChanged(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	w.pgpKey("p")
	for _, id := range []string{"x", "p"} {
		password := check(check(w.Password(ctx, id))(t).Reveal())(t)
		if string(password) != "secret-"+id {
			t.Errorf("%s: another password", id)
		}
		if _, err := w.ChangePassword(ctx, id, trustkeep.Password("wrong"), trustkeep.Password("next")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s: changed without its password: %v", id, err)
		}
		check(w.ChangePassword(ctx, id, trustkeep.Password("secret-"+id), trustkeep.Password("next-"+id)))(t)
		check(w.Rollback(ctx, id, 1))(t)
		tags := check(w.PasswordTags(ctx, id))(t)
		if !environment.SamePassword(tags[1], tags[3]) || environment.SamePassword(tags[1], tags[2]) {
			t.Errorf("%s: tags %v", id, tags)
		}
		if password := check(check(w.Password(ctx, id))(t).Reveal())(t); string(password) != "secret-"+id {
			t.Errorf("%s: rolled back, but not its password", id)
		}
	}
	if a, b := check(w.PasswordTags(ctx, "x"))(t)[1], check(w.PasswordTags(ctx, "p"))(t)[1]; a == b {
		t.Error("tags of two components can be compared")
	}
	for _, r := range check(w.storage.List(ctx, ""))(t) {
		for _, secret := range []string{"secret-x", "next-x", "secret-p", "next-p"} {
			if strings.Contains(string(r.Value), secret) {
				t.Errorf("%s is in record %s", secret, r.Key)
			}
		}
	}
	// The sealed password of one component does not open as another's.
	var x, p map[string]any
	rx, rp := check(w.storage.Get(ctx, "components/x"))(t), check(w.storage.Get(ctx, "components/p"))(t)
	must(t, json.Unmarshal(rx.Value, &x))
	must(t, json.Unmarshal(rp.Value, &p))
	x["secrets"] = p["secrets"]
	check(w.storage.Put(ctx, "components/x", check(json.Marshal(x))(t), rx.Revision))(t)
	if _, err := w.Password(ctx, "x"); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

func TestKeysOfTheRegistry(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	file := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(file))
	if err := environment.NewKeyFile(file); err == nil {
		t.Error("a key file was overwritten")
	}
	ec := pkitest.New(t)
	rsa := pkitest.Options{Key: keystore.RSA2048}.New(t)
	keys := map[string]environment.Key{
		"file": environment.FileKey(file), "password": environment.PasswordKey(trustkeep.Password("pw")),
		"EC": environment.IdentityKey(ec.Client), "RSA": environment.IdentityKey(rsa.Client),
	}
	for name, key := range keys {
		if _, err := environment.Open(ctx, w.storage, environment.Options{Key: key}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s opens before it was added: %v", name, err)
		}
		must(t, w.AddKey(ctx, key))
		r := check(environment.Open(ctx, w.storage, environment.Options{Key: key}))(t)
		if password := check(check(r.Password(ctx, "x"))(t).Reveal())(t); string(password) != "secret-x" {
			t.Errorf("%s: another password", name)
		}
	}
	wrong := environment.PasswordKey(trustkeep.Password("wrong"))
	if _, err := environment.Open(ctx, w.storage, environment.Options{Key: wrong}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	if ids := check(w.Keys(ctx))(t); len(ids) != 5 || !contains(ids, "password") {
		t.Errorf("keys %v", ids)
	}
	must(t, w.RemoveKey(ctx, "password"))
	if _, err := environment.Open(ctx, w.storage, environment.Options{Key: keys["password"]}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("a removed key: %v", err)
	}
	if err := w.RemoveKey(ctx, "password"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// Without any key, passwords come from elsewhere.
	asked := ""
	r := check(environment.Open(ctx, w.storage, environment.Options{Passwords: func(_ context.Context, id string) (trustkeep.PasswordSource, error) {
		asked = id
		return trustkeep.Password("secret-y"), nil
	}}))(t)
	check(r.GenerateX509(ctx, "y", keystore.CertificateOptions{Subject: pkix.Name{CommonName: "y"}},
		environment.ComponentOptions{ID: "y", Password: trustkeep.Password("secret-y")}))(t)
	check(r.Password(ctx, "y"))(t)
	if asked != "y" {
		t.Errorf("asked for %q", asked)
	}
	if _, err := r.Password(ctx, "x"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a sealed password without the key: %v", err)
	}
}

func TestKeysThatCannotBeHadSayWhy(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	damaged := t.TempDir() + "/key"
	must(t, os.WriteFile(damaged, []byte("0123"), 0o600))
	for _, c := range []struct {
		name string
		key  environment.Key
		want error
	}{
		{"no file", environment.FileKey(damaged + ".not"), fs.ErrNotExist},
		{"a damaged file", environment.FileKey(damaged), trustkeep.ErrCorrupt},
		{"no identity", environment.IdentityKey(nil), trustkeep.ErrEmpty},
		{"no password", environment.PasswordKey(nil), trustkeep.ErrEmpty},
		{"an empty password", environment.PasswordKey(trustkeep.Password("")), trustkeep.ErrEmpty},
	} {
		if err := w.AddKey(ctx, c.key); !errors.Is(err, c.want) {
			t.Errorf("%s is added: %v", c.name, err)
		}
		empty := storagetest.NewMemory(nil)
		if _, err := environment.Open(ctx, empty, environment.Options{Key: c.key}); !errors.Is(err, c.want) {
			t.Errorf("%s opens an empty storage: %v", c.name, err)
		}
		if all := check(empty.List(ctx, ""))(t); len(all) > 0 {
			t.Errorf("%s: %d records were written", c.name, len(all))
		}
		if c.key.ID() == "" {
			if _, err := environment.Open(ctx, w.storage, environment.Options{Key: c.key}); !errors.Is(err, c.want) {
				t.Errorf("%s opens: %v", c.name, err)
			}
		}
	}
}

// TestLostDataKeyIsNotReplaced: with another one, nobody would notice that all passwords
// are lost before they are needed.
func TestLostDataKeyIsNotReplaced(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	lost := check(w.storage.Get(ctx, "secrets"))(t)
	must(t, w.storage.Delete(ctx, "secrets", lost.Revision))
	key := environment.PasswordKey(trustkeep.Password("another"))
	if err := w.AddKey(ctx, key); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("a key is added to none: %v", err)
	}
	if _, err := environment.Open(ctx, w.storage, environment.Options{Key: key}); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// TestOneUnreadablePasswordKeepsNobodyFromTheOthers: a component can be renamed and
// rolled back as long as the password of what it then holds is there.
func TestOneUnreadablePasswordKeepsNobodyFromTheOthers(t *testing.T) {
	down := false
	w := newWorld(t, environment.Options{Resolve: func(context.Context, string) ([]byte, error) {
		if down {
			return nil, errFault
		}
		return []byte("next"), nil
	}})
	ctx := t.Context()
	w.identity("x")
	check(w.ChangePassword(ctx, "x", trustkeep.Password("secret-x"), trustkeep.Password("next")))(t)
	must(t, w.SetPasswordReference(ctx, "x", "vault/x"))
	down = true
	check(w.Rollback(ctx, "x", 1))(t)
	if password := check(check(w.Password(ctx, "x"))(t).Reveal())(t); string(password) != "secret-x" {
		t.Error("another password")
	}
	if _, err := w.Rollback(ctx, "x", 2); !errors.Is(err, errFault) {
		t.Errorf("%v", err)
	}
}

func TestPasswordByReference(t *testing.T) {
	secrets := map[string]string{"vault:x": "secret-x"}
	w := newWorld(t, environment.Options{Resolve: func(_ context.Context, name string) ([]byte, error) {
		if s, ok := secrets[name]; ok {
			return []byte(s), nil
		}
		return nil, trustkeep.ErrNotFound
	}})
	ctx := t.Context()
	w.identity("x")
	if err := w.SetPasswordReference(ctx, "x", "vault:nothing"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, w.SetPasswordReference(ctx, "x", "vault:x"))
	if r := check(w.storage.Get(ctx, "components/x"))(t); strings.Contains(string(r.Value), "sealed") {
		t.Error("the password is kept besides its reference")
	}
	if password := check(check(w.Password(ctx, "x"))(t).Reveal())(t); string(password) != "secret-x" {
		t.Error("another password")
	}
}

func TestCloseDemandsToSaveWhatWasChanged(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.identity("x")
	d := check(w.Draft(ctx, "x", trustkeep.Password("next")))(t)
	must(t, d.Change(func(c trustkeep.Component) (trustkeep.Component, error) {
		return c.(*keystore.Component).ChangePassword(trustkeep.Password("secret-x"), trustkeep.Password("next"), keystore.ComponentOptions{})
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
	must(t, d.Change(func(c trustkeep.Component) (trustkeep.Component, error) {
		return c.(*keystore.Component).Rename("slower")
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

func TestExpiryReport(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	pki := newPKI(t, w)
	for id, left := range map[string]time.Duration{"gone": -24 * time.Hour, "soon": 10 * 24 * time.Hour, "later": 200 * 24 * time.Hour} {
		leaf := pki.Issue(pkitest.Certificate{CommonName: id, NotBefore: w.clock.Now().AddDate(-1, 0, 0), NotAfter: w.clock.Now().Add(left)})
		check(w.Import(ctx, id, inPEM(leaf.Leaf()), environment.ComponentOptions{ID: id}))(t)
		must(t, w.test.Deploy(ctx, id))
	}
	check(w.Import(ctx, "idle", inPEM(pki.Issue(pkitest.Certificate{CommonName: "idle", NotBefore: w.clock.Now().AddDate(-1, 0, 0), NotAfter: w.clock.Now().Add(time.Hour)}).Leaf()), environment.ComponentOptions{ID: "idle"}))(t)
	check(w.GeneratePGP(ctx, "p", pgp.GenerateOptions{UserIDs: []string{"p"}, Expires: w.clock.Now().Add(48 * time.Hour)},
		environment.ComponentOptions{ID: "p", Password: trustkeep.Password("x")}))(t)
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"p"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	single := pki.Issue(pkitest.Certificate{CommonName: "single", NotBefore: w.clock.Now(), NotAfter: w.clock.Now().AddDate(0, 11, 0)})
	check(w.Import(ctx, "single", inPEM(single.Leaf()), environment.ComponentOptions{ID: "single"}))(t)
	must(t, w.test.Deploy(ctx, "single", "two"))
	w.attach("one", environment.AtomOptions{})
	check(check(w.CreateEnvironment(ctx, "production"))(t).Attach(ctx, "elsewhere", environment.AtomOptions{}))(t).Close()
	list := func(q environment.ExpiryQuery) (out []string) {
		for _, e := range check(w.Expiring(ctx, q))(t) {
			out = append(out, fmt.Sprintf("%s %s %v", e.Component, e.Location, e.Expired))
		}
		return out
	}
	for _, c := range []struct {
		name  string
		query environment.ExpiryQuery
		want  []string
	}{
		{"expired or within 30 days", environment.ExpiryQuery{}, []string{"gone deployed true", "p frozen in process orders false", "soon deployed false"}},
		{"another environment", environment.ExpiryQuery{Environment: "production"}, nil},
		{"between", environment.ExpiryQuery{From: w.clock.Now().AddDate(0, 0, 5), Before: w.clock.Now().AddDate(1, 0, 0)}, []string{"soon deployed false", "later deployed false", "single deployed false"}},
		{"an atom", environment.ExpiryQuery{Atom: "one"}, []string{"gone deployed true", "p frozen in process orders false", "soon deployed false"}},
		{"an atom of another environment", environment.ExpiryQuery{Atom: "elsewhere"}, nil},
		{"an atom that something is deployed to alone", environment.ExpiryQuery{Atom: "two", Before: w.clock.Now().AddDate(1, 0, 0)}, []string{"single deployed false"}},
		{"not deployed too", environment.ExpiryQuery{All: true, Before: w.clock.Now().Add(2 * time.Hour)}, []string{"gone deployed true", "idle component false"}},
	} {
		if got := list(c.query); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, not %q", c.name, got, c.want)
		}
	}
}

func TestAuditOfAllComponents(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	x := w.identity("x")
	must(t, w.Add(ctx, renamed(t, x, "twin"), trustkeep.Password("secret-x")))
	check(w.GenerateX509(ctx, "y", keystore.CertificateOptions{Subject: pkix.Name{CommonName: "y"}, NotBefore: w.clock.Now(), Validity: 24 * time.Hour},
		environment.ComponentOptions{ID: "y", Password: trustkeep.Password("changeit")}))(t)
	must(t, w.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"y"}}))
	must(t, w.test.DeployProcess(ctx, "orders"))
	check(w.RegenerateX509(ctx, "y", keystore.RenewOptions{}, environment.ComponentOptions{NewPassword: trustkeep.Password("long and secret")}))(t)
	report := check(w.Audit(ctx, audit.Options{}))(t)
	found := make(map[string]bool)
	for _, f := range report.Findings {
		found[f.Target+" "+string(f.Code)] = true
	}
	for _, want := range []string{"twin key-reuse", "y expires-soon", "y, frozen in process orders in test default-password"} {
		if !found[want] {
			t.Errorf("nothing about %q", want)
		}
	}
	if found["y default-password"] || report.Targets != 4 {
		t.Errorf("%v", report)
	}
}

func TestDryRunListsWhoWouldFail(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server-a"), "a")
	b := w.identity("server-b")
	w.public(b, "b")
	must(t, w.test.Deploy(ctx, "a"))
	must(t, w.test.Deploy(ctx, "b"))
	must(t, w.SetConnection(ctx, environment.Connection{ID: "own", Trusted: []string{"b"}}))
	atom := w.attach("one", environment.AtomOptions{})
	addressA, addressB := serve(t, atom, "server-a"), serve(t, atom, "server-b")
	must(t, dial(t, addressA, atom.Implicit()))
	must(t, dial(t, addressB, atom.Implicit()))
	must(t, dial(t, addressB, check(atom.Connection("own"))(t)))
	must(t, atom.Report(ctx))

	f := check(w.test.DryRun(ctx, environment.Proposal{Undeploy: []string{"b"}}))(t)
	if f.Atoms != 1 || f.Checked != 3 || len(f.Failing) != 1 || f.Failing[0].Atom != "one" || f.Failing[0].Connection != "" || f.Failing[0].Err == nil {
		t.Fatalf("%v", f)
	}
	next := check(b.Regenerate(ctx, keystore.RenewOptions{}, keystore.ComponentOptions{Password: trustkeep.Password("secret-server-b"), Options: keystore.Options{Clock: w.clock.Now}}))(t)
	_, data, err := next.ExportPublic("")
	must(t, err)
	replaced := check(check(w.Component(ctx, "b"))(t).(*keystore.Component).Reimport(ctx, data, keystore.ComponentOptions{}))(t)
	f = check(w.test.DryRun(ctx, environment.Proposal{Replace: []*keystore.Component{replaced}}))(t)
	if len(f.Failing) != 2 || f.Failing[1].Connection != "own" {
		t.Fatalf("%v", f)
	}
	if f := check(w.test.DryRun(ctx, environment.Proposal{Deploy: []string{"b"}}))(t); len(f.Failing) != 0 {
		t.Errorf("%v", f)
	}
	if _, err := w.test.DryRun(ctx, environment.Proposal{Deploy: []string{"server-a"}}); !errors.Is(err, trustkeep.ErrNotDeployable) {
		t.Errorf("%v", err)
	}
	// Nothing was changed by it.
	must(t, dial(t, addressB, atom.Implicit()))
	if n := len(check(w.test.Deployments(ctx))(t)); n != 2 {
		t.Errorf("%d deployments", n)
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
	c := check(w.Component(ctx, "a"))(t).(*keystore.Component)
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
	check(w.storage.Put(t.Context(), "components/x", []byte(`{"format":2,"type":"certificate"}`), 0))(t)
	if _, err := w.Component(t.Context(), "x"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}
