package component

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
)

// counted returns a component of a version.
func counted(t testing.TB, version int) *Component {
	t.Helper()
	c, err := Restore(State{ID: "id", Name: "counted", Versions: []VersionState{{Number: version, Stored: Stored{Data: []byte("public")}}}}, fakeKind{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func next(c *Component) (*Component, error) { return c.Rollback(c.Version(), Options{}) }

var errRefused = errors.New("refused")

func refuse(*Component) (*Component, error) { return nil, errRefused }

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
		{"change after close", false, []step{{"close", nil}, {"change", trustkeep.ErrInvalid}}, false, 1, nil},
		{"change after discard", false, []step{{"discard", nil}, {"change", trustkeep.ErrInvalid}}, false, 1, nil},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			var saved []int
			d := NewDraft(counted(t, 1), func(c *Component) error {
				if test.saveFails {
					return errRefused
				}
				saved = append(saved, c.Version())
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
			if d.Unsaved() != test.unsaved || d.Component().Version() != test.version || len(saved) != len(test.saved) {
				t.Errorf("unsaved %v, version %d, saved %v", d.Unsaved(), d.Component().Version(), saved)
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
	d := NewDraft(counted(t, 1), nil)
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
	stored := counted(t, 1)
	d := NewDraft(stored, func(c *Component) error {
		if c.Version() <= stored.Version() {
			t.Errorf("version %d saved after %d", c.Version(), stored.Version())
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
				if d.Component().Version() < 2 {
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
	if stored.Version() != 1+writers*changes {
		t.Errorf("version %d of %d changes", stored.Version(), writers*changes)
	}
}

func TestDraftsUsedWrongly(t *testing.T) {
	nothing := func(*Component) (*Component, error) { return nil, nil }
	d := NewDraft(counted(t, 1), nil)
	for about, change := range map[string]func(*Component) (*Component, error){"no change": nil, "a change to nothing": nothing} {
		if err := d.Change(change); !errors.Is(err, trustkeep.ErrInvalid) || d.Unsaved() || d.Component() == nil {
			t.Errorf("%s: %v", about, err)
		}
	}
	if err := NewDraft(nil, nil).Change(next); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no component: %v", err)
	}
	if err := d.Change(next); err != nil {
		t.Fatal(err)
	}
	if err := d.Save(); !errors.Is(err, trustkeep.ErrInvalid) || !d.Unsaved() {
		t.Errorf("nothing that saves: %v", err)
	}
}

func same(c *Component) (*Component, error) { return c, nil }

// TestDraftWithAChangeThatChangesNothing: there is nothing to save and nothing to lose.
func TestDraftWithAChangeThatChangesNothing(t *testing.T) {
	called := func(name string) func(*Component) (*Component, error) {
		return func(c *Component) (*Component, error) { return c.Rename(name) }
	}
	for about, changes := range map[string][]func(*Component) (*Component, error){
		"the same component": {same}, "the same name": {called("counted")}, "there and back": {called("other"), called("counted")},
	} {
		d := NewDraft(counted(t, 1), func(*Component) error { t.Errorf("%s: saved", about); return nil })
		for _, change := range changes {
			if err := d.Change(change); err != nil {
				t.Fatal(err)
			}
		}
		if d.Unsaved() {
			t.Errorf("%s: unsaved", about)
		}
		if err := d.Save(); err != nil {
			t.Errorf("%s: %v", about, err)
		}
		if err := d.Close(); err != nil {
			t.Errorf("%s: %v", about, err)
		}
	}
	d := NewDraft(counted(t, 1), func(*Component) error { return nil })
	for i, name := range []string{"other", "other", "counted"} {
		if err := d.Change(called(name)); err != nil {
			t.Fatal(err)
		}
		if want := i != 1; d.Unsaved() != want {
			t.Errorf("%d: unsaved %v", i, d.Unsaved())
		}
		if err := d.Save(); err != nil {
			t.Fatal(err)
		}
	}
}
