package environment_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// The model says what an atom must trust and present after any changes, in the simplest way: with
// certificates as texts, and without versions, records and revisions.
type (
	model struct {
		components  map[string][]string // certificates by version
		connections map[string]environment.Connection
		processes   map[string][]string // connections
		members     []environment.PartnerMember
		envs        map[string]*modelEnv
		ran         map[string]map[string]modelRun // by environment and process
	}
	modelEnv struct {
		deployed  map[string][]string // atoms; none is all
		held      map[string]string
		overrides map[string]environment.Override
	}
	modelRun struct {
		atoms       []string
		connections []string
		defined     map[string]environment.Connection
		now         map[string]environment.Connection // overridden
		members     []environment.PartnerMember
		partnered   bool // members are part of it
		frozen      map[string]string
	}
)

var errModel = errors.New("refused")

func (m *model) clone() *model {
	out := &model{maps.Clone(m.components), maps.Clone(m.connections), maps.Clone(m.processes), m.members, make(map[string]*modelEnv), make(map[string]map[string]modelRun)}
	for id, e := range m.envs {
		out.envs[id], out.ran[id] = e.clone(), maps.Clone(m.ran[id])
	}
	return out
}

func (e *modelEnv) clone() *modelEnv {
	return &modelEnv{maps.Clone(e.deployed), maps.Clone(e.held), maps.Clone(e.overrides)}
}

// cert is what a component is in an environment.
func (m *model) cert(env, id string) string {
	if c, ok := m.envs[env].held[id]; ok {
		return c
	}
	return newest(m.components[id])
}

func newest(all []string) string { return all[len(all)-1] }

func overridden(c environment.Connection, o environment.Override) environment.Connection {
	switch {
	case o.DeployedTrust:
		c.Trusted, c.TrustedPartner = nil, ""
	case o.Trusted != nil:
		c.Trusted, c.TrustedPartner = *o.Trusted, ""
	case o.TrustedPartner != nil:
		c.Trusted, c.TrustedPartner = nil, *o.TrustedPartner
	}
	if o.Identity != nil {
		c.Identity = *o.Identity
	}
	return c
}

func countsIn(c environment.Connection, env string) bool {
	return c.Environments == nil || slices.Contains(c.Environments, env)
}

func covers(atoms []string, atom string) bool {
	return len(atoms) == 0 || slices.Contains(atoms, atom)
}

func membersIn(all []environment.PartnerMember, env string) []string {
	var out []string
	for _, m := range all {
		if m.Environment == "" || m.Environment == env {
			out = append(out, m.Component)
		}
	}
	return out
}

// side is what is trusted and presented over a connection; nil where there is none.
type side struct {
	trusted  []string
	identity string
}

func (s *side) accepts(cert string) bool { return s != nil && slices.Contains(s.trusted, cert) }

func (s *side) String() string {
	if s == nil {
		return "none"
	}
	return fmt.Sprint(s.trusted, " as ", s.identity)
}

func (m *model) implicit(env, atom string) *side {
	s := new(side)
	for id, atoms := range m.envs[env].deployed {
		if covers(atoms, atom) {
			s.trusted = append(s.trusted, m.cert(env, id))
		}
	}
	return s.sorted()
}

func (s *side) sorted() *side {
	slices.Sort(s.trusted)
	s.trusted = slices.Compact(s.trusted)
	return s
}

func (m *model) side(env, atom, process, connection string) *side {
	var c environment.Connection
	cert, members := func(id string) string { return m.cert(env, id) }, m.members
	if process != "" {
		run, ok := m.ran[env][process]
		if !ok || !covers(run.atoms, atom) || !slices.Contains(run.connections, connection) {
			return nil
		}
		c, members = run.now[connection], run.members
		cert = func(id string) string { return run.frozen[id] }
	} else {
		if c = m.connections[connection]; !countsIn(c, env) {
			return nil
		}
		c = overridden(c, m.envs[env].overrides[connection])
	}
	s := new(side)
	own := c.Trusted
	if c.TrustedPartner != "" {
		own = membersIn(members, env)
	}
	for _, id := range own {
		s.trusted = append(s.trusted, cert(id))
	}
	if c.Trusted == nil && c.TrustedPartner == "" {
		s.trusted = m.implicit(env, atom).trusted
	}
	if c.Identity != "" {
		s.identity = cert(c.Identity)
	}
	return s.sorted()
}

