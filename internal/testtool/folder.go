package testtool

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Folder runs tools in a temporary folder of its own.
type Folder struct {
	Dir string
	tb  testing.TB
}

// NewFolder makes a folder for a tool, which must be there; see Find.
func NewFolder(tb testing.TB, tool string) Folder {
	tb.Helper()
	Find(tb, tool)
	return Folder{tb.TempDir(), tb}
}

// Run runs a tool in the folder and returns what it prints. Its failure ends the test.
func (f Folder) Run(tool string, args ...string) string {
	f.tb.Helper()
	cmd := Command(f.tb, tool, args...)
	cmd.Dir = f.Dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.tb.Fatalf("%s %s: %v\n%s", tool, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// Write writes a file of the folder.
func (f Folder) Write(name string, data []byte) {
	f.tb.Helper()
	if err := os.WriteFile(filepath.Join(f.Dir, name), data, 0o600); err != nil {
		f.tb.Fatal(err)
	}
}

// Read reads a file of the folder.
func (f Folder) Read(name string) []byte {
	f.tb.Helper()
	data, err := os.ReadFile(filepath.Join(f.Dir, name))
	if err != nil {
		f.tb.Fatal(err)
	}
	return data
}
