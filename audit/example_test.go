package audit_test

import (
	"fmt"
	"log"
	"time"

	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

func Example() {
	then := func() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }
	id, err := issue.New(issue.Options{DNSNames: []string{"web.example"}, Validity: 21 * 24 * time.Hour, Clock: then})
	if err != nil {
		log.Fatal(err)
	}
	ks := keystore.New()
	if err := ks.SetIdentity("web", id); err != nil {
		log.Fatal(err)
	}
	report := audit.Options{Clock: then}.Run(audit.Target{Name: "web.p12", Keystore: ks, Roles: issue.ForServer})
	fmt.Print(report)
	// Output:
	// warning  web.p12 "web": expires-soon: CN=web.example expires on 2026-01-21, in 20 days; renew it
	// note     web.p12 "web": self-signed: CN=web.example is self-signed: partners must trust this very certificate; have it signed by a CA where that is not agreed on
	// 0 critical, 1 warnings, 1 notes in 1 targets at 2026-01-01T00:00:00Z
}
