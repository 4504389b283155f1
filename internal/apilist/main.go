// Command apilist writes the exported API of each public package to api/*.txt, one
// line for each name, field and method, and prints how many there are. With -check
// it compares instead, and fails if a list differs from the code.
//
//	go run ./internal/apilist
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

const module = "github.com/trustkeep/trustkeep"

const folder = "api"

func main() {
	check := flag.Bool("check", false, "compare with the lists instead of writing them")
	flag.Parse()
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = []string{"./...", "./natskv/...", "./pgstore/..."}
	}
	if err := run(os.Stdout, *check, patterns); err != nil {
		fmt.Fprintln(os.Stderr, "apilist:", err)
		os.Exit(1)
	}
}

func run(w io.Writer, check bool, patterns []string) error {
	packages, err := load(patterns)
	if err != nil {
		return err
	}
	lists := make(map[string]string)
	names, all := 0, 0
	for _, p := range packages {
		l := list(p)
		names, all = names+l.names, all+len(l.lines)
		lists[fileOf(p.Path())] = l.String()
		fmt.Fprintf(w, "%-24s %4d names, %4d with fields and methods\n", nameOf(p.Path()), l.names, len(l.lines))
	}
	fmt.Fprintf(w, "%-24s %4d names, %4d with fields and methods\n", fmt.Sprintf("%d packages", len(packages)), names, all)
	if !check {
		return write(lists)
	}
	return compare(w, lists)
}

func nameOf(path string) string {
	if path == module {
		return "trustkeep"
	}
	return strings.TrimPrefix(path, module+"/")
}

func fileOf(path string) string { return strings.ReplaceAll(nameOf(path), "/", "-") + ".txt" }

// load type-checks the public packages by what the compiler exports of them.
func load(patterns []string) ([]*types.Package, error) {
	cmd := exec.Command("go", append([]string{"list", "-export", "-deps", "-json=ImportPath,Name,Export,DepOnly"}, patterns...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("go list: %w", err)
	}
	exports := make(map[string]string)
	var public []string
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var p struct {
			ImportPath, Name, Export string
			DepOnly                  bool
		}
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
		exports[p.ImportPath] = p.Export
		// A folder of tests alone exports nothing.
		if !p.DepOnly && p.Name != "main" && p.Export != "" && !slices.Contains(strings.Split(p.ImportPath, "/"), "internal") {
			public = append(public, p.ImportPath)
		}
	}
	slices.Sort(public)
	imports := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})
	var packages []*types.Package
	for _, path := range public {
		p, err := imports.Import(path)
		if err != nil {
			return nil, err
		}
		packages = append(packages, p)
	}
	return packages, nil
}

func write(lists map[string]string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	for _, old := range files() {
		if err := os.Remove(old); err != nil {
			return err
		}
	}
	for name, text := range lists {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func files() []string {
	names, _ := filepath.Glob(filepath.Join(folder, "*.txt")) // the pattern is good
	return names
}

// compare prints the lines that were added and removed.
func compare(w io.Writer, lists map[string]string) error {
	old := make(map[string]string)
	for _, path := range files() {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		old[filepath.Base(path)] = string(data)
	}
	differ := false
	for name := range lists {
		if _, ok := old[name]; !ok {
			old[name] = ""
		}
	}
	for name := range old {
		for _, d := range []struct{ sign, these, those string }{{"-", old[name], lists[name]}, {"+", lists[name], old[name]}} {
			those := strings.Split(d.those, "\n")
			for line := range strings.Lines(d.these) {
				if !slices.Contains(those, strings.TrimSuffix(line, "\n")) {
					fmt.Fprintf(w, "%s: %s%s", name, d.sign, line)
					differ = true
				}
			}
		}
	}
	if differ {
		return fmt.Errorf("the API is not what %s/*.txt lists: go run ./internal/apilist, and look at the difference", folder)
	}
	return nil
}
