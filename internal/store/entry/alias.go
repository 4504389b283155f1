package entry

import "strings"

// Fold returns the form in which aliases are compared: Java's
// String.toLowerCase(Locale.ENGLISH), which its key stores apply. It differs
// from strings.ToLower in the dotted capital I, whose dot Java keeps.
func Fold(alias string) string {
	return strings.ToLower(strings.ReplaceAll(alias, "\u0130", "i\u0307"))
}
