// Package goldentest reads the registry whose records were written by the first release of
// their format and are checked in: environment/testdata/golden-v1 as a directory of
// dirstore, natskv/testdata/golden-v1.json as the messages of two buckets. What is in them
// must be read the same for ever.
package goldentest

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/pgp"
)

// Now is when the golden registry is looked at.
var now = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// Registry is what the golden registry says of itself; want.json holds what it said when
// it was written.
type Registry struct {
	Components   map[string]Component
	Connections  map[string]json.RawMessage
	Processes    map[string]environment.Process
	Partners     map[string]json.RawMessage
	Sealers      []string // IDs of what opens the passwords
	Environments map[string]Environment
	Expiring     []environment.Expiry
	Audited      int // targets of the audit
}

// Component is a component of the golden registry.
type Component struct {
	About     string // name, kind, visibility, version
	Current   Content
	NotBefore time.Time
	NotAfter  time.Time
	Versions  []Version
	Password  string `json:",omitempty"`
	Problem   string `json:",omitempty"` // why there is no password
	Opens     string `json:",omitempty"` // SHA-256 of the public key of what the password opens, or its PGP fingerprint
	Uses      []string
	History   []string
}

// Content is what identifies the content of a component.
type Content struct {
	Fingerprint string
	Chain       []string `json:",omitempty"` // subjects
}

// Version is a version of a component.
type Version struct {
	Number      int
	Replaced    time.Time
	Fingerprint string
}

// Environment is an environment of the golden registry.
type Environment struct {
	Deployments   map[string]environment.Deployment
	Substitutions []environment.Substitution
	Overrides     map[string]environment.Override
	Roles         map[string]string
	Atoms         []string
	Processes     map[string]map[string]int // versions of frozen copies
	Stale         []environment.Stale
	History       []string
	Forecast      []string // of undeploying all
	Trusted       []string
	Frozen        map[string]string // what the frozen copies open to, by process and component
}

