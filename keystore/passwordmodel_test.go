package keystore_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

// modelled is a store beside what is known of its passwords, by their index in candidates.
type modelled struct {
	*keystore.Keystore
	t      *testing.T
	r      *rand.Rand
	path   string
	format trustkeep.Format
	store  int
	own    map[string]int // by alias; 0 is the store's
	ids    []*keystore.Identity
	log    []string
}

// candidates are tried on every key; those that are used come first.
var candidates = []trustkeep.PasswordSource{nil, first, second, third, trustkeep.Password("fourth"), trustkeep.Password("")}

const used = 4

var modelledFormats = []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.PEM, trustkeep.BKS}

func (m *modelled) did(err error, what string, args ...any) {
	m.t.Helper()
	m.log = append(m.log, fmt.Sprintf(what, args...))
	if err != nil {
		m.t.Fatal(m.log, err)
	}
}

func (m *modelled) password() int { return 1 + m.r.IntN(used-1) }

func (m *modelled) of(alias string) int {
	if m.own[alias] != 0 {
		return m.own[alias]
	}
	return m.store
}

// check tries all passwords on all keys.
func (m *modelled) check() {
	m.t.Helper()
	for _, alias := range m.Aliases() {
		for i, p := range candidates {
			if _, err := m.IdentityWithPassword(alias, p); (err == nil) != (i == m.of(alias)) || err != nil && !isIncorrect(err) {
				m.t.Fatalf("%v: %s by password %d and not %d: %v", m.log, alias, i, m.of(alias), err)
			}
		}
	}
}

func (m *modelled) save(o trustkeep.SaveOptions) error {
	o.Rand = quickkdf.Rand()
	return m.Save(m.path, o)
}

// step does one of the things that can be done to a store.
func (m *modelled) step(n int) {
	alias, fresh := "", fmt.Sprint("k", n)
	if n := m.Len(); n > 0 {
		alias = m.Aliases()[m.r.IntN(n)]
	}
	id := m.ids[m.r.IntN(len(m.ids))]
	ownPasswords := m.format != trustkeep.PKCS12
	switch op := m.r.IntN(10); {
	case op == 0 || alias == "":
		m.did(m.SetIdentity(fresh, id), "set %s", fresh)
	case op == 1 && ownPasswords:
		m.own[fresh] = m.password()
		m.did(m.SetIdentityWithPassword(fresh, id, candidates[m.own[fresh]]), "set %s by %d", fresh, m.own[fresh])
	case op == 2:
		old := m.store
		m.store = m.password()
		m.did(m.ChangePassword(candidates[old], candidates[m.store]), "change to %d", m.store)
	case op == 3:
		old := m.of(alias)
		m.own[alias] = 0
		if ownPasswords {
			m.own[alias] = m.r.IntN(used)
		}
		m.did(m.ChangeKeyPassword(alias, candidates[old], candidates[m.own[alias]]), "change %s to %d", alias, m.own[alias])
	case op == 4:
		m.did(m.save(trustkeep.SaveOptions{}), "save")
	case op == 5:
		m.store = m.password()
		m.did(m.save(trustkeep.SaveOptions{Password: candidates[m.store]}), "save by %d", m.store)
	case op == 6:
		m.format = modelledFormats[m.r.IntN(len(modelledFormats))]
		m.did(m.save(trustkeep.SaveOptions{Format: m.format}), "save as %s", m.format)
		if m.format == trustkeep.PKCS12 {
			m.own = map[string]int{}
		}
	case op == 7:
		m.own[fresh] = m.own[alias]
		delete(m.own, alias)
		m.did(m.Rename(alias, fresh), "rename %s to %s", alias, fresh)
	case op == 8:
		_, err := m.Replace(mustEntry(m.t, m.Keystore, alias), keystore.Replacement{Key: id.Signer(), Chain: id.Chain()})
		m.did(err, "replace %s", alias)
	case op == 9 && m.format != trustkeep.PEM: // which a password has to open one key of
		m.did(m.save(trustkeep.SaveOptions{}), "save")
		o := keystore.Options{Unlock: m.r.IntN(2) == 0, KeyPasswords: map[string]trustkeep.PasswordSource{}}
		for alias, p := range m.own {
			if p != 0 {
				o.KeyPasswords[alias] = candidates[p]
			}
		}
		var err error
		m.Keystore, err = o.Load(m.path, candidates[m.store])
		m.did(err, "load")
	}
}

// TestPasswordsAfterEverything: whatever is done to a store, each key opens by its own
// password and by no other.
func TestPasswordsAfterEverything(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ids := []*keystore.Identity{newIdentity(t, pki.Server("a")), newIdentity(t, pki.Server("b"))}
	runs := uint64(8)
	if testing.Short() {
		runs = 2
	}
	for seed := range runs {
		m := &modelled{Keystore: keystore.New(), t: t, r: rand.New(rand.NewPCG(seed, 0)), path: filepath.Join(t.TempDir(), "store"),
			store: 1, own: map[string]int{}, ids: ids, format: modelledFormats[seed%uint64(len(modelledFormats))]}
		m.did(m.save(trustkeep.SaveOptions{Format: m.format, Password: candidates[m.store]}), "save as %s", m.format)
		for n := range 15 {
			m.step(n)
			m.check()
		}
	}
}