// freeze deploys a process; from is what is promoted, nil for the definitions of now.
func (m *model) freeze(env, process string, from *modelRun) (modelRun, error) {
	run := modelRun{connections: m.processes[process], defined: make(map[string]environment.Connection),
		now: make(map[string]environment.Connection), members: m.members, frozen: make(map[string]string)}
	if from != nil {
		run.connections = from.connections
		if from.partnered {
			run.members = from.members
		}
	}
	for _, id := range run.connections {
		c := m.connections[id]
		if from != nil {
			c = from.defined[id]
		}
		if !countsIn(c, env) {
			return run, errModel
		}
		run.defined[id], run.now[id] = c, overridden(c, m.envs[env].overrides[id])
		needs := slices.Clone(run.now[id].Trusted)
		if run.now[id].TrustedPartner != "" {
			run.partnered = true
			needs = append(needs, membersIn(run.members, env)...)
		}
		if run.now[id].Identity != "" {
			needs = append(needs, run.now[id].Identity)
		}
		for _, id := range needs {
			run.frozen[id] = m.cert(env, id)
			if from != nil && from.frozen[id] != "" {
				run.frozen[id] = from.frozen[id]
			}
		}
	}
	return run, nil
}

// change is one that is made in the model and in the registry, and perhaps proposed.
type change struct {
	name     string
	model    func(*model) error
	do       func(context.Context, *environment.Registry) error
	env      string
	proposed func(*model) environment.Proposal // of env
}

// modelWorld is what all sequences begin with.
type modelWorld struct {
	*world
	pool  []*component.Component // of public parts
	certs map[string]*x509.Certificate
	began *model
	o     environment.Options
}

func digestOf(t *testing.T, c *component.Component) string {
	t.Helper()
	return c.Fingerprint()[:6]
}

func newModelWorld(t *testing.T) *modelWorld {
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	o := environment.Options{Sealer: environment.FileSealer(path), Rand: quickkdf.Rand()}
	w := &modelWorld{world: newWorld(t, o), certs: make(map[string]*x509.Certificate)}
	o.Clock, w.o = w.clock.Now, o
	w.began = &model{components: make(map[string][]string), connections: make(map[string]environment.Connection), processes: make(map[string][]string),
		envs: make(map[string]*modelEnv), ran: map[string]map[string]modelRun{"test": {}, "prod": {}}}
	for _, env := range []string{"test", "prod"} {
		w.began.envs[env] = &modelEnv{make(map[string][]string), make(map[string]string), make(map[string]environment.Override)}
	}
	note := func(id string) *component.Component {
		c := check(w.Component(t.Context(), id))(t)
		w.certs[digestOf(t, c)] = check(keystore.CertificateOf(c))(t)
		w.began.components[id] = append(w.began.components[id], digestOf(t, c))
		return c
	}
	for _, id := range []string{"x", "y"} {
		w.identity(id)
		w.public(note(id), "of-"+id)
		w.renew(id)
		note(id)
	}
	for i, id := range []string{"a", "b", "c", "d", "e"} {
		w.public(w.identity("own-"+id), id)
		c := note(id)
		if w.pool = append(w.pool, c); i > 2 {
			delete(w.began.components, id)
		}
	}
	ctx := t.Context()
	check(w.CreateEnvironment(ctx, "prod"))(t)
	must(t, w.SetPartner(ctx, environment.Partner{ID: "q"}))
	for _, id := range []string{"m", "n"} {
		c := environment.Connection{ID: id}
		must(t, w.SetConnection(ctx, c))
		w.began.connections[id] = c
	}
	for _, id := range []string{"p", "o"} {
		must(t, w.SetProcess(ctx, environment.Process{ID: id}))
		w.began.processes[id] = nil
	}
	return w
}

