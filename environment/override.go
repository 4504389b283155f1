package environment

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Override changes fields of a connection in one environment. Nil fields change nothing. What
// takes a restriction away is said by name: DeployedTrust, NoPins, NoRevocation.
type Override struct {
	// Trusted replaces the components that the connection trusts. An empty list is an error:
	// DeployedTrust takes the connection's own trust away.
	Trusted *[]string `json:"trusted,omitempty"`
	// TrustedPartner is the partner whose certificates are trusted instead. It and Trusted each
	// replace both.
	TrustedPartner *string `json:"trustedPartner,omitempty"`
	// DeployedTrust makes the connection trust what is deployed, whatever trust it has of its
	// own; one of SSH trusts the known hosts of the environment. With Trusted, TrustedPartner,
	// SSHKnownHosts or SSHPins it is an error.
	DeployedTrust bool `json:"deployedTrust,omitempty"`
	// Identity is the component to present; empty presents none. It and IdentityPartner each
	// replace both.
	Identity        *string `json:"identity,omitempty"`
	IdentityPartner *string `json:"identityPartner,omitempty"`
	// ServerName and what follows are the fields of Connection. With an empty list of Allow,
	// nothing is allowed; one of Pins is an error.
	ServerName *string                  `json:"serverName,omitempty"`
	Allow      *[]truststore.Relaxation `json:"allow,omitempty"`
	Pins       *[]truststore.Pin        `json:"pins,omitempty"`
	// NoPins takes the pins of the connection away. With Pins it is an error.
	NoPins      bool               `json:"noPins,omitempty"`
	ClientAuth  *tlsctx.ClientAuth `json:"-"`
	Policy      *truststore.Policy `json:"policy,omitempty"`
	ServerURI   *string            `json:"serverURI,omitempty"`
	ClientURI   *string            `json:"clientURI,omitempty"`
	TrustDomain *string            `json:"trustDomain,omitempty"`
	ConcealCAs  *bool              `json:"concealCAs,omitempty"`
	// MinVersion and LegacyMinVersion each replace both.
	MinVersion         *uint16        `json:"minVersion,omitempty"`
	MaxVersion         *uint16        `json:"maxVersion,omitempty"`
	LegacyMinVersion   *uint16        `json:"legacyMinVersion,omitempty"`
	NextProtos         *[]string      `json:"nextProtos,omitempty"`
	CipherSuites       *[]uint16      `json:"cipherSuites,omitempty"`
	LegacyCipherSuites *[]uint16      `json:"legacyCipherSuites,omitempty"`
	CurvePreferences   *[]tls.CurveID `json:"curvePreferences,omitempty"`
	Revocation         *Revocation    `json:"revocation,omitempty"`
	// NoRevocation ends the check for revocation. With Revocation it is an error.
	NoRevocation     bool      `json:"noRevocation,omitempty"`
	RevocationExempt *[]string `json:"revocationExempt,omitempty"`
	// SSHUser and what follows are the fields of Connection.SSH. With SSHKnownHosts or SSHPins,
	// EnvironmentHosts does not count.
	SSHUser       *string        `json:"sshUser,omitempty"`
	SSHKnownHosts *string        `json:"sshKnownHosts,omitempty"`
	SSHPins       *[]string      `json:"sshPins,omitempty"`
	SSHLegacy     *[]string      `json:"sshLegacy,omitempty"`
	SSHMinRSABits *int           `json:"sshMinRSABits,omitempty"`
	SSHTimeout    *time.Duration `json:"sshTimeout,omitempty"`
	// Revision is what Overrides has read, for Environment.Override. It changes nothing of the
	// connection.
	Revision Revision `json:"-"`
}

// overrideSpelled is what JSON needs help for, as with Connection.
type overrideSpelled struct {
	ClientAuth *uint8 `json:"clientAuth,omitempty"`
}

// MarshalJSON spells the client authentication as a number.
func (o Override) MarshalJSON() ([]byte, error) {
	type plain Override // without this method
	return json.Marshal(struct {
		plain
		overrideSpelled
	}{plain(o), overrideSpelled{(*uint8)(o.ClientAuth)}})
}

// UnmarshalJSON reverses MarshalJSON.
func (o *Override) UnmarshalJSON(text []byte) error {
	type plain Override
	var s struct {
		plain
		overrideSpelled
	}
	if err := json.Unmarshal(text, &s); err != nil {
		return err
	}
	*o = Override(s.plain)
	o.ClientAuth = (*tlsctx.ClientAuth)(s.overrideSpelled.ClientAuth)
	return nil
}

