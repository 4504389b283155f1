package main

import (
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/clamd"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// TestInteropClamd has a daemon scan what the story imports, with a signature for the EICAR
// test file.
func TestInteropClamd(t *testing.T) {
	testtool.Need(t, "clamd")
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
	daemon := testtool.Start(t, "clamd", "-c", config)
	socket := filepath.Join(dir, "s")
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for (clamd.Scanner{Address: socket}).Scan(t.Context(), "", []byte("harmless")) != nil {
		select {
		case <-daemon.Ended():
			testtool.Missing(t, "clamd does not run here: %s", daemon.Said())
		case <-tick.C:
		}
	}
	table, notes := printed(t, "-clamd", socket)
	golden(t, "directory.txt", table)
	if !strings.Contains(notes, "Eicar") || strings.Contains(notes, "EICAR test file") {
		t.Errorf("not found by the daemon: %s", notes)
	}
	t.Logf("imports scanned by %s", testtool.Version(t, "clamd"))
}