func some(r *rand.Rand, all ...string) []string {
	var out []string
	for _, one := range all {
		if r.IntN(2) == 0 {
			out = append(out, one)
		}
	}
	return out
}

func oneOf[T any](r *rand.Rand, all ...T) T { return all[r.IntN(len(all))] }

func without(all []string, gone []string) ([]string, error) {
	if len(all) == 0 {
		return nil, errModel
	}
	for _, one := range gone {
		if !slices.Contains(all, one) {
			return nil, errModel
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(one string) bool { return slices.Contains(gone, one) }), nil
}

func union(all, more []string) []string {
	out := slices.Clone(all)
	for _, one := range more {
		if !slices.Contains(out, one) {
			out = append(out, one)
		}
	}
	return out
}

// next picks a change.
func (w *modelWorld) next(r *rand.Rand, past map[string]map[uint64]*modelEnv) change {
	env := oneOf(r, "test", "prod")
	other := map[string]string{"test": "prod", "prod": "test"}[env]
	public, connection, process := oneOf(r, "a", "b", "c"), oneOf(r, "m", "n"), oneOf(r, "p", "o")
	anything := oneOf(r, "a", "b", "c", "x", "y")
	atoms := oneOf(r, []string{"one"}, []string{"two"}, []string{"one", "two"})
	in := func(do func(context.Context, *environment.Environment) error) func(context.Context, *environment.Registry) error {
		return func(ctx context.Context, r *environment.Registry) error {
			e, err := r.Environment(ctx, env)
			if err != nil {
				return err
			}
			return do(ctx, e)
		}
	}
	proposal := func(p environment.Proposal) func(*model) environment.Proposal {
		return func(*model) environment.Proposal { return p }
	}
	switch r.IntN(19) {
	case 0:
		return change{env + ": deploy " + public, func(m *model) error { m.envs[env].deployed[public] = nil; return nil },
			in(func(ctx context.Context, e *environment.Environment) error { return e.Deploy(ctx, public) }), env, proposal(environment.Proposal{Deploy: []string{public}})}
	case 1:
		return change{env + ": deploy " + public + " to " + fmt.Sprint(atoms), func(m *model) error { m.envs[env].deployed[public] = atoms; return nil },
			in(func(ctx context.Context, e *environment.Environment) error { return e.DeployTo(ctx, public, atoms...) }), env, nil}
	case 2:
		return change{env + ": deploy " + public + " also to " + fmt.Sprint(atoms), func(m *model) error {
			now, ok := m.envs[env].deployed[public]
			if !ok || len(now) > 0 {
				m.envs[env].deployed[public] = union(now, atoms)
			}
			return nil
		}, in(func(ctx context.Context, e *environment.Environment) error {
			return e.DeployAlso(ctx, public, atoms...)
		}), env, nil}
	case 3:
		return change{env + ": undeploy " + public, func(m *model) error {
			if _, ok := m.envs[env].deployed[public]; !ok {
				return errModel
			}
			delete(m.envs[env].deployed, public)
			return nil
		}, in(func(ctx context.Context, e *environment.Environment) error { return e.Undeploy(ctx, public) }), env, proposal(environment.Proposal{Undeploy: []string{public}})}
	case 4:
		return change{env + ": undeploy " + public + " from " + fmt.Sprint(atoms), func(m *model) error {
			left, err := without(m.envs[env].deployed[public], atoms)
			if m.envs[env].deployed[public] = left; len(left) == 0 {
				delete(m.envs[env].deployed, public)
			}
			return err
		}, in(func(ctx context.Context, e *environment.Environment) error {
			return e.UndeployFrom(ctx, public, atoms...)
		}), env, nil}
	case 5, 6:
		version := r.IntN(3)
		return change{fmt.Sprintf("%s: hold %s at %d", env, anything, version), func(m *model) error {
			all := m.components[anything]
			switch {
			case version > len(all):
				return errModel
			case version == 0:
				m.envs[env].held[anything] = newest(all)
			default:
				m.envs[env].held[anything] = all[version-1]
			}
			return nil
		}, in(func(ctx context.Context, e *environment.Environment) error { return e.Hold(ctx, anything, version) }), env, proposal(environment.Proposal{Hold: map[string]int{anything: version}})}
	case 7:
		return change{env + ": follow " + anything, func(m *model) error {
			if _, ok := m.envs[env].held[anything]; !ok {
				return errModel
			}
			delete(m.envs[env].held, anything)
			return nil
		}, in(func(ctx context.Context, e *environment.Environment) error { return e.Follow(ctx, anything) }), env, nil}
	case 8, 9:
		var o environment.Override
		switch trusted := some(r, "a", "b", "c"); r.IntN(4) {
		case 0:
			o.DeployedTrust = true
		case 1:
			o.TrustedPartner = new("q")
		case 2:
			if trusted != nil {
				o.Trusted = &trusted
			}
		}
		if r.IntN(2) == 0 {
			o.Identity = new(oneOf(r, "", "x", "y"))
		}
		return change{fmt.Sprintf("%s: override %s by trusted %v, partner %v, deployed %v, identity %v", env, connection, spelledList(o.Trusted), o.TrustedPartner != nil, o.DeployedTrust, spelledText(o.Identity)), func(m *model) error {
			if o == (environment.Override{}) {
				delete(m.envs[env].overrides, connection)
				return nil
			}
			if !countsIn(m.connections[connection], env) {
				return errModel
			}
			m.envs[env].overrides[connection] = o
			return nil
		}, in(func(ctx context.Context, e *environment.Environment) error {
			return e.UpdateOverride(ctx, connection, func(now *environment.Override) error { *now = o; return nil })
		}), env, nil}
	case 10, 11:
		c := environment.Connection{ID: connection, Environments: oneOf(r, nil, nil, nil, []string{"test"}, []string{"prod"}), Identity: oneOf(r, "", "x", "y")}
		if c.Trusted = some(r, "a", "b", "c"); r.IntN(3) == 0 {
			c.Trusted, c.TrustedPartner = nil, "q"
		}
		return change{fmt.Sprintf("connection %s in %v trusts %v, partner %q, is %s", connection, c.Environments, c.Trusted, c.TrustedPartner, c.Identity), func(m *model) error {
			for env, e := range m.envs {
				if _, ok := e.overrides[connection]; ok && !countsIn(c, env) {
					return errModel
				}
			}
			m.connections[connection] = c
			return nil
		}, func(ctx context.Context, r *environment.Registry) error {
			return r.UpdateConnection(ctx, connection, func(now *environment.Connection) error { *now = c; return nil })
		}, env, proposal(environment.Proposal{Connections: []environment.Connection{c}})}
	case 12:
		list := some(r, "m", "n")
		return change{fmt.Sprintf("process %s of %v", process, list), func(m *model) error { m.processes[process] = list; return nil }, func(ctx context.Context, r *environment.Registry) error {
			return r.UpdateProcess(ctx, process, func(now *environment.Process) error { now.Connections = list; return nil })
		}, env, nil}
	case 13, 14:
		where := r.IntN(4)
		c := change{fmt.Sprintf("%s: deploy process %s (%d) %v", env, process, where, atoms), func(m *model) error {
			run, err := m.freeze(env, process, nil)
			before, there := m.ran[env][process]
			switch where {
			case 0:
				run.atoms = before.atoms
			case 2:
				run.atoms = atoms
			case 3:
				if !there || len(before.atoms) > 0 {
					run.atoms = union(before.atoms, atoms)
				}
			}
			if err == nil {
				m.ran[env][process] = run
			}
			return err
		}, in(func(ctx context.Context, e *environment.Environment) error {
			switch where {
			case 0:
				return e.DeployProcess(ctx, process)
			case 1:
				return e.DeployProcessToAll(ctx, process)
			case 2:
				return e.DeployProcessTo(ctx, process, atoms...)
			}
			return e.DeployProcessAlso(ctx, process, atoms...)
		}), env, nil}
		if where == 0 {
			c.proposed = proposal(environment.Proposal{Processes: []string{process}})
		}
		return c
	case 15:
		if r.IntN(2) == 0 {
			return change{env + ": undeploy process " + process, func(m *model) error {
				if _, ok := m.ran[env][process]; !ok {
					return errModel
				}
				delete(m.ran[env], process)
				return nil
			}, in(func(ctx context.Context, e *environment.Environment) error { return e.UndeployProcess(ctx, process) }), env, nil}
		}
		return change{env + ": undeploy process " + process + " from " + fmt.Sprint(atoms), func(m *model) error {
			run := m.ran[env][process]
			left, err := without(run.atoms, atoms)
			if run.atoms = left; err == nil {
				m.ran[env][process] = run
				if len(left) == 0 {
					delete(m.ran[env], process)
				}
			}
			return err
		}, in(func(ctx context.Context, e *environment.Environment) error {
			return e.UndeployProcessFrom(ctx, process, atoms...)
		}), env, nil}
	case 16:
		if r.IntN(2) == 0 {
			from := w.pool[r.IntN(len(w.pool))]
			digest := digestOf(w.t, from)
			_, file, err := from.ExportPublic("")
			must(w.t, err)
			return change{"reimport " + public + " as " + digest, func(m *model) error {
				m.components[public] = append(slices.Clone(m.components[public]), digest)
				return nil
			}, func(ctx context.Context, r *environment.Registry) error {
				_, err := r.Reimport(ctx, public, file, environment.ComponentOptions{})
				return err
			}, env, nil}
		}
		version := 1 + r.IntN(3)
		return change{fmt.Sprintf("roll %s back to %d", anything, version), func(m *model) error {
			all := m.components[anything]
			if version > len(all) {
				return errModel
			}
			m.components[anything] = append(slices.Clone(all), all[version-1])
			return nil
		}, func(ctx context.Context, r *environment.Registry) error {
			_, err := r.Rollback(ctx, anything, version)
			return err
		}, env, nil}
	case 17:
		if r.IntN(2) == 0 {
			var members []environment.PartnerMember
			for _, id := range some(r, "a", "b", "c") {
				members = append(members, environment.PartnerMember{Component: id, Uses: partner.VerifyTLS, Environment: oneOf(r, "", "test", "prod")})
			}
			return change{fmt.Sprintf("partner of %v in test, %v in prod", membersIn(members, "test"), membersIn(members, "prod")), func(m *model) error { m.members = members; return nil }, func(ctx context.Context, r *environment.Registry) error {
				return r.UpdatePartner(ctx, "q", func(now *environment.Partner) error { now.Members = members; return nil })
			}, env, proposal(environment.Proposal{Partners: []environment.Partner{{ID: "q", Members: members}}})}
		}
		revisions := slices.Sorted(maps.Keys(past[env]))
		revision := revisions[r.IntN(len(revisions))]
		return change{fmt.Sprintf("%s: roll back to %d", env, revision), func(m *model) error {
			former := past[env][revision].clone()
			for id := range former.overrides {
				if !countsIn(m.connections[id], env) {
					return errModel
				}
			}
			m.envs[env] = former
			return nil
		}, in(func(ctx context.Context, e *environment.Environment) error { return e.Rollback(ctx, revision) }), env, nil}
	}
	p := environment.Promotion{From: other, Components: some(r, "a", "b", "c", "x", "y"), Processes: some(r, "p", "o")}
	return change{fmt.Sprintf("%s: promote %v, processes %v", env, p.Components, p.Processes), func(m *model) error {
		if len(p.Components)+len(p.Processes) == 0 {
			return errModel
		}
		from, to := m.envs[other], m.envs[env]
		for _, id := range p.Components {
			atoms, there := from.deployed[id]
			if _, here := to.deployed[id]; there && !here {
				if len(atoms) > 0 {
					return errModel
				}
				to.deployed[id] = nil
			}
			to.held[id] = m.cert(other, id)
		}
		for _, id := range p.Processes {
			there, ok := m.ran[other][id]
			before, here := m.ran[env][id]
			if !ok || !here && len(there.atoms) > 0 {
				return errModel
			}
			run, err := m.freeze(env, id, &there)
			if err != nil {
				return err
			}
			run.atoms = before.atoms
			m.ran[env][id] = run
		}
		return nil
	}, in(func(ctx context.Context, e *environment.Environment) error { return e.Promote(ctx, p) }), env, proposal(environment.Proposal{Promote: p})}
}

func spelledList(list *[]string) string {
	if list == nil {
		return "unset"
	}
	return fmt.Sprint(*list)
}

func spelledText(text *string) string {
	if text == nil {
		return "unset"
	}
	return strconv.Quote(*text)
}

// modelAtom is a running program, and Builders that it has had from the beginning.
type modelAtom struct {
	*environment.Atom
	kept map[string]tlsctx.Builder
	seen map[[3]string]bool // process, connection, certificate
}

// everyWay are the connections that an atom can make, those of processes included.
func everyWay(yield func(process, connection string) bool) {
	for _, process := range []string{"", "p", "o"} {
		for _, connection := range []string{"m", "n"} {
			if !yield(process, connection) {
				return
			}
		}
	}
}

func (a *modelAtom) builder(process, connection string) (tlsctx.Builder, error) {
	if process == "" {
		return a.Connection(connection)
	}
	p, err := a.Process(process)
	if err != nil {
		return tlsctx.Builder{}, err
	}
	return p.Connection(connection)
}

func sideOf(b tlsctx.Builder, err error) *side {
	if err != nil {
		return nil
	}
	s := new(side)
	from := b.Trusted
	if from == nil {
		from = b.Global
	}
	now, err := from.Snapshot()
	if err != nil {
		return nil
	}
	for c := range now.All() {
		s.trusted = append(s.trusted, trustkeep.DescribeCertificate(c).SHA256[:6])
	}
	if b.Identity != nil {
		own, err := b.Identity.TLSCertificate()
		if err != nil {
			return nil
		}
		s.identity = trustkeep.DescribeCertificate(own.Leaf).SHA256[:6]
	}
	return s.sorted()
}

// wrong says where an atom is not as the model is; empty for nowhere.
func (a *modelAtom) wrong(m *model) string {
	env := a.Environment()
	var out []string
	differ := func(what string, got, want *side) {
		if got.String() != want.String() {
			out = append(out, fmt.Sprintf("%s of %s/%s: has %s, must have %s", what, env, a.ID(), got, want))
		}
	}
	differ("implicit", sideOf(a.Implicit(), nil), m.implicit(env, a.ID()))
	for process, connection := range everyWay {
		what := process + " " + connection
		b, err := a.builder(process, connection)
		want := m.side(env, a.ID(), process, connection)
		differ(what, sideOf(b, err), want)
		if kept, ok := a.kept[what]; ok {
			b, err := kept.Current()
			differ("what followed, "+what, sideOf(b, err), want)
		} else if err == nil {
			a.kept[what] = b
		}
	}
	return strings.Join(out, "\n")
}

// note remembers all peers, as if they had been accepted, and reports them.
func (a *modelAtom) note(ctx context.Context, w *modelWorld) error {
	for process, connection := range everyWay {
		b, err := a.builder(process, connection)
		if err != nil {
			continue
		}
		for digest, c := range w.certs {
			b.Accepted(tlsctx.Peer{Purpose: truststore.Server, Certificates: []*x509.Certificate{c}, ServerName: "localhost", Proved: true})
			a.seen[[3]string{process, connection, digest}] = true
		}
	}
	return a.Report(ctx)
}

// sequence makes changes of a seed and compares after each.
func (w *modelWorld) sequence(t *testing.T, seed uint64, made map[bool]int) (failed bool) {
	ctx := t.Context()
	r := rand.New(rand.NewPCG(seed, 15))
	m := w.copyOf()
	registry := check(environment.Open(ctx, m, w.o))(t)
	now := w.began.clone()
	var atoms []*modelAtom
	attach := func(env, id string) *modelAtom {
		e := check(registry.Environment(ctx, env))(t)
		return &modelAtom{check(e.Attach(ctx, id, environment.AtomOptions{}))(t), make(map[string]tlsctx.Builder), make(map[[3]string]bool)}
	}
	for _, at := range [][2]string{{"test", "one"}, {"test", "two"}, {"prod", "one"}} {
		atoms = append(atoms, attach(at[0], at[1]))
	}
	defer func() {
		for _, a := range atoms {
			a.Close()
		}
	}()
	past := map[string]map[uint64]*modelEnv{"test": {}, "prod": {}}
	var steps []string
	fail := func(format string, args ...any) bool {
		t.Errorf("seed %d: %s\nafter\n%s", seed, fmt.Sprintf(format, args...), strings.Join(steps, "\n"))
		return true
	}
	agree := func(a *modelAtom) string {
		wait, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if a.Wait(wait, func(*environment.Atom) bool { return a.wrong(now) == "" }) == nil {
			return ""
		}
		return a.wrong(now)
	}
	for range 30 {
		for env := range past {
			past[env][check(m.Get(ctx, "environments/"+env))(t).Revision] = now.envs[env].clone()
		}
		x := w.next(r, past)
		steps = append(steps, x.name)
		next := now.clone()
		want := x.model(next)
		if x.proposed != nil && r.IntN(3) == 0 {
			expected := make(map[string]bool)
			for _, a := range atoms {
				if a.Environment() != x.env {
					continue
				}
				must(t, a.note(ctx, w))
				for p := range a.seen {
					if now.side(x.env, a.ID(), p[0], p[1]).accepts(p[2]) && !next.side(x.env, a.ID(), p[0], p[1]).accepts(p[2]) {
						expected[fmt.Sprint(a.ID(), p[0], p[1])] = true
					}
				}
			}
			f, err := check(registry.Environment(ctx, x.env))(t).DryRun(ctx, x.proposed(now))
			if (err == nil) != (want == nil) {
				return fail("the dry run says %v, the model %v", err, want)
			}
			if err == nil {
				got := make(map[string]bool)
				for _, one := range f.Failing {
					got[fmt.Sprint(one.Atom, one.Process, one.Connection)] = true
				}
				if !maps.Equal(got, expected) {
					return fail("the dry run forecasts %v, the model %v", got, expected)
				}
			}
		}
		err := x.do(ctx, registry)
		made[err == nil]++
		if (err == nil) != (want == nil) {
			return fail("the registry says %v, the model %v", err, want)
		}
		if err == nil {
			now = next
		}
		for i, a := range atoms {
			if wrong := agree(a); wrong != "" {
				return fail("%s", wrong)
			}
			if r.IntN(20) == 0 { // a restart
				a.Close()
				atoms[i] = attach(a.Environment(), a.ID())
				if wrong := atoms[i].wrong(now); wrong != "" {
					return fail("after a restart: %s", wrong)
				}
			}
		}
	}
	return false
}

// TestSequencesOfChangesAgainstAModel: after each of many changes, in any order, atoms trust and present
// what the model says, whatever they were handed out before, and dry runs have said what would fail.
// TRUSTKEEP_SEED repeats one sequence.
func TestSequencesOfChangesAgainstAModel(t *testing.T) {
	w := newModelWorld(t)
	made := make(map[bool]int)
	if text := os.Getenv("TRUSTKEEP_SEED"); text != "" {
		w.sequence(t, check(strconv.ParseUint(text, 10, 64))(t), made)
		return
	}
	start, sequences := uint64(1), testtool.Cases(20, 2000)
	if sequences > 20 {
		start = rand.Uint64() >> 16
	}
	t.Logf("seeds from %d", start)
	failed := 0
	for i := range sequences {
		if w.sequence(t, start+uint64(i), made) {
			if failed++; failed == 3 {
				break
			}
		}
	}
	t.Logf("%d changes made, %d refused", made[true], made[false])
	if made[true] < made[false] {
		t.Error("most changes are refused, which shows little")
	}
}
