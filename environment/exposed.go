package environment

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/content"
	"github.com/trustkeep/trustkeep/keystore"
)

// Exposure is an Exposed that is kept on record for those who give components new keys.
type Exposure struct {
	Exposed
	// Recipient is who was removed; empty where the component ceased to count in the environment:
	// all its recipients of then could open it.
	Recipient string
	// Until is when it was sealed for them no more.
	Until time.Time
}

// Exposed lists the components whose private keys recipients of the environment could open and
// cannot any more: they may have kept them, or read them in former versions of the storage. A
// component is listed until every version that is kept of it, held and frozen ones included, has
// another key, or it is sealed for them again. The last 4,096 versions are kept on record.
func (e *Environment) Exposed(ctx context.Context) ([]Exposure, error) {
	out, err := e.r.exposed(ctx, func(env string) bool { return env == e.id })
	return out, failure("exposed", e.id, err)
}

// Exposed is Environment.Exposed of all environments, those that were deleted included, and of
// former administrators.
func (r *Registry) Exposed(ctx context.Context) ([]Exposure, error) {
	out, err := r.exposed(ctx, func(string) bool { return true })
	return out, failure("exposed", "", err)
}

func (r *Registry) exposed(ctx context.Context, in func(env string) bool) ([]Exposure, error) {
	v, err := r.list(ctx)
	if err != nil {
		return nil, err
	}
	keys := make(map[string]map[string]bool) // by component
	for id := range v.components {
		keys[id] = make(map[string]bool)
		for _, key := range v.keysOf(id) {
			keys[id][key] = true
		}
	}
	where := v.whereabouts()
	var out []Exposure
	for env, d := range sortedBy(v.exposed) {
		if !in(env) {
			continue
		}
		for _, one := range d.Entries {
			counts := env != administrators && slices.Contains(where.of(one.Component), env)
			back := v.rings[env] != nil && slices.ContainsFunc(v.rings[env].Recipients, func(p ringRecipient) bool { return p.Key.Fingerprint() == one.Fingerprint })
			if !keys[one.Component][one.Key] || one.Recipient == "" && counts || one.Recipient != "" && back {
				continue
			}
			i := slices.IndexFunc(out, func(e Exposure) bool {
				return e.Environment == env && e.Component == one.Component && e.Recipient == one.Recipient && e.Until.Equal(one.Until)
			})
			if i < 0 {
				i = len(out)
				out = append(out, Exposure{Exposed{Environment: env, Component: one.Component}, one.Recipient, one.Until})
			}
			out[i].Versions = append(out[i].Versions, one.Version)
		}
	}
	for _, e := range out {
		slices.Sort(e.Versions)
	}
	slices.SortStableFunc(out, func(a, b Exposure) int {
		return cmp.Or(cmp.Compare(a.Environment, b.Environment), cmp.Compare(a.Component, b.Component), a.Until.Compare(b.Until))
	})
	return out, nil
}

// exposedRecord is what recipients of an environment could open.
type exposedRecord struct {
	stamp
	Entries []exposedKeyOf `json:"entries"`
}

type exposedKeyOf struct {
	Component   string    `json:"component"`
	Version     int       `json:"version"`
	Key         string    `json:"key"` // see identify
	Until       time.Time `json:"until"`
	Recipient   string    `json:"recipient,omitempty"`
	Fingerprint string    `json:"fingerprint,omitempty"` // of the recipient's key
}

const maxExposed = 1 << 12

func newExposedRecord() *exposedRecord { return new(exposedRecord) }

func (d *exposedRecord) check(string) error {
	if len(d.Entries) > maxExposed {
		return fmt.Errorf("%d exposed versions", len(d.Entries))
	}
	return nil
}

// exposedKey is below the data key's, so that what holds for that holds for it.
func exposedKey(env string) string { return ringKey(env) + "/exposed/all" }

// expose puts on record what is about to be sealed no more for a recipient, for all of them if
// that has no name. What is on record and does not happen is not listed.
func (r *Registry) expose(ctx context.Context, v *inventory, env string, who Recipient, copies []*sealedCopy) error {
	var all []exposedKeyOf
	for _, c := range copies {
		now := v.clone()
		d, err := r.currentRecord(ctx, c.component)
		if err != nil {
			return err
		}
		if d == nil {
			continue // nobody uses its key any more
		}
		parsed, err := d.component()
		if err != nil {
			return err
		}
		now.components[c.component] = &held{parsed, d}
		keys := now.keysOf(c.component)
		for _, one := range c.record.Secrets {
			e := exposedKeyOf{Component: c.component, Version: one.Version, Key: keys[one.Digest], Until: r.now(), Recipient: who.Name}
			if who.Name != "" {
				e.Fingerprint = who.Key.Fingerprint()
			}
			if e.Key != "" {
				all = append(all, e)
			}
		}
	}
	if len(all) == 0 {
		return nil
	}
	_, err := changeAny(ctx, r, exposedKey(env), newExposedRecord, func(d *exposedRecord, _ bool) error {
		for _, e := range all {
			d.Entries = slices.DeleteFunc(d.Entries, func(old exposedKeyOf) bool {
				old.Until = e.Until
				return old == e
			})
		}
		d.Entries = append(d.Entries, all...)
		d.Entries = d.Entries[max(0, len(d.Entries)-maxExposed):]
		return nil
	})
	return err
}

// keysOf names the keys of what is kept of a component, held and frozen copies included.
func (v *inventory) keysOf(id string) map[digest]string {
	out := make(map[digest]string)
	add := func(h *held) {
		if h == nil {
			return
		}
		s := h.component.State()
		for i, version := range h.component.Versions() {
			if c := version.Content(); c != nil {
				out[digestOfKey(s.Versions[i].Stored)] = identify(c)
			}
		}
		for i, p := range h.component.Pending() {
			key := s.Pending[i].Request
			if request, err := x509.ParseCertificateRequest(p.Request); err == nil {
				key = request.RawSubjectPublicKeyInfo
			}
			out[digestOfKey(s.Pending[i].Stored)] = hashed(key)
		}
	}
	add(v.components[id])
	for _, d := range v.environments {
		add(d.parsed[id])
	}
	for _, p := range v.deployed {
		add(p.frozen[id])
	}
	return out
}

// identify names the key of a content, which may have several certificates.
func identify(c component.Content) string {
	if c.Kind() == trustkeep.X509 {
		if cert, err := keystore.CertificateOf(content.Held(c)); err == nil {
			return hashed(cert.RawSubjectPublicKeyInfo)
		}
	}
	return c.Fingerprint()
}

func hashed(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:])
}
