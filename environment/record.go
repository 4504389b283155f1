package environment

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// The keys of records. docs/environment.md describes what is in them.
const (
	secretsKey        = "secrets"
	componentsPrefix  = "components/"
	connectionsPrefix = "connections/"
	processesPrefix   = "processes/"
	partnersPrefix    = "partners/"
	environmentPrefix = "environments/"

	administratorsPrefix = "administrators/"
)

func componentKey(id string) string   { return componentsPrefix + id }
func connectionKey(id string) string  { return connectionsPrefix + id }
func processKey(id string) string     { return processesPrefix + id }
func partnerKey(id string) string     { return partnersPrefix + id }
func environmentKey(id string) string { return environmentPrefix + id }

func deployedKey(environment, process string) string {
	return environmentPrefix + environment + "/processes/" + process
}

// ringKey is the record of who may open the passwords of an environment; sealedKey has those of a
// component. Those for the administrators have no environment.
func ringKey(environment string) string {
	if environment == administrators {
		return administratorsPrefix + "secrets"
	}
	return environmentPrefix + environment + "/secrets"
}

func sealedKey(environment, component string) string { return ringKey(environment) + "/" + component }

func atomKey(environment, atom string) string {
	return environmentPrefix + environment + "/atoms/" + atom
}

// kindOfKey splits a key of this package. Other keys have an empty kind.
func kindOfKey(key string) (kind, environment, id string) {
	part := strings.Split(key, "/")
	switch {
	case len(part) == 2 && slices.Contains([]string{"components", "connections", "processes", "partners", "environments"}, part[0]):
		return part[0], "", part[1]
	case len(part) == 4 && part[0] == "environments" && (part[2] == "processes" || part[2] == "atoms"):
		return part[2] + " of environment", part[1], part[3]
	case len(part) == 5 && key == exposedKey(part[1]):
		return "exposed", part[1], ""
	case key == exposedKey(administrators):
		return "exposed", administrators, ""
	case len(part) >= 3 && len(part) <= 4 && part[0] == "environments" && part[2] == "secrets":
		kind, environment, part = "secrets", part[1], part[2:]
	case len(part) >= 2 && len(part) <= 3 && part[0] == "administrators" && part[1] == "secrets":
		kind, part = "secrets", part[1:]
	}
	if kind != "" && len(part) == 2 {
		return "secrets of component", environment, part[1]
	}
	if kind != "" {
		return kind, environment, ""
	}
	return "", "", ""
}

// checkID refuses what cannot be a segment of a key. Names of connections, processes,
// environments and atoms are IDs.
func checkID(what, id string) error {
	if err := CheckCapitalKey(id); err != nil || strings.Contains(id, "/") || len(id) > 64 {
		return &trustkeep.Error{
			Op: "environment: " + what, Alias: id, Err: trustkeep.ErrInvalid,
			Hint: "an ID has up to 64 letters, digits, hyphens and underscores, in lower case unless the storage takes capitals",
		}
	}
	return nil
}

// formatVersion is the last format of records that this program knows. Records of a later one
// are not read. A record is written in the first one that has all that is in it, so that programs
// of before go on with what they understand; see recordformat.go.
const formatVersion = 2

// stamp is in every record: what it is and who wrote this version of it.
type stamp struct {
	Format int       `json:"format"`
	Actor  string    `json:"actor,omitempty"`
	Time   time.Time `json:"time"`
	// Deleting: somebody is about to delete what the record is about, and looks
	// whether anything refers to it.
	Deleting bool `json:"deleting,omitempty"`
}

func (s *stamp) stamped() *stamp { return s }

// check finds nothing wrong; documents that name what they are about have one of their own.
func (*stamp) check(string) error { return nil }

// files is nothing; components are shown as files.
func (*stamp) files() []File { return nil }

// format is the first one; documents that have what later ones brought have one of their own.
func (*stamp) format() int { return 1 }

// document is the content of a record.
type document interface {
	stamped() *stamp
	// check tells whether a document that was read may be the one of an ID, and has
	// nothing that no program writes.
	check(id string) error
	// files shows the document to people and their tools.
	files() []File
	// format is the first one that has all that is in the document.
	format() int
}

func encode(d document) ([]byte, error) {
	text, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("environment: %w", err)
	}
	if len(text) > MaxValue {
		return nil, fmt.Errorf("environment: record of %d bytes, at most %d: %w", len(text), MaxValue, trustkeep.ErrLimit)
	}
	return text, nil
}

// decode reads a record. A damaged one, or one of a later format, is an error.
func decode(r Record, into document) error {
	if r.Err != nil {
		return fmt.Errorf("environment: record %s: %w", r.Key, r.Err)
	}
	if err := json.Unmarshal(r.Value, into); err != nil {
		return fmt.Errorf("environment: record %s: %w", r.Key, trustkeep.ErrCorrupt) // the cause may quote it
	}
	f := into.stamped().Format
	if f > formatVersion {
		return fmt.Errorf("environment: record %s has format %d, this program knows %d: %w", r.Key, f, formatVersion, trustkeep.ErrUnsupported)
	}
	err := into.check(r.Key[strings.LastIndexByte(r.Key, '/')+1:])
	if f < 1 {
		err = errors.New("no format")
	}
	if err != nil {
		return fmt.Errorf("environment: record %s: %w: %v", r.Key, trustkeep.ErrCorrupt, err)
	}
	return nil
}

