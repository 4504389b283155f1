// Package testtool starts the programs of other projects (openssl, keytool, gpg)
// that tests compare with. It is the only place that looks for them.
//
// Starting them takes most of the time that tests take, so such tests run on
// request: when TRUSTKEEP_INTEROP=1 is set, as .ci/interop does. They are called
// TestInterop..., which is what .ci/interop runs. Benchmarks are requested by
// -bench. A test skips where its tool is missing; with CI=true it fails.
package testtool

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Request is the environment variable that has tools started.
const Request = "TRUSTKEEP_INTEROP"

// bound is how long a tool may take that is not started as a server.
const bound = 2 * time.Minute

// Elsewhere are folders of tools that the PATH of a user may lack, as patterns.
var elsewhere = []string{"/usr/sbin", "/usr/local/sbin", "/opt/trustkeep/usr/sbin", "/usr/lib/postgresql/*/bin"}

// versionOf are the arguments by which a tool prints its version. Tools that
// print none are left out.
var versionOf = map[string][]string{
	"openssl":      {"openssl", "version"},
	"java":         {"java", "-version"},
	"javac":        {"javac", "-version"},
	"keytool":      {"java", "-version"},
	"gpg":          {"gpg", "--version"},
	"sq":           {"sq", "--version"},
	"rnp":          {"rnp", "--version"},
	"certtool":     {"certtool", "--version"},
	"ssh-keygen":   {"ssh", "-V"},
	"ssh":          {"ssh", "-V"},
	"sshd":         {"ssh", "-V"}, // one package of sources; sshd has no such option everywhere
	"nginx":        {"nginx", "-v"},
	"clamd":        {"clamd", "--version"},
	"vsftpd":       {"sh", "-c", "PATH=$PATH:/usr/sbin vsftpd -v 0>&1"}, // it prints to its standard input
	"proftpd":      {"proftpd", "-v"},
	"pure-ftpd":    {"pure-ftpd", "--help"},
	"node":         {"node", "--version"},
	"postgres":     {"postgres", "--version"},
	"mariadbd":     {"mariadbd", "--version"},
	"mosquitto":    {"mosquitto", "-h"},
	"slapd":        {"slapd", "-VV"},
	"postfix":      {"postconf", "mail_version"},
	"nats-server":  {"nats-server", "--version"},
	"redis-server": {"redis-server", "--version"},
}

// versions caches what the tools print, by name: they do not change while tests
// run, and each question starts a process.
var versions sync.Map

// need skips or fails a test that may not start tools.
func need(tb testing.TB) {
	tb.Helper()
	_, benchmark := tb.(*testing.B)
	switch {
	case benchmark:
	case !strings.HasPrefix(tb.Name(), "TestInterop"):
		tb.Fatal("a test that starts tools has to be called TestInterop..., or .ci/interop does not run it")
	case os.Getenv(Request) != "1":
		tb.Skipf("starts tools: set %s=1, as .ci/interop does", Request)
	}
}

// Missing skips a test that lacks something on this machine. With CI=true it
// fails the test.
func Missing(tb testing.TB, format string, args ...any) {
	tb.Helper()
	if os.Getenv("CI") == "true" {
		tb.Fatalf("CI: "+format, args...)
	}
	tb.Skipf(format, args...)
}

func look(name string) (string, error) {
	path, err := exec.LookPath(name)
	for _, dir := range elsewhere {
		found, _ := filepath.Glob(filepath.Join(dir, name)) // the newest last
		if err != nil && len(found) > 0 {
			path, err = exec.LookPath(found[len(found)-1])
		}
	}
	return path, err
}

// Find returns the path of a tool and logs its version. See Missing for a tool
// that is not installed.
func Find(tb testing.TB, name string) string {
	tb.Helper()
	need(tb)
	path, err := look(name)
	if err != nil {
		Missing(tb, "%s is not installed", name)
	}
	if _, known := versions.Load(name); !known {
		version := ask(tb, name)
		versions.Store(name, version)
		tb.Logf("%s: %s", name, version)
	}
	return path
}

// Need finds several tools.
func Need(tb testing.TB, names ...string) {
	tb.Helper()
	for _, name := range names {
		Find(tb, name)
	}
}

// Version returns the line by which a tool says its version, "" if it says none.
func Version(tb testing.TB, name string) string {
	tb.Helper()
	Find(tb, name)
	version, _ := versions.Load(name)
	return version.(string)
}

func ask(tb testing.TB, name string) string {
	args := versionOf[name]
	if len(args) == 0 {
		return ""
	}
	path, err := look(args[0])
	if err != nil {
		return ""
	}
	out, _ := command(tb, bound, path, args...).CombinedOutput()
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	return line
}

// Has reports whether the tools are installed, for a test that can do without.
// With CI=true a missing one fails the test.
func Has(tb testing.TB, names ...string) bool {
	tb.Helper()
	need(tb)
	for _, name := range names {
		if _, err := look(name); err == nil {
			Find(tb, name)
		} else if os.Getenv("CI") == "true" {
			Missing(tb, "%s is not installed", name)
		} else {
			tb.Logf("%s is not installed", name)
			return false
		}
	}
	return true
}

// File returns the path of a file that a package of Debian installs.
func File(tb testing.TB, path, pkg string) string {
	tb.Helper()
	need(tb)
	if _, err := os.Stat(path); err != nil {
		Missing(tb, "%s is not installed (package %s)", path, pkg)
	}
	return path
}

// Command prepares the run of a tool, in English and UTF-8. It is killed when it
// takes longer than two minutes.
func Command(tb testing.TB, name string, args ...string) *exec.Cmd {
	tb.Helper()
	return command(tb, bound, Find(tb, name), append([]string{name}, args...)...)
}

// command makes args[0], the tool's name, into a process that lasts no longer than
// the test, nor than limit unless that is 0.
func command(tb testing.TB, limit time.Duration, path string, args ...string) *exec.Cmd {
	ctx, cancel := context.WithCancel(context.Background())
	if limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, limit)
	}
	tb.Cleanup(cancel)
	name, args := args[0], args[1:]
	cmd := exec.CommandContext(ctx, path, slices.Concat(fast(name), args)...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	cmd.WaitDelay = 5 * time.Second
	cmd.Cancel = func() error {
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			tb.Errorf("%s %q took longer than %v", name, args, limit)
		}
		return cmd.Process.Kill()
	}
	return cmd
}

// Run runs a tool and returns what it prints on standard output and standard
// error. Its failure fails the test.
func Run(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	out, err := Command(tb, name, args...).CombinedOutput()
	if err != nil {
		tb.Fatalf("%s %q: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// Output is Run without standard error, which is shown if the tool fails.
func Output(tb testing.TB, name string, args ...string) string {
	tb.Helper()
	cmd := Command(tb, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		tb.Fatalf("%s %q: %v\n%s%s", name, args, err, out, &stderr)
	}
	return string(out)
}
