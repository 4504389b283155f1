package audit

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
)

// duplicates finds components with the same certificate, or PGP key, under several IDs.
func (a *auditor) duplicates(targets []Target) {
	same := make(map[string][]Target)
	var order []string
	for _, t := range targets {
		if t.Keystore != nil || t.Truststore != nil || t.Certificates != nil || t.Component == nil || t.Component.Fingerprint() == "" {
			continue
		}
		id := t.Component.Kind().String() + " " + t.Component.Fingerprint()
		if slices.ContainsFunc(same[id], func(other Target) bool { return other.Component.ID() == t.Component.ID() }) {
			continue // a former version of it, for instance
		}
		if same[id] == nil {
			order = append(order, id)
		}
		same[id] = append(same[id], t)
	}
	for _, id := range order {
		all := same[id]
		if len(all) < 2 {
			continue
		}
		severity := trustkeep.Note // our key, and its public part for others
		names := make([]string, len(all))
		count := make(map[trustkeep.Visibility]int)
		for i, t := range all {
			names[i] = fmt.Sprintf(`%s "%s"`, trustkeep.Printable(t.Component.ID()), trustkeep.Printable(t.Component.Name()))
			if count[t.Component.Visibility()]++; count[t.Component.Visibility()] > 1 {
				severity = trustkeep.Warning
			}
		}
		a.add(all[0], trustkeep.Finding{
			Code: Duplicate, Severity: severity, Text: "one certificate or key in the components " + strings.Join(names, ", "),
			Remedy: "keep one of them: what replaces one does not replace the others",
		})
	}
}
