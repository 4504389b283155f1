package revocation_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/revocation"
)

// A wrong call is ErrInvalid and nothing else.
func TestWrongCallsAreInvalid(t *testing.T) {
	_, mode := revocation.New(revocation.Options{Mode: 9})
	_, scope := revocation.New(revocation.Options{Coverage: 9})
	_, list := revocation.New(revocation.Options{CRLs: []*revocation.CRL{nil}})
	_, skew := revocation.New(revocation.Options{Skew: -1})
	_, cached := revocation.New(revocation.Options{MaxCached: -1})
	var none *revocation.Checker
	checker, err := revocation.New(revocation.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{
		"Mode": mode, "Coverage": scope, "nil CRL": list, "skew": skew, "size": cached,
		"nil Checker": none.CheckRevocation(context.Background(), nil, nil, time.Now()),
		"no chain":    checker.CheckRevocation(context.Background(), nil, nil, time.Now()),
	} {
		if !errors.Is(err, trustkeep.ErrInvalid) || errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
