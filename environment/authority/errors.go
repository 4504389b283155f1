package authority

import (
	"strings"

	"github.com/trustkeep/trustkeep"
)

// What Error.Code says about a statement that is not to be trusted.
const (
	// CodeUnsigned: it has no signature, and the registry is one that is signed.
	CodeUnsigned trustkeep.Code = "unsigned"
	// CodeForged: it does not bear the signatures that it needs.
	CodeForged trustkeep.Code = "forged"
	// CodeSwapped: it is about another key, environment or registry than the one that it
	// was found under.
	CodeSwapped trustkeep.Code = "swapped"
	// CodeRolledBack: it is older than one that is known.
	CodeRolledBack trustkeep.Code = "rolled-back"
	// CodeForked: it differs from one of the same number, or does not follow the one
	// before it.
	CodeForked trustkeep.Code = "forked"
	// CodeWithheld: it is known to exist, and is not there.
	CodeWithheld trustkeep.Code = "withheld"
	// CodeOutdated: it has not been dated in time.
	CodeOutdated trustkeep.Code = "outdated"
)

// Error says which statement is not to be trusted, and why. It wraps trustkeep.ErrUntrusted.
type Error struct {
	// Key of the record that it was found in; empty where it is not known.
	Key  string
	Code trustkeep.Code
	// Detail says more, Hint what would help.
	Detail string
	Hint   string
}

// Error formats as `record key: code: detail: not trusted; hint`, without empty fields.
func (e *Error) Error() string {
	var parts []string
	if e.Key != "" {
		parts = append(parts, "record "+trustkeep.Printable(e.Key))
	}
	parts = append(parts, strings.ReplaceAll(string(e.Code), "-", " "))
	if e.Detail != "" {
		parts = append(parts, e.Detail)
	}
	text := strings.Join(append(parts, trustkeep.ErrUntrusted.Error()), ": ")
	if e.Hint != "" {
		text += "; " + e.Hint
	}
	return text
}

// Unwrap returns trustkeep.ErrUntrusted.
func (e *Error) Unwrap() error { return trustkeep.ErrUntrusted }

// RightsError says that a key may not make a change, and whose keys may. It wraps
// trustkeep.ErrNotPermitted.
type RightsError struct {
	// Who is the name of the key, or its ID where it is in no Document; empty without one.
	Who string
	// What it may not do: a Kind, "release", "date" or "root".
	What string
	// Environment in which it may not; empty where it is not about one.
	Environment string
	// Able are the names of the keys that may.
	Able []string
}

// Error names the key, the right and who has it.
func (e *RightsError) Error() string {
	who := "a program without a signer"
	if e.Who != "" {
		who = trustkeep.Printable(e.Who)
	}
	text := who + " may not change " + e.What
	if e.What == rightRelease || e.What == rightDate || e.What == rightRoot {
		text = who + " has not the right to " + map[string]string{
			rightRelease: "release an index", rightDate: "date an index", rightRoot: "change the authority"}[e.What]
	}
	if e.Environment != "" {
		text += " in environment " + trustkeep.Printable(e.Environment)
	}
	text += ": " + trustkeep.ErrNotPermitted.Error()
	if len(e.Able) == 0 {
		return text + "; nobody has that right"
	}
	able := make([]string, 0, len(e.Able))
	for _, name := range e.Able {
		able = append(able, trustkeep.Printable(name))
	}
	return text + "; it is that of " + strings.Join(able, ", ")
}

// Unwrap returns trustkeep.ErrNotPermitted.
func (e *RightsError) Unwrap() error { return trustkeep.ErrNotPermitted }

const (
	rightRelease = "release"
	rightDate    = "date"
	rightRoot    = "root"
)
