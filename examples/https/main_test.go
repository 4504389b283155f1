package main

import (
	"os"
	"strings"
	"testing"
)

func TestRun(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp) // where os.MkdirTemp works on Unix
	t.Setenv("TMP", temp)    // and on Windows
	var out strings.Builder
	if err := run(&out); err != nil {
		t.Errorf("%v", err)
	}
	t.Log(out.String())
	for _, want := range []string{
		"no trust", "A is deployed", "trusts B", "intermediate", "wrong host name", "mutual TLS",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the report does not mention %q", want)
		}
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// An outcome other than the expected one is an error, or the program proves
// nothing.
func TestReportFailsOnDifference(t *testing.T) {
	var out strings.Builder
	if err := report(&out, []attempt{{name: "nothing there", want: "ok"}}); err == nil {
		t.Error("no error")
	}
	if !strings.Contains(out.String(), "<- differs") {
		t.Errorf("not marked: %s", out.String())
	}
}
