package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestErrorsAreListed: errors.md has every code and sentinel that is exported, and no other, with the
// codes that they have.
func TestErrorsAreListed(t *testing.T) {
	lists, err := filepath.Glob("../api/*.txt")
	if err != nil || len(lists) < 20 {
		t.Fatalf("%d lists, %v", len(lists), err)
	}
	code := regexp.MustCompile(`(?m)^const (\w+) trustkeep\.Code = "(.*)"$`)
	sentinel := regexp.MustCompile(`(?m)^var (Err\w+) error$`)
	want := make(map[string]string) // code, or nothing for a sentinel, by name
	for _, path := range lists {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		pkg := strings.TrimSuffix(filepath.Base(path), ".txt")
		pkg = pkg[strings.LastIndexByte(pkg, '-')+1:]
		for _, m := range code.FindAllSubmatch(text, -1) {
			want[pkg+"."+string(m[1])] = string(m[2])
		}
		for _, m := range sentinel.FindAllSubmatch(text, -1) {
			want[pkg+"."+string(m[1])] = ""
		}
	}
	if len(want) < 150 {
		t.Fatalf("%d names", len(want))
	}

	text, err := os.ReadFile("errors.md")
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([\\w.]+)` \\| `([^`]+)` \\| ([^|]+) \\| ([^|]+) \\|$")
	listed := make(map[string]bool)
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		value, ok := want[m[1]]
		switch {
		case !ok:
			t.Errorf("%s does not exist", m[1])
		case value != "" && value != m[2]:
			t.Errorf("%s is %q, not %q", m[1], value, m[2])
		case listed[m[1]]:
			t.Errorf("%s is listed twice", m[1])
		}
		listed[m[1]] = true
	}
	for name := range want {
		if !listed[name] {
			t.Errorf("%s is not listed", name)
		}
	}
}
