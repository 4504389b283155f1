package trustkeep_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// page is a Markdown file.
type page struct {
	path string
	// text are its lines, blank where a block of code is, so that indices are
	// those of the file.
	text   []string
	blocks []block
}

// block is a fenced block of code.
type block struct {
	line     int // its first, from 1
	language string
	code     string
}

func pages(t *testing.T) (all []page) {
	t.Helper()
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && len(path) > 1 && (strings.HasPrefix(d.Name(), ".") || d.Name() == "corpus"):
			return fs.SkipDir
		case !d.Type().IsRegular() || filepath.Ext(path) != ".md":
			return nil
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		all = append(all, parsePage(path, string(data)))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 8 {
		t.Fatalf("%d pages found", len(all))
	}
	return all
}

func parsePage(path, content string) page {
	p := page{path: path}
	inside := false
	for i, line := range strings.Split(content, "\n") {
		fence := strings.HasPrefix(strings.TrimSpace(line), "```")
		switch {
		case fence && !inside:
			p.blocks = append(p.blocks, block{line: i + 2, language: strings.TrimSpace(line)[3:]})
			line, inside = "", true
		case fence:
			line, inside = "", false
		case inside:
			p.blocks[len(p.blocks)-1].code += line + "\n"
			line = ""
		}
		p.text = append(p.text, line)
	}
	return p
}

var codeSpan = regexp.MustCompile("`[^`]*`")

// brokenTables names the lines of Markdown tables that will not be shown as such.
func (p page) brokenTables() (broken []string) {
	cells := func(row string) int {
		return strings.Count(strings.ReplaceAll(strings.Trim(strings.TrimSpace(row), "|"), `\|`, ""), "|") + 1
	}
	delimiter := regexp.MustCompile(`^\|(\s*:?-+:?\s*\|)+$`)
	for i := 0; i < len(p.text); i++ {
		if !strings.HasPrefix(p.text[i], "|") {
			continue
		}
		first := i
		for ; i < len(p.text) && strings.HasPrefix(p.text[i], "|"); i++ {
			if cells(p.text[i]) != cells(p.text[first]) {
				broken = append(broken, fmt.Sprintf("%s:%d: %d cells, its header has %d", p.path, i+1, cells(p.text[i]), cells(p.text[first])))
			}
		}
		if first+1 == i || !delimiter.MatchString(p.text[first+1]) {
			broken = append(broken, fmt.Sprintf("%s:%d: a row of a table without a header; a blank line ends a table", p.path, first+1))
		}
	}
	return broken
}

var link = regexp.MustCompile(`\]\(([^)\s]+)(?:\s+"[^"]*")?\)`)

// brokenLinks names the relative links that lead nowhere.
func (p page) brokenLinks(headings func(path string) []string) (broken []string) {
	for i, line := range p.text {
		for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			file, anchor, anchored := strings.Cut(m[1], "#")
			target := p.path
			if file != "" {
				target = filepath.Join(filepath.Dir(p.path), file)
			}
			if _, err := os.Stat(target); err != nil {
				broken = append(broken, fmt.Sprintf("%s:%d: %v", p.path, i+1, err))
			} else if anchored && !slices.Contains(headings(target), anchor) {
				broken = append(broken, fmt.Sprintf("%s:%d: %s has no heading %q", p.path, i+1, target, anchor))
			}
		}
	}
	return broken
}

// anchors are those that GitHub gives to headings.
func (p page) anchors() (all []string) {
	for _, line := range p.text {
		hashes, title, ok := strings.Cut(line, " ")
		if !ok || strings.Trim(hashes, "#") != "" || hashes == "" {
			continue
		}
		all = append(all, strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case unicode.IsLetter(r) || unicode.IsDigit(r) || r == '-' || r == '_':
				return unicode.ToLower(r)
			}
			return -1
		}, title))
	}
	return all
}

func TestTablesAndLinksOfThePages(t *testing.T) {
	all := pages(t)
	headings := func(path string) []string {
		for _, p := range all {
			if p.path == path {
				return p.anchors()
			}
		}
		return nil
	}
	for _, p := range all {
		for _, what := range slices.Concat(p.brokenTables(), p.brokenLinks(headings)) {
			t.Error(what)
		}
	}

	// The test itself finds what it is to find.
	bad := parsePage("README.md", "# A title: `x`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n| 3 | 4 |\n\n| a |\n|---|\n| `x|y` |\n"+
		"[gone](docs/gone.md) [here](#a-title-x) [nowhere](#else) `[code](gone)` [out](https://example.org)\n")
	if got := bad.brokenTables(); len(got) != 2 {
		t.Errorf("broken tables %q", got)
	}
	if got := bad.brokenLinks(func(string) []string { return bad.anchors() }); len(got) != 2 {
		t.Errorf("broken links %q", got)
	}
}

