package environment

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/forecast"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// seenPeer is a peer that an atom has accepted, in the form that is stored.
type seenPeer struct {
	Connection string    `json:"connection,omitempty"` // empty: one without settings
	Process    string    `json:"process,omitempty"`
	Name       string    `json:"name,omitempty"`
	Client     bool      `json:"client,omitempty"`
	Chain      [][]byte  `json:"chain"`
	HostKey    []byte    `json:"hostKey,omitempty"` // of one of SSH, whose address is Name
	Count      uint64    `json:"count"`
	Last       time.Time `json:"last"`
	// ByBase: what the atom trusts besides deployments is enough.
	ByBase bool `json:"byBase,omitempty"`
}

// maxReport bounds what an atom reports, in bytes of certificates.
const maxReport = 1 << 20

// Report stores which peers the atom has accepted of late, so that Environment.DryRun can
// tell what a change would do to them: as many as fit into 1 MiB, those seen last; and how
// recent its state is, see Environment.Lagging. Call it now and then, once an hour for instance. The error wraps trustkeep.ErrNotFound for an
// atom that was detached.
func (a *Atom) Report(ctx context.Context) error {
	peers := latest(a.peers(), maxReport)
	err := change(ctx, a.r, atomKey(a.env, a.id), newAtomRecord, func(d *atomRecord, exists bool) error {
		if !exists {
			return fmt.Errorf("atom is detached: %w", trustkeep.ErrNotFound)
		}
		d.Peers, d.Heard, d.Index = peers, a.Heard(), a.index()
		return nil
	})
	return failure("report", a.id, err)
}

func (a *Atom) peers() []seenPeer {
	a.mu.Lock()
	by := maps.Clone(a.seenBy)
	a.mu.Unlock()
	var base *truststore.Snapshot
	if a.o.Base != nil {
		base, _ = a.o.Base.Snapshot() // a failing base vouches for nobody
	}
	out := a.hostPeers()
	for use, seen := range by {
		for _, p := range seen.Peers() {
			out = append(out, a.stored(use, p, base))
		}
	}
	return out
}

// latest returns those peers that were seen last and fit into a number of bytes, in an
// order that stays the same.
func latest(peers []seenPeer, limit int) []seenPeer {
	slices.SortStableFunc(peers, func(x, y seenPeer) int { return y.Last.Compare(x.Last) })
	out := peers
	for i, p := range peers {
		for _, der := range p.Chain {
			limit -= len(der)
		}
		limit -= len(p.HostKey)
		if limit < 0 {
			out = peers[:i]
			break
		}
	}
	slices.SortStableFunc(out, func(x, y seenPeer) int {
		return cmp.Or(strings.Compare(x.Process, y.Process), strings.Compare(x.Connection, y.Connection), strings.Compare(x.Name, y.Name))
	})
	return out
}

func (a *Atom) stored(use connectionUse, p forecast.SeenPeer, base *truststore.Snapshot) seenPeer {
	s := seenPeer{Connection: use.connection, Process: use.process, Name: p.Name, Client: p.Purpose == truststore.Client, Count: p.Count, Last: p.Last}
	for _, c := range p.Chain {
		s.Chain = append(s.Chain, c.Raw)
	}
	if base != nil {
		_, err := base.Verify(p.Chain, truststore.VerifyOptions{Purpose: p.Purpose, Name: p.Name, Time: a.r.now()})
		s.ByBase = err == nil
	}
	return s
}

// Proposal is a change that is not made yet.
type Proposal struct {
	// Deploy and Undeploy are components on their own, deployed to all atoms.
	Deploy, Undeploy []string
	// Hold are versions that the environment is kept at, by component; zero for the current one.
	Hold map[string]int
	// Promote is what is taken over from another environment, before the definitions that
	// follow; nothing if its From is empty.
	Promote Promotion
	// Replace is the new content of components, which keep their IDs.
	Replace []*component.Component
	// Connections are definitions, new or changed.
	Connections []Connection
	// Partners are definitions, new or changed.
	Partners []Partner
	// Processes are deployed, or deployed again, after the other changes.
	Processes []string
}

// WouldFail is a peer that has been accepted and no longer would be.
type WouldFail struct {
	Atom       string    `json:"atom"`
	Process    string    `json:"process,omitempty"`
	Connection string    `json:"connection,omitempty"` // empty: one without settings
	Peer       string    `json:"peer"`                 // the name that was dialled, or the client's subject
	Count      uint64    `json:"count"`
	Last       time.Time `json:"last"`
	// Err says why.
	Err *truststore.VerifyError `json:"error"`
}

