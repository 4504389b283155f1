package component

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

func TestNames(t *testing.T) {
	for name, want := range map[string]error{
		"partner": nil, "ACME / orders": nil, "Bücher GmbH": nil, "../../etc/passwd": nil, strings.Repeat("x", 200): nil,
		strings.Repeat("x", 201): trustkeep.ErrInvalid, "": trustkeep.ErrInvalid, " \t ": trustkeep.ErrInvalid,
		"two\nlines": trustkeep.ErrInvalid, "a\x00b": trustkeep.ErrInvalid, "bad \xff UTF-8": trustkeep.ErrInvalid,
		"turned \u202etxt.exe": trustkeep.ErrInvalid, "zero\u200bwidth": trustkeep.ErrInvalid,
	} {
		if err := checkName(name); !errors.Is(err, want) {
			t.Errorf("%q: %v, want %v", name, err, want)
		}
	}
}

func TestIDs(t *testing.T) {
	if id, err := newID("mine", nil); id != "mine" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	a, err := newID("", nil)
	if err != nil || len(a) != 32 || strings.Trim(a, "0123456789abcdef") != "" {
		t.Errorf("%q, %v", a, err)
	}
	if b, err := newID("", nil); err != nil || a == b {
		t.Errorf("%q twice, %v", a, err)
	}
	if id, err := newID("", bytes.NewReader(make([]byte, 16))); id != strings.Repeat("0", 32) || err != nil {
		t.Errorf("with the caller's randomness: %q, %v", id, err)
	}
	if id, err := newID("", bytes.NewReader(make([]byte, 15))); id != "" || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("with too little randomness: %q, %v", id, err)
	}
}

func TestAdmit(t *testing.T) {
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	down := errors.New("scanner is down")
	tests := []struct {
		about   string
		ctx     context.Context
		content string
		verdict error
		want    error
		scanned bool
	}{
		{"clean", t.Context(), "12345678", nil, nil, true},
		{"virus", t.Context(), "12345678", fmt.Errorf("found: %w", trustkeep.ErrRejected), trustkeep.ErrRejected, true},
		{"no verdict", t.Context(), "12345678", down, down, true},
		{"too large", t.Context(), "123456789", nil, trustkeep.ErrLimit, false},
		{"empty", t.Context(), "", nil, trustkeep.ErrEmpty, false},
		{"cancelled", cancelled, "12345678", nil, context.Canceled, false},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			scanned := false
			scanner := trustkeep.ScannerFunc(func(ctx context.Context, name string, content []byte) error {
				scanned = true
				if name != "a name" || string(content) != test.content || ctx != test.ctx {
					t.Errorf("scanner is given %q as %q", content, name)
				}
				return test.verdict
			})
			err := admit(test.ctx, "a name", []byte(test.content), limits.New(trustkeep.Limits{MaxSize: 8}), scanner)
			if !errors.Is(err, test.want) || scanned != test.scanned {
				t.Errorf("%v, scanned %v; want %v, %v", err, scanned, test.want, test.scanned)
			}
			if test.verdict == nil {
				if err := admit(test.ctx, "a name", []byte(test.content), limits.New(trustkeep.Limits{MaxSize: 8}), nil); !errors.Is(err, test.want) {
					t.Errorf("without scanner: %v, want %v", err, test.want)
				}
			}
		})
	}
}

// TestAdmitIsCancelledWhileScanning: a scanner that ends without a verdict because of the
// context must not count as one that found nothing.
func TestAdmitIsCancelledWhileScanning(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	careless := trustkeep.ScannerFunc(func(context.Context, string, []byte) error { cancel(); return nil })
	if err := admit(ctx, "x", []byte("x"), limits.New(trustkeep.Limits{}), careless); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
