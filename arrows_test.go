package trustkeep_test

import (
	"go/ast"
	"go/token"
	"maps"
	"slices"
	"strings"
	"testing"
)

// mayImport lists, for the packages with a rule, which others of this module they
// may import. All may import the root, internal/... and what is below them.
var mayImport = map[string][]string{
	"keystore":    {},
	"truststore":  {},
	"pgp":         {},
	"component":   {},
	"issue":       {"keystore"},
	"tlsctx":      {"truststore"},
	"tlsctx/ftps": {"tlsctx", "truststore"},
	"sshctx":      {},
	"cms":         {"truststore"},
	"smime":       {"cms", "truststore"},
	"as2":         {"cms", "smime", "truststore"},
	"forecast":    {"tlsctx", "truststore"},
	"revocation":  {"truststore"},
	"clamd":       {},
	"bridge":      {"keystore", "truststore"},
	// Storages know records, not what is in them.
	"environment/dirstore":    {"environment", "environment/watching"},
	"environment/storagetest": {"environment", "environment/watching"},
	"environment/watching":    {"environment"},
	"environment/authority":   {},
}

// onlyFor lists who may import what, tests apart: an import path of this module
// without its beginning, or a whole one.
var onlyFor = map[string][]string{
	"pgp":                                        {"environment", "pkitest/pgptest", "examples/pgp", "examples/deploy"},
	"internal/testpki":                           {"internal/store/javaio/javatest"},
	"internal/testtool":                          {"internal/store/javaio/javatest", "internal/exchanges"},
	"internal/certcases":                         {"examples/strict"},
	"internal/testleak":                          {},
	"internal/testcpu":                           {"internal/testtool"},
	"internal/fips/fipstest":                     {},
	"crypto/fips140":                             {"internal/fips"},
	"internal/testnet":                           {"internal/testtool"},
	"internal/goldentest":                        {},
	"internal/storefile/watchtest":               {},
	"golang.org/x/net/idna":                      {"tlsctx"},
	"golang.org/x/net/proxy":                     {"tlsctx"},
	"github.com/pavlo-v-chernykh/keystore-go/v4": {"bridge"},
	"software.sslmate.com/src/go-pkcs12":         {"bridge"},
}

// testsOnly are the packages that serve tests and so may import what they like.
var testsOnly = []string{"internal/goldentest"}

// The arrows between the packages keep each usable without the others: see
// "Packages" in CONTRIBUTING.md.
func TestPackagesImportOnlyWhatTheyMay(t *testing.T) {
	imports := make(map[string]map[string]bool) // by folder, without its tests
	eachSource(t, func(folder, file string, _ *token.FileSet, tree *ast.File) {
		test := strings.HasSuffix(file, "_test.go")
		for _, spec := range tree.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			name, ours := strings.CutPrefix(path, module+"/")
			if name == "internal/testpki" && (strings.HasPrefix(folder, "examples/") || strings.HasSuffix(file, "example_test.go")) {
				t.Errorf("%s imports %s: examples show pkitest, which users have", file, name)
			}
			if test || slices.Contains(testsOnly, folder) {
				continue
			}
			if imports[folder] == nil {
				imports[folder] = make(map[string]bool)
			}
			imports[folder][name] = true
			external := strings.Contains(strings.SplitN(path, "/", 2)[0], ".")
			if folder == "." && external {
				t.Errorf("%s imports %s: the root imports the standard library alone", file, path)
			}
			if allowed, ok := mayImport[folder]; ok && ours && !slices.Contains(allowed, name) &&
				!strings.HasPrefix(name, "internal/") && !strings.HasPrefix(name, folder+"/") {
				t.Errorf("%s imports %s: %s may import the root, internal/... and %q", file, name, folder, allowed)
			}
			if strings.HasPrefix(folder, "internal/") && ours && !strings.HasPrefix(name, "internal/") {
				t.Errorf("%s imports %s: what is internal knows the root alone", file, name)
			}
			if allowed, ok := onlyFor[name]; ok && !slices.Contains(allowed, folder) && !strings.HasPrefix(folder, name+"/") && folder != "bench" {
				t.Errorf("%s imports %s, which only %q may", file, name, allowed)
			}
		}
	})
	for name := range mayImport {
		if imports[name] == nil {
			t.Errorf("there is a rule about %s, and no such package", name)
		}
	}

	// A program that knows X.509 alone links no OpenPGP.
	for folder := range imports {
		top, _, _ := strings.Cut(folder, "/")
		if isNested(folder) || slices.Contains([]string{"pgp", "environment"}, top) || folder == "pkitest/pgptest" {
			continue
		}
		if way := wayTo(imports, folder, "github.com/ProtonMail/"); way != nil {
			t.Errorf("links OpenPGP: %s", strings.Join(way, " -> "))
		}
	}
}

// wayTo returns the imports that lead from a folder to one with that beginning, nil
// for none.
func wayTo(imports map[string]map[string]bool, from, prefix string) []string {
	seen := map[string]bool{}
	var walk func(string) []string
	walk = func(name string) []string {
		if strings.HasPrefix(name, prefix) {
			return []string{name}
		}
		if name == module {
			name = "."
		}
		if seen[name] {
			return nil
		}
		seen[name] = true
		for _, next := range slices.Sorted(maps.Keys(imports[name])) {
			if way := walk(next); way != nil {
				return append([]string{name}, way...)
			}
		}
		return nil
	}
	return walk(from)
}