func check[T any](v T, err error) func(testing.TB) T {
	return func(t testing.TB) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// Options are those to open the golden registry with.
func Options(key environment.Sealer) environment.Options {
	return environment.Options{
		Sealer: key, Clock: func() time.Time { return now },
		Resolve: Resolve,
	}
}

// Describe asks a golden registry for all that it has.
func Describe(t testing.TB, r *environment.Registry) *Registry {
	ctx := t.Context()
	out := &Registry{
		Components: make(map[string]Component), Connections: make(map[string]json.RawMessage),
		Processes: make(map[string]environment.Process), Partners: make(map[string]json.RawMessage), Environments: make(map[string]Environment),
	}
	for _, c := range check(r.Components(ctx))(t) {
		d := Component{
			About:   fmt.Sprintf("%q, %s %s, version %d", c.Name(), c.Visibility(), c.Kind(), c.Version()),
			Current: Content{c.Fingerprint(), subjectsOf(c)}, NotBefore: c.NotBefore().UTC(), NotAfter: c.NotAfter().UTC(), Versions: versionsOf(c),
		}
		if password, err := r.Password(ctx, c.ID()); err != nil {
			d.Problem = problem(err)
		} else {
			d.Password = string(check(password.Reveal())(t))
			d.Opens = opens(t, c, password)
		}
		for _, u := range check(r.Uses(ctx, c.ID()))(t) {
			d.Uses = append(d.Uses, u.String())
		}
		for _, h := range check(r.History(ctx, c.ID()))(t) {
			d.History = append(d.History, fmt.Sprintf("%s %s: %s", h.Time.UTC().Format(time.RFC3339), h.Actor, h.State))
		}
		out.Components[c.ID()] = d
	}
	for _, c := range check(r.Connections(ctx))(t) {
		out.Connections[c.ID] = check(json.Marshal(c))(t)
	}
	for _, p := range check(r.Processes(ctx))(t) {
		out.Processes[p.ID] = p
	}
	for _, p := range check(r.Partners(ctx))(t) {
		out.Partners[p.ID] = check(json.Marshal(p))(t)
	}
	out.Sealers = check(r.Sealers(ctx))(t)
	for _, id := range check(r.Environments(ctx))(t) {
		out.Environments[id] = describeEnvironment(t, r, id)
	}
	out.Expiring = check(r.Expiring(ctx, environment.ExpiryQuery{All: true, Before: now.AddDate(5, 0, 0)}))(t)
	for i := range out.Expiring {
		e := &out.Expiring[i]
		if want := e.Environment != "" && len(e.Atoms) == 0; e.All != want {
			t.Errorf("%s, %s: All is %t, want %t", e.Component, e.Location, e.All, want)
		}
		e.All = false // later than the summaries, which say it by Atoms alone
	}
	out.Audited = check(r.Audit(ctx, audit.Options{SkipKeys: true}))(t).Targets
	return out
}

func describeEnvironment(t testing.TB, r *environment.Registry, id string) Environment {
	ctx := t.Context()
	e := check(r.Environment(ctx, id))(t)
	out := Environment{
		Deployments: make(map[string]environment.Deployment), Substitutions: check(e.Substitutions(ctx))(t), Overrides: overridesOfBefore(check(e.Overrides(ctx))(t)),
		Roles: check(e.Roles(ctx))(t), Atoms: check(e.Atoms(ctx))(t), Processes: make(map[string]map[string]int),
		Stale: check(e.Stale(ctx))(t), Frozen: make(map[string]string),
	}
	var undeploy []string
	for _, d := range check(e.Deployments(ctx))(t) {
		out.Deployments[d.Component] = d
		undeploy = append(undeploy, d.Component)
	}
	forecast := check(e.DryRun(ctx, environment.Proposal{Undeploy: undeploy}))(t)
	out.Forecast = []string{fmt.Sprintf("%d atoms, %d peers", forecast.Atoms, forecast.Checked)}
	for _, f := range forecast.Failing {
		out.Forecast = append(out.Forecast, fmt.Sprintf("%s: %s by %q of process %q, seen %d times", f.Atom, f.Peer, f.Connection, f.Process, f.Count))
	}
	for _, h := range check(e.History(ctx))(t) {
		out.History = append(out.History, fmt.Sprintf("%s %s: %s", h.Time.UTC().Format(time.RFC3339), h.Actor, h.State))
	}
	if len(out.Atoms) == 0 {
		return out
	}
	atom := check(e.Attach(ctx, out.Atoms[0], environment.AtomOptions{}))(t)
	defer atom.Close()
	if err := atom.Problem(); err != nil {
		t.Error(err)
	}
	for _, c := range check(atom.Certificates())(t) {
		out.Trusted = append(out.Trusted, c.Component+" "+hash(c.Certificate.Raw))
	}
	for _, p := range check(e.Processes(ctx))(t) {
		out.Processes[p.Process.ID] = p.Frozen
		running := check(atom.Process(p.Process.ID))(t)
		for id := range p.Frozen {
			if c := check(r.Component(ctx, id))(t); c.Kind() == trustkeep.X509 && c.Visibility() == trustkeep.Public {
				continue // trust of a connection
			}
			if identity, err := running.Identity(id); err == nil {
				cert := check(identity.TLSCertificate())(t)
				out.Frozen[p.Process.ID+" "+id] = "certificate " + hash(cert.Certificate[0])
			} else {
				key := check(running.PGP(ctx, id))(t)
				out.Frozen[p.Process.ID+" "+id] = fmt.Sprintf("key %s, private %v, locked %v", key.Fingerprint(), key.IsPrivate(), key.IsLocked())
			}
		}
		for _, c := range p.Process.Connections {
			b := check(running.Connection(c))(t)
			out.Frozen[p.Process.ID+" "+c] = fmt.Sprintf("server name %q, allows %v, pins %v", b.ServerName, b.Allow, b.Pins)
		}
	}
	return out
}

// overridesOfBefore spells deployed trust as want.json does: it was an empty list then.
func overridesOfBefore(all map[string]environment.Override) map[string]environment.Override {
	for id, o := range all {
		if o.DeployedTrust {
			o.DeployedTrust, o.Trusted = false, &[]string{}
			all[id] = o
		}
	}
	return all
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// problem is the sentinel of an error.
func problem(err error) string {
	for _, s := range []error{trustkeep.ErrNotFound, trustkeep.ErrUnsupported, trustkeep.ErrIncorrectPassword} {
		if errors.Is(err, s) {
			return s.Error()
		}
	}
	return err.Error()
}

// Resolve is the secrets manager that the golden registry refers to.
func Resolve(_ context.Context, reference string) ([]byte, error) {
	return []byte("secret of " + reference), nil
}

// Read returns what the golden registry is to say of itself. The folder is
// environment/testdata/golden-v1.
func Read(t testing.TB, folder string) *Registry {
	want := new(Registry)
	if err := json.Unmarshal(check(os.ReadFile(filepath.Join(folder, "want.json")))(t), want); err != nil {
		t.Fatal(err)
	}
	if len(want.Components) < 10 {
		t.Fatalf("%d components", len(want.Components))
	}
	return want
}

// Compare reports where a registry differs from what it is to be.
func Compare(t testing.TB, got, want *Registry) {
	t.Helper()
	text := func(r *Registry) []string {
		return strings.Split(string(check(json.MarshalIndent(r, "", "\t"))(t)), "\n")
	}
	have, expected := text(got), text(want)
	for i := range max(len(have), len(expected)) {
		x, y := "", ""
		if i < len(have) {
			x = have[i]
		}
		if i < len(expected) {
			y = expected[i]
		}
		if x != y {
			t.Errorf("line %d:\nis   %s\nnot  %s", i+1, x, y)
			return
		}
	}
}

// Sealers are the keys that open the golden registry, by name.
func Sealers(t testing.TB, folder string) map[string]environment.Sealer {
	return sealers(t, folder)
}

// Run opens the golden registry with each of its keys, compares all that is in it, and then
// changes it: open must return a storage that may be written to.
func Run(t *testing.T, folder string, open func(*testing.T) environment.Storage) {
	want := Read(t, folder)
	for name, key := range Sealers(t, folder) {
		t.Run(name, func(t *testing.T) {
			r := check(environment.Open(t.Context(), open(t), Options(key)))(t)
			for id, c := range want.Components { // whether they open the keys is the same with all
				if password, err := r.Password(t.Context(), id); err == nil && string(check(password.Reveal())(t)) != c.Password || err != nil && problem(err) != c.Problem {
					t.Errorf("the password of %s: %v", id, err)
				}
			}
			if name == "file" {
				Compare(t, Describe(t, r), want)
			}
		})
	}
	t.Run("wrong password", func(t *testing.T) {
		key := environment.PasswordSealer(trustkeep.Password("wrong"))
		if _, err := environment.Open(t.Context(), open(t), Options(key)); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%v", err)
		}
	})
	t.Run("changes", func(t *testing.T) {
		r := check(environment.Open(t.Context(), open(t), Options(Sealers(t, folder)["file"])))(t)
		changes(t, r, want)
	})
}

// changes rolls every component back to its first version that is kept, changes passwords
// and tries to delete what is in use.
func changes(t *testing.T, r *environment.Registry, want *Registry) {
	ctx := t.Context()
	for _, id := range slices.Sorted(maps.Keys(want.Components)) {
		w := want.Components[id]
		first, last := w.Versions[0], w.Versions[len(w.Versions)-1]
		c := check(r.Rollback(ctx, id, first.Number))(t)
		if c.Fingerprint() != first.Fingerprint || c.Version() != last.Number+1 || len(versionsOf(c)) != len(w.Versions)+1 {
			t.Errorf("%s is rolled back to %v", id, c)
		}
		// Passwords cost what they cost, so not all of them are changed.
		if password, err := r.Password(ctx, id); err == nil && slices.Contains([]string{"server-ec", "many", "pgp-ours", "pgp-v6"}, id) {
			opens(t, c, password)
			changed := check(r.ChangePassword(ctx, id, password, trustkeep.Password("another password")))(t)
			kept := check(r.Password(ctx, id))(t)
			if opens(t, changed, kept) == "" || string(check(kept.Reveal())(t)) != "another password" {
				t.Errorf("%s: the password was not changed", id)
			}
		}
		check(r.Rollback(ctx, id, last.Number))(t)
		back := check(r.Component(ctx, id))(t)
		if back.Fingerprint() != w.Current.Fingerprint || !slices.Equal(subjectsOf(back), w.Current.Chain) {
			t.Errorf("%s is back at %v", id, back)
		}
		if password, err := r.Password(ctx, id); (err == nil) != (w.Password != "") {
			t.Errorf("%s: %v", id, err)
		} else if err == nil && (string(check(password.Reveal())(t)) != w.Password || id == "many" && opens(t, back, password) != w.Opens) {
			t.Errorf("%s has another password", id)
		}
		if err := r.Delete(ctx, id); errors.Is(err, trustkeep.ErrInUse) != (len(w.Uses) > 0) || err != nil && len(w.Uses) == 0 {
			t.Errorf("delete %s, which is used by %v: %v", id, w.Uses, err)
		}
	}
}

func publicKeyOf(cert []byte) string {
	c, err := x509.ParseCertificate(cert)
	if err != nil {
		return err.Error()
	}
	return hash(c.RawSubjectPublicKeyInfo)
}

func unlocked(t testing.TB, key *pgp.Key, password trustkeep.PasswordSource) string {
	if open := check(key.Unlock(password, pgp.Options{}))(t); open.IsLocked() {
		t.Errorf("%v is locked", open)
	}
	return key.Fingerprint()
}
