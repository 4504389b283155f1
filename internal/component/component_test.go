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
	tests := []struct {
		name string
		want error // of CheckName
		file string
	}{
		{"partner", nil, "partner"},
		{"ACME / orders", nil, "ACME___orders"},
		{"Bücher GmbH", nil, "Bücher_GmbH"},
		{"a.b-c@d.example", nil, "a.b-c@d.example"},
		{"../../etc/passwd", nil, "_.._etc_passwd"},
		{`C:\keys`, nil, "C__keys"},
		{"..", nil, "_"},
		{strings.Repeat("x", 200), nil, strings.Repeat("x", 200)},
		{strings.Repeat("x", 201), trustkeep.ErrLimit, ""},
		{"", trustkeep.ErrEmpty, "_"},
		{" \t ", trustkeep.ErrEmpty, "___"},
		{"two\nlines", trustkeep.ErrUnsupported, "two_lines"},
		{"a\x00b", trustkeep.ErrUnsupported, "a_b"},
		{"bad \xff UTF-8", trustkeep.ErrUnsupported, ""},
		{"turned \u202etxt.exe", trustkeep.ErrUnsupported, "turned__txt.exe"},
		{"zero\u200bwidth", trustkeep.ErrUnsupported, "zero_width"},
	}
	for _, test := range tests {
		if err := CheckName(test.name); !errors.Is(err, test.want) {
			t.Errorf("%q: %v, want %v", test.name, err, test.want)
		}
		if got := FileName(test.name); test.file != "" && got != test.file {
			t.Errorf("%q: file name %q, want %q", test.name, got, test.file)
		}
	}
}

func TestIDs(t *testing.T) {
	if id, err := NewID("mine", nil); id != "mine" || err != nil {
		t.Errorf("%q, %v", id, err)
	}
	a, err := NewID("", nil)
	if err != nil || len(a) != 32 || strings.Trim(a, "0123456789abcdef") != "" {
		t.Errorf("%q, %v", a, err)
	}
	if b, err := NewID("", nil); err != nil || a == b {
		t.Errorf("%q twice, %v", a, err)
	}
	if id, err := NewID("", bytes.NewReader(make([]byte, 16))); id != strings.Repeat("0", 32) || err != nil {
		t.Errorf("with the caller's randomness: %q, %v", id, err)
	}
	if id, err := NewID("", bytes.NewReader(make([]byte, 15))); id != "" || !errors.Is(err, io.ErrUnexpectedEOF) {
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
			err := Admit(test.ctx, "a name", []byte(test.content), limits.New(trustkeep.Limits{MaxSize: 8}), scanner)
			if !errors.Is(err, test.want) || scanned != test.scanned {
				t.Errorf("%v, scanned %v; want %v, %v", err, scanned, test.want, test.scanned)
			}
			if test.verdict == nil {
				if err := Admit(test.ctx, "a name", []byte(test.content), limits.New(trustkeep.Limits{MaxSize: 8}), nil); !errors.Is(err, test.want) {
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
	if err := Admit(ctx, "x", []byte("x"), limits.New(trustkeep.Limits{}), careless); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}
