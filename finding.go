package trustkeep

import (
	"fmt"
	"log/slog"
	"time"
)

// Code names a kind of finding or a reason for a refusal, in words that programs can compare:
// "unpaired-key", "expired". A code never changes its meaning; new ones may be added. Each
// package lists its codes.
type Code string

// Severity ranks findings.
type Severity uint8

// The severities. The zero Severity means unranked.
const (
	Note Severity = iota + 1
	Warning
	Critical
)

// String returns "note", "warning", "critical" or "unranked".
func (s Severity) String() string {
	switch s {
	case Note:
		return "note"
	case Warning:
		return "warning"
	case Critical:
		return "critical"
	}
	return "unranked"
}

// MarshalText returns String.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// Finding is a remark about a store, an entry, a certificate or a component. Only Code and
// Text are always set. Its texts are escaped and safe to log.
type Finding struct {
	Target   string   `json:"target,omitempty"`  // store, component or consumer, in a report about several
	Alias    string   `json:"alias,omitempty"`   // entry, if it is about one
	Subject  string   `json:"subject,omitempty"` // certificate, if it is about one
	Code     Code     `json:"code"`
	Severity Severity `json:"severity,omitzero"`
	Text     string   `json:"text"`             // for people
	Remedy   string   `json:"remedy,omitempty"` // what would help
	// NotAfter is set for findings about the end of validity.
	NotAfter time.Time `json:"not_after,omitzero"`
	// Err is the cause, if there is one; it wraps a sentinel of this package where one
	// fits.
	Err error `json:"-"`
}

// LogValue implements slog.LogValuer with a group of the fields that are set.
func (f Finding) LogValue() slog.Value {
	attributes := []slog.Attr{slog.String("code", string(f.Code)), slog.String("severity", f.Severity.String())}
	for _, a := range []slog.Attr{
		slog.String("target", Printable(f.Target)), slog.String("alias", Printable(f.Alias)), slog.String("subject", Printable(f.Subject)),
		slog.String("text", f.Text), slog.String("remedy", f.Remedy),
	} {
		if a.Value.String() != "" {
			attributes = append(attributes, a)
		}
	}
	if !f.NotAfter.IsZero() {
		attributes = append(attributes, slog.Time("not_after", f.NotAfter))
	}
	return slog.GroupValue(attributes...)
}

// String formats the finding in one line, `target: alias "a": text; remedy`, without empty
// fields.
func (f Finding) String() string {
	var prefix string
	if f.Target != "" {
		prefix = Printable(f.Target) + ": "
	}
	if f.Alias != "" {
		prefix += fmt.Sprintf("alias \"%s\": ", Printable(f.Alias))
	}
	if f.Subject != "" {
		prefix += Printable(f.Subject) + ": "
	}
	text := prefix + f.Text
	if f.Remedy != "" {
		text += "; " + f.Remedy
	}
	return text
}
