package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/trustkeep/trustkeep"
)

// printerFor returns what prints one report.
func printerFor(w io.Writer, asJSON bool) func(report) error {
	if asJSON {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false)
		return func(r report) error { return e.Encode(r) }
	}
	p := &printer{colour: isTerminal(w) && os.Getenv("NO_COLOR") == "", now: time.Now()}
	return func(r report) error {
		_, err := w.Write(p.text(r))
		return err
	}
}

// isTerminal reports whether somebody looks at the output.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// printer writes for people.
type printer struct {
	colour bool
	now    time.Time
}

const (
	bold   = "1"
	red    = "31"
	yellow = "33"
)

func (p *printer) paint(style, s string) string {
	if !p.colour || s == "" {
		return s
	}
	return "\x1b[" + style + "m" + s + "\x1b[0m"
}

func (p *printer) text(r report) []byte {
	var b bytes.Buffer
	noun := "entries"
	if len(r.Entries) == 1 {
		noun = "entry"
	}
	fmt.Fprintf(&b, "%s\n", p.paint(bold, fmt.Sprintf("%s: %s, %d %s", trustkeep.Printable(r.File), r.Format, len(r.Entries), noun)))
	for _, e := range r.Entries {
		p.entry(&b, e)
	}
	if len(r.Findings) > 0 {
		b.WriteString("  findings\n")
	}
	for _, f := range r.Findings {
		about := ""
		if f.Alias != "" {
			about = fmt.Sprintf(" %q", trustkeep.Printable(f.Alias))
		}
		fmt.Fprintf(&b, "    %s%s: %s\n", p.paint(yellow, f.Code), about, trustkeep.Printable(f.Text))
	}
	return b.Bytes()
}

func (p *printer) entry(b *bytes.Buffer, e entryReport) {
	fmt.Fprintf(b, "  %s  %s", p.paint(bold, trustkeep.Printable(e.Alias)), e.Kind)
	if e.Algorithm != "" {
		fmt.Fprintf(b, "  %s", trustkeep.Printable(e.Algorithm))
	}
	if e.Kind == "key" || e.Kind == "secret" {
		state := p.paint(yellow, "locked")
		if e.Unlocked {
			state = "unlocked"
		}
		fmt.Fprintf(b, "  %s", state)
	}
	b.WriteByte('\n')
	// Aligned without colours, which would count as characters.
	t := tabwriter.NewWriter(b, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(t, "    %s\t%s\n", name, trustkeep.Printable(value))
		}
	}
	row("key encryption", e.protection)
	row("SSH fingerprint", e.SSHFingerprint)
	if !e.created.IsZero() {
		row("created", e.created.UTC().Format(time.RFC3339))
	}
	row("error", e.Error)
	for i, c := range e.Chain {
		row(fmt.Sprintf("[%d] subject", i), c.Subject)
		if c.Subject == "" {
			row(fmt.Sprintf("[%d]", i), "a certificate that cannot be parsed")
		}
		row("    name", c.Name)
		row("    issuer", c.Issuer)
		row("    serial", c.Serial)
		row("    key", c.KeyAlgorithm)
		row("    names", strings.Join(c.SANs, ", "))
		if !c.NotAfter.IsZero() {
			row("    valid", p.validity(c))
		}
		row("    SHA-256", c.SHA256)
	}
	t.Flush()
}

func (p *printer) validity(c certReport) string {
	s := c.NotBefore.Format(time.DateOnly) + " to " + c.NotAfter.Format(time.DateOnly)
	switch {
	case p.now.After(c.NotAfter):
		s += " (expired)"
	case p.now.Before(c.NotBefore):
		s += " (not yet valid)"
	}
	return s
}
