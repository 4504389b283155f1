package forecast

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/truststore"
)

// An error that is no verdict about the peer fails it, as it does in a handshake.
func TestPlanCountsEveryError(t *testing.T) {
	plan := new(Plan)
	plan.replay([]SeenPeer{{Name: "refused.example"}, {Name: "undecided.example"}, {Name: "fine.example"}}, func(p SeenPeer) error {
		switch p.Name {
		case "refused.example":
			return &truststore.VerifyError{Reason: truststore.Reason{Code: truststore.CodeUnknownIssuer, Text: "no issuer"}}
		case "undecided.example":
			return errors.New("the disk is gone\n")
		}
		return nil
	})
	if plan.Checked != 3 || len(plan.Failing) != 2 {
		t.Fatalf("%d of %d fail, want 2 of 3", len(plan.Failing), plan.Checked)
	}
	if text := plan.String(); !strings.Contains(text, `: the disk is gone\n`+"\n") || !strings.Contains(text, ": unknown-issuer: no issuer\n") {
		t.Errorf("%s", text)
	}
	data, err := json.Marshal(plan)
	if err != nil || !strings.Contains(string(data), `"error":"the disk is gone`) || !strings.Contains(string(data), `"code":"unknown-issuer"`) {
		t.Errorf("%s, %v", data, err)
	}
}
