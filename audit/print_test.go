package audit_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/truststore"
)

// The passwords that a company knows to be known to too many still open its stores.
func TestOptionsPrintNoSecret(t *testing.T) {
	const canary = "hunter2canary"
	o := audit.Options{Passwords: []trustkeep.PasswordSource{trustkeep.Password(canary)}}
	target := audit.Target{Truststore: truststore.New(), Password: trustkeep.Password(canary)}
	var out bytes.Buffer
	for _, v := range []any{o, &o, target, &target, struct{ O audit.Options }{o}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if text, err := json.Marshal(v); err == nil {
			out.Write(text)
		}
		_ = gob.NewEncoder(&out).Encode(v)
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
	}
	fmt.Fprint(&out, options.Run(target))
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary))} {
		if strings.Contains(out.String(), form) {
			t.Errorf("printed %q", form)
		}
	}
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
