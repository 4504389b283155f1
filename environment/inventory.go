package environment

import (
	"context"
	"crypto/x509"
	"errors"
	"iter"
	"maps"
	"slices"
	"strings"

	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/keystore"
)

// inventory is what a storage holds, understood. Damaged records are listed apart and
// keep nothing else from being understood.
type inventory struct {
	components   map[string]*held
	connections  map[string]Connection
	processes    map[string]Process
	partners     map[string]Partner
	environments map[string]*environmentRecord
	deployed     map[string]*deployedProcess // by key
	atoms        map[string]*attachedAtom    // by key
	listed       map[string]Record           // components whose records were left out, see references
	rings        map[string]*ringRecord      // by environment
	sealed       map[string]*sealedCopy      // by key
	exposed      map[string]*exposedRecord   // by environment
	damaged      map[string]error            // by key
}

// held is a component with its record.
type held struct {
	component *component.Component
	record    *componentRecord
}

// certificate is that of an X.509 component; the error says why there is none.
func (h *held) certificate() (*x509.Certificate, error) {
	return keystore.CertificateOf(h.component)
}

type deployedProcess struct {
	environment string
	record      *deployedRecord
	frozen      map[string]*held
}

type attachedAtom struct {
	environment string
	id          string
	record      *atomRecord
}

func newInventory() *inventory {
	return &inventory{
		components: make(map[string]*held), connections: make(map[string]Connection),
		processes: make(map[string]Process), partners: make(map[string]Partner), environments: make(map[string]*environmentRecord),
		deployed: make(map[string]*deployedProcess), atoms: make(map[string]*attachedAtom),
		listed: make(map[string]Record), rings: make(map[string]*ringRecord), sealed: make(map[string]*sealedCopy), exposed: make(map[string]*exposedRecord),
		damaged: make(map[string]error),
	}
}

// clone copies the maps; what is in them is never changed.
func (v *inventory) clone() *inventory {
	return &inventory{
		components: maps.Clone(v.components), connections: maps.Clone(v.connections),
		processes: maps.Clone(v.processes), partners: maps.Clone(v.partners), environments: maps.Clone(v.environments),
		deployed: maps.Clone(v.deployed), atoms: maps.Clone(v.atoms),
		listed: maps.Clone(v.listed), rings: maps.Clone(v.rings), sealed: maps.Clone(v.sealed), exposed: maps.Clone(v.exposed), damaged: maps.Clone(v.damaged),
	}
}

// list reads the whole registry.
func (r *Registry) list(ctx context.Context) (*inventory, error) { return r.listOf(ctx, "") }

// references reads what may refer to components. Components refer to nothing, and their
// records, of up to keptVersions versions, are the large ones: they are left out.
func (r *Registry) references(ctx context.Context) (*inventory, error) {
	records, err := r.storage.List(ctx, "")
	if err != nil {
		return nil, err
	}
	v := newInventory()
	for _, record := range records {
		if kind, _, id := kindOfKey(record.Key); kind == "components" {
			v.listed[id] = record
		} else {
			v.apply(record)
		}
	}
	return v, nil
}

// listOf reads the records whose keys begin with a prefix.
func (r *Registry) listOf(ctx context.Context, prefix string) (*inventory, error) {
	records, err := r.storage.List(ctx, prefix)
	if err != nil {
		return nil, err
	}
	v := newInventory()
	for _, record := range records {
		v.apply(record)
	}
	return v, nil
}

