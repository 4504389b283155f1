package environment

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// Override changes fields of a connection in one environment. Nil fields change nothing. With an
// empty Identity it presents none.
type Override struct {
	// Trusted replaces the components that the connection trusts. An empty list is an error:
	// DeployedTrust takes the connection's own trust away.
	Trusted *[]string `json:"trusted,omitempty"`
	// DeployedTrust makes the connection trust what is deployed, whatever trust it has of its
	// own. With Trusted it is an error.
	DeployedTrust bool    `json:"deployedTrust,omitempty"`
	Identity      *string `json:"identity,omitempty"`
	ServerName    *string `json:"serverName,omitempty"`
	// SSHUser, SSHKnownHosts and SSHPins are the fields of Connection.SSH.
	SSHUser       *string   `json:"sshUser,omitempty"`
	SSHKnownHosts *string   `json:"sshKnownHosts,omitempty"`
	SSHPins       *[]string `json:"sshPins,omitempty"`
	// Revision is what Overrides has read, for Environment.Override. It changes nothing of the
	// connection.
	Revision Revision `json:"-"`
}

// check refuses what cannot be meant, whatever the connection is.
func (o Override) check() error {
	switch {
	case o.Trusted != nil && len(*o.Trusted) == 0:
		return &trustkeep.Error{Op: "Trusted", Err: trustkeep.ErrInvalid, Hint: "the list is empty; set DeployedTrust to trust what is deployed"}
	case o.Trusted != nil && o.DeployedTrust:
		return fmt.Errorf("both Trusted and DeployedTrust: %w", trustkeep.ErrInvalid)
	}
	return nil
}

// ofBefore reads the override of a record. The empty list once meant deployed trust.
func (o Override) ofBefore() Override {
	if o.Trusted != nil && len(*o.Trusted) == 0 {
		o.Trusted, o.DeployedTrust = nil, true
	}
	return o
}

func (o Override) apply(c Connection) Connection {
	switch {
	case o.DeployedTrust:
		c.Trusted = nil
	case o.Trusted != nil:
		c.Trusted = *o.Trusted
	}
	if o.Identity != nil {
		c.Identity = *o.Identity
	}
	if o.ServerName != nil {
		c.ServerName = *o.ServerName
	}
	if o.SSHUser == nil && o.SSHKnownHosts == nil && o.SSHPins == nil {
		return c
	}
	// On a connection of TLS it is a contradiction, which whoever uses it finds.
	own := SSH{}
	if c.SSH != nil {
		own = *c.SSH
	}
	if o.SSHUser != nil {
		own.User = *o.SSHUser
	}
	if o.SSHKnownHosts != nil {
		own.KnownHosts = *o.SSHKnownHosts
	}
	if o.SSHPins != nil {
		own.Pins = *o.SSHPins
	}
	c.SSH = &own
	return c
}

// owned returns a copy that the caller does not share. An empty list is kept apart from none, in
// JSON too.
func (o Override) owned() Override {
	if o.Trusted != nil {
		own := append([]string{}, *o.Trusted...)
		o.Trusted = &own
	}
	if o.SSHPins != nil {
		own := append([]string{}, *o.SSHPins...)
		o.SSHPins = &own
	}
	return o
}

func (o *Override) describe() string {
	if o == nil {
		return ""
	}
	var text []string
	add := func(name string, set bool, value func() string) {
		if set {
			text = append(text, name+" "+value())
		}
	}
	add("trusted", o.Trusted != nil, func() string { return fmt.Sprint(*o.Trusted) })
	add("trusted", o.DeployedTrust, func() string { return "what is deployed" })
	add("identity", o.Identity != nil, func() string { return strconv.Quote(*o.Identity) })
	add("server name", o.ServerName != nil, func() string { return strconv.Quote(*o.ServerName) })
	add("SSH user", o.SSHUser != nil, func() string { return strconv.Quote(*o.SSHUser) })
	add("known hosts", o.SSHKnownHosts != nil, func() string { return strconv.Quote(*o.SSHKnownHosts) })
	add("SSH pins", o.SSHPins != nil, func() string { return fmt.Sprint(*o.SSHPins) })
	return strings.Join(text, ", ")
}

// Override changes fields of a connection for this environment. It replaces the override
// before, if that is still the one of Revision, which Overrides returns; without a Revision there
// must be none. See UpdateOverride to change one field more. An Override without fields ends
// what there is, the zero Override whatever that is. Deployed processes keep what they were
// deployed with.
//
// Errors are those of SetConnection; trustkeep.ErrNotFound is also that of a connection that does
// not count in the environment, and of ending what is not overridden.
func (e *Environment) Override(ctx context.Context, connection string, o Override) error {
	if err := checkID("override", connection); err != nil {
		return err
	}
	var needs []string
	after := ""
	if err := o.check(); err != nil {
		return failure("override", connection, err)
	}
	read := o.Revision
	o.Revision = ""
	change := replacing(read, (*Override)(nil))
	if ends := o == (Override{}); ends && read == "" {
		change = to[Override](nil)
	} else if !ends {
		c, err := e.r.Connection(ctx, connection)
		if err != nil {
			return failure("override", connection, err)
		}
		if !c.countsIn(e.id) {
			return failure("override", connection, c.elsewhere(e.id))
		}
		o = o.owned()
		overridesSSH := o.apply(Connection{}).SSH != nil
		if c.SSH == nil && overridesSSH {
			return failure("override", connection, fmt.Errorf("settings of SSH for a connection of TLS: %w", trustkeep.ErrInvalid))
		}
		c = o.apply(c)
		if err := e.r.checkConnection(ctx, c); err != nil {
			return failure("override", connection, err)
		}
		change, after = replacing(read, &o), c.describe()
		needs = append(keysOf(c.components(), componentKey), connectionKey(connection))
	}
	slot := entrySlot(e, func(d *environmentRecord) *map[string]Override { return &d.Overrides }, connection)
	before, next, err := assign(ctx, e.r, slot, change, needs)
	if err == nil && before == nil && next == nil {
		err = fmt.Errorf("override: %w", trustkeep.ErrNotFound)
	}
	if err == nil {
		e.tell(ctx, "connection overridden", connection, before.describe(), after)
	}
	return failure("override", connection, err)
}

// Overrides returns what is changed for this environment, by connection, each with its Revision.
func (e *Environment) Overrides(ctx context.Context) (map[string]Override, error) {
	d, err := e.record(ctx)
	if err != nil {
		return nil, failure("overrides", e.id, err)
	}
	for id, o := range d.Overrides {
		o.Revision = revisionOf(&o)
		d.Overrides[id] = o
	}
	return d.Overrides, nil
}
