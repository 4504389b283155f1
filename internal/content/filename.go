package content

import (
	"strings"
	"unicode"
)

// FileName makes a file name from the name of a component that every file system accepts.
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
