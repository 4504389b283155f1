package trustkeep_test

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
)

// counter is a component whose version is its content.
type counter struct{ version int }

func (c counter) ID() string                       { return "id" }
func (c counter) Name() string                     { return "counted" }
func (c counter) Kind() trustkeep.Kind             { return trustkeep.X509 }
func (c counter) Visibility() trustkeep.Visibility { return trustkeep.Public }
func (c counter) Fingerprint() string              { return "" }
func (c counter) NotBefore() time.Time             { return time.Time{} }
func (c counter) NotAfter() time.Time              { return time.Time{} }
func (c counter) Version() int                     { return c.version }

func next(c counter) (counter, error) { return counter{c.version + 1}, nil }

var errRefused = errors.New("refused")

func refuse(counter) (counter, error) { return counter{-1}, errRefused }

// step is one thing done to a draft, and what it is to return.
type step struct {
	do   string
	want error
}

func TestDraft(t *testing.T) {
	tests := []struct {
		about     string
		saveFails bool
		steps     []step
		unsaved   bool
		version   int
		saved     []int
	}{
		{"untouched", false, []step{{"close", nil}, {"close", nil}}, false, 1, nil},
		{"saving nothing", false, []step{{"save", nil}, {"close", nil}}, false, 1, nil},
		{"changed and closed", false, []step{{"change", nil}, {"close", trustkeep.ErrUnsaved}}, true, 2, nil},
		{"closing twice does not lose it either", false, []step{{"change", nil}, {"close", trustkeep.ErrUnsaved}, {"close", trustkeep.ErrUnsaved}}, true, 2, nil},
		{"saved after the reminder", false, []step{{"change", nil}, {"close", trustkeep.ErrUnsaved}, {"save", nil}, {"close", nil}}, false, 2, []int{2}},
		{"open after the reminder", false, []step{{"change", nil}, {"close", trustkeep.ErrUnsaved}, {"change", nil}, {"save", nil}}, false, 3, []int{3}},
		{"changed after saving", false, []step{{"change", nil}, {"save", nil}, {"change", nil}, {"close", trustkeep.ErrUnsaved}}, true, 3, []int{2}},
		{"saved twice", false, []step{{"change", nil}, {"save", nil}, {"save", nil}}, false, 2, []int{2}},
		{"discarded", false, []step{{"change", nil}, {"discard", nil}, {"close", nil}, {"save", nil}}, false, 2, nil},
		{"refused change", false, []step{{"refuse", errRefused}, {"close", nil}}, false, 1, nil},
		{"refused change after another", false, []step{{"change", nil}, {"refuse", errRefused}, {"close", trustkeep.ErrUnsaved}}, true, 2, nil},
		{"failed save", true, []step{{"change", nil}, {"save", errRefused}, {"close", trustkeep.ErrUnsaved}}, true, 2, nil},
		{"change after close", false, []step{{"close", nil}, {"change", trustkeep.ErrUnsupported}}, false, 1, nil},
		{"change after discard", false, []step{{"discard", nil}, {"change", trustkeep.ErrUnsupported}}, false, 1, nil},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			var saved []int
			d := trustkeep.NewDraft(counter{1}, func(c counter) error {
				if test.saveFails {
					return errRefused
				}
				saved = append(saved, c.version)
				return nil
			})
			for i, s := range test.steps {
				var err error
				switch s.do {
				case "change":
					err = d.Change(next)
				case "refuse":
					err = d.Change(refuse)
				case "save":
					err = d.Save()
				case "close":
					err = d.Close()
				case "discard":
					d.Discard()
				}
				if !errors.Is(err, s.want) || s.want == nil && err != nil {
					t.Errorf("step %d, %s: %v, want %v", i, s.do, err, s.want)
				}
			}
			if d.Unsaved() != test.unsaved || d.Component().version != test.version || len(saved) != len(test.saved) {
				t.Errorf("unsaved %v, version %d, saved %v", d.Unsaved(), d.Component().version, saved)
			}
			for i := range saved {
				if saved[i] != test.saved[i] {
					t.Errorf("saved %v, want %v", saved, test.saved)
				}
			}
		})
	}
}

func TestReminderNamesTheComponentAndWhatHelps(t *testing.T) {
	d := trustkeep.NewDraft(counter{1}, nil)
	if err := d.Change(next); err != nil {
		t.Fatal(err)
	}
	err := d.Close()
	if err == nil || !strings.Contains(err.Error(), `"counted"`) || !strings.Contains(err.Error(), "save") {
		t.Errorf("%v", err)
	}
}

// TestDraftTakesChangesFromSeveral runs under the race detector.
func TestDraftTakesChangesFromSeveral(t *testing.T) {
	const writers, changes = 8, 100
	stored := counter{1}
	d := trustkeep.NewDraft(stored, func(c counter) error {
		if c.version <= stored.version {
			t.Errorf("version %d saved after %d", c.version, stored.version)
		}
		stored = c // calls of save wait for each other
		return nil
	})
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range changes {
				if err := d.Change(next); err != nil {
					t.Error(err)
				}
				if err := d.Save(); err != nil {
					t.Error(err)
				}
				if d.Component().version < 2 {
					t.Error("a change was lost")
				}
				d.Unsaved()
			}
		})
	}
	wg.Wait()
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if stored.version != 1+writers*changes {
		t.Errorf("version %d of %d changes", stored.version, writers*changes)
	}
}
