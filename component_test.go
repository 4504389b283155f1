package trustkeep_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep"
)

func TestNamesOfKindAndVisibility(t *testing.T) {
	tests := []struct {
		value fmt.Stringer
		want  string
	}{
		{trustkeep.X509, "X.509"},
		{trustkeep.PGP, "PGP"},
		{trustkeep.Kind(0), "invalid"},
		{trustkeep.Kind(99), "invalid"},
		{trustkeep.Public, "public"},
		{trustkeep.Private, "private"},
		{trustkeep.Visibility(0), "invalid"},
		{trustkeep.Visibility(99), "invalid"},
	}
	for _, test := range tests {
		if got := test.value.String(); got != test.want {
			t.Errorf("%T %d: got %q, want %q", test.value, test.value, got, test.want)
		}
	}
}

func TestScannerFunc(t *testing.T) {
	var scanner trustkeep.Scanner = trustkeep.ScannerFunc(func(_ context.Context, name string, content []byte) error {
		if string(content) == "bad" {
			return fmt.Errorf("%s: %w", name, trustkeep.ErrRejected)
		}
		return nil
	})
	if err := scanner.Scan(t.Context(), "a.p12", []byte("good")); err != nil {
		t.Error(err)
	}
	err := scanner.Scan(t.Context(), "a.p12", []byte("bad"))
	if !errors.Is(err, trustkeep.ErrRejected) || err.Error() != "a.p12: rejected" {
		t.Errorf("got %v", err)
	}
}
