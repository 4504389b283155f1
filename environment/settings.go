package environment

import (
	"crypto/tls"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// configure puts the settings of the connection into a Builder: all that need no component. It is
// the one place that knows which field of Connection is which of tlsctx.Builder.
func (c Connection) configure(b *tlsctx.Builder) {
	b.ServerName, b.ServerURI, b.ClientURI, b.TrustDomain = c.ServerName, c.ServerURI, c.ClientURI, c.TrustDomain
	b.Allow, b.Pins, b.Policy = slices.Clone(c.Allow), slices.Clone(c.Pins), c.Policy.Clone()
	b.ClientAuth, b.ConcealCAs = c.ClientAuth, c.ConcealCAs
	b.MinVersion, b.MaxVersion, b.LegacyMinVersion = c.MinVersion, c.MaxVersion, c.LegacyMinVersion
	b.NextProtos = slices.Clone(c.NextProtos)
	b.CipherSuites, b.LegacyCipherSuites = slices.Clone(c.CipherSuites), slices.Clone(c.LegacyCipherSuites)
	b.CurvePreferences = slices.Clone(c.CurvePreferences)
}

// checkSettings refuses settings that cannot be meant. What it accepts may still be nothing that
// tlsctx takes, see checkBuilder: then whoever uses the connection is told, and nobody is trusted.
func (c Connection) checkSettings() error {
	empty := func(field, hint string) error {
		return &trustkeep.Error{Op: field, Err: trustkeep.ErrInvalid, Hint: "the list is empty; leave it nil " + hint}
	}
	switch {
	case c.Environments != nil && len(c.Environments) == 0:
		return empty("Environments", "for every environment")
	case c.Trusted != nil && len(c.Trusted) == 0:
		return empty("Trusted", "to trust what is deployed")
	case len(c.Trusted) > 0 && c.TrustedPartner != "":
		return fmt.Errorf("both Trusted and TrustedPartner: %w", trustkeep.ErrInvalid)
	case c.Identity != "" && c.IdentityPartner != "":
		return fmt.Errorf("both Identity and IdentityPartner: %w", trustkeep.ErrInvalid)
	case c.Pins != nil && len(c.Pins) == 0:
		return empty("Pins", "to pin nothing")
	case c.ClientAuth > tlsctx.RequireClientAuth:
		return fmt.Errorf("client authentication %d: %w", c.ClientAuth, trustkeep.ErrInvalid)
	case len(c.RevocationExempt) > 0 && c.Revocation == nil:
		return fmt.Errorf("RevocationExempt without Revocation: %w", trustkeep.ErrInvalid)
	}
	for _, id := range c.Environments {
		if err := checkID("environment of a connection", id); err != nil {
			return err
		}
	}
	for _, a := range c.Allow {
		if !slices.Contains(truststore.Relaxations(), a) {
			return fmt.Errorf("relaxation %q: %w", trustkeep.Printable(string(a)), trustkeep.ErrInvalid)
		}
	}
	if err := c.Policy.Validate(); err != nil {
		return err
	}
	if err := c.Revocation.check(); err != nil {
		return err
	}
	if c.SSH != nil {
		return c.SSH.check(c)
	}
	return nil
}

// checkBuilder refuses settings that tlsctx would refuse.
func (c Connection) checkBuilder() error {
	if c.ClientURI != "" && c.ClientAuth == tlsctx.NoClientAuth {
		return &trustkeep.Error{Op: "ClientURI", Err: trustkeep.ErrInvalid, Hint: "clients are not asked for a certificate; set ClientAuth"}
	}
	b := tlsctx.Builder{Trusted: truststore.New(), MayBeEmpty: true}
	c.configure(&b)
	_, err := b.Client()
	return err
}

// describe says what the connection is set to; nothing where there is none.
func (c *Connection) describe() string {
	if c == nil {
		return ""
	}
	trusts := "trusts what is deployed"
	switch {
	case len(c.Trusted) > 0:
		trusts = "trusts " + fmt.Sprint(c.Trusted)
	case c.TrustedPartner != "":
		trusts = "trusts the certificates of partner " + c.TrustedPartner
	}
	if c.SSH != nil {
		trusts = c.SSH.describe()
	}
	identity := "nothing"
	switch {
	case c.Identity != "":
		identity = c.Identity
	case c.IdentityPartner != "":
		identity = "what is used with partner " + c.IdentityPartner
	}
	said := []string{"ID", "Environments", "Trusted", "TrustedPartner", "Identity", "IdentityPartner", "SSH"}
	text := append([]string{trusts, "presents " + identity}, spell(*c, said...)...)
	if c.Environments != nil {
		text = append(text, fmt.Sprintf("in %v", c.Environments))
	}
	return strings.Join(text, ", ")
}

// spell names the fields of a struct that are set, but for some, and what they are set to.
func spell(settings any, but ...string) []string {
	var out []string
	for field, value := range reflect.ValueOf(settings).Fields() {
		if value.IsZero() || slices.Contains(but, field.Name) {
			continue
		}
		if value.Kind() == reflect.Pointer {
			value = value.Elem()
		}
		text := field.Name
		switch v := value.Interface().(type) {
		case bool:
			if !v {
				text += " false"
			}
		case string:
			text += fmt.Sprintf(" %q", v)
		case uint16:
			text += " " + tls.VersionName(v)
		case []uint16:
			for _, id := range v {
				text += " " + tls.CipherSuiteName(id)
			}
		case interface{ Describe() []string }:
			text += fmt.Sprint(" ", v.Describe())
		default:
			text += fmt.Sprint(" ", v)
		}
		out = append(out, text)
	}
	return out
}
