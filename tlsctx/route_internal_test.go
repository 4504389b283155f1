package tlsctx

import (
	"testing"

	"github.com/trustkeep/trustkeep"
)

// A change of the routes counts, and a failed one does not.
func TestRoutesCountChanges(t *testing.T) {
	var none *Routes
	routes := new(Routes)
	if none.current() != 0 || routes.current() != 0 {
		t.Error("no routes have changed")
	}
	for i, c := range []struct {
		change func() error
		want   uint64
	}{
		{func() error { return routes.Set("a.example", nil) }, 1},
		{func() error { return routes.Set("a.example", nil) }, 2},
		{func() error { return routes.Set("a.example", (*staticIdentity)(nil)) }, 2},
		{func() error { return routes.Set("*", nil) }, 2},
		{func() error { return routes.Remove("b.example") }, 2},
		{func() error { return routes.Remove("a.example") }, 3},
	} {
		before := routes.current()
		if err := c.change(); routes.current() != c.want || (err == nil) != (before != c.want) {
			t.Errorf("%d: %d changes, want %d; %v", i, routes.current(), c.want, err)
		}
	}
	var _ trustkeep.Identity = (*staticIdentity)(nil)
}
