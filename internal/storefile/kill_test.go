//go:build unix

package storefile

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// secretText is what a killed stream must not leave before it is vouched for.
var secretText = bytes.Repeat([]byte("plaintext of the message "), 8<<10)

const (
	envKillPath = "TRUSTKEEP_TEST_KILL_PATH"
	envKillMode = "TRUSTKEEP_TEST_KILL_MODE"
)

// streamUntilKilled is the process that is to be killed. It names each call, waits for a
// line before it goes on, and says when write has vouched for the content.
func streamUntilKilled() {
	in := bufio.NewReader(os.Stdin)
	stop := func(call string) error {
		fmt.Println(call)
		_, err := in.ReadString('\n')
		return err
	}
	r := newRecorder(stop)
	switch mode := os.Getenv(envKillMode); mode {
	case "spool":
		r.spool = true
	case "no proc":
		r.noProc = true
	}
	err := Stream(os.Getenv(envKillPath), Options{calls: r}, func(w io.Writer) error {
		for chunk := range slices.Chunk(secretText, 50<<10) {
			if _, err := w.Write(chunk); err != nil {
				return err
			}
		}
		return stop("authenticated")
	})
	if err != nil {
		fmt.Println("failed:", err)
		os.Exit(1)
	}
	stop("end")
}

// TestKilledStream kills a stream before each of its calls, and looks at what is there.
// The test binary itself is the writer.
func TestKilledStream(t *testing.T) {
	if os.Getenv(envKillPath) != "" {
		streamUntilKilled()
		return
	}
	for _, mode := range []string{"unnamed", "no proc", "spool"} {
		t.Run(mode, func(t *testing.T) {
			if mode != "spool" && !hasUnnamed(t.TempDir()) {
				t.Skip("no files without names here")
			}
			for step, end := 0, false; !end; step++ {
				dir := t.TempDir()
				path := filepath.Join(dir, "message")
				replaces := step%2 == 0
				if replaces {
					if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				calls := killAt(t, path, mode, step)
				last := calls[len(calls)-1]
				end = last == "end"
				authenticated, renamed := false, false
				for _, c := range calls[:len(calls)-1] { // the last was not made
					authenticated = authenticated || c == "authenticated"
					renamed = renamed || strings.HasPrefix(c, "rename")
				}
				checkLeft(t, path, fmt.Sprintf("killed before %q", last), replaces, authenticated, renamed)

				if err := Write(path, []byte("next"), Options{}); err != nil {
					t.Fatal(err)
				}
				onlyFile(t, path) // the next writer has removed what was left
			}
		})
	}
}

// killAt kills a stream when it has named its call number step, and returns the calls.
func killAt(t *testing.T, path, mode string, step int) (calls []string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledStream$")
	cmd.Env = append(os.Environ(), envKillPath+"="+path, envKillMode+"="+mode)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		calls = append(calls, lines.Text())
		if len(calls) > step || lines.Text() == "end" || strings.HasPrefix(lines.Text(), "failed") {
			break
		}
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
	if len(calls) == 0 || strings.HasPrefix(calls[len(calls)-1], "failed") {
		t.Fatalf("the writer said %q", calls)
	}
	return calls
}

func checkLeft(t *testing.T, path, when string, replaced, authenticated, renamed bool) {
	t.Helper()
	switch got, err := os.ReadFile(path); {
	case renamed && !bytes.Equal(got, secretText):
		t.Errorf("%s: renamed, and the file holds %d bytes, %v", when, len(got), err)
	case !renamed && replaced && string(got) != "old":
		t.Errorf("%s: the file holds %d bytes, %v", when, len(got), err)
	case !renamed && !replaced && !os.IsNotExist(err):
		t.Errorf("%s: there is a file already", when)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if e.Name() == filepath.Base(path) {
			continue
		}
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if !IsTemp(e.Name()) || info.Mode() != 0o600 {
			t.Errorf("%s: left %s, %v", when, e.Name(), info.Mode())
		}
		left := readString(filepath.Join(filepath.Dir(path), e.Name()))
		if !authenticated && strings.Contains(left, "plaintext") {
			t.Errorf("%s: left plaintext that nobody vouched for", when)
		}
	}
}

// TestSpoolIsEncrypted looks into a spool that keeps its name, as on systems that cannot
// remove the name of an open file.
func TestSpoolIsEncrypted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "message")
	r := newRecorder(nil)
	r.spool = true
	looked := 0
	err := Stream(path, Options{calls: keepsNames{r, new(bool)}}, func(w io.Writer) error {
		for _, size := range []int{0, 1, segmentSize - 1, segmentSize, 2*segmentSize + 1, 100} {
			if _, err := w.Write(bytes.Repeat([]byte("plaintext "), size)[:size]); err != nil {
				return err
			}
		}
		entries, err := os.ReadDir(filepath.Dir(path))
		if err != nil {
			return err
		}
		for _, e := range entries {
			text := readString(filepath.Join(filepath.Dir(path), e.Name()))
			if len(text) < segmentSize || strings.Contains(text, "plaintext") || !IsTemp(e.Name()) {
				t.Errorf("%s: %d bytes", e.Name(), len(text))
			}
			looked++
		}
		return nil
	})
	if err != nil || looked != 1 {
		t.Fatal(err, looked)
	}
	if got := readString(path); len(got) != 1+segmentSize-1+segmentSize+2*segmentSize+1+100 {
		t.Errorf("%d bytes", len(got))
	}
	onlyFile(t, path)
}

// keepsNames cannot remove the name of a spool that was just made.
type keepsNames struct {
	recorder
	open *bool
}

func (k keepsNames) create(name string) (file, error) {
	*k.open = base(name) == "spool"
	return k.recorder.create(name)
}

func (k keepsNames) remove(name string) error {
	if base(name) == "spool" && *k.open {
		*k.open = false
		return os.ErrPermission
	}
	return k.recorder.remove(name)
}

// TestChangedSpool changes the encrypted file while it is written.
func TestChangedSpool(t *testing.T) {
	path := filepath.Join(t.TempDir(), "message")
	r := newRecorder(nil)
	r.spool = true
	err := Stream(path, Options{calls: keepsNames{r, new(bool)}}, func(w io.Writer) error {
		if _, err := w.Write(secretText); err != nil {
			return err
		}
		f, err := os.OpenFile(spoolName(path, 0), os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		defer f.Close()
		_, err = f.WriteAt([]byte{0, 1, 2, 3}, 1000)
		return err
	})
	if err == nil || !strings.Contains(err.Error(), "corrupt") {
		t.Errorf("%v", err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(path)); len(entries) != 0 {
		t.Errorf("left %v", entries)
	}
}
