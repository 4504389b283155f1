package clamd

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

var _ trustkeep.Scanner = Scanner{}

// fake answers connections with what answer makes of the content; an
// error hangs up at once.
func fake(t *testing.T, answer func(content []byte) (string, error)) Scanner {
	t.Helper()
	address := testnet.Serve(t, func(conn net.Conn) {
		content, err := instream(conn)
		if err != nil {
			t.Error(err)
		}
		if said, err := answer(content); err == nil {
			io.WriteString(conn, said)
		}
	})
	return Scanner{Network: "tcp", Address: address, Timeout: 20 * time.Second}
}

func instream(r io.Reader) ([]byte, error) {
	command := make([]byte, len("zINSTREAM\x00"))
	if _, err := io.ReadFull(r, command); err != nil || string(command) != "zINSTREAM\x00" {
		return nil, fmt.Errorf("%q, %v", command, err)
	}
	var content []byte
	for {
		var length [4]byte
		if _, err := io.ReadFull(r, length[:]); err != nil {
			return nil, err
		}
		n := binary.BigEndian.Uint32(length[:])
		if n == 0 {
			return content, nil
		}
		chunk := make([]byte, n)
		if _, err := io.ReadFull(r, chunk); err != nil {
			return nil, err
		}
		content = append(content, chunk...)
	}
}

func TestOnlyTheExactAnswerIsClean(t *testing.T) {
	for answer, want := range map[string]error{
		"stream: OK\x00":                nil,
		"stream: OK":                    trustkeep.ErrCorrupt, // cut
		"stream: OK\n":                  trustkeep.ErrCorrupt,
		"stream: ok\x00":                trustkeep.ErrCorrupt,
		"stream: OK \x00":               trustkeep.ErrCorrupt,
		"OK\x00":                        trustkeep.ErrCorrupt,
		"1: stream: OK\x00":             trustkeep.ErrCorrupt,
		"stream: OK\x00stream: OK\x00":  trustkeep.ErrCorrupt,
		"\x00":                          trustkeep.ErrCorrupt,
		"":                              trustkeep.ErrCorrupt,
		"stream: Eicar FOUND\x00":       trustkeep.ErrRejected,
		"stream: evil\x1b[2J FOUND\x00": trustkeep.ErrRejected,
		"INSTREAM size limit exceeded. ERROR\x00":     trustkeep.ErrRejected,
		"UNKNOWN COMMAND\x00":                         trustkeep.ErrCorrupt,
		strings.Repeat("x", maxAnswer+10) + "\x00":    trustkeep.ErrCorrupt,
		strings.Repeat("x", maxAnswer) + " FOUND\x00": trustkeep.ErrCorrupt,
	} {
		err := fake(t, func([]byte) (string, error) { return answer, nil }).Scan(t.Context(), "file", []byte("content"))
		if !errors.Is(err, want) || want == nil && err != nil {
			t.Errorf("%.40q: %v", answer, err)
		}
		if err != nil && strings.Contains(err.Error(), "\x1b") {
			t.Errorf("%q", err)
		}
	}
}

func TestContentArrivesWhole(t *testing.T) {
	for _, n := range []int{0, 1, chunkSize, chunkSize + 1, 5 * chunkSize} {
		content := bytes.Repeat([]byte("x"), n)
		var got []byte
		if err := fake(t, func(c []byte) (string, error) { got = c; return "stream: OK\x00", nil }).Scan(t.Context(), "", content); err != nil || !bytes.Equal(got, content) {
			t.Errorf("%d bytes: %d, %v", n, len(got), err)
		}
	}
}

func TestNoVerdict(t *testing.T) {
	if err := fake(t, func([]byte) (string, error) { return "", io.EOF }).Scan(t.Context(), "", nil); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("hung up: %v", err)
	}
	s := fake(t, nil)
	s.MaxSize = 3
	if err := s.Scan(t.Context(), "", []byte("four")); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("too long: %v", err)
	}
	down := Scanner{Address: filepath.Join(t.TempDir(), "nobody")}
	if err := down.Scan(t.Context(), "", nil); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("down: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	release := make(chan struct{})
	silent := fake(t, func([]byte) (string, error) { cancel(); <-release; return "stream: OK\x00", nil })
	if err := silent.Scan(ctx, "", nil); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	close(release)
}

// TestInteropClamd starts a daemon with a signature of its own.
func TestInteropClamd(t *testing.T) {
	testtool.Need(t, "clamd")
	dir, err := os.MkdirTemp("", "tk") // a socket's name has room for 108 bytes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	put := func(name, content string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	marker := "TRUSTKEEP-TEST-MARKER-FOR-SCANNERS"
	put("test.ndb", "Test.Marker:0:*:"+hex.EncodeToString([]byte(marker))+"\n")
	put("clamd.conf", fmt.Sprintf("Foreground yes\nDatabaseDirectory %[1]s\nLocalSocket %[1]s/s\nUser root\nStreamMaxLength 1M\nSelfCheck 0\nMaxThreads 2\n", dir))
	daemon := testtool.Start(t, "clamd", "-c", filepath.Join(dir, "clamd.conf"))
	s := Scanner{Address: filepath.Join(dir, "s")}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if err = s.Scan(t.Context(), "", []byte("harmless")); err == nil {
			break
		}
		select {
		case <-daemon.Ended():
			testtool.Missing(t, "clamd does not run here: %s", daemon.Said())
		case <-tick.C:
		}
	}
	if err := s.Scan(t.Context(), "partner.cer", []byte("before "+marker+" after")); !errors.Is(err, trustkeep.ErrRejected) || !strings.Contains(err.Error(), "Test.Marker") {
		t.Errorf("%v", err)
	}
	if err := s.Scan(t.Context(), "", make([]byte, 2<<20)); !errors.Is(err, trustkeep.ErrRejected) || !strings.Contains(err.Error(), "size limit") {
		// The daemon may hang up before its answer is read.
		if err == nil {
			t.Error("2 MiB of 1 were found clean")
		}
		t.Logf("beyond StreamMaxLength: %v", err)
	}
	if err := s.Scan(t.Context(), "", bytes.Repeat([]byte("harmless "), 50_000)); err != nil {
		t.Error(err)
	}
}

func TestWrongCallIsInvalid(t *testing.T) {
	for name, s := range map[string]Scanner{"network": {Network: "carrier pigeon"}, "timeout": {Timeout: -1}, "size": {MaxSize: -1}} {
		if err := s.Scan(t.Context(), "x", []byte("content")); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
