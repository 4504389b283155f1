package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// level is the level that a finding of the severity is logged at.
func level(s trustkeep.Severity) slog.Level {
	switch s {
	case trustkeep.Critical:
		return slog.LevelError
	case trustkeep.Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// line describes a finding in the report:
//
//	critical partner.p12 "as2": expired: CN=a expired on 2026-01-31; renew it
func line(f trustkeep.Finding) string {
	where := trustkeep.Printable(f.Target)
	if f.Alias != "" {
		where += ` "` + trustkeep.Printable(f.Alias) + `"`
	}
	return fmt.Sprintf("%-8s %s: %s: %s; %s", f.Severity, where, f.Code, f.Text, f.Remedy)
}

// Report holds the findings of an audit, the worst first.
type Report struct {
	Time     time.Time
	Window   time.Duration
	Targets  int // how many were audited
	Findings []trustkeep.Finding
}

// Worst returns the highest severity of all findings, zero if there are none.
func (r *Report) Worst() (worst trustkeep.Severity) {
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Count returns the number of findings with the severity.
func (r *Report) Count(s trustkeep.Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// With returns the findings with the code.
func (r *Report) With(c trustkeep.Code) (found []trustkeep.Finding) {
	for _, f := range r.Findings {
		if f.Code == c {
			found = append(found, f)
		}
	}
	return found
}

// String returns the report as text: a line for each finding, then a summary.
func (r *Report) String() string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(line(f))
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d critical, %d warnings, %d notes in %d targets at %s\n",
		r.Count(trustkeep.Critical), r.Count(trustkeep.Warning), r.Count(trustkeep.Note), r.Targets, r.Time.UTC().Format(time.RFC3339))
	return b.String()
}

// MarshalJSON returns {"time","window_days","targets","worst","findings"}.
func (r *Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Time     time.Time           `json:"time"`
		Window   float64             `json:"window_days"`
		Targets  int                 `json:"targets"`
		Worst    string              `json:"worst"`
		Findings []trustkeep.Finding `json:"findings"`
	}{r.Time.UTC(), r.Window.Hours() / 24, r.Targets, r.worst(), append([]trustkeep.Finding{}, r.Findings...)})
}

func (r *Report) worst() string {
	if len(r.Findings) == 0 {
		return "none"
	}
	return r.Worst().String()
}

// LogValue implements slog.LogValuer with a summary. Log writes all findings.
func (r *Report) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("targets", r.Targets), slog.String("worst", r.worst()),
		slog.Int("critical", r.Count(trustkeep.Critical)), slog.Int("warnings", r.Count(trustkeep.Warning)), slog.Int("notes", r.Count(trustkeep.Note)))
}

// Log writes one record per finding, at the level of its severity.
func (r *Report) Log(ctx context.Context, log *slog.Logger) {
	for _, f := range r.Findings {
		log.LogAttrs(ctx, level(f.Severity), "audit finding", f.LogValue().Group()...)
	}
}
