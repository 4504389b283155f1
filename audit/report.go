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

// Severity ranks findings. The zero Severity is invalid.
type Severity uint8

// The severities, in rising order.
const (
	// Note: worth knowing, such as that a certificate is self-signed.
	Note Severity = iota + 1
	// Warning: breaks soon, or weakens security.
	Warning
	// Critical: broken now, or no security at all.
	Critical
)

// String returns "note", "warning", "critical" or "invalid".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "invalid"
}

// MarshalText yields what String returns.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Level is the level that a finding of this severity is logged at.
func (s Severity) Level() slog.Level {
	switch s {
	case Critical:
		return slog.LevelError
	case Warning:
		return slog.LevelWarn
	}
	return slog.LevelInfo
}

// Finding is one remark. Text and names are escaped for terminals and logs.
type Finding struct {
	Target   string   `json:"target"`
	Alias    string   `json:"alias,omitempty"`   // entry, where it is about one
	Subject  string   `json:"subject,omitempty"` // certificate, where it is about one
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	Text     string   `json:"text"`
	Remedy   string   `json:"remedy"`
	// NotAfter is set for findings about the end of validity.
	NotAfter time.Time `json:"not_after,omitzero"`
}

// String describes the finding in one line:
//
//	critical partner.p12 "as2": expired: CN=a expired on 2026-01-31; renew it
func (f Finding) String() string {
	where := trustkeep.Printable(f.Target)
	if f.Alias != "" {
		where += ` "` + trustkeep.Printable(f.Alias) + `"`
	}
	return fmt.Sprintf("%-8s %s: %s: %s; %s", f.Severity, where, f.Code, f.Text, f.Remedy)
}

// LogValue implements slog.LogValuer.
func (f Finding) LogValue() slog.Value { return slog.GroupValue(f.attributes()...) }

func (f Finding) attributes() []slog.Attr {
	attributes := []slog.Attr{slog.String("target", trustkeep.Printable(f.Target)), slog.String("code", string(f.Code)), slog.String("severity", f.Severity.String())}
	if f.Alias != "" {
		attributes = append(attributes, slog.String("alias", trustkeep.Printable(f.Alias)))
	}
	if f.Subject != "" {
		attributes = append(attributes, slog.String("subject", f.Subject))
	}
	if !f.NotAfter.IsZero() {
		attributes = append(attributes, slog.Time("not_after", f.NotAfter))
	}
	return append(attributes, slog.String("text", f.Text), slog.String("remedy", f.Remedy))
}

// Report is what an audit found, the worst first.
type Report struct {
	Time     time.Time
	Window   time.Duration
	Targets  int // how many were audited
	Findings []Finding
}

// Worst is the highest severity of all findings, and zero without any.
func (r *Report) Worst() (worst Severity) {
	for _, f := range r.Findings {
		worst = max(worst, f.Severity)
	}
	return worst
}

// Count is how many findings have the severity.
func (r *Report) Count(s Severity) (n int) {
	for _, f := range r.Findings {
		if f.Severity == s {
			n++
		}
	}
	return n
}

// With returns the findings of a code.
func (r *Report) With(c Code) (found []Finding) {
	for _, f := range r.Findings {
		if f.Code == c {
			found = append(found, f)
		}
	}
	return found
}

// String is the report as text, a line for each finding and one that sums up.
func (r *Report) String() string {
	var b strings.Builder
	for _, f := range r.Findings {
		b.WriteString(f.String())
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d critical, %d warnings, %d notes in %d targets at %s\n",
		r.Count(Critical), r.Count(Warning), r.Count(Note), r.Targets, r.Time.UTC().Format(time.RFC3339))
	return b.String()
}

// MarshalJSON yields {"time","window_days","targets","worst","findings"}.
func (r *Report) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		Time     time.Time `json:"time"`
		Window   float64   `json:"window_days"`
		Targets  int       `json:"targets"`
		Worst    string    `json:"worst"`
		Findings []Finding `json:"findings"`
	}{r.Time.UTC(), r.Window.Hours() / 24, r.Targets, r.worst(), append([]Finding{}, r.Findings...)})
}

func (r *Report) worst() string {
	if len(r.Findings) == 0 {
		return "none"
	}
	return r.Worst().String()
}

// LogValue implements slog.LogValuer with a summary. Log writes the findings.
func (r *Report) LogValue() slog.Value {
	return slog.GroupValue(slog.Int("targets", r.Targets), slog.String("worst", r.worst()),
		slog.Int("critical", r.Count(Critical)), slog.Int("warnings", r.Count(Warning)), slog.Int("notes", r.Count(Note)))
}

// Log writes a record for each finding, at the level of its severity.
func (r *Report) Log(ctx context.Context, log *slog.Logger) {
	for _, f := range r.Findings {
		log.LogAttrs(ctx, f.Severity.Level(), "audit finding", f.attributes()...)
	}
}
