package pgstore

import (
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

// server is a PostgreSQL of the test's own, behind a socket in its folder.
type server struct {
	t       testing.TB
	folder  string
	owner   testtool.Owner
	more    []string // arguments
	runs    bool
	schemas atomic.Int32
}

// start makes a server and starts it.
func start(t testing.TB, more ...string) *server {
	s := newServer(t, more...)
	s.run("initdb", "-D", s.data(), "-U", "me", "-A", "trust", "--no-sync", "-E", "UTF8", "--locale=C")
	s.begin()
	return s
}

func newServer(t testing.TB, more ...string) *server {
	// Sockets have short names, and the owner has to reach the folder.
	folder, err := os.MkdirTemp("", "pgstore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(folder) })
	s := &server{t: t, folder: folder, owner: testtool.OwnerInRootsPlace("postgres"), more: more}
	s.owner.Give(t, folder)
	return s
}

func (s *server) data() string { return filepath.Join(s.folder, "data") }

// write makes a file of the server's.
func (s *server) write(name, content string) string {
	s.t.Helper()
	path := filepath.Join(s.folder, name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.owner.Give(s.t, path)
	return path
}

func (s *server) run(tool string, args ...string) {
	s.t.Helper()
	args = s.owner.Args(s.t, tool, args...)
	cmd := testtool.Command(s.t, args[0], args[1:]...)
	cmd.Dir = s.folder
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%q: %v\n%s", args, err, out)
	}
}

// begin starts the server, again if it was stopped.
func (s *server) begin() {
	s.t.Helper()
	args := append([]string{"-D", s.data(), "-c", "listen_addresses=", "-c", "unix_socket_directories=" + s.folder, "-c", "fsync=off", "-c", "max_connections=200"}, s.more...)
	args = s.owner.Args(s.t, "postgres", args...)
	process := testtool.Start(s.t, args[0], args[1:]...)
	s.runs = true
	s.t.Cleanup(func() { s.stop("immediate") }) // else its processes outlive it
	process.Line("ready to accept ")
}

// stop stops the server in a mode of pg_ctl.
func (s *server) stop(mode string) {
	if s.runs {
		s.runs = false
		s.run("pg_ctl", "stop", "-D", s.data(), "-m", mode)
	}
}
