package trustkeep_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/trustkeep/trustkeep"

// isNested reports whether a folder belongs to a module of its own.
func isNested(folder string) bool {
	top, _, _ := strings.Cut(folder, "/")
	return slices.Contains([]string{"bench", "examples", "natskv", "pgstore"}, top)
}

// eachSource parses every Go file of this module, and of those that are nested in
// it, and calls f with its folder, slash-separated and "." for the root.
func eachSource(t *testing.T, f func(folder, file string, fset *token.FileSet, tree *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	n := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (d.Name() == "testdata" || len(name) > 1 && strings.HasPrefix(d.Name(), ".")) {
			return fs.SkipDir
		}
		if !d.Type().IsRegular() || !strings.HasSuffix(name, ".go") {
			return nil
		}
		tree, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		n++
		f(path.Dir(filepath.ToSlash(name)), filepath.ToSlash(name), fset, tree)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if n == 0 {
		t.Fatal("no source file found")
	}
}

// What reviewers would otherwise have to look for in every change.
func TestSourceRules(t *testing.T) {
	eachSource(t, func(folder, file string, fset *token.FileSet, tree *ast.File) {
		test := strings.HasSuffix(file, "_test.go")
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil && !isNested(folder) {
					t.Errorf("%v: func init", fset.Position(n.Pos()))
				}
			case *ast.KeyValueExpr:
				// crypto/tls does not call it when a session resumes.
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "VerifyPeerCertificate" && !test {
					t.Errorf("%v: VerifyPeerCertificate; use VerifyConnection", fset.Position(n.Pos()))
				}
			case *ast.CallExpr:
				fun, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || folder == "internal/testtool" || fun.Sel.Name != "Command" && fun.Sel.Name != "CommandContext" {
					break
				}
				if pkg, ok := fun.X.(*ast.Ident); !ok || pkg.Name != "exec" {
					break
				}
				program := n.Args[0]
				if fun.Sel.Name == "CommandContext" {
					program = n.Args[1]
				}
				if name, ok := program.(*ast.BasicLit); ok && name.Value != `"go"` && name.Value != `"sh"` {
					t.Errorf("%v: exec.%s of %s; tools are started by internal/testtool", fset.Position(n.Pos()), fun.Sel.Name, name.Value)
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && n.Sel.Name == "Sleep" && !isNested(folder) {
					t.Errorf("%v: time.Sleep", fset.Position(n.Pos()))
				}
				if pkg, ok := n.X.(*ast.Ident); ok && !test && !isNested(folder) && pkg.Name == "os" && slices.Contains([]string{"CreateTemp", "Rename"}, n.Sel.Name) &&
					folder != "internal/storefile" && folder != "internal/testtool" {
					t.Errorf("%v: os.%s; files are written by internal/storefile", fset.Position(n.Pos()), n.Sel.Name)
				}
				if n.Sel.Name == "CreateTemp" && !test {
					t.Errorf("%v: CreateTemp; files are written by internal/storefile", fset.Position(n.Pos()))
				}
				if n.Sel.Name == "LookPath" && folder != "internal/testtool" {
					t.Errorf("%v: LookPath; tools are started by internal/testtool", fset.Position(n.Pos()))
				}
				if n.Sel.Name == "VerifyPeerCertificate" && !test {
					t.Errorf("%v: VerifyPeerCertificate; use VerifyConnection", fset.Position(n.Pos()))
				}
			}
			return true
		})
	})
}
