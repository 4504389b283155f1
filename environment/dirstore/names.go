package dirstore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trustkeep/trustkeep"
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

// folderName is the folder of a key's segment, see environment.CheckCapitalKey. Segments never
// begin with "_". A capital letter is "+" and the small one, since there are file systems that do
// not tell them apart.
func folderName(segment string) string {
	var b strings.Builder
	for _, c := range segment {
		if 'A' <= c && c <= 'Z' {
			b.WriteByte('+')
			c += 'a' - 'A'
		}
		b.WriteRune(c)
	}
	if name := b.String(); !reserved(name) {
		return name
	}
	return "_" + segment
}

// segmentName undoes folderName.
func segmentName(folder string) string {
	var b strings.Builder
	capital := false
	for _, c := range strings.TrimPrefix(folder, "_") {
		switch {
		case capital && 'a' <= c && c <= 'z':
			c, capital = c-('a'-'A'), false
		case c == '+' && !capital:
			capital = true
			continue
		}
		b.WriteRune(c)
	}
	return b.String()
}

// capitalsName is a file that is there once a key had a capital letter.
const capitalsName = ".capitals"

// checkTwin refuses a key that differs from that of another record in case alone. In a directory
// that never had a capital letter there is nothing to look for.
func (d *Directory) checkTwin(ctx context.Context, key string) error {
	mark := filepath.Join(d.root, capitalsName)
	if strings.ToLower(key) != key {
		f, err := os.OpenFile(mark, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
	} else if _, err := os.Lstat(mark); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	parent := key[:strings.LastIndexByte(key, '/')+1]
	return d.walk(ctx, parent, func(other string, _ fs.FileInfo) error {
		if other == key || !strings.EqualFold(other, key) {
			return nil
		}
		if r, err := d.read(other); err == nil && r.Deleted {
			return nil
		}
		return fmt.Errorf("record %s differs in case alone: %w", other, trustkeep.ErrExists)
	})
}

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
