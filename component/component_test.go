package component

import (
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// TestPolicyIsTheLastStageOfEveryChange: nothing that changes content does without it, and
// it sees the component that would result.
func TestPolicyIsTheLastStageOfEveryChange(t *testing.T) {
	ctx := t.Context()
	first, err := Import(ctx, "first", []byte("private one"), Options{Kinds: []Kind{fakeKind{}}})
	if err != nil {
		t.Fatal(err)
	}
	var seen *Component
	refusal := errors.New("refused")
	o := Options{Kinds: []Kind{fakeKind{}}, Policy: func(c *Component) error { seen = c; return refusal }}
	password := trustkeep.Password("x")
	for about, c := range map[string]struct {
		version int
		change  func() (*Component, error)
	}{
		"import":          {1, func() (*Component, error) { return Import(ctx, "a", []byte("private"), o) }},
		"create":          {1, func() (*Component, error) { return Create(ctx, "a", fakeSource("private"), o) }},
		"reimport":        {2, func() (*Component, error) { return first.Reimport(ctx, []byte("private"), o) }},
		"renew":           {2, func() (*Component, error) { return first.Renew(ctx, fakeSource("private"), o) }},
		"change password": {2, func() (*Component, error) { return first.ChangePassword(password, password, o) }},
		"roll back":       {2, func() (*Component, error) { return first.Rollback(1, o) }},
	} {
		seen = nil
		got, err := c.change()
		if !errors.Is(err, refusal) || got != nil {
			t.Errorf("%s: %v, %v", about, got, err)
		}
		if seen == nil || seen.Version() != c.version || seen.Visibility() != trustkeep.Private {
			t.Errorf("%s: the policy sees %v", about, seen)
		}
	}
}

func TestKindsAndVisibilitiesAreNotMixed(t *testing.T) {
	ctx := t.Context()
	o := Options{Kinds: []Kind{fakeKind{}}}
	c, err := Import(ctx, "c", []byte("public"), o)
	if err != nil {
		t.Fatal(err)
	}
	_, reimported := c.Reimport(ctx, []byte("private"), o)
	_, renewed := c.Renew(ctx, fakeSource("private"), o)
	for _, err := range []error{reimported, renewed} {
		if !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	}
}

func TestWrongCalls(t *testing.T) {
	ctx := t.Context()
	_, noKinds := Import(ctx, "a", []byte("public"), Options{})
	_, noSource := Create(ctx, "a", nil, Options{})
	_, noName := Create(ctx, "", fakeSource("public"), Options{})
	_, nilKind := Import(ctx, "a", []byte("public"), Options{Kinds: []Kind{nil}})
	_, nilKindToo := Import(ctx, "a", []byte("garbage"), Options{Kinds: []Kind{fakeKind{}, nil}})
	_, nilKindAgain := counted(t, 1).Reimport(ctx, []byte("public"), Options{Kinds: []Kind{nil}})
	_, nilKindOfState := Restore(counted(t, 1).State(), nil, fakeKind{})
	_, noContent := Create(ctx, "a", emptySource{}, Options{})
	_, noNewContent := counted(t, 1).Renew(ctx, emptySource{}, Options{})
	_, noScanner := Import(ctx, "a", []byte("public"), Options{Kinds: []Kind{fakeKind{}}, Scanner: (*nilScanner)(nil)})
	for about, err := range map[string]error{
		"a scanner that is a nil pointer": noScanner, "no kinds": noKinds, "no source": noSource, "no name": noName, "nil kind": nilKind, "nil kind among others": nilKindToo,
		"nil kind of a reimport": nilKindAgain, "nil kind of a state": nilKindOfState, "no content": noContent, "no new content": noNewContent,
		"no version": Version{}.Err(),
	} {
		if !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
	}
	c := counted(t, 1)
	if _, err := c.Reimport(ctx, []byte("public again"), Options{}); err != nil {
		t.Errorf("without kinds, that of the component counts: %v", err)
	}
}

// TestKindStaysWithTheComponent, and so do its options.
func TestKindStaysWithTheComponent(t *testing.T) {
	k := fakeKind{new(atomic.Int32)}
	restored, err := Restore(stateOf(2, "public"), k)
	if err != nil {
		t.Fatal(err)
	}
	imported, err := Import(t.Context(), "a", []byte("public"), Options{Kinds: []Kind{k}})
	if err != nil {
		t.Fatal(err)
	}
	for about, c := range map[string]*Component{"restored": restored, "imported": imported} {
		if c, err = c.Rollback(1, Options{}); err != nil {
			t.Fatal(err)
		}
		before := k.parsed.Load()
		if _, err := c.Reimport(t.Context(), []byte("public again"), Options{}); err != nil || k.parsed.Load() != before+1 {
			t.Errorf("%s: read by another kind than before, %v", about, err)
		}
	}
}

// TestLastVersion: what a component becomes can always be restored.
func TestLastVersion(t *testing.T) {
	c := counted(t, maxVersion-1)
	c, err := c.Rollback(maxVersion-1, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(c.State(), fakeKind{}); err != nil {
		t.Errorf("version %d: %v", c.Version(), err)
	}
	if after, err := c.Rollback(maxVersion, Options{}); !errors.Is(err, trustkeep.ErrLimit) || after != nil {
		t.Errorf("%v, %v", after, err)
	}
}

// lyingKind takes everything for public by its outline.
type lyingKind struct{ fakeKind }

func (lyingKind) Outline(content.Stored) (trustkeep.Visibility, error) { return trustkeep.Public, nil }

// TestOutlineThatIsWrong: what a version holds is never of another visibility than the
// component.
func TestOutlineThatIsWrong(t *testing.T) {
	s := stateOf(2, "public")
	s.Versions[0].Data = []byte("private")
	c, err := Restore(s, lyingKind{})
	if err != nil {
		t.Fatal(err)
	}
	if v := c.Versions()[0]; v.Content() != nil || !errors.Is(v.Err(), trustkeep.ErrCorrupt) {
		t.Errorf("an old version: %v", v.Err())
	}
	if r, err := c.Rollback(1, Options{}); !errors.Is(err, trustkeep.ErrCorrupt) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
	s.Versions[1].Data = []byte("private")
	if c, err := Restore(s, lyingKind{}); !errors.Is(err, trustkeep.ErrCorrupt) || c != nil {
		t.Errorf("the current one: %v, %v", c, err)
	}
}

// stateOf is the state of a component of many versions.
func stateOf(versions int, text string) State {
	s := State{ID: "id", Name: "many"}
	for i := range versions {
		s.Versions = append(s.Versions, VersionState{Number: i + 1, Replaced: noon, Stored: Stored{Data: fmt.Appendf(nil, "%s %d", text, i+1)}})
	}
	return s
}

// TestVersionsAreParsedWhenTheyAreUsed: restoring parses the current one alone.
func TestVersionsAreParsedWhenTheyAreUsed(t *testing.T) {
	k := fakeKind{new(atomic.Int32)}
	c, err := Restore(stateOf(64, "public"), k)
	if err != nil {
		t.Fatal(err)
	}
	if n := k.parsed.Load(); n != 1 || c.Fingerprint() != "public 64" {
		t.Errorf("%d versions are parsed to restore %v", n, c)
	}
	if s := c.State(); len(s.Versions) != 64 || k.parsed.Load() != 1 {
		t.Errorf("%d versions are parsed to be stored", k.parsed.Load())
	}
	versions := c.Versions()
	if len(versions) != 64 || k.parsed.Load() != 1 {
		t.Errorf("%d versions are parsed to be listed", k.parsed.Load())
	}
	for range 3 {
		if versions[9].Fingerprint() != "public 10" || k.parsed.Load() != 2 {
			t.Errorf("%s, %d versions are parsed", versions[9].Fingerprint(), k.parsed.Load())
		}
	}
	r, err := c.Rollback(10, Options{})
	if err != nil || r.Fingerprint() != "public 10" || k.parsed.Load() != 2 {
		t.Errorf("%v, %v, %d versions are parsed", r, err, k.parsed.Load())
	}
}

// TestDamagedVersions: what the outline shows is refused at once; what it does not show
// keeps nothing else from being used.
func TestDamagedVersions(t *testing.T) {
	s := stateOf(3, "public")
	s.Versions[0].Data = []byte("garbage")
	if c, err := Restore(s, fakeKind{}); !errors.Is(err, trustkeep.ErrCorrupt) || c != nil {
		t.Errorf("%v, %v", c, err)
	}
	s = stateOf(3, "public")
	s.Versions[0].Data = []byte("public and damaged")
	c, err := Restore(s, fakeKind{})
	if err != nil {
		t.Fatal(err)
	}
	old := c.Versions()[0]
	if old.Content() != nil || old.Fingerprint() != "" || !errors.Is(old.Err(), trustkeep.ErrCorrupt) {
		t.Errorf("%v", old)
	}
	if r, err := c.Rollback(1, Options{}); !errors.Is(err, trustkeep.ErrCorrupt) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
	if _, err := c.Rollback(2, Options{}); err != nil {
		t.Error(err)
	}
	s.Versions[2].Data = []byte("public and damaged")
	if c, err := Restore(s, fakeKind{}); !errors.Is(err, trustkeep.ErrCorrupt) || c != nil {
		t.Errorf("the current one: %v, %v", c, err)
	}
}

func TestRestoreOfOtherKinds(t *testing.T) {
	s := stateOf(1, "public")
	if _, err := Restore(s); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	s.Versions[0].Stored = Stored{}
	if _, err := Restore(s, fakeKind{}); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
}

// TestStateIsSpelledAsBefore: programs keep it as JSON.
func TestStateIsSpelledAsBefore(t *testing.T) {
	s := State{ID: "1", Name: "a", Versions: []VersionState{
		{Number: 1, Replaced: noon, Stored: Stored{Chain: [][]byte{{1}}, Store: []byte{2}}},
		{Number: 2, Replaced: noon, Stored: Stored{Data: []byte{3}}},
	}}
	text, err := json.Marshal(s)
	want := `{"ID":"1","Name":"a","Versions":[{"Number":1,"Replaced":"2026-03-01T12:00:00Z","Chain":["AQ=="],"Store":"Ag=="},{"Number":2,"Replaced":"2026-03-01T12:00:00Z","Data":"Aw=="}]}`
	if err != nil || string(text) != want {
		t.Errorf("%s, %v", text, err)
	}
}

// TestPasswordsAreAskedForOnce, and wiped with the end of the operation.
func TestPasswordsAreAskedForOnce(t *testing.T) {
	asked := 0
	source, forget := once(trustkeep.PasswordFunc(func() ([]byte, error) { asked++; return []byte("secret"), nil }))
	if asked != 0 {
		t.Error("asked before it was needed")
	}
	for range 3 {
		if p, err := source.Reveal(); err != nil || string(p) != "secret" {
			t.Errorf("%q, %v", p, err)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	forget()
	if p, err := source.Reveal(); err == nil || p != nil || asked != 1 {
		t.Errorf("%q, %v", p, err)
	}
	if none, forget := once(nil); none != nil {
		t.Error("no password became one")
	} else {
		forget()
	}
}
