package watching

import (
	"errors"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

func TestPaths(t *testing.T) {
	for _, c := range []struct{ given, want []string }{
		{[]string{""}, []string{""}},
		{[]string{"b/", "a", "b/c", "b/c/d/", "a"}, []string{"a", "b/"}},
		{[]string{"a/b/", "", "c"}, []string{""}},
		{[]string{"a", "a/", "ab"}, []string{"a", "a/", "ab"}},
		{[]string{"a", "B"}, []string{"B", "a"}},
	} {
		if got, err := ParsePaths(c.given); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("ParsePaths(%q) = %q, %v; want %q", c.given, got, err, c.want)
		}
	}
	for _, bad := range [][]string{nil, {}, {"/"}, {"a//"}, {"a", "ä"}, {"*"}, {"a/>"}, {"../"}} {
		if got, err := ParsePaths(bad); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("ParsePaths(%q) = %q, %v", bad, got, err)
		}
	}
	p := Paths{"a", "b/"}
	for key, want := range map[string]bool{"a": true, "a/x": false, "ab": false, "b": false, "b/x": true, "b/x/y": true, "bc/x": false} {
		if p.Match(key) != want {
			t.Errorf("Match(%q) = %t", key, !want)
		}
	}
}

func TestBoxMerges(t *testing.T) {
	record := func(key, value string) environment.Record { return environment.Record{Key: key, Value: []byte(value)} }
	deleted := environment.Record{Key: "b", Deleted: true}
	lost := errors.New("lost")
	for _, c := range []struct {
		name string
		put  []environment.Update
		want string
	}{
		{"a change over a change", []environment.Update{{Records: []environment.Record{record("b", "1")}}, {Records: []environment.Record{record("a", "2"), record("b", "3")}}}, "a=2 b=3 "},
		{"a deletion in a full update", []environment.Update{{Full: true, Records: []environment.Record{record("a", "1"), record("b", "1")}}, {Records: []environment.Record{deleted}}}, "full a=1 "},
		{"a deletion in another", []environment.Update{{Records: []environment.Record{record("b", "1")}}, {Records: []environment.Record{deleted}}}, "b deleted "},
		{"a full update over all", []environment.Update{{Err: lost, Records: []environment.Record{record("a", "1")}}, {Full: true}}, "full "},
		{"an error beside changes", []environment.Update{{Records: []environment.Record{record("a", "1")}}, {Err: lost}}, "a=1 lost"},
		{"an error that is over", []environment.Update{{Full: true, Err: lost, Records: []environment.Record{record("a", "1")}}, {}}, "full a=1 "},
	} {
		b := NewBox()
		for _, u := range c.put {
			b.Put(u)
		}
		got, u := "", <-b.Updates()
		if u.Full {
			got = "full "
		}
		for _, r := range u.Records {
			if got += r.Key; r.Deleted {
				got += " deleted "
			} else {
				got += "=" + string(r.Value) + " "
			}
		}
		if u.Err != nil {
			got += u.Err.Error()
		}
		if got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
	b := NewBox()
	b.Put(environment.Update{Records: []environment.Record{record("a", "1")}})
	b.Close(lost)
	if u := <-b.Updates(); len(u.Records) != 1 || u.Err != lost {
		t.Errorf("the last update is %+v", u)
	}
	if u, ok := <-b.Updates(); ok {
		t.Errorf("%+v after the end", u)
	}
}
