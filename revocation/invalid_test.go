package revocation_test

import (
	"context"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/truststore"
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
		"nil Checker": second(none.CheckRevocation(context.Background(), truststore.RevocationQuestion{})),
		"no chain":    second(checker.CheckRevocation(context.Background(), truststore.RevocationQuestion{})),
	} {
		if !errors.Is(err, trustkeep.ErrInvalid) || errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
