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

// nested are the folders with a go.mod of their own.
var nested = []string{"bench", "examples", "natskv"}

// eachSource parses every Go file of this module and calls f with its folder,
// slash-separated and "." for the root.
func eachSource(t *testing.T, f func(folder, file string, fset *token.FileSet, tree *ast.File)) {
	t.Helper()
	fset := token.NewFileSet()
	n := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (slices.Contains(nested, name) || d.Name() == "testdata" || len(name) > 1 && strings.HasPrefix(d.Name(), ".")) {
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

// The arrows between the packages keep each usable without the others: see
// "Packages" in CONTRIBUTING.md.
func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	forbidden := map[string][]string{
		"keystore":   {"truststore", "pgp", "tlsctx", "environment"},
		"truststore": {"keystore", "pgp", "tlsctx", "environment"},
		"pgp":        {"keystore", "truststore", "tlsctx", "environment"},
		"tlsctx":     {"keystore", "pgp", "environment", "forecast"},
		"forecast":   {"keystore", "pgp", "environment"},
		"cms":        {"keystore", "pgp", "tlsctx", "environment"},
		// Storages know records, not what is in them.
		"environment/dirstore":    {"keystore", "truststore", "pgp", "tlsctx"},
		"environment/storagetest": {"keystore", "truststore", "pgp", "tlsctx"},
	}
	eachSource(t, func(folder, file string, _ *token.FileSet, tree *ast.File) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		for _, spec := range tree.Imports {
			imported := strings.Trim(spec.Path.Value, `"`)
			if folder == "." && strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
				t.Errorf("%s imports %s: the root imports the standard library alone", file, imported)
			}
			ours, ok := strings.CutPrefix(imported, module+"/")
			if ok && slices.Contains(forbidden[folder], ours) {
				t.Errorf("%s imports %s", file, imported)
			}
			if imported == module+"/internal/testpki" && folder != "internal/javaio/javatest" {
				t.Errorf("%s imports %s, which is for tests", file, imported)
			}
		}
	})
}

// What reviewers would otherwise have to look for in every change.
func TestSourceRules(t *testing.T) {
	eachSource(t, func(folder, file string, fset *token.FileSet, tree *ast.File) {
		test := strings.HasSuffix(file, "_test.go")
		ast.Inspect(tree, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Name.Name == "init" && n.Recv == nil {
					t.Errorf("%v: func init", fset.Position(n.Pos()))
				}
			case *ast.KeyValueExpr:
				// crypto/tls does not call it when a session resumes.
				if key, ok := n.Key.(*ast.Ident); ok && key.Name == "VerifyPeerCertificate" && !test {
					t.Errorf("%v: VerifyPeerCertificate; use VerifyConnection", fset.Position(n.Pos()))
				}
			case *ast.SelectorExpr:
				if pkg, ok := n.X.(*ast.Ident); ok && pkg.Name == "time" && n.Sel.Name == "Sleep" {
					t.Errorf("%v: time.Sleep", fset.Position(n.Pos()))
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