// apply takes over a record. One that is damaged takes the place of nothing: what was
// known of it before stays.
func (v *inventory) apply(r Record) {
	kind, environment, id := kindOfKey(r.Key)
	if kind == "" {
		return
	}
	delete(v.damaged, r.Key)
	if r.Deleted {
		v.forget(r.Key)
		return
	}
	var err error
	switch kind {
	case "components":
		d := new(componentRecord)
		var c *component.Component
		if err = decode(r, d); err == nil {
			if c, err = d.component(); err == nil {
				v.components[id] = &held{c, d}
			}
		}
	case "connections":
		d := new(connectionRecord)
		if err = decode(r, d); err == nil {
			v.connections[id] = d.Connection
		}
	case "processes":
		d := new(processRecord)
		if err = decode(r, d); err == nil {
			v.processes[id] = d.Process
		}
	case "partners":
		d := new(partnerRecord)
		if err = decode(r, d); err == nil {
			v.partners[id] = d.Partner
		}
	case "environments":
		d := new(environmentRecord)
		if err = decode(r, d); err == nil {
			err = d.parse()
		}
		if err == nil {
			v.environments[id] = d
		}
	case "processes of environment":
		p := &deployedProcess{environment: environment, record: new(deployedRecord), frozen: make(map[string]*held)}
		if err = decode(r, p.record); err == nil {
			for id, f := range p.record.Frozen {
				c, e := f.component()
				if err = errors.Join(err, e); e == nil {
					p.frozen[id] = &held{c, f}
				}
			}
		}
		if err == nil {
			v.deployed[r.Key] = p
		}
	case "atoms of environment":
		a := &attachedAtom{environment: environment, id: id, record: new(atomRecord)}
		if err = decode(r, a.record); err == nil {
			v.atoms[r.Key] = a
		}
	case "secrets":
		d := newRingRecord()
		if err = decode(r, d); err == nil {
			v.rings[environment] = d
		}
	case "exposed":
		d := newExposedRecord()
		if err = decode(r, d); err == nil {
			v.exposed[environment] = d
		}
	case "secrets of component":
		c := &sealedCopy{env: environment, component: id, revision: r.Revision, record: newSealedRecord()}
		if err = decode(r, c.record); err == nil {
			v.sealed[r.Key] = c
		}
	}
	if err != nil {
		v.damaged[r.Key] = err
	}
}

func (v *inventory) forget(key string) {
	switch kind, environment, id := kindOfKey(key); kind {
	case "secrets":
		delete(v.rings, environment)
	case "exposed":
		delete(v.exposed, environment)
	case "secrets of component":
		delete(v.sealed, key)
	case "components":
		delete(v.components, id)
	case "connections":
		delete(v.connections, id)
	case "processes":
		delete(v.processes, id)
	case "partners":
		delete(v.partners, id)
	case "environments":
		delete(v.environments, id)
	case "processes of environment":
		delete(v.deployed, key)
	case "atoms of environment":
		delete(v.atoms, key)
	}
}

// update takes over what a Watch reports and returns the keys that it was about.
func (v *inventory) update(u Update) {
	if u.Full {
		there := make(map[string]bool, len(u.Records))
		for _, r := range u.Records {
			there[r.Key] = true
		}
		for _, key := range v.keys() {
			if !there[key] {
				v.forget(key)
				delete(v.damaged, key)
			}
		}
	}
	for _, r := range u.Records {
		v.apply(r)
	}
}

func (v *inventory) keys() []string {
	var keys []string
	for id := range v.components {
		keys = append(keys, componentKey(id))
	}
	for id := range v.connections {
		keys = append(keys, connectionKey(id))
	}
	for id := range v.processes {
		keys = append(keys, processKey(id))
	}
	for id := range v.partners {
		keys = append(keys, partnerKey(id))
	}
	for id := range v.environments {
		keys = append(keys, environmentKey(id))
	}
	for env := range v.rings {
		keys = append(keys, ringKey(env))
	}
	for env := range v.exposed {
		keys = append(keys, exposedKey(env))
	}
	keys = slices.AppendSeq(keys, maps.Keys(v.sealed))
	keys = slices.AppendSeq(keys, maps.Keys(v.deployed))
	keys = slices.AppendSeq(keys, maps.Keys(v.atoms))
	return slices.AppendSeq(keys, maps.Keys(v.damaged))
}

// problem is the error of whatever is damaged, nil where nothing is.
func (v *inventory) problem() error {
	var all []error
	for _, key := range slices.Sorted(maps.Keys(v.damaged)) {
		all = append(all, v.damaged[key])
	}
	return errors.Join(all...)
}

// sortedBy returns the entries of a map by their keys.
func sortedBy[V any](m map[string]V) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) {
		for _, k := range slices.SortedFunc(maps.Keys(m), strings.Compare) {
			if !yield(k, m[k]) {
				return
			}
		}
	}
}

// values returns the values of a map by their keys.
func values[V any](m map[string]V) []V {
	out := make([]V, 0, len(m))
	for _, v := range sortedBy(m) {
		out = append(out, v)
	}
	return out
}
