package audit

import (
	"bytes"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

func (a *auditor) truststore(t Target) {
	ts := t.Truststore
	if ts.HasKeys() {
		a.add(t, trustkeep.Finding{Code: KeyInTruststore, Severity: trustkeep.Critical,
			Text: "the file holds private or secret keys", Remedy: "move them to a keystore, replace them if the file was handed out, and save the trusted certificates on their own"})
	}
	for _, f := range ts.Findings() {
		f.Severity, f.Remedy = trustkeep.Note, "add the certificate on purpose, or remove the entry"
		switch f.Code {
		case truststore.CodePrivateKey:
			continue // reported once for the store
		case truststore.CodeUnchecked:
			f.Code, f.Severity, f.Remedy = NoIntegrity, trustkeep.Warning, "open it with its password"
		case truststore.CodeUnusableEntry, truststore.CodeUnusableCertificate:
			f.Code, f.Severity, f.Remedy = UnusableEntry, trustkeep.Warning, "import it again from its source, or remove it"
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
		a.add(t, trustkeep.Finding{Code: DefaultPassword, Severity: trustkeep.Warning, Text: "the password of the store is " + p + ", so anybody can change what is trusted", Remedy: "change the password"})
	}
}
