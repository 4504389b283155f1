package content

import (
	"strings"
	"unicode"
)

// FileName makes a component's name fit for every file system.
func FileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-.@", r) {
			return r
		}
		return '_'
	}, strings.TrimLeft(name, "."))
	if safe == "" {
		return "_"
	}
	return safe
}
