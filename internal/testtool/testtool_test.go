package testtool

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

// observed is a test whose end is recorded.
type observed struct {
	testing.TB
	name, end string
}

func (o *observed) Name() string { return o.name }
func (o *observed) Helper()      {}
func (o *observed) Skipf(format string, args ...any) {
	o.end = "skipped: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}
func (o *observed) Fatal(args ...any) { o.Fatalf("%s", fmt.Sprint(args...)) }
func (o *observed) Fatalf(format string, args ...any) {
	o.end = "failed: " + fmt.Sprintf(format, args...)
	runtime.Goexit()
}

// end returns how a test of that name ends that calls f.
func end(t *testing.T, name string, f func(testing.TB)) string {
	o := &observed{TB: t, name: name}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(o)
	}()
	<-done
	return o.end
}

func TestToolsAreStartedOnRequest(t *testing.T) {
	const absent = "trustkeep-no-such-tool"
	find := func(tb testing.TB) { Find(tb, absent) }
	for _, c := range []struct{ name, request, ci, want string }{
		{"TestInteropX", "", "", "skipped: starts tools: set TRUSTKEEP_INTEROP=1"},
		{"TestInteropX", "", "true", "skipped: starts tools"},
		{"TestInteropX", "1", "", "skipped: " + absent + " is not installed"},
		{"TestInteropX/sub", "1", "true", "failed: CI: " + absent + " is not installed"},
		{"TestX", "1", "", "failed: a test that starts tools has to be called TestInterop"},
		{"TestX", "", "", "failed: a test that starts tools has to be called TestInterop"},
	} {
		t.Setenv(Request, c.request)
		t.Setenv("CI", c.ci)
		if got := end(t, c.name, find); !strings.HasPrefix(got, c.want) {
			t.Errorf("%s, request %q, CI %q: %s", c.name, c.request, c.ci, got)
		}
	}
	t.Setenv(Request, "1")
	t.Setenv("CI", "true")
	for what, f := range map[string]func(testing.TB){
		"Has":  func(tb testing.TB) { Has(tb, absent) },
		"Need": func(tb testing.TB) { Need(tb, absent) },
		"File": func(tb testing.TB) { File(tb, filepath.Join(t.TempDir(), absent), "none") },
	} {
		if got := end(t, "TestInteropX", f); !strings.HasPrefix(got, "failed: CI: ") {
			t.Errorf("%s: %s", what, got)
		}
	}
}

func TestInteropJava(t *testing.T) {
	source := filepath.Join(t.TempDir(), "Hello.java")
	code := `class Hello { public static void main(String[] args) { System.out.print("hello " + args[0]); } }`
	if err := os.WriteFile(source, []byte(code), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	for range 2 {
		if got := Java(t, source, nil, "there"); got != "hello there" {
			t.Errorf("%q", got)
		}
	}
	if kept, err := filepath.Glob(filepath.Join(os.Getenv("XDG_CACHE_HOME"), "*", "*")); err != nil || len(kept) != 1 {
		t.Errorf("kept %q, %v", kept, err)
	}
}

func TestInteropServer(t *testing.T) {
	s := Start(t, "openssl", "s_server", "-accept", "127.0.0.1:0", "-nocert")
	if line := s.Line("ACCEPT "); !strings.HasPrefix(line, "ACCEPT 127.0.0.1:") {
		t.Errorf("%q", line)
	}
	s = Start(t, "openssl", "no-such-command")
	<-s.Ended()
	o := end(t, "TestInteropX", func(tb testing.TB) { s.tb = tb; s.Line("ACCEPT ") })
	if !strings.HasPrefix(o, "failed: openssl ended without saying") || !strings.Contains(o, "no-such-command") {
		t.Errorf("%s", o)
	}
}
