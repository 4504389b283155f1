package authority

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"
)

// Kind is a kind of change that a Grant allows.
type Kind string

// The kinds of change.
const (
	Components  Kind = "components"  // content of components
	Connections Kind = "connections" // definitions of connections
	Processes   Kind = "processes"   // definitions of processes
	Partners    Kind = "partners"    // definitions of partners
	Deployments Kind = "deployments" // what is deployed to an environment, substituted, overridden
	Secrets     Kind = "secrets"     // sealed passwords
)

// Kinds returns all kinds of change.
func Kinds() []Kind {
	return []Kind{Components, Connections, Processes, Partners, Deployments, Secrets}
}

// Everywhere stands for all environments: in a Grant, those that are made later included; in
// Document.Environments, those that have no entry of their own.
const Everywhere = "*"

// Member is a key of a Document.
type Member struct {
	// Name is for people: "anna", "release pipeline".
	Name string    `json:"name"`
	Key  PublicKey `json:"key"`
}

// Role is a number of keys, of which so many must sign.
type Role struct {
	// Keys are IDs of Document.Keys.
	Keys []string `json:"keys"`
	// Threshold is how many of them must sign, one at least.
	Threshold int `json:"threshold"`
}

// Grant allows keys to make changes.
type Grant struct {
	// Keys are IDs of Document.Keys, each of which may make these changes alone.
	Keys []string `json:"keys"`
	// Kinds of change; an empty list allows nothing.
	Kinds []Kind `json:"kinds"`
	// Environments in which the changes may count: IDs, or Everywhere. An empty list allows
	// nothing.
	Environments []string `json:"environments"`
}

// Environment says who vouches for what counts in an environment.
type Environment struct {
	// Release signs its Index.
	Release Role
	// Dating are IDs of keys, each of which may sign its Date.
	Dating []string
	// Lifetime is how long an Index or Date counts after it was made; at least a second, and
	// in whole seconds.
	Lifetime time.Duration
}

type environmentJSON struct {
	Release  Role     `json:"release"`
	Dating   []string `json:"dating"`
	Lifetime int64    `json:"lifetime"` // in seconds
}

// MarshalJSON spells the lifetime in seconds.
func (e Environment) MarshalJSON() ([]byte, error) {
	return json.Marshal(environmentJSON{e.Release, e.Dating, int64(e.Lifetime / time.Second)})
}

// UnmarshalJSON reverses MarshalJSON.
func (e *Environment) UnmarshalJSON(text []byte) error {
	var j environmentJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	if j.Lifetime > int64(maxLifetime/time.Second) {
		return errors.New("lifetime")
	}
	*e = Environment{j.Release, j.Dating, time.Duration(j.Lifetime) * time.Second}
	return nil
}

// Bounds of a Document.
const (
	maxKeys         = 1000
	maxGrants       = 1000
	maxEnvironments = 1000
	maxIndexes      = 5000
	maxLifetime     = 10 * 365 * 24 * time.Hour
)

// Document says whose signatures count in a registry.
type Document struct {
	// Registry is a name that no other registry has, such as crypto/rand.Text makes. It stays
	// the same in all successors.
	Registry string `json:"registry"`
	// Number is one for the first, and one more for each successor; see Authority.Next.
	Number uint64 `json:"number"`
	// Previous is the digest of the one before; zero for the first.
	Previous Digest `json:"previous"`
	// Keys are all that roles and grants name.
	Keys []Member `json:"keys"`
	// Root signs the Document and its successor.
	Root Role `json:"root"`
	// Grants say who may change what.
	Grants []Grant `json:"grants"`
	// Environments say by ID who releases and dates, Everywhere for those not listed.
	Environments map[string]Environment `json:"environments"`
	// Indexes are the digests of the indexes that there are when it takes over, by
	// environment, "" for that of the registry; see environment.Registry.Successor. They stay
	// valid until new ones take their place, as no others do that were made under the Document
	// before.
	Indexes map[string]Digest `json:"indexes,omitempty"`
}

func (Document) kind() string { return "authority" }

func (d Document) check() error {
	if !named(d.Registry) {
		return errors.New("no name of the registry")
	}
	if len(d.Keys) > maxKeys || len(d.Grants) > maxGrants || len(d.Environments) > maxEnvironments || len(d.Indexes) > maxIndexes {
		return fmt.Errorf("more than %d keys, %d grants, %d environments or %d indexes", maxKeys, maxGrants, maxEnvironments, maxIndexes)
	}
	known := make(map[string]bool)
	names := make(map[string]bool)
	for _, m := range d.Keys {
		id := m.Key.ID()
		if m.Key == (PublicKey{}) || known[id] || !named(m.Name) || names[m.Name] {
			return errors.New("a member without key or name, or one of them twice")
		}
		known[id], names[m.Name] = true, true
	}
	list := func(what string, keys []string) error {
		seen := make(map[string]bool)
		for _, id := range keys {
			if !known[id] || seen[id] {
				return fmt.Errorf("%s names a key that is no member, or one twice", what)
			}
			seen[id] = true
		}
		return nil
	}
	role := func(what string, r Role) error {
		if r.Threshold < 1 || r.Threshold > len(r.Keys) || r.Threshold > MaxSignatures {
			return fmt.Errorf("%s has %d keys, and %d of them must sign", what, len(r.Keys), r.Threshold)
		}
		return list(what, r.Keys)
	}
	err := role("root", d.Root)
	for _, g := range d.Grants {
		err = cmp.Or(err, list("a grant", g.Keys))
		for _, k := range g.Kinds {
			if !slices.Contains(Kinds(), k) {
				err = cmp.Or(err, errors.New("a grant of a kind that there is not"))
			}
		}
		for _, e := range g.Environments {
			if !named(e) {
				err = cmp.Or(err, errors.New("a grant for an environment without name"))
			}
		}
	}
	for id, e := range d.Environments {
		if !named(id) || e.Lifetime < time.Second || e.Lifetime > maxLifetime || e.Lifetime%time.Second != 0 {
			err = cmp.Or(err, errors.New("an environment without name, or with a lifetime that is none"))
		}
		err = cmp.Or(err, role("release", e.Release), list("dating", e.Dating))
	}
	for id, index := range d.Indexes {
		if id != "" && !named(id) || index.IsZero() {
			err = cmp.Or(err, errors.New("an index without digest, or of an environment without name"))
		}
	}
	return cmp.Or(err, checkNumber(d.Number, d.Previous))
}
