package environment

import (
	"cmp"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Connection describes one side of connections to a partner, in terms of components. It
// is the same in every environment that it counts in, except for what Environment.Override says.
type Connection struct {
	ID string `json:"id"`
	// Environments that the connection counts in, by ID: there alone, atoms have it, processes
	// with it are deployed, and overrides change it. If nil, it counts in every environment. An
	// empty list is an error.
	Environments []string `json:"environments,omitzero"`
	// Trusted are X.509 components whose certificates are all that the connection
	// trusts, instead of what is deployed. If nil, it trusts what is deployed. An empty list
	// is an error.
	Trusted []string `json:"trusted,omitzero"`
	// TrustedPartner is a partner whose certificates for partner.VerifyTLS are all that the
	// connection trusts, as they are at each moment; without any it trusts nobody. With Trusted it
	// is an error. If empty, Trusted counts.
	TrustedPartner string `json:"trustedPartner,omitempty"`
	// Identity is a private X.509 component to present; empty presents none.
	Identity string `json:"identity,omitempty"`
	// IdentityPartner is a partner to whom is presented what is used with it for
	// partner.ClientTLS: the one that is preferred at each handshake. With Identity it is an error.
	// If empty, Identity counts.
	IdentityPartner string `json:"identityPartner,omitempty"`
	// ServerName, Allow, Pins, ClientAuth and the fields until Revocation are those of
	// tlsctx.Builder. An empty list of pins is an error.
	ServerName string                  `json:"serverName,omitempty"`
	Allow      []truststore.Relaxation `json:"allow,omitempty"`
	Pins       []truststore.Pin        `json:"pins,omitzero"`
	ClientAuth tlsctx.ClientAuth       `json:"-"`
	// Policy refuses more; truststore.Strict is one.
	Policy truststore.Policy `json:"policy,omitzero"`
	// ServerURI, ClientURI and TrustDomain are what the peer's certificate must name.
	ServerURI   string `json:"serverURI,omitempty"`
	ClientURI   string `json:"clientURI,omitempty"`
	TrustDomain string `json:"trustDomain,omitempty"`
	// ConcealCAs keeps a server from naming the authorities that it trusts.
	ConcealCAs bool `json:"concealCAs,omitempty"`
	// Versions, suites and curves are numbers in records, as in TLS.
	MinVersion         uint16        `json:"minVersion,omitempty"`
	MaxVersion         uint16        `json:"maxVersion,omitempty"`
	LegacyMinVersion   uint16        `json:"legacyMinVersion,omitempty"`
	NextProtos         []string      `json:"nextProtos,omitempty"`
	CipherSuites       []uint16      `json:"cipherSuites,omitempty"`
	LegacyCipherSuites []uint16      `json:"legacyCipherSuites,omitempty"`
	CurvePreferences   []tls.CurveID `json:"curvePreferences,omitempty"`
	// Revocation is how peers are checked for revocation. If nil, they are not.
	Revocation *Revocation `json:"revocation,omitempty"`
	// RevocationExempt are X.509 components whose certificates Revocation is not asked about.
	RevocationExempt []string `json:"revocationExempt,omitempty"`
	// SSH makes it a connection of SSH instead of TLS: see Atom.SSH. Identity is then the key to
	// log in with, and the other fields but ID must be zero.
	SSH *SSH `json:"ssh,omitempty"`
	// Revision is what Registry.Connection has read, for SetConnection. It is not part of the
	// definition.
	Revision Revision `json:"-"`
}

// countsIn tells whether atoms of an environment have the connection.
func (c Connection) countsIn(environment string) bool {
	return c.Environments == nil || slices.Contains(c.Environments, environment)
}

// elsewhere is the error of a connection that does not count in an environment.
func (c Connection) elsewhere(environment string) error {
	return &trustkeep.Error{
		Op: fmt.Sprintf("%s does not count in %s", named(connectionKey(c.ID)), named(environmentKey(environment))), Err: trustkeep.ErrNotFound,
		Hint: "Connection.Environments lists where it counts",
	}
}

// needs are the keys of what the connection refers to.
func (c Connection) needs() []string {
	out := append(keysOf(c.components(), componentKey), keysOf(c.partners(), partnerKey)...)
	return append(out, keysOf(c.Environments, environmentKey)...)
}

// components are what the connection depends on.
func (c Connection) components() []string {
	out := slices.Clone(c.Trusted)
	if c.Identity != "" {
		out = append(out, c.Identity)
	}
	return append(out, c.RevocationExempt...)
}

// spelled is what JSON needs help for: ClientAuth has a text, but is a number in records.
type spelled struct {
	ClientAuth uint8 `json:"clientAuth,omitempty"`
}

// MarshalJSON spells the client authentication as a number.
func (c Connection) MarshalJSON() ([]byte, error) {
	type plain Connection // without this method
	return json.Marshal(struct {
		plain
		spelled
	}{plain(c), spelled{uint8(c.ClientAuth)}})
}

// UnmarshalJSON reverses MarshalJSON.
func (c *Connection) UnmarshalJSON(text []byte) error {
	type plain Connection
	var s struct {
		plain
		spelled
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*c = Connection(s.plain)
	c.ClientAuth = tlsctx.ClientAuth(s.spelled.ClientAuth)
	return nil
}

// Process is a piece of work that is deployed as a whole: its connections and the
// components that it uses otherwise, such as the PGP keys of partners.
type Process struct {
	ID          string   `json:"id"`
	Connections []string `json:"connections,omitempty"`
	Components  []string `json:"components,omitempty"`
	// Revision is what Registry.Process has read, for SetProcess. It is not part of the
	// definition.
	Revision Revision `json:"-"`
}

type connectionRecord struct {
	stamp
	Connection Connection `json:"connection"`
}

func newConnectionRecord() *connectionRecord { return new(connectionRecord) }

func (d *connectionRecord) check(id string) error {
	if len(d.Connection.Trusted) == 0 {
		d.Connection.Trusted = nil // as the empty list was understood before it was refused
	}
	return cmp.Or(is(d.Connection.ID, id), d.Connection.checkSettings())
}

type processRecord struct {
	stamp
	Process Process `json:"process"`
}

func newProcessRecord() *processRecord { return new(processRecord) }

func (d *processRecord) check(id string) error { return is(d.Process.ID, id) }

// SetConnection stores a connection: a changed one with the Revision that Connection has
// returned, a new one without. All atoms that use it outside of deployed processes follow. See
// UpdateConnection to change single fields.
//
// The error wraps trustkeep.ErrConflict if somebody else has changed the connection since it was
// read, and trustkeep.ErrExists if Revision is empty and there is one.
//
// Errors wrap trustkeep.ErrNotFound for a component, partner or environment that does not exist and
// ErrUnsupported for a component of the wrong kind: Trusted and Identity are X.509, and Identity
// is private; and for a certificate to trust that crypto/x509 refuses. ErrInvalid is that of a setting
// that tlsctx refuses, of an empty list of environments or trusted components, and of a connection of SSH with
// settings of TLS, without a user or without trust; that of a line or pin is the error of package
// sshctx. ErrInUse is that of a connection that is overridden in an environment in which it would
// no longer count.
func (r *Registry) SetConnection(ctx context.Context, c Connection) error {
	if err := checkID("set connection", c.ID); err != nil {
		return err
	}
	if err := r.checkConnection(ctx, c); err != nil {
		return failure("set connection", c.ID, err)
	}
	if err := r.checkOverridden(ctx, c); err != nil {
		return failure("set connection", c.ID, err)
	}
	next := c
	next.Revision = ""
	before, _, err := assignIf(ctx, r, connectionSlot(c.ID), replacing(c.Revision, &next), func(*Connection) error {
		if err := r.present(ctx, c.needs()); err != nil {
			return err
		}
		return r.checkOverridden(ctx, c) // as whoever overrides it looks at this
	})
	if err == nil {
		r.tell(ctx, Event{Action: "connection set", Object: c.ID, Before: before.describe(), After: c.describe()})
	}
	return failure("set connection", c.ID, err)
}

// checkOverridden refuses a connection with overrides where it does not count.
func (r *Registry) checkOverridden(ctx context.Context, c Connection) error {
	if c.Environments == nil {
		return nil
	}
	v, err := r.listOf(ctx, environmentPrefix)
	if err != nil {
		return err
	}
	return v.checkOverridden(c)
}

func (v *inventory) checkOverridden(c Connection) error {
	for env, d := range sortedBy(v.environments) {
		if _, ok := d.Overrides[c.ID]; ok && !c.countsIn(env) {
			return &trustkeep.Error{Op: "overridden in " + env, Err: trustkeep.ErrInUse, Hint: "end the override first"}
		}
	}
	return nil
}

func connectionSlot(id string) slot[*connectionRecord, Connection] {
	return slot[*connectionRecord, Connection]{
		key: connectionKey(id), fresh: newConnectionRecord,
		get: func(d *connectionRecord) *Connection { c := d.Connection; return &c },
		set: func(d *connectionRecord, c *Connection) { d.Connection = *c },
	}
}

func (r *Registry) checkConnection(ctx context.Context, c Connection) error {
	return c.check(func(id string) error {
		_, err := r.Partner(ctx, id)
		return err
	}, func(id string, v trustkeep.Visibility) (*component.Component, error) {
		return r.want(ctx, id, trustkeep.X509, v)
	})
}

// check refuses a connection that nobody could make, with partners and X.509 components, of a
// visibility if it is not zero, where the caller finds them.
func (c Connection) check(partner func(id string) error, find func(id string, v trustkeep.Visibility) (*component.Component, error)) error {
	if err := c.checkSettings(); err != nil {
		return err
	}
	if c.SSH != nil {
		if err := c.SSH.checkAlgorithms(); err != nil {
			return err
		}
		if c.SSH.ownHosts() {
			if _, err := c.SSH.hosts(); err != nil {
				return err
			}
		}
	} else if err := c.checkBuilder(); err != nil {
		return err
	}
	for _, id := range c.partners() {
		if err := partner(id); err != nil {
			return err
		}
	}
	for _, id := range append(slices.Clone(c.Trusted), c.RevocationExempt...) {
		held, err := find(id, 0)
		if err == nil {
			_, err = keystore.CertificateOf(held)
		}
		if err != nil {
			return err
		}
	}
	if c.Identity != "" {
		if _, err := find(c.Identity, trustkeep.Private); err != nil {
			return err
		}
	}
	return nil
}

// wanted refuses a component that is not of a kind and visibility; zero is any.
func wanted(c *component.Component, k trustkeep.Kind, v trustkeep.Visibility) error {
	var words []string
	if v != 0 {
		words = append(words, v.String())
	}
	if k != 0 {
		words = append(words, k.String())
	}
	if (k == 0 || c.Kind() == k) && (v == 0 || c.Visibility() == v) {
		return nil
	}
	return fmt.Errorf("component %s is %s %s, not %s: %w", c.ID(), c.Visibility(), c.Kind(), strings.Join(words, " "), trustkeep.ErrUnsupported)
}

// want returns a component that must be of a kind and a visibility, unless they are zero.
func (r *Registry) want(ctx context.Context, id string, k trustkeep.Kind, v trustkeep.Visibility) (*component.Component, error) {
	c, d, _, err := r.component(ctx, id)
	if err == nil && d.Deleting {
		return nil, beingDeleted(componentKey(id))
	}
	if err != nil {
		return nil, fmt.Errorf("component %s: %w", trustkeep.Printable(id), err)
	}
	if err := wanted(c, k, v); err != nil {
		return nil, err
	}
	if err := counting(c); err != nil {
		return nil, err
	}
	return c, nil
}

// Connection returns a connection as it is defined. The error wraps
// trustkeep.ErrNotFound.
func (r *Registry) Connection(ctx context.Context, id string) (Connection, error) {
	if err := checkID("connection", id); err != nil {
		return Connection{}, err
	}
	d := new(connectionRecord)
	revision, err := r.get(ctx, connectionKey(id), d)
	if err == nil && revision == 0 {
		err = trustkeep.ErrNotFound
	}
	if err != nil {
		return Connection{}, failure("connection", id, err)
	}
	d.Connection.Revision = revisionOf(&d.Connection)
	return d.Connection, nil
}

// Connections returns all connections as they are defined, by ID. Damaged records are
// skipped and reported in the error.
func (r *Registry) Connections(ctx context.Context) ([]Connection, error) {
	v, err := r.listOf(ctx, connectionsPrefix)
	if err != nil {
		return nil, failure("connections", "", err)
	}
	out := values(v.connections)
	for i := range out {
		out[i].Revision = revisionOf(&out[i])
	}
	return out, failure("connections", "", v.problem())
}

// DeleteConnection removes a connection. The error wraps trustkeep.ErrInUse while a
// process refers to it or an environment overrides it, and trustkeep.ErrNotFound if there
// is none.
func (r *Registry) DeleteConnection(ctx context.Context, id string) error {
	if err := checkID("delete connection", id); err != nil {
		return err
	}
	err := remove(ctx, r, connectionKey(id), newConnectionRecord, func(v *inventory) error {
		for _, p := range sortedBy(v.processes) {
			if slices.Contains(p.Connections, id) {
				return fmt.Errorf("process %s: %w", p.ID, trustkeep.ErrInUse)
			}
		}
		for env, d := range sortedBy(v.environments) {
			if _, ok := d.Overrides[id]; ok {
				return fmt.Errorf("overridden in %s: %w", env, trustkeep.ErrInUse)
			}
		}
		return nil
	}, nil)
	if err == nil {
		r.tell(ctx, Event{Action: "connection deleted", Object: id})
	}
	return failure("delete connection", id, err)
}

// SetProcess stores a process: a changed one with the Revision that Process has returned, a new
// one without. What is deployed of it stays as it is; see Environment.DeployProcess. The error
// wraps trustkeep.ErrNotFound for a connection or component that does not exist, and ErrConflict
// and ErrExists as that of SetConnection.
func (r *Registry) SetProcess(ctx context.Context, p Process) error {
	if err := checkID("set process", p.ID); err != nil {
		return err
	}
	for _, id := range p.Connections {
		if _, err := r.Connection(ctx, id); err != nil {
			return failure("set process", p.ID, err)
		}
	}
	for _, id := range p.Components {
		if _, err := r.want(ctx, id, 0, 0); err != nil {
			return failure("set process", p.ID, err)
		}
	}
	needs := append(keysOf(p.Connections, connectionKey), keysOf(p.Components, componentKey)...)
	next := p
	next.Revision = ""
	before, _, err := assign(ctx, r, processSlot(p.ID), replacing(p.Revision, &next), needs)
	if err == nil {
		r.tell(ctx, Event{Action: "process set", Object: p.ID, Before: before.describe(), After: p.describe()})
	}
	return failure("set process", p.ID, err)
}

func processSlot(id string) slot[*processRecord, Process] {
	return slot[*processRecord, Process]{
		key: processKey(id), fresh: newProcessRecord,
		get: func(d *processRecord) *Process { p := d.Process; return &p },
		set: func(d *processRecord, p *Process) { d.Process = *p },
	}
}

func (p *Process) describe() string {
	if p == nil {
		return ""
	}
	return fmt.Sprintf("connections %v, components %v", p.Connections, p.Components)
}

// Process returns a process as it is defined. The error wraps trustkeep.ErrNotFound.
func (r *Registry) Process(ctx context.Context, id string) (Process, error) {
	if err := checkID("process", id); err != nil {
		return Process{}, err
	}
	d := new(processRecord)
	revision, err := r.get(ctx, processKey(id), d)
	if err == nil && revision == 0 {
		err = trustkeep.ErrNotFound
	}
	if err != nil {
		return Process{}, failure("process", id, err)
	}
	d.Process.Revision = revisionOf(&d.Process)
	return d.Process, nil
}

// Processes returns all processes as they are defined, by ID. Damaged records are skipped and
// reported in the error. Environment.Processes returns those that are deployed.
func (r *Registry) Processes(ctx context.Context) ([]Process, error) {
	v, err := r.listOf(ctx, processesPrefix)
	if err != nil {
		return nil, failure("processes", "", err)
	}
	out := values(v.processes)
	for i := range out {
		out[i].Revision = revisionOf(&out[i])
	}
	return out, failure("processes", "", v.problem())
}

// DeleteProcess removes a process. The error wraps trustkeep.ErrInUse while it is
// deployed to an environment or components are substituted for it in one, and
// trustkeep.ErrNotFound if it does not exist.
func (r *Registry) DeleteProcess(ctx context.Context, id string) error {
	if err := checkID("delete process", id); err != nil {
		return err
	}
	err := remove(ctx, r, processKey(id), newProcessRecord, func(v *inventory) error {
		for _, p := range sortedBy(v.deployed) {
			if p.record.Process.ID == id {
				return fmt.Errorf("deployed to %s: %w", p.environment, trustkeep.ErrInUse)
			}
		}
		for env, d := range sortedBy(v.environments) {
			if slices.ContainsFunc(d.Substitutions, func(s Substitution) bool { return s.Process == id }) {
				return fmt.Errorf("substitutions for it in %s: %w", env, trustkeep.ErrInUse)
			}
		}
		return nil
	}, nil)
	if err == nil {
		r.tell(ctx, Event{Action: "process deleted", Object: id})
	}
	return failure("delete process", id, err)
}