// is tells whether a document of the ID got is that of the ID wanted.
func is(got, wanted string) error {
	if got != wanted {
		return fmt.Errorf("it calls itself %q", trustkeep.Printable(got))
	}
	return nil
}

// get reads a record; a missing one has revision 0 and no error.
func (r *Registry) get(ctx context.Context, key string, into document) (revision uint64, err error) {
	record, err := r.storage.Get(ctx, key)
	if errors.Is(err, trustkeep.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return record.Revision, decode(record, into)
}

// put writes a record, with the files that a storage may show for it, and returns its
// revision.
func (r *Registry) put(ctx context.Context, key string, d document, expected uint64) (uint64, error) {
	settle, err := r.sealFirst(ctx, key, d)
	if err != nil {
		return 0, err
	}
	defer settle()
	s := d.stamped()
	s.Format, s.Actor, s.Time = d.format(), actorOf(ctx), r.now()
	text, err := encode(d)
	if err != nil {
		return 0, err
	}
	var revision uint64
	if shown, ok := r.storage.(FileStorage); ok {
		revision, err = shown.PutFiles(ctx, key, text, expected, d.files())
	} else {
		revision, err = r.storage.Put(ctx, key, text, expected)
	}
	if _, unreleased := errors.AsType[*unreleasedError](err); err != nil && !unreleased && !errors.Is(err, trustkeep.ErrConflict) {
		// It may have been done, and the answer was lost.
		if now, e := r.storage.Get(ctx, key); e == nil && now.Revision != expected && bytes.Equal(now.Value, text) {
			return now.Revision, nil
		}
	}
	return revision, err
}

// delete deletes a record of a revision.
func (r *Registry) delete(ctx context.Context, key string, revision uint64) error {
	settle, err := r.sealFirst(ctx, key, nil)
	if err != nil {
		return err
	}
	defer settle()
	err = r.storage.Delete(ctx, key, revision)
	if _, unreleased := errors.AsType[*unreleasedError](err); err != nil && !unreleased && !errors.Is(err, trustkeep.ErrConflict) && !errors.Is(err, trustkeep.ErrNotFound) {
		// As in put.
		if _, e := r.storage.Get(ctx, key); errors.Is(e, trustkeep.ErrNotFound) {
			return nil
		}
	}
	return err
}

// maxAttempts bounds how often a change is made anew because others were faster.
const maxAttempts = 100

// change reads a record, has it changed and writes it, anew if somebody else was faster.
// edit is told whether the record exists. When it fails, nothing is written; errSame says
// that there is nothing to write, errRemove that the record is to be removed. One that is
// being deleted is not changed any more: trustkeep.ErrNotFound.
func change[D document](ctx context.Context, r *Registry, key string, fresh func() D, edit func(d D, exists bool) error) error {
	_, err := changeAny(ctx, r, key, fresh, func(d D, exists bool) error {
		if d.stamped().Deleting {
			return beingDeleted(key)
		}
		return edit(d, exists)
	})
	return err
}

// changeAny is change of a record that may be one that is being deleted. It returns the
// revision that the record has.
func changeAny[D document](ctx context.Context, r *Registry, key string, fresh func() D, edit func(d D, exists bool) error) (uint64, error) {
	for range maxAttempts {
		d := fresh()
		revision, err := r.get(ctx, key, d)
		if err != nil {
			return 0, err
		}
		switch err := edit(d, revision != 0); {
		case errors.Is(err, errSame):
			return revision, nil
		case errors.Is(err, errRemove):
			revision, err = 0, r.delete(ctx, key, revision)
			if err == nil || !errors.Is(err, trustkeep.ErrConflict) && !errors.Is(err, trustkeep.ErrNotFound) {
				return 0, err
			}
		case err != nil:
			return 0, err
		default:
			if revision, err = r.put(ctx, key, d, revision); !errors.Is(err, trustkeep.ErrConflict) {
				return revision, err
			}
		}
		if err := ctx.Err(); err != nil {
			return 0, err
		}
	}
	return 0, fmt.Errorf("environment: record %s: others were faster %d times: %w", key, maxAttempts, trustkeep.ErrConflict)
}

var (
	errSame   = errors.New("nothing to change")
	errRemove = errors.New("to be removed")
)

func failure(op, name string, err error) error {
	if err == nil {
		return nil
	}
	var cause *trustkeep.Error
	if errors.As(err, &cause) && cause.Alias == name {
		name = "" // it is told once
	}
	return &trustkeep.Error{Op: "environment: " + op, Alias: name, Err: err}
}
