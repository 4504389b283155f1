package settings

import (
	"bytes"
	"io"
	"testing"
	"time"
)

type inner struct {
	list []string
	at   time.Time
}

type all struct {
	Name     string
	List     []string
	Pointers []*int
	Source   io.Reader
	Inner    inner
	Hook     func()
	hidden   int
}

type uncomparable map[int]int

func (uncomparable) Read([]byte) (int, error) { return 0, io.EOF }

// A list of sources is the same as another of the same sources.
type readers []io.Reader

func (readers) Read([]byte) (int, error) { return 0, io.EOF }

func TestListInAnInterface(t *testing.T) {
	one := new(bytes.Buffer)
	a, b, c := all{Source: readers{one}}, all{Source: readers{one}}, all{Source: readers{one, nil}}
	if Differ(&a, &b) != "" || Differ(&a, &c) != "Source" {
		t.Error("Differ")
	}
}

func TestMerge(t *testing.T) {
	one, two := new(bytes.Buffer), new(bytes.Buffer)
	base := all{Name: "a", List: []string{"x"}, Pointers: []*int{new(1)}, Source: one, Inner: inner{list: []string{"i"}}, hidden: 1}
	next := all{Name: "b", List: []string{"y"}, Source: two, Inner: inner{at: time.Unix(1, 0)}, Hook: func() {}, hidden: 2}
	copied := base
	copied.List, copied.Inner.list = []string{"x"}, []string{"i"} // a copy is unchanged
	got := Merge(&copied, &base, &next)
	if Differ(&got, &next) != "" || got.Hook != nil || got.hidden != 1 {
		t.Errorf("nothing is the caller's own: %+v", got)
	}
	own := base
	own.Name, own.List, own.Source, own.Inner.list, own.Pointers = "mine", []string{}, nil, nil, []*int{new(1)}
	if got = Merge(&own, &base, &next); Differ(&got, &own) != "" {
		t.Errorf("%s is not the caller's own", Differ(&got, &own))
	}
	own = base
	own.Source = uncomparable{}
	if got = Merge(&own, &base, &next); got.Source == nil || Differ(&own, &own) != "Source" {
		t.Error("what has no == was taken for the same")
	}
	if Differ(&own, &base, "Source") != "" || Differ(&base, &next, "Name") != "List" {
		t.Error("Differ")
	}
}

func TestSame(t *testing.T) {
	one := new(1)
	if !Same(nil, nil) || Same(nil, one) || !Same(one, one) || Same(one, new(1)) || Same(1, int64(1)) || !Same([]*int{one}, []*int{one}) || Same(func() {}, nil) {
		t.Error("Same")
	}
}

// A nil list differs from an empty one, which is an error in a Builder.
func TestNilAndEmpty(t *testing.T) {
	if Differ(&all{}, &all{List: []string{}}) != "List" {
		t.Error("nil is empty")
	}
}
