package environment_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/environment"
)

// The same certificate in two components is told by their names; a key and its public part are
// no more than a note.
func TestDuplicateCertificates(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	x := w.identity("x")
	_, file, err := x.ExportPublic("")
	must(t, err)
	severity := func() trustkeep.Severity {
		t.Helper()
		report := check(w.Audit(ctx, audit.Options{SkipKeys: true}))(t)
		for _, f := range report.Findings {
			if f.Code == audit.Duplicate {
				if !strings.Contains(f.Text, `a "partner a"`) {
					t.Errorf("%s", f.Text)
				}
				return f.Severity
			}
		}
		return 0
	}
	if severity() != 0 {
		t.Error("a duplicate of nothing")
	}
	check(w.Import(ctx, "partner a", file, environment.ComponentOptions{ID: "a", Unique: true}))(t)
	if s := severity(); s != trustkeep.Note {
		t.Errorf("a key and its public part: %v", s)
	}
	if _, err := w.Import(ctx, "partner b", file, environment.ComponentOptions{ID: "b", Unique: true}); !errors.Is(err, trustkeep.ErrExists) || !strings.Contains(err.Error(), "partner a") {
		t.Errorf("%v", err)
	}
	check(w.Import(ctx, "partner b", file, environment.ComponentOptions{ID: "b"}))(t)
	if s := severity(); s != trustkeep.Warning {
		t.Errorf("two of the same: %v", s)
	}
}
