package trustkeep

import (
	"strconv"
	"strings"
	"unicode"
)

// maxPrintable bounds what one name from a certificate or an alias may add to
// an error or a log line.
const maxPrintable = 256

// Printable makes text from a certificate, alias or path safe for a log line. It escapes
// control characters, bidirectional overrides and invalid UTF-8 in Go syntax, and cuts text
// after 256 runes, with "…".
func Printable(s string) string {
	var b strings.Builder
	n := 0
	for _, r := range s {
		if n == maxPrintable {
			b.WriteString("…")
			break
		}
		n++
		if r == unicode.ReplacementChar || r != ' ' && !unicode.IsGraphic(r) {
			q := strconv.QuoteRuneToASCII(r)
			b.WriteString(q[1 : len(q)-1])
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}
