package main

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
)

// table is what happened, step by step, beside what was to be expected.
type table struct{ rows []*row }

type row struct {
	chapter    string // for a heading, which has nothing else
	step       string
	want, got  string
	took       []time.Duration // from a change to its effect, for each atom
	detail     string          // what an atom says besides the outcome
	note, told string          // what is printed below the table, under a heading
}

func (t *table) chapter(title string) { t.rows = append(t.rows, &row{chapter: title}) }

func (t *table) add(step, want, got string) *row {
	r := &row{step: step, want: want, got: got}
	t.rows = append(t.rows, r)
	return r
}

// noting has something printed below the table.
func (r *row) noting(heading, text string) { r.told, r.note = heading, text }

// explained has printed what an atom says about the outcome.
func (r *row) explained() { r.noting("an atom says", r.detail) }

// differing counts the steps that turned out other than expected.
func (t *table) differing() (n int) {
	for _, r := range t.rows {
		if r.got != r.want {
			n++
		}
	}
	return n
}

func (t *table) print(w io.Writer) error {
	var text bytes.Buffer
	columns := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(columns, "\tstep\texpected\tactual\ttook effect after")
	var notes strings.Builder
	n := 0
	for _, r := range t.rows {
		if r.chapter != "" {
			fmt.Fprintf(columns, "\t\t\t\t\n\t%s\t\t\t\n", strings.ToUpper(r.chapter))
			continue
		}
		n++
		mark := ""
		if r.got != r.want {
			mark = "  <- differs"
			if r.detail != "" {
				r.explained()
			}
		}
		fmt.Fprintf(columns, "%d\t%s\t%s\t%s%s\t%s\n", n, r.step, r.want, cmp.Or(r.got, "-"), mark, durations(r.took))
		if r.note != "" {
			fmt.Fprintf(&notes, "\n%d  %s\n%s\n", n, r.told, indent(r.note))
		}
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	text.WriteString(notes.String())
	for line := range bytes.Lines(text.Bytes()) {
		if _, err := fmt.Fprintf(w, "%s\n", bytes.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

func durations(all []time.Duration) string {
	var text []string
	for _, d := range all {
		text = append(text, fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)))
	}
	return strings.Join(text, ", ")
}

func indent(text string) string {
	return "   " + strings.ReplaceAll(strings.TrimRight(text, "\n"), "\n", "\n   ")
}
