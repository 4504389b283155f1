package audit

import (
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// heldKey is where a private key was met.
type heldKey struct {
	target, alias string
	leaf          *x509.Certificate
}

// reuse finds private keys that are in more than one place.
func (a *auditor) reuse() {
	places := make(map[string][]heldKey)
	var order []string
	for _, k := range a.keys {
		id := keyID(k.leaf)
		if places[id] == nil {
			order = append(order, id)
		}
		places[id] = append(places[id], k)
	}
	for _, id := range order {
		same := places[id]
		if len(same) < 2 {
			continue
		}
		severity := trustkeep.Note // an old identity that was kept, say
		names := make([]string, len(same))
		for i, k := range same {
			names[i] = fmt.Sprintf(`%s "%s"`, trustkeep.Printable(k.target), trustkeep.Printable(k.alias))
			if k.target != same[0].target {
				severity = trustkeep.Warning
			}
		}
		a.report.Findings = append(a.report.Findings, trustkeep.Finding{Target: same[0].target, Alias: same[0].alias, Subject: name(same[0].leaf), Code: KeyReuse, Severity: severity,
			Text: "one private key in " + strings.Join(names, ", "), Remedy: "give each purpose and host a key of its own"})
	}
}

func hasKeys(t Target) bool {
	for _, e := range t.Keystore.Entries() {
		if e.Kind == keystore.KeyEntry || e.Kind == keystore.SecretEntry {
			return true
		}
	}
	return false
}
