package environment

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

// memory is what an atom keeps across restarts, so that nobody can present it a state that is
// older than what it has seen.
type memory interface {
	// load returns the zero remembered where there is nothing yet.
	load() (remembered, error)
	// save gets the records of that state too, as the storage has them, and when it was known
	// to be current.
	save(r remembered, heard time.Time, records []Record) error
}

// remembered is the newest state that an atom has seen.
type remembered struct {
	Format      int    `json:"format"`
	Registry    string `json:"registry"`
	Environment string `json:"environment"`
	// Authority is the number of the newest, Index that of the index that was applied.
	Authority uint64           `json:"authority"`
	Index     uint64           `json:"index"`
	Digest    authority.Digest `json:"digest"`
}

// check tells whether it is about an atom of this registry and environment.
func (m remembered) check(registry, environment string) error {
	if m != (remembered{}) && (m.Registry != registry || m.Environment != environment) {
		return &trustkeep.Error{Op: "memory", Err: trustkeep.ErrInvalid, Hint: "it is of another registry or environment: each atom has a file of its own"}
	}
	return nil
}

// fileMemory is a file.
type fileMemory string

// maxMemory bounds the file.
const maxMemory = 1 << 16

func (path fileMemory) load() (m remembered, err error) {
	text, err := storefile.ReadFile(string(path), maxMemory)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil && (json.Unmarshal(text, &m) != nil || m.Format < 1 || m.Registry == "" || m.Environment == "") {
		err = trustkeep.ErrCorrupt
	}
	if err == nil && m.Format > formatVersion {
		err = trustkeep.ErrUnsupported
	}
	if err != nil {
		return remembered{}, &trustkeep.Error{Op: "memory", Path: string(path), Err: err, Hint: "without it, an older state than the last one cannot be told"}
	}
	return m, nil
}

func (path fileMemory) save(m remembered, _ time.Time, _ []Record) error {
	m.Format = formatVersion
	text, err := json.Marshal(m)
	if err == nil {
		err = storefile.Write(string(path), text, storefile.Options{})
	}
	if err != nil {
		return fmt.Errorf("memory: %w", err)
	}
	return nil
}
