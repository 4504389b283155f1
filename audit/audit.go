package audit

import (
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/redact"
	"github.com/trustkeep/trustkeep/internal/sigcheck"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// Target is one thing to audit: a Keystore, a Truststore, Certificates or a Component. A
// target with none of them, such as the result of a failed Load, is reported as
// NothingToAudit.
type Target struct {
	// Name in the report. If empty, Path, else the type of the target and its number.
	Name string

	Keystore   *keystore.Keystore
	Truststore *truststore.Truststore
	// Certificates are audited one by one, not as a chain.
	Certificates []*x509.Certificate
	// Component is a certificate or key under management. An X.509 *component.Component is
	// audited like an entry of a keystore, and its password is compared with well-known ones
	// unless Options.SkipKeys is set. Of other components, only the validity is audited.
	Component trustkeep.Component

	// Roles of the identities of a Keystore or Component, or of the Certificates. If zero,
	// roles are not checked.
	Roles issue.Purposes
	// KeyUsage that a consumer requires in addition. If zero, none.
	KeyUsage x509.KeyUsage
	// Path of the file whose permissions are checked. If empty, the Keystore's; a Truststore
	// has none.
	Path string
	// Password of a Truststore, which is compared with well-known ones. If nil, it is not
	// checked. A Keystore knows its own.
	Password trustkeep.PasswordSource
}

// Options configures an audit. The function Run uses the zero value.
type Options struct {
	// Window before the end of validity in which a certificate is reported as ExpiresSoon. If
	// zero, 30 days.
	Window time.Duration
	// Clock tells the time. If nil, time.Now.
	Clock func() time.Time
	// Passwords are further well-known passwords. The report does not show them. A source that
	// fails is reported as PasswordNotKnown.
	Passwords []trustkeep.PasswordSource
	// KnownKeys maps further published keys to a description. The key of the map is the
	// lower-case hex of the SHA-256 of the SubjectPublicKeyInfo.
	KnownKeys map[string]string
	// Limits bounds what unlocking the keys of a Keystore costs, well-known passwords
	// included: one operation for each target. Keys beyond it are reported as KeysNotTried.
	// Zero fields mean the defaults.
	Limits trustkeep.Limits
	// SkipKeys leaves private keys locked. That saves two key derivations per key, and misses
	// wrong key passwords and keys that do not match their certificate. Otherwise the keys of
	// the Keystore stay unlocked.
	SkipKeys bool
}

// DefaultPasswords returns the passwords of shipped products and manuals, including the empty
// one. They are public, hence strings.
func DefaultPasswords() []string {
	return []string{"", "changeit", "changeme", "wso2carbon", "password", "secret", "keystore", "123456"}
}

// Run audits the targets with the zero Options.
func Run(targets ...Target) *Report { return Options{}.Run(targets...) }

// Run audits the targets together and finds problems between them, such as a key in two
// stores.
func (o Options) Run(targets ...Target) *Report {
	a := &auditor{Options: o.withDefaults(), report: &Report{}, checks: sigcheck.NewBudget(maxSignatures, maxTenths)}
	a.report.Time, a.report.Window = a.Clock(), a.Window
	a.report.Targets = len(targets)
	defer a.revealPasswords()()
	targets = slices.Clone(targets)
	for i := range targets {
		targets[i] = named(targets[i], i)
	}
	a.collectRoots(targets)
	for _, t := range targets {
		switch {
		case t.Keystore != nil:
			a.keystore(t)
		case t.Truststore != nil:
			a.truststore(t)
		case t.Certificates != nil:
			a.certificates(t)
		case t.Component != nil:
			a.component(t)
		default:
			a.add(t, trustkeep.Finding{Code: NothingToAudit, Severity: trustkeep.Critical, Text: "the target is empty", Remedy: "check the error of the Load that it came from"})
		}
		a.file(t)
		a.validity(t)
	}
	a.reuse()
	a.duplicates(targets)
	slices.SortStableFunc(a.report.Findings, func(x, y trustkeep.Finding) int { return int(y.Severity) - int(x.Severity) })
	return a.report
}

func (o Options) withDefaults() Options {
	if o.Window == 0 {
		o.Window = 30 * 24 * time.Hour
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	return o
}

func named(t Target, i int) Target {
	if given.IsNil(t.Component) {
		t.Component = nil // of a Load whose error was ignored
	}
	if t.Path == "" && t.Keystore != nil {
		t.Path = t.Keystore.Path()
	}
	if t.Name != "" {
		return t
	}
	kind := "target"
	switch {
	case t.Path != "":
		t.Name = t.Path
		return t
	case t.Keystore != nil:
		kind = "keystore"
	case t.Truststore != nil:
		kind = "truststore"
	case t.Certificates != nil:
		kind = "certificates"
	case t.Component != nil:
		t.Name = t.Component.Name()
		return t
	}
	t.Name = fmt.Sprintf("%s %d", kind, i+1)
	return t
}

// auditor is one run.
// How many signatures one run checks, and how many tenths of a millisecond that takes: enough for
// the chains of some thousand keys. Beyond, names are believed.
const (
	maxSignatures = 20_000
	maxTenths     = 10_000
)

type auditor struct {
	Options
	report *Report
	keys   []heldKey           // private keys met so far
	known  []*redact.Secret    // those of Options.Passwords
	roots  []*x509.Certificate // certificates of all targets that name themselves as issuer
	checks *sigcheck.Budget
}

// revealPasswords asks the sources once. The returned function wipes the passwords.
func (a *auditor) revealPasswords() (wipe func()) {
	for i, source := range a.Passwords {
		err := trustkeep.ErrInvalid
		var password []byte
		if source != nil {
			password, err = source.Reveal()
		}
		if err != nil {
			a.report.Findings = append(a.report.Findings, trustkeep.Finding{
				Target: "audit", Code: PasswordNotKnown, Severity: trustkeep.Warning,
				Text:   fmt.Sprintf("password %d to compare with cannot be had: %s", i+1, trustkeep.Printable(err.Error())),
				Remedy: "repair Options.Passwords", Err: err,
			})
			continue
		}
		a.known = append(a.known, redact.NewSecret(password))
		clear(password)
	}
	return func() {
		for _, s := range a.known {
			s.Wipe()
		}
	}
}

// collectRoots finds what may be missing from chains but known all the same.
func (a *auditor) collectRoots(targets []Target) {
	for _, t := range targets {
		certs := t.Certificates
		switch {
		case t.Keystore != nil:
			certs = t.Keystore.Certificates()
		case t.Truststore != nil:
			certs = t.Truststore.Certificates()
		case t.Component != nil:
			certs = chainOf(t.Component)
		}
		for _, c := range certs {
			if c != nil && selfIssued(c) {
				a.roots = append(a.roots, c)
			}
		}
	}
}

func (a *auditor) add(t Target, f trustkeep.Finding) {
	f.Target = t.Name
	a.report.Findings = append(a.report.Findings, f)
}
