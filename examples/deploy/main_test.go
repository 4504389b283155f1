package main

import (
	"bytes"
	"context"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

var update = flag.Bool("update", false, "write the tables to testdata")

// TestMain makes the test binary an atom where the story starts one.
func TestMain(m *testing.M) {
	if os.Getenv(atomVariable) != "" {
		os.Exit(runAtom(os.Stdin, os.Stdout, os.Stderr))
	}
	os.Exit(m.Run())
}

// printed runs the command, which has to succeed and to leave nothing behind.
func printed(t *testing.T, args ...string) (table, notes string) {
	t.Helper()
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp) // where os.MkdirTemp works on Unix
	t.Setenv("TMP", temp)    // and on Windows
	var out, errs bytes.Buffer
	if status := run(t.Context(), args, &out, &errs); status != 0 || errs.Len() > 0 {
		t.Fatalf("%d: %s%s", status, &out, &errs)
	}
	left, err := os.ReadDir(temp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	end := regexp.MustCompile(`\n\n\d`).FindStringIndex(out.String())
	if end == nil {
		t.Fatalf("no notes: %s", &out)
	}
	return out.String()[:end[0]+1], out.String()[end[0]+1:]
}

// golden compares a table with the one in testdata, but for its durations.
func golden(t *testing.T, name, table string) {
	t.Helper()
	durations := regexp.MustCompile(`[\d.]+ ms`)
	table = durations.ReplaceAllString(table, "… ms")
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(table), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if table != strings.ReplaceAll(string(want), "\r\n", "\n") {
		t.Errorf("another table than %s, which -update writes:\n%s", path, table)
	}
}

func TestDirectory(t *testing.T) {
	table, notes := printed(t)
	golden(t, "directory.txt", table)
	at := 0
	for _, want := range []string{
		"rule exact: self-signed", "rule chain: self-signed", "ignored global trust", "would accept the server: true",
		"trusted by connection to-a\n   deployed in test\n   frozen in process orders in test",
		"1 of 4 peers of 2 atoms would fail",
		"EICAR test file: rejected",
		"rule exact: expired",
		"a          Partner A  1        frozen in process orders  2027-03-01  true     CN=a.example",
		"the peer may have changed its certificate",
		"-----BEGIN CERTIFICATE REQUEST-----",
	} {
		i := strings.Index(notes[at:], want)
		if i < 0 {
			t.Fatalf("%q is missing from what follows:\n%s", want, notes[at:])
		}
		at += i + len(want)
	}
}

func TestNATS(t *testing.T) {
	table, notes := printed(t, "-nats")
	golden(t, "nats.txt", table)
	if !strings.Contains(notes, "2 of 8 peers of 3 atoms would fail") {
		t.Errorf("%s", notes)
	}
}

func TestEventsArePrinted(t *testing.T) {
	table, _ := printed(t, "-v")
	for _, want := range []string{
		"operator  component created: server-a, private X.509", "operator  component deployed: test, a, public X.509",
		"operator  process deployed: test, orders", "operator  substitution set: production, partner, partner-live", "operator  component changed: a, ",
	} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is missing: %s", want, table)
		}
	}
}

// An outcome other than the expected one is counted, or the program proves nothing.
func TestScannerThatFindsNothing(t *testing.T) {
	blind := trustkeep.ScannerFunc(func(context.Context, string, []byte) error { return nil })
	steps, err := tell(t.Context(), options{scanner: blind, events: new(bytes.Buffer)})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := steps.print(&out); err != nil {
		t.Fatal(err)
	}
	marked := regexp.MustCompile(`import an infected file +rejected, nothing stored +ok  <- differs\n`)
	if steps.differing() != 1 || strings.Count(out.String(), "<- differs") != 1 || !marked.MatchString(out.String()) {
		t.Errorf("%d steps differ:\n%s", steps.differing(), &out)
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{{"x"}, {"-bogus"}, {"-clamd"}} {
		var out, errs bytes.Buffer
		if status := run(t.Context(), args, &out, &errs); status != 2 {
			t.Errorf("%q: %d", args, status)
		}
	}
}

func TestDaemonThatIsDown(t *testing.T) {
	var out, errs bytes.Buffer
	if status := run(t.Context(), []string{"-clamd", filepath.Join(t.TempDir(), "none")}, &out, &errs); status != 1 || strings.Contains(out.String(), "public X.509") {
		t.Errorf("%d: something was imported without a scan: %s%s", status, &out, &errs)
	}
}
