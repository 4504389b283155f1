package environment_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// Each line of docs/environment.md about who can do what names the tests that hold it. They exist.
func TestDocumentedTestsExist(t *testing.T) {
	page := check(os.ReadFile("../docs/environment.md"))(t)
	var code strings.Builder
	for _, file := range check(filepath.Glob("*_test.go"))(t) {
		code.Write(check(os.ReadFile(file))(t))
	}
	names := regexp.MustCompile("`(Test[A-Za-z]+)`").FindAllStringSubmatch(string(page), -1)
	for _, m := range names {
		if !strings.Contains(code.String(), "func "+m[1]+"(") {
			t.Errorf("there is no test %s", m[1])
		}
	}
	if len(names) < 10 {
		t.Errorf("%d tests are named", len(names))
	}
}
