package environment

import (
	"fmt"
	"slices"

	"github.com/trustkeep/trustkeep"
)

// reach is the atoms that something is deployed to; nil for all of the environment.
type reach []string

func (r reach) covers(atom string) bool { return len(r) == 0 || slices.Contains(r, atom) }

func (r reach) describe() string {
	if len(r) == 0 {
		return "to all atoms"
	}
	return fmt.Sprintf("to atoms %v", []string(r))
}

// checkAtoms refuses a list that names nobody, which is not to mean everybody.
func checkAtoms(what string, atoms []string) error {
	if len(atoms) == 0 {
		return fmt.Errorf("an empty list of atoms: %w", trustkeep.ErrInvalid)
	}
	for _, a := range atoms {
		if err := checkID(what, a); err != nil {
			return err
		}
	}
	return nil
}

// placing makes the reach of a deployment of the one that it has; there tells whether it has
// one.
type placing func(now reach, there bool) (reach, error)

// toAll deploys to all atoms.
func toAll(reach, bool) (reach, error) { return nil, nil }

// asBefore deploys to whatever was deployed to; to all if nothing was.
func asBefore(now reach, _ bool) (reach, error) { return now, nil }

// toOnly deploys to these atoms.
func toOnly(atoms []string) placing {
	return func(reach, bool) (reach, error) { return joined(nil, atoms), nil }
}

// toAlso deploys to these atoms besides.
func toAlso(atoms []string) placing {
	return func(now reach, there bool) (reach, error) {
		if there && len(now) == 0 {
			return nil, nil
		}
		return joined(now, atoms), nil
	}
}

// without returns what is left when these atoms are gone; nothing is left if there is none.
func (r reach) without(atoms []string) (reach, error) {
	if len(r) == 0 {
		return nil, &trustkeep.Error{Op: "undeploy from single atoms", Err: trustkeep.ErrUnsupported,
			Hint: "it is deployed to all atoms: deploy it to those that are to keep it"}
	}
	for _, a := range atoms {
		if !slices.Contains(r, a) {
			return nil, fmt.Errorf("deployment to atom %s: %w", a, trustkeep.ErrNotFound)
		}
	}
	return slices.DeleteFunc(slices.Clone(r), func(a string) bool { return slices.Contains(atoms, a) }), nil
}

func joined(now reach, more []string) reach {
	out := slices.Clone(now)
	for _, a := range more {
		if !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}