// Forecast is the result of a dry run.
type Forecast struct {
	// Atoms that are attached, and peers that they have reported.
	Atoms, Checked int
	Failing        []WouldFail
}

// DryRun returns the peers that would no longer be accepted after a change. It replays the
// peers that the atoms of the environment have reported, those of processes with their
// frozen copies. It changes nothing.
//
// A peer that would be refused already is not listed: the change does not make it fail.
//
// The error wraps trustkeep.ErrNotFound for what the proposal names and does not exist, and is
// that of Deploy for what cannot be deployed, of SetConnection for a connection that cannot be set, or of Update for what cannot be replaced. Damaged records are left out and named by
// the error, beside a Forecast.
func (e *Environment) DryRun(ctx context.Context, p Proposal) (*Forecast, error) {
	v, err := e.r.list(ctx)
	if err != nil {
		return nil, failure("dry run", e.id, err)
	}
	if v.environments[e.id] == nil {
		return nil, failure("dry run", e.id, missing(environmentKey(e.id)))
	}
	next, err := v.proposed(e.id, p)
	if err != nil {
		return nil, failure("dry run", e.id, err)
	}
	f := new(Forecast)
	for _, a := range sortedBy(v.atoms) {
		if a.environment != e.id {
			continue
		}
		f.Atoms++
		before := v.of(e.id, a.id, nil)
		after := next.of(e.id, a.id, before)
		for _, peer := range a.record.Peers {
			f.Checked++
			if err := after.judge(e.id, a.id, peer, e.r.now()); err != nil && before.judge(e.id, a.id, peer, e.r.now()) == nil {
				f.Failing = append(f.Failing, WouldFail{
					Atom: a.id, Process: peer.Process, Connection: peer.Connection, Peer: peer.label(), Count: peer.Count, Last: peer.Last, Err: err,
				})
			}
		}
	}
	return f, failure("dry run", e.id, v.problem())
}

// proposed returns what there would be.
func (v *inventory) proposed(env string, p Proposal) (*inventory, error) {
	next := v.clone()
	d := *v.environments[env]
	d.Deployed = maps.Clone(d.Deployed)
	if d.Deployed == nil {
		d.Deployed = make(map[string]Deployment)
	}
	next.environments[env] = &d
	for _, id := range p.Deploy {
		h, err := v.current(id)
		if err == nil {
			err = deployable(h.component)
		}
		if err != nil {
			return nil, err
		}
		d.Deployed[id] = Deployment{}
	}
	for _, id := range p.Undeploy {
		if _, ok := d.Deployed[id]; !ok {
			return nil, fmt.Errorf("deployment of %s: %w", trustkeep.Printable(id), trustkeep.ErrNotFound)
		}
		delete(d.Deployed, id)
	}
	for _, c := range p.Replace {
		if c == nil {
			return nil, fmt.Errorf("Proposal.Replace has a nil: %w", trustkeep.ErrInvalid)
		}
		before, err := v.current(c.ID())
		if err == nil {
			err = takesPlaceOf(c, before.component)
		}
		if err == nil {
			err = v.checkUsable(before.component, c)
		}
		if err != nil {
			return nil, err
		}
		d := new(componentRecord)
		if err := d.setContent(c); err != nil {
			return nil, err
		}
		next.components[c.ID()] = &held{c, d}
	}
	if err := next.holding(&d, env, p); err != nil {
		return nil, err
	}
	for _, one := range p.Partners {
		if err := one.checkMembers(); err != nil {
			return nil, err
		}
		for _, m := range one.Members {
			if _, err := next.counted(m.Component); err != nil {
				return nil, err
			}
		}
		next.partners[one.ID] = one
	}
	for _, c := range p.Connections {
		err := cmp.Or(checkID("set connection", c.ID), c.check(func(id string) error {
			if _, ok := next.partners[id]; !ok {
				return missing(partnerKey(id))
			}
			return nil
		}, func(id string, v trustkeep.Visibility) (*component.Component, error) {
			h, err := next.counted(id)
			if err != nil {
				return nil, err
			}
			return h.component, wanted(h.component, trustkeep.X509, v)
		}), next.checkOverridden(c))
		if err != nil {
			return nil, err
		}
		for _, id := range c.Environments {
			if v.environments[id] == nil {
				return nil, missing(environmentKey(id))
			}
		}
		next.connections[c.ID] = c
	}
	for _, id := range p.Processes {
		d, err := freeze(env, id, next.read)
		if err != nil {
			return nil, err
		}
		if err := next.run(env, id, d); err != nil {
			return nil, err
		}
	}
	return next, nil
}

