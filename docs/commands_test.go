// Package docs_test runs what the pages show.
package docs_test

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/format"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// row is one of a table: a command and the Go that does the same.
type row struct {
	name      string // page, line and column
	command   string
	isCommand bool // and not words
	code      string
	prose     bool // the Go stands in a sentence
}

var span = regexp.MustCompile("`([^`]*)`")

// rowsOf returns the rows of the tables of a page that have two columns, of which one is Go.
func rowsOf(t *testing.T, path string, column int) (rows []row) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, line := range strings.Split(string(text), "\n") {
		cells := strings.Split(strings.ReplaceAll(line, `\|`, "\x00"), "|")
		if len(cells) != 4 || !strings.Contains(cells[column], "`") {
			continue
		}
		r := row{name: fmt.Sprintf("%s:%d:%d", path, i+1, column), command: strings.ReplaceAll(strings.TrimSpace(cells[1]), "\x00", "|")}
		if trimmed := strings.Trim(r.command, "`"); !strings.Contains(trimmed, "`") && len(trimmed) == len(r.command)-2 {
			r.command, r.isCommand = trimmed, true
		}
		for _, m := range span.FindAllStringSubmatch(cells[column], -1) {
			r.code += strings.ReplaceAll(m[1], "\x00", "|") + "\n"
		}
		r.prose = strings.Trim(span.ReplaceAllString(strings.ReplaceAll(cells[column], "<br>", ""), ""), " ") != ""
		rows = append(rows, r)
	}
	return rows
}

// function makes a function of the Go of a row: an error that is set is checked after each line, and
// what is not used is.
func (r row) function() (string, error) {
	var b strings.Builder
	fmt.Fprintf(&b, "{%q, func() {\n", r.name)
	for line := range strings.Lines(r.code) {
		b.WriteString(line)
		file, err := parser.ParseFile(token.NewFileSet(), "", "package p\nfunc _() {\n"+line+"\n}", 0)
		if err != nil {
			return "", err
		}
		for _, s := range file.Decls[0].(*ast.FuncDecl).Body.List {
			a, ok := s.(*ast.AssignStmt)
			if !ok {
				continue
			}
			for _, x := range a.Lhs {
				if name, ok := x.(*ast.Ident); ok && name.Name == "err" {
					b.WriteString("check(err)\n")
				} else if ok && name.Name != "_" {
					fmt.Fprintf(&b, "_ = %s\n", name.Name)
				}
			}
		}
	}
	b.WriteString("}},\n")
	return b.String(), nil
}

// paths are the packages that rows use, by name.
var paths = map[string]string{
	"rand": "crypto/rand", "x509": "crypto/x509", "tls": "crypto/tls", "errors": "errors", "pkix": "crypto/x509/pkix", "pem": "encoding/pem", "http": "net/http",
	"ssh": "golang.org/x/crypto/ssh", "trustkeep": "github.com/trustkeep/trustkeep",
	"context": "context", "fmt": "fmt", "os": "os", "strings": "strings", "time": "time",
	"keystorego": "github.com/pavlo-v-chernykh/keystore-go/v4", "pkcs12": "software.sslmate.com/src/go-pkcs12",
}

// program is a Go file with all rows of a page.
func program(t *testing.T, rows []row) []byte {
	t.Helper()
	body := "var rows = []row{\n"
	for _, r := range rows {
		f, err := r.function()
		if err != nil {
			t.Fatalf("%s: %v\n%s", r.name, err, r.code)
		}
		body += f
	}
	body += "}\n"
	file, err := parser.ParseFile(token.NewFileSet(), "", "package main\n"+body, 0)
	if err != nil {
		t.Fatal(err)
	}
	var imports []string
	for _, name := range file.Unresolved {
		path, ok := paths[name.Name]
		if !ok {
			path = "github.com/trustkeep/trustkeep/" + name.Name
			if _, err := os.Stat(filepath.Join("..", name.Name)); err != nil {
				continue
			}
		}
		if line := fmt.Sprintf("%s %q", name.Name, path); !slices.Contains(imports, line) {
			imports = append(imports, line)
		}
	}
	text, err := format.Source([]byte("package main\nimport (\n" + strings.Join(imports, "\n") + "\n)\n" + body))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// run runs testdata/commands with the rows of a page, and returns the folder where it ran.
func run(t *testing.T, rows []row) string {
	t.Helper()
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made, overlay, binary := filepath.Join(dir, "rows.go"), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "program")
	into := filepath.Join(here, "testdata", "commands")
	replace, err := json.Marshal(map[string]any{"Replace": map[string]string{filepath.Join(into, "rows.go"): made}})
	if err != nil {
		t.Fatal(err)
	}
	for path, text := range map[string][]byte{made: program(t, rows), overlay: replace} {
		if err := os.WriteFile(path, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := exec.Command("go", "build", "-o", binary, "-overlay", overlay, "./testdata/commands").CombinedOutput(); err != nil {
		source, _ := os.ReadFile(made)
		t.Fatalf("%v\n%s\n%s", err, out, source)
	}
	work := filepath.Join(dir, "work")
	if err := os.Mkdir(work, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary)
	cmd.Dir = work
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	return work
}

// TestCommands compiles and runs the Go of each row of commands.md.
func TestCommands(t *testing.T) {
	rows := rowsOf(t, "commands.md", 2)
	if len(rows) < 60 {
		t.Fatalf("%d rows", len(rows))
	}
	run(t, rows)
	t.Logf("%d rows", len(rows))
}

// TestMoving runs both sides of moving.md.
func TestMoving(t *testing.T) {
	rows := append(rowsOf(t, "moving.md", 1), rowsOf(t, "moving.md", 2)...)
	if len(rows) < 28 {
		t.Fatalf("%d sides", len(rows))
	}
	run(t, rows)
}

// TestUpgrading runs what upgrading.md says to write now.
func TestUpgrading(t *testing.T) {
	rows := slices.DeleteFunc(rowsOf(t, "upgrading.md", 2), func(r row) bool { return r.prose })
	if len(rows) < 15 {
		t.Fatalf("%d rows", len(rows))
	}
	run(t, rows)
}

// TestInteropCommands runs the commands of commands.md in the files that the Go is for: those that
// need neither a keyring nor the servers, which are gone.
func TestInteropCommands(t *testing.T) {
	tools := []string{"keytool", "openssl", "ssh-keygen"}
	if !testtool.Has(t, tools...) {
		t.Skip("not without them")
	}
	rows := rowsOf(t, "commands.md", 2)
	world := filepath.Join(run(t, rows), "world")
	n := 0
	for _, r := range rows {
		tool, _, _ := strings.Cut(r.command, " ")
		if !r.isCommand || !slices.Contains(tools, tool) || strings.Contains(r.command, "$") {
			continue
		}
		dir := filepath.Join(t.TempDir(), "world")
		if err := os.CopyFS(dir, os.DirFS(world)); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", r.command)
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %s: %v\n%s", r.name, r.command, err, out)
		}
		n++
	}
	if n < 30 {
		t.Errorf("%d commands", n)
	}
}