// check refuses what cannot be meant, whatever the connection is.
func (o Override) check() error {
	instead := func(field, name string) error {
		return &trustkeep.Error{Op: field, Err: trustkeep.ErrInvalid, Hint: "the list is empty; set " + name}
	}
	both := func(x, y string) error { return fmt.Errorf("both %s and %s: %w", x, y, trustkeep.ErrInvalid) }
	switch {
	case o.Trusted != nil && len(*o.Trusted) == 0:
		return instead("Trusted", "DeployedTrust to trust what is deployed")
	case o.TrustedPartner != nil && *o.TrustedPartner == "":
		return &trustkeep.Error{Op: "TrustedPartner", Err: trustkeep.ErrInvalid, Hint: "it is empty; set DeployedTrust to trust what is deployed"}
	case o.Trusted != nil && o.DeployedTrust:
		return both("Trusted", "DeployedTrust")
	case o.TrustedPartner != nil && o.DeployedTrust:
		return both("TrustedPartner", "DeployedTrust")
	case o.DeployedTrust && (o.SSHKnownHosts != nil || o.SSHPins != nil):
		return both("SSHKnownHosts or SSHPins", "DeployedTrust")
	case o.Pins != nil && len(*o.Pins) == 0:
		return instead("Pins", "NoPins to pin nothing")
	case o.Pins != nil && o.NoPins:
		return both("Pins", "NoPins")
	case o.Revocation != nil && o.NoRevocation:
		return both("Revocation", "NoRevocation")
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

// apply returns the connection as it is overridden.
func (o Override) apply(c Connection) Connection {
	if o.DeployedTrust || o.Trusted != nil || o.TrustedPartner != nil {
		c.Trusted, c.TrustedPartner = nil, ""
	}
	if o.Identity != nil || o.IdentityPartner != nil {
		c.Identity, c.IdentityPartner = "", ""
	}
	if o.NoPins {
		c.Pins = nil
	}
	if o.NoRevocation {
		c.Revocation, c.RevocationExempt = nil, nil
	}
	if o.Revocation != nil {
		c.Revocation = o.Revocation
	}
	if o.MinVersion != nil || o.LegacyMinVersion != nil {
		c.MinVersion, c.LegacyMinVersion = 0, 0
	}
	replace(&c.Trusted, o.Trusted)
	replace(&c.TrustedPartner, o.TrustedPartner)
	replace(&c.Identity, o.Identity)
	replace(&c.IdentityPartner, o.IdentityPartner)
	replace(&c.ServerName, o.ServerName)
	replace(&c.Allow, o.Allow)
	replace(&c.Pins, o.Pins)
	replace(&c.ClientAuth, o.ClientAuth)
	replace(&c.Policy, o.Policy)
	replace(&c.ServerURI, o.ServerURI)
	replace(&c.ClientURI, o.ClientURI)
	replace(&c.TrustDomain, o.TrustDomain)
	replace(&c.ConcealCAs, o.ConcealCAs)
	replace(&c.MinVersion, o.MinVersion)
	replace(&c.MaxVersion, o.MaxVersion)
	replace(&c.LegacyMinVersion, o.LegacyMinVersion)
	replace(&c.NextProtos, o.NextProtos)
	replace(&c.CipherSuites, o.CipherSuites)
	replace(&c.LegacyCipherSuites, o.LegacyCipherSuites)
	replace(&c.CurvePreferences, o.CurvePreferences)
	replace(&c.RevocationExempt, o.RevocationExempt)
	if !o.ofSSH() && (c.SSH == nil || !o.DeployedTrust) {
		return c
	}
	// On a connection of TLS it is a contradiction, which whoever uses it finds.
	own := SSH{}
	if c.SSH != nil {
		own = *c.SSH
	}
	switch {
	case o.DeployedTrust:
		own.KnownHosts, own.Pins, own.EnvironmentHosts = "", nil, true
	case o.SSHKnownHosts != nil || o.SSHPins != nil:
		own.EnvironmentHosts = false
	}
	replace(&own.User, o.SSHUser)
	replace(&own.KnownHosts, o.SSHKnownHosts)
	replace(&own.Pins, o.SSHPins)
	replace(&own.Legacy, o.SSHLegacy)
	replace(&own.MinRSABits, o.SSHMinRSABits)
	replace(&own.Timeout, o.SSHTimeout)
	c.SSH = &own
	return c
}

func replace[T any](field, by *T) {
	if by != nil {
		*field = *by
	}
}

// ofSSH tells whether settings of SSH are overridden.
func (o Override) ofSSH() bool {
	return o.SSHUser != nil || o.SSHKnownHosts != nil || o.SSHPins != nil || o.SSHLegacy != nil || o.SSHMinRSABits != nil || o.SSHTimeout != nil
}

// owned returns a copy that the caller does not share. An empty list is kept apart from none, in
// JSON too.
func (o Override) owned() Override {
	all := reflect.ValueOf(&o).Elem()
	for i := range all.NumField() {
		field := all.Field(i)
		if field.Kind() != reflect.Pointer || field.IsNil() {
			continue
		}
		own := reflect.New(field.Type().Elem())
		own.Elem().Set(field.Elem())
		if list := own.Elem(); list.Kind() == reflect.Slice {
			list.Set(reflect.AppendSlice(reflect.MakeSlice(list.Type(), 0, list.Len()), list))
		}
		field.Set(own)
	}
	if o.Policy != nil {
		*o.Policy = o.Policy.Clone()
	}
	return o
}

func (o *Override) describe() string {
	if o == nil {
		return ""
	}
	return strings.Join(spell(*o), ", ")
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
		if c.SSH == nil && o.ofSSH() {
			return failure("override", connection, fmt.Errorf("settings of SSH for a connection of TLS: %w", trustkeep.ErrInvalid))
		}
		c = o.apply(c)
		if err := e.r.checkConnection(ctx, c); err != nil {
			return failure("override", connection, err)
		}
		change, after = replacing(read, &o), c.describe()
		needs = append(c.needs(), connectionKey(connection))
	}
	slot := entrySlot(e, func(d *environmentRecord) *map[string]Override { return &d.Overrides }, connection)
	before, next, err := assignIn(ctx, e, slot, change, needs, func() error {
		if after == "" {
			return nil
		}
		c, err := e.r.Connection(ctx, connection) // which may count elsewhere meanwhile
		if err == nil && !c.countsIn(e.id) {
			err = c.elsewhere(e.id)
		}
		return err
	})
	if err == nil && before == nil && next == nil {
		err = fmt.Errorf("it is not overridden: %w", trustkeep.ErrNotFound)
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
