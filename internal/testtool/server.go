package testtool

import (
	"bufio"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
)

// Server is a tool that runs until the test ends.
type Server struct {
	Stdin io.Writer // ends with the test
	tb    testing.TB
	name  string
	lines chan string
	ended chan struct{}

	mu   sync.Mutex
	said strings.Builder
}

// Start starts a tool that is to run until the test ends. What it prints is logged
// if the test fails.
func Start(tb testing.TB, name string, args ...string) *Server {
	tb.Helper()
	cmd := command(tb, 0, Find(tb, name), append([]string{name}, args...)...)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		tb.Fatal(err)
	}
	out, in, err := os.Pipe()
	if err != nil {
		tb.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = in, in
	err = cmd.Start()
	in.Close()
	if err != nil {
		out.Close()
		tb.Fatal(err)
	}
	s := &Server{Stdin: stdin, tb: tb, name: name, lines: make(chan string, 100), ended: make(chan struct{})}
	go s.read(out)
	tb.Cleanup(func() {
		stdin.Close()
		cmd.Process.Kill()
		cmd.Wait()
		out.Close() // children of the tool may hold the other end
		<-s.ended
		if tb.Failed() {
			tb.Logf("%s: %s", name, s.Said())
		}
	})
	return s
}

func (s *Server) read(out io.Reader) {
	defer close(s.ended)
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		s.mu.Lock()
		s.said.WriteString(lines.Text() + "\n")
		s.mu.Unlock()
		select {
		case s.lines <- lines.Text():
		default: // nobody waits for a line
		}
	}
	close(s.lines)
}

// Ended is closed when the tool has ended.
func (s *Server) Ended() <-chan struct{} { return s.ended }

// Said returns what the tool has printed on standard output and standard error.
func (s *Server) Said() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.said.String()
}

// Line returns the next line of standard output or standard error that contains
// one of the texts. The end of the tool before that fails the test.
func (s *Server) Line(texts ...string) string {
	s.tb.Helper()
	for line := range s.lines {
		for _, text := range texts {
			if strings.Contains(line, text) {
				return line
			}
		}
	}
	s.tb.Fatalf("%s ended without saying %q: %s", s.name, texts, s.Said())
	return ""
}
