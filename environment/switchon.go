package environment

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment/authority"
)

// Signing is what switching on signatures for an existing registry would sign. Look at
// Records, then call Sign.
type Signing struct {
	// Records that have no signature that counts, by key.
	Records []ToSign
	l       *ledger
}

// ToSign is a record that is to be signed.
type ToSign struct {
	Key      string
	Revision uint64
	// Actor and Time are what the record says of itself, Description what it holds. The
	// storage decides about them until it is signed.
	Actor       string
	Time        time.Time
	Description string
	text        []byte
}

// PlanSigning lists the records of a registry that are not signed, so that an administrator
// sees what he vouches for before he signs it. Open the registry with Authority and Signer,
// and without a Sealer, whose record is one of them. Damaged records are reported in the
// error, and keep the registry from being signed.
func (r *Registry) PlanSigning(ctx context.Context) (*Signing, error) {
	l, err := r.ledger()
	if err != nil {
		return nil, failure("plan signing", "", err)
	}
	all, err := l.inner.List(ctx, "")
	if err != nil {
		return nil, failure("plan signing", "", err)
	}
	s := &Signing{l: l}
	v := newInventory()
	for _, raw := range all {
		if _, _, signed := changeOf(raw.Key); !signed || raw.Err == nil && authority.IsSigned(raw.Value) {
			continue
		}
		v.apply(raw)
		one := ToSign{Key: raw.Key, Revision: raw.Revision, Description: v.describe(raw.Key), text: raw.Value}
		h := new(header)
		if err := decodeHeader(raw, h); err != nil {
			return nil, failure("plan signing", raw.Key, err)
		}
		one.Actor, one.Time = trustkeep.Printable(h.Actor), h.Time
		s.Records = append(s.Records, one)
	}
	return s, failure("plan signing", "", v.problem())
}

func decodeHeader(raw Record, h *header) error {
	return decode(raw, h)
}

// describe says what is under a key.
func (v *inventory) describe(key string) string {
	switch kind, _, id := kindOfKey(key); kind {
	case "components":
		if h := v.components[id]; h != nil {
			return describe(h.component)
		}
	case "connections":
		if c, ok := v.connections[id]; ok {
			return printable(c.describe())
		}
	case "processes":
		if p, ok := v.processes[id]; ok {
			return printable(p.describe())
		}
	case "partners":
		if p, ok := v.partners[id]; ok {
			return printable(p.describe())
		}
	case "environments":
		if d := v.environments[id]; d != nil {
			return printable(d.describe())
		}
	case "processes of environment":
		if d := v.deployed[key]; d != nil {
			return printable(d.record.describe())
		}
	}
	return ""
}

// String lists the records, one a line.
func (s *Signing) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d records to sign", len(s.Records))
	for _, one := range s.Records {
		fmt.Fprintf(&b, "\n%s, by %q on %s: %s", one.Key, one.Actor, one.Time.UTC().Format(time.RFC3339), one.Description)
	}
	return b.String()
}

// Sign signs the records as they were listed, and makes the indexes. The error wraps
// trustkeep.ErrConflict if one of them was changed since: plan again. Calling it again, or
// planning again, goes on after any error.
//
// The signer needs all rights, and to release every environment alone: threshold signatures
// are for a successor of the Authority, see Registry.Rotate.
func (s *Signing) Sign(ctx context.Context) error {
	return failure("sign", "", s.sign(ctx))
}

func (s *Signing) sign(ctx context.Context) error {
	l := s.l
	if l.signer == nil {
		return l.authority.MayRelease("", "")
	}
	c, err := l.control(ctx)
	if err != nil {
		return err
	}
	if err := c.problems[registryIndex]; err != nil {
		return err
	}
	v := &view{c: c, at: make(map[string]*state), inv: newInventory()}
	if c.indexes[""] == nil {
		if err := l.writeIndex(ctx, v, "", []authority.Entry{}); err != nil && !errors.Is(err, trustkeep.ErrConflict) {
			return err
		}
	}
	for _, one := range s.Records {
		kind, _, _ := changeOf(one.Key)
		if err := c.authority.May(l.who, kind, authority.Everywhere); err != nil {
			return err
		}
		raw, err := l.inner.Get(ctx, one.Key)
		if err != nil {
			return err
		}
		if authority.IsSigned(raw.Value) {
			continue // by an earlier call
		}
		if raw.Revision != one.Revision || string(raw.Value) != string(one.text) {
			return &ConflictError{Key: one.Key, Expected: one.Revision, Actual: raw.Revision}
		}
		known, _ := c.known(one.Key)
		next, err := l.sign(v, &state{key: one.Key, entry: known}, raw.Value)
		if err != nil {
			return err
		}
		shown := newInventory()
		shown.apply(raw)
		if _, err := l.write(ctx, one.Key, next.text, raw.Revision, shown.filesOf(one.Key)); err != nil {
			return err
		}
	}
	if v, err = l.view(ctx); err != nil {
		return err
	}
	for key, s := range v.at {
		if s.err != nil {
			return fmt.Errorf("environment: record %s: %w", key, s.err)
		}
	}
	if err := l.release(ctx, v, v.environments()); err != nil {
		return err
	}
	l.r.tell(ctx, Event{Action: "signing switched on", Object: c.authority.Registry(), After: fmt.Sprintf("%d records", len(s.Records))})
	return nil
}
