package content

import (
	"strings"
	"testing"
)

func TestFileName(t *testing.T) {
	for name, want := range map[string]string{
		"partner": "partner", "ACME / orders": "ACME___orders", "Bücher GmbH": "Bücher_GmbH", "a.b-c@d.example": "a.b-c@d.example",
		"../../etc/passwd": "_.._etc_passwd", `C:\keys`: "C__keys", "..": "_", "": "_", " \t ": "___",
		strings.Repeat("x", 200): strings.Repeat("x", 200), "two\nlines": "two_lines", "a\x00b": "a_b",
		"turned \u202etxt.exe": "turned__txt.exe", "zero\u200bwidth": "zero_width",
	} {
		if got := FileName(name); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