// recipes is a module whose many libraries take long to compile: the long form alone looks at it.
const recipes = "examples/recipes"

// goCode type-checks programs and snippets by what the compiler has exported.
type goCode struct {
	imports types.Importer
	paths   map[string]string // of packages, by name
}

func newGoCode(t *testing.T) *goCode {
	t.Helper()
	// The packages and what they import. natskv needs go.work.
	patterns := []string{"list", "-export", "-deps", "-json=ImportPath,Name,Export", "./...", "./bench/...", "./examples/...", "./natskv/...", "./pgstore/..."}
	if testtool.Long() {
		patterns = append(patterns, "./"+recipes+"/...")
	}
	cmd := exec.Command("go", patterns...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	g := &goCode{paths: make(map[string]string)}
	exports := make(map[string]string)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct{ ImportPath, Name, Export string }
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		internal := slices.ContainsFunc(strings.Split(p.ImportPath, "/"), func(part string) bool { return part == "internal" || part == "vendor" })
		ours := strings.HasPrefix(p.ImportPath, module)
		if _, taken := g.paths[p.Name]; !internal && (!taken || ours) {
			g.paths[p.Name] = p.ImportPath
		}
	}
	for name, path := range map[string]string{"rand": "crypto/rand", "template": "text/template", "trustkeep": module} {
		g.paths[name] = path
	}
	g.imports = importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	return g
}

// check returns the errors in a program, in declarations, or in statements. The
// latter two need no imports, and statements may leave variables unused and use
// check(err), b and ctx as the text around them does.
func (g *goCode) check(code string) (problems []string) {
	whole := regexp.MustCompile(`(?m)^package `).MatchString(code)
	fset := token.NewFileSet()
	const around = "\nfunc check(error) {}\nvar ctx context.Context\n"
	sources := []string{code}
	if !whole {
		sources = []string{"package p\n" + code + around, "package p\nfunc _() {\n" + code + "\n}" + around}
	}
	var file *ast.File
	var err error
	for _, source := range sources {
		if file, err = parser.ParseFile(fset, "block.go", source, 0); err == nil {
			break
		}
	}
	if err != nil {
		return []string{err.Error()}
	}
	if !whole {
		g.addImports(file)
	}
	config := types.Config{Importer: g.imports, Error: func(err error) {
		text := err.(types.Error).Msg
		if !whole && strings.HasPrefix(text, "declared and not used") {
			return
		}
		problems = append(problems, text)
	}}
	config.Check("p", fset, []*ast.File{file}, nil)
	return problems
}

// addImports imports the packages whose names a snippet uses.
func (g *goCode) addImports(file *ast.File) {
	var specs []ast.Spec
	for _, name := range file.Unresolved {
		path, ok := g.paths[name.Name]
		if !ok || slices.ContainsFunc(specs, func(s ast.Spec) bool { return s.(*ast.ImportSpec).Name.Name == name.Name }) {
			continue
		}
		spec := &ast.ImportSpec{Name: ast.NewIdent(name.Name), Path: &ast.BasicLit{Kind: token.STRING, Value: `"` + path + `"`}}
		specs = append(specs, spec)
		file.Imports = append(file.Imports, spec)
	}
	file.Decls = append([]ast.Decl{&ast.GenDecl{Tok: token.IMPORT, Specs: specs}}, file.Decls...)
}

func TestGoOfThePagesCompiles(t *testing.T) {
	g := newGoCode(t)
	n := 0
	for _, p := range pages(t) {
		for _, b := range p.blocks {
			if b.language != "go" {
				continue
			}
			n++
			for _, problem := range g.check(b.code) {
				t.Errorf("%s:%d: %s", p.path, b.line, problem)
			}
		}
	}
	t.Logf("%d blocks of Go", n)
	if n == 0 {
		t.Error("no Go found")
	}

	for code, want := range map[string]int{
		"package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println() }\n":                        0,
		"package main\n\nfunc main() { fmt.Println() }\n":                                          1,
		"ks, err := keystore.Load(\"a.p12\", trustkeep.Password(\"x\"))\ncheck(err)\n_ = ks.Len()": 0,
		"ks, err := keystore.Load(\"a.p12\")\n":                                                    1,
		"func f(c *tls.Config) error { return tlsctx.None }":                                       1,
		"type T struct{ k keystore.Keystore }":                                                     0,
		"if {":                                                                                     1,
	} {
		if got := g.check(code); len(got) != want {
			t.Errorf("%q: %q", code, got)
		}
	}
}
