package dirstore

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep/environment"
)

// maxName leaves room for what temporary files add, in the 255 bytes that common file
// systems have for a name.
const maxName = 180

// reserved are the device names of Windows, which count with any extension and in any
// case.
func reserved(name string) bool {
	base, _, _ := strings.Cut(strings.ToLower(name), ".")
	base = strings.TrimRight(base, " ")
	switch base {
	case "con", "prn", "aux", "nul", "conin$", "conout$":
		return true
	}
	return len(base) == 4 && (strings.HasPrefix(base, "com") || strings.HasPrefix(base, "lpt")) && base[3] >= '0' && base[3] <= '9'
}

// folderName is the folder of a key's segment, see environment.CheckKey. Segments never
// begin with "_".
func folderName(segment string) string {
	if reserved(segment) {
		return "_" + segment
	}
	return segment
}

// segmentName undoes folderName.
func segmentName(folder string) string { return strings.TrimPrefix(folder, "_") }

// safeFiles gives files names that are safe and differ in more than case.
func safeFiles(files []environment.File) []environment.File {
	taken := make(map[string]bool)
	var out []environment.File
	for _, f := range files {
		name := safeName(f.Name)
		for n := 2; taken[fold(name)]; n++ {
			stem, suffix := splitSuffix(safeName(f.Name))
			name = safeName(fmt.Sprintf("%s-%d%s", cut(stem, maxName-len(suffix)-12), n, suffix))
		}
		taken[fold(name)] = true
		out = append(out, environment.File{Name: name, Data: f.Data})
	}
	return out
}

// fold maps letters that differ in case alone to one, rune by rune as file systems do.
func fold(s string) string {
	return strings.Map(func(r rune) rune { return unicode.ToLower(unicode.ToUpper(r)) }, s)
}

// safeName makes a name what every file system takes as one name of an ordinary file in
// the folder: no separators, control or direction characters, device names, leading dots
// or hyphens, trailing dots or blanks; with an extension, which tells it from folders of
// records, and not that of the record. It changes no name that is safe.
func safeName(name string) string {
	for {
		safer := saferName(name)
		if safer == name {
			return name
		}
		name = safer // being cut, for example, can make a device's name
	}
}

func saferName(name string) string {
	name = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || strings.ContainsRune(`/\:*?"<>|`, r) || !unicode.IsPrint(r) {
			return '_'
		}
		return r
	}, name)
	name = strings.Trim(name, ". ")
	if rest, ok := strings.CutPrefix(name, "-"); ok { // not an option of anybody's tool
		name = "_" + rest
	}
	if reserved(name) || fold(name) == recordName {
		name = "_" + name
	}
	stem, suffix := splitSuffix(name)
	if stem == "" {
		stem = "unnamed"
	}
	if suffix == "" {
		suffix = ".file"
	}
	return cut(stem, maxName-len(suffix)) + suffix
}

// splitSuffix splits a name before its extension, to which the "_pub" and "_priv" of
// OpenPGP files belong.
func splitSuffix(name string) (stem, suffix string) {
	dot := strings.LastIndexByte(name, '.')
	if dot < 0 || len(name)-dot > 20 {
		return name, ""
	}
	stem, suffix = name[:dot], name[dot:]
	for _, more := range []string{"_pub", "_priv"} {
		if rest, ok := strings.CutSuffix(stem, more); ok {
			return rest, more + suffix
		}
	}
	return stem, suffix
}

// cut shortens a text to so many bytes without splitting a character.
func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.TrimRight(s[:limit], ". ")
}
