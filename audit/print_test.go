package audit_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/truststore"
)

// The passwords that a company knows to be known to too many still open its stores.
func TestOptionsPrintNoSecret(t *testing.T) {
	const canary = "hunter2canary"
	o := audit.Options{Passwords: []trustkeep.PasswordSource{trustkeep.Password(canary)}}
	target := audit.Target{Truststore: truststore.New(), Password: trustkeep.Password(canary)}
	testleak.Check(t, o, []byte(canary))
	testleak.Check(t, target, []byte(canary))
	testleak.Check(t, options.Run(target), []byte(canary))
}

// A password to compare with that cannot be had is not passed over.
func TestPasswordThatCannotBeHad(t *testing.T) {
	o := options
	o.Passwords = []trustkeep.PasswordSource{trustkeep.PasswordFunc(func() ([]byte, error) { return nil, errors.New("the vault is closed") }), nil}
	got := o.Run().With(audit.PasswordNotKnown)
	if len(got) != 2 || !strings.Contains(got[0].Text, "the vault is closed") || got[0].Severity != trustkeep.Warning {
		t.Errorf("%v", got)
	}
}
