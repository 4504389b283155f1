package trustkeep_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

func TestErrorText(t *testing.T) {
	cause := fmt.Errorf("mac differs: %w", trustkeep.ErrIncorrectPassword)
	tests := []struct {
		err  trustkeep.Error
		want string
	}{
		{trustkeep.Error{Op: "keystore: load", Path: "a.p12", Alias: "web", Format: "pkcs12", Err: cause, Hint: "try another"},
			`keystore: load: a.p12 (pkcs12): alias "web": mac differs: incorrect password; try another`},
		{trustkeep.Error{Op: "keystore: load", Err: cause}, "keystore: load: mac differs: incorrect password"},
		{trustkeep.Error{Op: "keystore: load", Format: "jks", Err: trustkeep.ErrLimit}, "keystore: load (jks): limit exceeded"},
		{trustkeep.Error{Path: "a.p12", Err: trustkeep.ErrLimit}, "a.p12: limit exceeded"},
		{trustkeep.Error{Err: trustkeep.ErrLimit}, "limit exceeded"},
		{trustkeep.Error{Op: "truststore: load", Path: "a\nb\x1b[31m", Alias: "x\u202ey", Err: trustkeep.ErrCorrupt},
			`truststore: load: a\nb\x1b[31m: alias "x\u202ey": corrupt data`},
	}
	for _, test := range tests {
		if got := test.err.Error(); got != test.want {
			t.Errorf("got  %s\nwant %s", got, test.want)
		}
	}
}

func TestErrorUnwraps(t *testing.T) {
	err := fmt.Errorf("deploy: %w", &trustkeep.Error{Op: "keystore: load", Alias: "web",
		Err: fmt.Errorf("mac: %w", trustkeep.ErrIncorrectPassword)})
	if !errors.Is(err, trustkeep.ErrIncorrectPassword) || errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("sentinel lost in %v", err)
	}
	var e *trustkeep.Error
	if !errors.As(err, &e) || e.Alias != "web" {
		t.Errorf("struct lost in %v", err)
	}
}

func TestSentinelsDiffer(t *testing.T) {
	sentinels := []error{
		trustkeep.ErrIncorrectPassword, trustkeep.ErrNotFound, trustkeep.ErrExists, trustkeep.ErrUnsupported,
		trustkeep.ErrCorrupt, trustkeep.ErrEmpty, trustkeep.ErrKeyMismatch, trustkeep.ErrExpired,
		trustkeep.ErrRejected, trustkeep.ErrNotDeployable, trustkeep.ErrInUse, trustkeep.ErrUnsaved, trustkeep.ErrConflict, trustkeep.ErrOutdated,
		trustkeep.ErrLimit, trustkeep.ErrInvalid, trustkeep.ErrRevoked,
	}
	texts := map[string]bool{}
	for i, a := range sentinels {
		if texts[a.Error()] || a.Error() == "" {
			t.Errorf("text %q is not its own", a)
		}
		texts[a.Error()] = true
		for j, b := range sentinels {
			if errors.Is(a, b) != (i == j) {
				t.Errorf("errors.Is(%v, %v) = %v", a, b, i != j)
			}
		}
	}
}

func TestPrintable(t *testing.T) {
	tests := []struct{ name, in, want string }{
		{"plain", "CN=a b, O=Ü 鍵", "CN=a b, O=Ü 鍵"},
		{"empty", "", ""},
		{"line ends", "a\r\nb", `a\r\nb`},
		{"terminal escape", "\x1b[2J", `\x1b[2J`},
		{"C1 control", "\u009b31m", `\u009b31m`},
		{"NUL and DEL", "\x00\x7f", `\x00\x7f`},
		{"bidirectional override", "a\u202eb\u2066c", `a\u202eb\u2066c`},
		{"zero width", "a\u200bb", `a\u200bb`},
		{"line separator", "a\u2028b", `a\u2028b`},
		{"beyond the BMP", "😀\U000e0001", `😀\U000e0001`},
		{"invalid UTF-8", "a\xffb", `a\ufffdb`},
		{"longest", strings.Repeat("ä", 256), strings.Repeat("ä", 256)},
		{"too long", strings.Repeat("ä", 257), strings.Repeat("ä", 256) + "…"},
		{"too long, of controls", strings.Repeat("\n", 1000), strings.Repeat(`\n`, 256) + "…"},
	}
	for _, test := range tests {
		if got := trustkeep.Printable(test.in); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
