// Command exchanges prints a line for each server and client of other projects that the
// interop tests exchanged something with: the verdict, the version, and what it was. It
// reads what testtool.Exchange wrote to the file that it is given, and exits with 1 if
// anything failed, or, where CI=true, if any peer or mode is missing that is expected.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep/internal/testtool"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: exchanges FILE")
		os.Exit(2)
	}
	f, err := os.Open(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, "exchanges:", err)
		os.Exit(1)
	}
	defer f.Close()
	ok, err := table(os.Stdout, f, os.Getenv("CI") == "true")
	if err != nil {
		fmt.Fprintln(os.Stderr, "exchanges:", err)
	}
	if !ok || err != nil {
		os.Exit(1)
	}
}

// expected is a peer with the modes in which it has to be tried.
type expected struct {
	peer  string
	modes []string
}

var (
	ftpModes = []string{"TLS 1.2 explicit", "TLS 1.2 implicit", "TLS 1.3 explicit", "TLS 1.3 implicit"}
	peers    = []expected{
		{"vsftpd", ftpModes},
		{"proftpd", ftpModes},
		{"pure-ftpd", []string{"TLS 1.2 explicit", "TLS 1.3 explicit"}},
		{"sshd", []string{"files", "identities", "host keys"}},
		{"ssh", []string{"client"}},
		{"libas2", []string{"receives", "sends"}},
		{"openssl", []string{"S/MIME", "AS2", "TLS client", "TLS server"}},
		{"nginx", []string{"TLS 1.2 and 1.3"}},
		{"java", []string{"TLS server", "TLS client"}},
		{"postgres", []string{"SSLRequest", "storage", "storage, TLS", "faults", "standby"}},
		{"mariadbd", []string{"STARTTLS of its own"}},
		{"redis-server", []string{"TLS at once"}},
		{"mosquitto", []string{"TLS at once"}},
		{"slapd", []string{"ldaps"}},
		{"nats-server", []string{"INFO in clear"}},
	}
)

// version is the part of a line that is a version.
var version = regexp.MustCompile(`[0-9]+(\.[0-9]+)+[a-z0-9]*`)

// table reports whether all is as it should be. Without strict, what is missing is told
// and is no fault.
func table(out io.Writer, in io.Reader, strict bool) (ok bool, err error) {
	byPeer := make(map[string][]testtool.Exchange)
	for lines := bufio.NewScanner(in); lines.Scan(); {
		var e testtool.Exchange
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return false, err
		}
		byPeer[e.Peer] = append(byPeer[e.Peer], e)
	}
	ok = true
	for _, p := range peers {
		verdict, text := p.judge(byPeer[p.peer], strict)
		ok = ok && verdict != "FAILED"
		fmt.Fprintf(out, "%-8s %s\n", verdict, text)
		delete(byPeer, p.peer)
	}
	for peer := range byPeer {
		fmt.Fprintf(out, "%-8s %s: not in the list of internal/exchanges\n", "FAILED", peer)
		ok = false
	}
	return ok, nil
}

// judge returns the verdict about a peer, and its line.
func (p expected) judge(exchanges []testtool.Exchange, strict bool) (verdict, text string) {
	verdict = "ok"
	var parts []string
	fault := func(mode, what string) { parts = append(parts, mode+" "+what) }
	for _, mode := range p.modes {
		i := slices.IndexFunc(exchanges, func(e testtool.Exchange) bool { return e.Mode == mode && e.Verdict != "skipped" })
		switch {
		case i >= 0:
		case strict:
			verdict = "FAILED"
			fault(mode, "did not run")
		default:
			verdict = cmp.Or(map[string]string{"ok": "skipped"}[verdict], verdict)
			fault(mode, "did not run")
		}
	}
	var order []string // of what was exchanged
	modes := make(map[string][]string)
	name := p.peer
	slices.SortStableFunc(exchanges, func(a, b testtool.Exchange) int {
		return cmp.Compare(slices.Index(p.modes, a.Mode), slices.Index(p.modes, b.Mode))
	})
	for _, e := range exchanges {
		switch {
		case e.Verdict == "FAILED", !slices.Contains(p.modes, e.Mode):
			verdict = "FAILED"
			fault(e.Mode, "FAILED")
			continue
		case e.Verdict == "skipped":
			continue
		}
		if v := version.FindString(e.Version); v != "" {
			name = p.peer + " " + v
		}
		if modes[e.What] == nil {
			order = append(order, e.What)
		}
		if !slices.Contains(modes[e.What], e.Mode) {
			modes[e.What] = append(modes[e.What], e.Mode)
		}
	}
	for _, what := range order {
		parts = append(parts, strings.Join(modes[what], ", ")+": "+what)
	}
	return verdict, name + ": " + strings.Join(parts, "; ")
}
