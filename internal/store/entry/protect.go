package entry

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
)

// ProtectKeys returns the key of each entry as it is to be written, nil where
// the entry has none. Keys that o.Keep keeps are taken as they stand. For the
// others protect asks for the key and its password and draws salts, in order,
// and returns what derives and encrypts, which then runs on the cores there
// are. Errors name the alias.
func ProtectKeys(entries []*Entry, o WriteOptions, protect func(*Entry) (func() ([]byte, error), error)) ([][]byte, error) {
	keys := make([][]byte, len(entries))
	jobs := make([]func() ([]byte, error), len(entries))
	for i, e := range entries {
		if e.Key == nil {
			continue
		}
		if o.Keep != nil && o.Keep(e) {
			keys[i] = e.Key.Protected
			continue
		}
		job, err := protect(e)
		if err != nil {
			return nil, AliasError(e, err)
		}
		jobs[i] = job
	}
	errs := make([]error, len(entries))
	Parallel(len(jobs), func(i int) {
		if jobs[i] != nil {
			keys[i], errs[i] = jobs[i]()
		}
	})
	for i, err := range errs {
		if err != nil {
			return nil, AliasError(entries[i], err)
		}
	}
	return keys, nil
}

// AliasError says which entry an error is about.
func AliasError(e *Entry, err error) error {
	return fmt.Errorf("alias %q: %w", trustkeep.Printable(e.Alias), err)
}
