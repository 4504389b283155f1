package environment

import (
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep/truststore"
)

// A dry run counts an error that is no verdict about the peer as a refusal.
func TestRefusal(t *testing.T) {
	if r := refusal(nil); r != nil {
		t.Errorf("%v", r)
	}
	cause := errors.New("no verdict")
	if r := refusal(cause); r == nil || r.Code != truststore.CodeRefused || !errors.Is(r, cause) {
		t.Errorf("%v", r)
	}
	verdict := &truststore.VerifyError{Reason: truststore.Reason{Code: truststore.CodeExpired}}
	if r := refusal(errors.Join(verdict)); r != verdict {
		t.Errorf("%v", r)
	}
}
