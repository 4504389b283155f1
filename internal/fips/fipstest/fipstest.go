// Package fipstest runs tests in the FIPS modes of Go.
package fipstest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/internal/fips"
)

// Only runs the calling test again in a process of its own, under
// GODEBUG=fips140=only, and reports whether this already is that process:
//
//	if !fipstest.Only(t) {
//		return
//	}
//
// The test fails where the other process fails. environment is passed to that
// process, as "NAME=value".
func Only(t *testing.T, environment ...string) bool {
	t.Helper()
	if fips.Enforced() {
		return true
	}
	again(t, "only", environment)
	return false
}

// On is Only for GODEBUG=fips140=on, and for a process that is in either mode.
func On(t *testing.T, environment ...string) bool {
	t.Helper()
	if fips.Enabled() {
		return true
	}
	again(t, "on", environment)
	return false
}

// again runs the calling test in that mode.
func again(t *testing.T, mode string, environment []string) {
	t.Helper()
	command := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v")
	command.Env = append(append(os.Environ(), "GODEBUG=fips140="+mode), environment...)
	out, err := command.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("under GODEBUG=fips140=%s: %v\n%s", mode, err, out)
	}
}

// Unapproved skips a test that needs an algorithm which is not approved.
func Unapproved(t testing.TB, algorithm string) {
	t.Helper()
	if fips.Enforced() {
		t.Skipf("%s is not approved while GODEBUG=fips140=only", algorithm)
	}
}
