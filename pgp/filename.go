package pgp

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxFileName is what file systems take.
const maxFileName = 255

// SafeFileName returns FileName as the name of a file in a folder of the caller's: without
// directories of either kind, control characters, characters that Windows refuses, leading
// and trailing dots and spaces, and not a device of Windows. If nothing is left, it is
// fallback, which is returned as it is. The file may exist already.
func (r *Result) SafeFileName(fallback string) string {
	name := r.FileName
	if !utf8.ValidString(name) {
		return fallback
	}
	if i := strings.LastIndexAny(name, `/\`); i >= 0 {
		name = name[i+1:]
	}
	name = strings.Map(func(c rune) rune {
		// Cf turns text around and hides what follows: "txt.exe" shown as "exe.txt".
		if unicode.IsControl(c) || unicode.In(c, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co, unicode.Cs) || strings.ContainsRune(`<>:"|?*`, c) || c == utf8.RuneError {
			return '_'
		}
		return c
	}, name)
	name = strings.TrimFunc(name, func(c rune) bool { return c == '.' || unicode.IsSpace(c) })
	for len(name) > maxFileName {
		_, n := utf8.DecodeLastRuneInString(name)
		name = name[:len(name)-n]
	}
	name = strings.TrimRight(name, ". ")
	if name == "" || strings.Trim(name, "_") == "" || isDevice(name) || name == "CONSOLE" { // GnuPG's mark for "do not store"
		return fallback
	}
	return name
}

// isDevice tells names that Windows gives devices, whatever their extension.
func isDevice(name string) bool {
	base, _, _ := strings.Cut(strings.ToUpper(name), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	digits := []rune(base)
	return len(digits) == 4 && (strings.HasPrefix(base, "COM") || strings.HasPrefix(base, "LPT")) && strings.ContainsRune("0123456789¹²³", digits[3])
}
