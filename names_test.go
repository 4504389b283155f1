package trustkeep_test

import (
	"go/ast"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// exported is what the lists in api say of the packages, by their last name.
type exported struct {
	names   map[string]map[string]bool            // package, name
	members map[string]map[string]map[string]bool // package, type, field or method
}

var (
	listedName   = regexp.MustCompile(`^(?:const|var|func|type) (\w+)`)
	listedMethod = regexp.MustCompile(`^method \(\*?(\w+)(?:\[[^\]]*\])?\) (\w+)`)
	listedField  = regexp.MustCompile(`^type (\w+)(?:\[[^\]]*\])? (?:struct|interface), (\w+)`)
)

func readExported(t *testing.T) exported {
	t.Helper()
	files, err := filepath.Glob("api/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no lists in api: %v", err)
	}
	e := exported{make(map[string]map[string]bool), make(map[string]map[string]map[string]bool)}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pkg := strings.TrimSuffix(filepath.Base(file), ".txt")
		pkg = pkg[strings.LastIndex(pkg, "-")+1:]
		names, members := make(map[string]bool), make(map[string]map[string]bool)
		for line := range strings.Lines(string(text)) {
			if m := listedName.FindStringSubmatch(line); m != nil {
				names[m[1]] = true
			}
			for _, form := range []*regexp.Regexp{listedMethod, listedField} {
				if m := form.FindStringSubmatch(line); m != nil {
					if members[m[1]] == nil {
						members[m[1]] = make(map[string]bool)
					}
					members[m[1]][m[2]] = true
				}
			}
		}
		e.names[pkg], e.members[pkg] = names, members
	}
	return e
}

// qualified finds package.Name and package.Type.Member, but not in a path or a longer word.
var qualified = regexp.MustCompile(`(^|[^\w./"-])([a-z0-9]+)\.([A-Z]\w*)(?:\.([A-Z]\w*))?`)

// unknown returns the names of this module's packages in a text that do not exist.
func (e exported) unknown(text string) (bad []string) {
	for _, m := range qualified.FindAllStringSubmatch(text, -1) {
		pkg, name, member := m[2], m[3], m[4]
		members := e.members[pkg][name]
		switch {
		case e.names[pkg] == nil:
		case !e.names[pkg][name], member != "" && members != nil && !members[member]:
			bad = append(bad, strings.TrimPrefix(m[0], m[1]))
		}
	}
	return bad
}

func TestUnknownNamesAreFound(t *testing.T) {
	e := readExported(t)
	for text, want := range map[string][]string{
		"see keystore.Load, keystore.Keystore.Save and (keystore.Entry).":     nil,
		"fs.ErrExist, x509.Certificate and internal/keystore.Nothing pass":    nil,
		"partner.p12 and keystore.go are files":                               nil,
		"keystore.Gone, and keystore.Keystore.Gone; truststore.Source.GoneAs": {"keystore.Gone", "keystore.Keystore.Gone", "truststore.Source.GoneAs"},
	} {
		if got := e.unknown(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// Comments and pages name what exists. The changelog also names what is gone.
func TestNamesInCommentsAndPagesExist(t *testing.T) {
	e := readExported(t)
	eachSource(t, func(_, file string, fset *token.FileSet, tree *ast.File) {
		for _, group := range tree.Comments {
			for _, c := range group.List {
				if file == "names_test.go" {
					continue
				}
				for _, bad := range e.unknown(c.Text) {
					t.Errorf("%s: %s does not exist", fset.Position(c.Pos()), bad)
				}
			}
		}
	})
	pages, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range append(pages, "README.md", "CONTRIBUTING.md", "SECURITY.md", "examples/README.md", "natskv/README.md", "pgstore/README.md") {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, bad := range e.unknown(string(text)) {
			t.Errorf("%s: %s does not exist", page, bad)
		}
	}
}