// read is Registry.get in the inventory.
func (v *inventory) read(key string, into document) error {
	_, _, id := kindOfKey(key)
	ok := false
	switch into := into.(type) {
	case *componentRecord:
		var h *held
		if h, ok = v.components[id]; ok {
			*into = *h.record
		}
	case *connectionRecord:
		into.Connection, ok = v.connections[id]
	case *processRecord:
		into.Process, ok = v.processes[id]
	case *partnerRecord:
		into.Partner, ok = v.partners[id]
	case *environmentRecord:
		var d *environmentRecord
		if d, ok = v.environments[id]; ok {
			*into = *d
		}
	}
	if !ok {
		return missing(key)
	}
	return nil
}

// judge decides about a peer by what the inventory has.
func (v *inventory) judge(env, atom string, p seenPeer, now time.Time) *truststore.VerifyError {
	purpose := truststore.Server
	if p.Client {
		purpose = truststore.Client
	}
	c, components, find, err := v.settings(env, p)
	if err != nil {
		return refusal(err)
	}
	if p.Process == "" && p.Connection != "" && !c.countsIn(env) {
		return refusal(c.elsewhere(env))
	}
	if len(p.HostKey) > 0 {
		return v.judgeHost(env, c, p, now)
	}
	if c.SSH != nil {
		return refusal(errors.New("the connection is one of SSH"))
	}
	b := tlsctx.Builder{Clock: func() time.Time { return now }}
	c.configure(&b)
	name := p.Name
	if !p.Client {
		name = cmp.Or(c.ServerName, name)
	}
	o := b.VerifyOptions(purpose, name)
	var trusted []*x509.Certificate
	if !c.ownTrust() {
		if p.ByBase {
			return nil
		}
		trusted = v.deployedTo(env, atom)
	}
	own, err := c.trusted(env, find)
	if err != nil {
		return refusal(err)
	}
	for _, id := range own {
		var cert *x509.Certificate
		if h := components[id]; h != nil {
			cert, _ = h.certificate()
		}
		if cert == nil {
			trusted = nil // as Atom.Connection has it: nobody is trusted
			break
		}
		trusted = append(trusted, cert)
	}
	var chain []*x509.Certificate
	for _, der := range p.Chain {
		if cert, err := x509.ParseCertificate(der); err == nil { // it was when it was seen
			chain = append(chain, cert)
		}
	}
	s, err := truststore.New(trusted...).Snapshot()
	if err == nil {
		_, err = s.Verify(chain, o)
	}
	return refusal(err)
}

// refusal is the error of a verification. One that says nothing about the peer refuses it as
// well, as it would in a handshake.
func refusal(err error) *truststore.VerifyError {
	if err == nil {
		return nil
	}
	if refused, ok := errors.AsType[*truststore.VerifyError](err); ok {
		return refused
	}
	return &truststore.VerifyError{Reason: truststore.Reason{Code: truststore.CodeRefused, Text: trustkeep.Printable(err.Error())}, Err: err}
}

// settings returns the connection that a peer was seen by, and the components and partners that
// count for it; an error where a process does not have it.
func (v *inventory) settings(env string, p seenPeer) (Connection, map[string]*held, func(partner string) (Partner, error), error) {
	if p.Process != "" {
		if d := v.deployed[deployedKey(env, p.Process)]; d != nil {
			for _, c := range d.record.Connections {
				if c.ID == p.Connection {
					return c, d.frozen, d.record.partner, nil
				}
			}
		}
		return Connection{}, nil, nil, fmt.Errorf("%s in process %s: %w", named(connectionKey(p.Connection)), trustkeep.Printable(p.Process), trustkeep.ErrNotFound)
	}
	find := func(id string) (Partner, error) {
		p := new(partnerRecord)
		err := v.read(partnerKey(id), p)
		return p.Partner, err
	}
	return v.environments[env].Overrides[p.Connection].apply(v.connections[p.Connection]), v.components, find, nil
}

func (p seenPeer) label() string {
	if p.Name != "" {
		return trustkeep.Printable(p.Name)
	}
	if len(p.Chain) > 0 {
		return keystore.DescribeCertificate(p.Chain[0]).Subject
	}
	return "nobody"
}

// String is a table for people.
func (f *Forecast) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d of %d peers of %d atoms would fail", len(f.Failing), f.Checked, f.Atoms)
	for _, w := range f.Failing {
		by := "a connection without settings"
		if w.Connection != "" {
			by = "connection " + w.Connection
		}
		if w.Process != "" {
			by += " of process " + w.Process
		}
		fmt.Fprintf(&b, "\n%s: %s by %s: %v", w.Atom, w.Peer, by, w.Err)
	}
	return b.String()
}
