package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/clamd"
)

// TestInteropClamd has a daemon scan what the story imports, with a signature for the EICAR
// test file.
func TestInteropClamd(t *testing.T) {
	daemon, err := exec.LookPath("clamd")
	if err != nil {
		daemon = "/usr/sbin/clamd"
		if _, err := os.Stat(daemon); err != nil {
			t.Skip("clamd is not installed")
		}
	}
	dir, err := os.MkdirTemp("", "tk") // a socket's name has room for 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config := filepath.Join(dir, "clamd.conf")
	for path, content := range map[string]string{
		filepath.Join(dir, "test.ndb"): "Eicar:0:0:" + hex.EncodeToString(eicar()) + "\n",
		config:                         fmt.Sprintf("Foreground yes\nDatabaseDirectory %[1]s\nLocalSocket %[1]s/s\nUser root\nSelfCheck 0\nMaxThreads 2\n", dir),
	} {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, daemon, "-c", config)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { cmd.Wait(); close(ended) }()
	t.Cleanup(func() { stop(); <-ended })
	socket := filepath.Join(dir, "s")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for (clamd.Scanner{Address: socket}).Scan(t.Context(), "", []byte("harmless")) != nil {
		select {
		case <-ended:
			t.Skipf("clamd does not run here: %s", &said)
		case <-tick.C:
		}
	}
	table, notes := printed(t, "-clamd", socket)
	golden(t, "directory.txt", table)
	if !strings.Contains(notes, "Eicar") || strings.Contains(notes, "EICAR test file") {
		t.Errorf("not found by the daemon: %s", notes)
	}
	version, err := exec.Command(daemon, "--version").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("imports scanned by %s", version)
}
