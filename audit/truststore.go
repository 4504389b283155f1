package audit

import (
	"bytes"

	"github.com/trustkeep/trustkeep"
)

func (a *auditor) truststore(t Target) {
	ts := t.Truststore
	if ts.HasKeys() {
		a.add(t, Finding{Code: KeyInTruststore, Severity: Critical,
			Text: "the file holds private or secret keys", Remedy: "move them to a keystore, replace them if the file was handed out, and save the trusted certificates on their own"})
	}
	for _, p := range ts.Problems() {
		f := Finding{Alias: p.Alias, Code: Code(p.Code), Severity: Note, Text: trustkeep.Printable(p.Err.Error()), Remedy: "add the certificate on purpose, or remove the entry"}
		switch p.Code {
		case "private-key":
			continue // reported once for the store
		case "unchecked":
			f.Code, f.Severity, f.Remedy = NoIntegrity, Warning, "open it with its password"
		case "unusable-entry", "unusable-certificate":
			f.Code, f.Severity, f.Remedy = UnusableEntry, Warning, "import it again from its source, or remove it"
		}
		a.add(t, f)
	}
	a.truststorePassword(t)
	a.storeFormat(t, ts.Format())
	for _, e := range ts.Entries() {
		a.strength(t, e.Alias, e.Certificate)
	}
}

// truststorePassword: the password protects against changes, not against
// reading, and "changeit" is what Java's own has. So it is no more than a
// warning.
func (a *auditor) truststorePassword(t Target) {
	if t.Password == nil {
		return
	}
	password, err := t.Password.Reveal()
	if err != nil {
		return // the store was opened, so this is not what is wrong with it
	}
	defer clear(password)
	if p, ok := a.defaultPassword(func(known []byte) bool { return bytes.Equal(known, password) }); ok {
		a.add(t, Finding{Code: DefaultPassword, Severity: Warning, Text: "the password of the store is " + p + ", so anybody can change what is trusted", Remedy: "change the password"})
	}
}
