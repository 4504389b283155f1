package audit

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certinfo"
)

// Expiry is a certificate or component with its end of validity.
type Expiry struct {
	Target string
	Alias  string // entry, where there is one
	// Subject of the certificate, or name of the component, with the subkey that ends
	// before its key.
	Subject  string
	NotAfter time.Time
	// Position in its chain; 0 is the leaf.
	Position int
	// Certificate is nil for a PGP component.
	Certificate *x509.Certificate
}

// String describes the expiry in one line.
func (e Expiry) String() string {
	where := trustkeep.Printable(e.Target)
	if e.Alias != "" {
		where += ` "` + trustkeep.Printable(e.Alias) + `"`
	}
	return fmt.Sprintf("%s: %s until %s", where, e.Subject, e.NotAfter.UTC().Format(time.DateOnly))
}

// Expiring lists what has expired or will expire within Options.Window, the earliest first:
// every certificate of every chain, trusted certificates, and components.
func (o Options) Expiring(targets ...Target) []Expiry {
	o = o.withDefaults()
	limit := o.Clock().Add(o.Window)
	var found []Expiry
	for i := range targets {
		for _, d := range datesOf(named(targets[i], i)) {
			if !d.NotAfter.IsZero() && !d.NotAfter.After(limit) {
				found = append(found, d.Expiry)
			}
		}
	}
	slices.SortStableFunc(found, func(a, b Expiry) int { return a.NotAfter.Compare(b.NotAfter) })
	return found
}

// dated is an expiry with the beginning of the validity.
type dated struct {
	Expiry
	notBefore time.Time
}

// datesOf lists all that has a validity, each certificate of an entry once.
func datesOf(t Target) (dates []dated) {
	add := func(alias string, chain []*x509.Certificate) {
		for i, c := range chain {
			dates = append(dates, dated{Expiry{t.Name, alias, name(c), c.NotAfter, i, c}, c.NotBefore})
		}
	}
	switch {
	case t.Keystore != nil:
		for _, e := range t.Keystore.Entries() {
			add(e.Alias, e.Chain)
		}
	case t.Truststore != nil:
		for _, e := range t.Truststore.Entries() {
			add(e.Alias, []*x509.Certificate{e.Certificate})
		}
	default:
		for _, c := range t.Certificates {
			if c != nil {
				add("", []*x509.Certificate{c})
			}
		}
	}
	if chain := chainOf(t.Component); len(chain) > 0 {
		add("", chain)
	} else if c := t.Component; c != nil {
		name := trustkeep.Printable(c.Name())
		dates = append(dates, dated{Expiry{Target: t.Name, Subject: name, NotAfter: c.NotAfter()}, c.NotBefore()})
		if d, ok := c.(interface{ Parts() []trustkeep.Part }); ok {
			for _, p := range d.Parts() {
				if !p.NotAfter.Equal(c.NotAfter()) {
					dates = append(dates, dated{Expiry{Target: t.Name, Subject: name + ", " + p.Name, NotAfter: p.NotAfter}, p.NotBefore})
				}
			}
		}
	}
	return dates
}

func (a *auditor) validity(t Target) {
	now := a.report.Time
	for _, d := range datesOf(t) {
		f := trustkeep.Finding{Alias: d.Alias, Subject: d.Subject}
		switch {
		case !d.NotAfter.IsZero() && d.NotAfter.Before(now):
			f.Code, f.Severity, f.NotAfter = Expired, trustkeep.Critical, d.NotAfter
			f.Text, f.Remedy = fmt.Sprintf("%s expired on %s", d.Subject, day(d.NotAfter)), "renew it"
		case !d.NotAfter.IsZero() && d.NotAfter.Before(now.Add(a.Window)):
			f.Code, f.Severity, f.NotAfter = ExpiresSoon, trustkeep.Warning, d.NotAfter
			left := int(d.NotAfter.Sub(now).Hours() / 24)
			f.Text, f.Remedy = fmt.Sprintf("%s expires on %s, in %d days", d.Subject, day(d.NotAfter), left), "renew it"
		case d.notBefore.After(now):
			f.Code, f.Severity = NotYetValid, trustkeep.Warning
			f.Text, f.Remedy = fmt.Sprintf("%s is not valid before %s", d.Subject, day(d.notBefore)), "wait, or check the clock"
		default:
			continue
		}
		if d.Position > 0 {
			f.Remedy = "get the chain from the CA that has a renewed certificate of this issuer"
		}
		a.add(t, f)
	}
}

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }

// name is what a certificate is called in a report: its subject, else its first
// alternative name, else its serial number.
func name(c *x509.Certificate) string {
	if s := certinfo.Subject(c); s != "" {
		return s
	}
	for _, names := range [][]string{c.DNSNames, c.EmailAddresses} {
		if len(names) > 0 {
			return trustkeep.Printable(names[0])
		}
	}
	return "serial number " + certinfo.Brief(c).Serial
}
