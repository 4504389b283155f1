package watching

import (
	"fmt"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Paths is what a watcher asks for: keys, folders with a slash at the end, or "" for
// everything. No path is in another one.
type Paths []string

// ParsePaths checks what Watch is given, sorts it, and leaves out paths that are in other
// ones. The error wraps trustkeep.ErrInvalid if there are none, or for one that cannot be.
func ParsePaths(paths []string) (Paths, error) {
	if len(paths) == 0 {
		return nil, fmt.Errorf("nothing to watch; \"\" is everything: %w", trustkeep.ErrInvalid)
	}
	for _, p := range paths {
		if p == "" {
			continue
		}
		if err := environment.CheckCapitalKey(strings.TrimSuffix(p, "/")); err != nil {
			return nil, err
		}
	}
	sorted := slices.Sorted(slices.Values(paths)) // a folder is before what is in it
	var out Paths
	for _, p := range sorted {
		if !out.Match(p) {
			out = append(out, p)
		}
	}
	return out, nil
}

// Match reports whether a record is asked for.
func (p Paths) Match(key string) bool {
	for _, path := range p {
		if key == path || (path == "" || strings.HasSuffix(path, "/")) && strings.HasPrefix(key, path) {
			return true
		}
	}
	return false
}

// String names them, for errors and logs.
func (p Paths) String() string { return strings.Join(p, ", ") }
