package as2_test

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
)

// newServer serves until the test ends, and returns its URL.
func newServer(t testing.TB, h http.Handler) string {
	s := httptest.NewServer(h)
	t.Cleanup(func() {
		s.CloseClientConnections()
		s.Close()
	})
	return s.URL
}

// noGoroutineLeft fails if a goroutine of Partner.Send outlives it.
func noGoroutineLeft(t testing.TB) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	if bytes.Contains(stacks, []byte("as2.(*stage)")) {
		t.Errorf("a goroutine is left:\n%s", stacks)
	}
}

// readLine returns what follows a text in the first line that begins with it.
func readLine(t testing.TB, r io.Reader, text string) string {
	t.Helper()
	lines := bufio.NewScanner(r)
	all := ""
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), text); ok {
			return rest
		}
		all += lines.Text() + "\n"
	}
	t.Fatalf("no line %q in %s", text, all)
	return ""
}
