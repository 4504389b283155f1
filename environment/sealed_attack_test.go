package environment_test

import (
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pgp"
)

// everything returns all versions of all records, those of deleted ones included.
func (s *sealedWorld) everything(more ...string) []environment.Record {
	s.t.Helper()
	keys := make(map[string]bool)
	for _, r := range check(s.storage.List(s.t.Context(), ""))(s.t) {
		keys[r.Key] = true
	}
	for _, key := range more {
		keys[key] = true
	}
	var out []environment.Record
	for key := range keys {
		for _, v := range check(s.storage.Versions(s.t.Context(), key))(s.t) {
			if !v.Deleted {
				out = append(out, v)
			}
		}
	}
	return out
}

// TestAnAtomOfTestCannotOpenWhatIsInProduction tries its key on everything that the storage has
// or ever had, in every way.
func TestAnAtomOfTestCannotOpenWhatIsInProduction(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	for _, id := range []string{"prod", "both", "test-only", "unused"} {
		s.identity(id)
	}
	s.pgpKey("prod-pgp")
	must(t, s.SetProcess(ctx, environment.Process{ID: "orders", Components: []string{"prod", "prod-pgp", "both"}}))
	must(t, s.production.DeployProcess(ctx, "orders"))
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "both"))
	must(t, s.test.SetRole(ctx, environment.RolePrimary, "test-only"))
	check(s.Renew(ctx, "prod", issue.Options{Subject: pkix.Name{CommonName: "new"}}, environment.ComponentOptions{}))(t)
	check(s.Renew(ctx, "test-only", issue.Options{Subject: pkix.Name{CommonName: "new"}}, environment.ComponentOptions{}))(t)
	other := newKey(t)
	must(t, s.production.AddRecipient(ctx, recipient("other", other)))
	check(s.production.RemoveRecipient(ctx, "other"))(t)
	must(t, s.production.SetRole(ctx, environment.RoleTLS, "unused"))
	must(t, s.production.SetRole(ctx, environment.RoleTLS, ""))

	records := s.everything("administrators/secrets/prod", "administrators/secrets/prod-pgp", "administrators/secrets/test-only", "environments/production/secrets/unused")
	var stores [][]byte
	for _, r := range records {
		var v any
		must(t, json.Unmarshal(r.Value, &v))
		stores = append(stores, blobs(v)...)
	}
	kinds := []component.Kind{keystore.ComponentKind(), pgp.ComponentKind()}
	for env, want := range map[string][]string{
		"test":       {"test:both", "test:test-only"},
		"production": {"production:both", "production:prod", "production:prod-pgp", "production:unused"},
	} {
		found := environment.Openings(s.atoms[env], records)
		if got := slices.Compact(slices.Sorted(maps.Values(found))); !slices.Equal(got, want) {
			t.Errorf("the key of an atom of %s opens %q, want %q", env, got, want)
		}
		opened := make(map[string]bool)
		for password := range found {
			for _, blob := range stores {
				c, err := component.Import(ctx, "x", blob, component.Options{Kinds: kinds, Password: trustkeep.Password(password)})
				if err == nil && c.Visibility() == trustkeep.Private {
					opened[c.Fingerprint()] = true
				}
			}
		}
		prod := check(s.Component(ctx, "prod"))(t)
		for _, v := range prod.Versions() {
			if opened[v.Fingerprint()] != (env == "production") {
				t.Errorf("atom of %s: key of version %d of prod: opened %v", env, v.Number, opened[v.Fingerprint()])
			}
		}
	}
	if found := environment.Openings(newKey(t), records); len(found) > 0 {
		t.Errorf("a stranger's key opens %v", slices.Collect(maps.Values(found)))
	}
}

// edit changes a record as somebody would who may write to the storage.
func (s *sealedWorld) edit(key string, change func(d map[string]any)) {
	s.t.Helper()
	r, err := s.storage.Get(s.t.Context(), key)
	d := make(map[string]any)
	if err == nil {
		must(s.t, json.Unmarshal(r.Value, &d))
	}
	change(d)
	check(s.storage.Put(s.t.Context(), key, check(json.Marshal(d))(s.t), r.Revision))(s.t)
}

func (s *sealedWorld) document(key string) map[string]any {
	s.t.Helper()
	d := make(map[string]any)
	must(s.t, json.Unmarshal(check(s.storage.Get(s.t.Context(), key))(s.t).Value, &d))
	return d
}

// TestSealedPasswordsAreBound: a sealed password opens in its place and nowhere else.
func TestSealedPasswordsAreBound(t *testing.T) {
	last := func(d map[string]any) map[string]any {
		all := d["secrets"].([]any)
		return all[len(all)-1].(map[string]any)
	}
	for name, attack := range map[string]func(s *sealedWorld){
		"another component": func(s *sealedWorld) {
			from := s.document("environments/test/secrets/y")
			s.edit("environments/test/secrets/x", func(d map[string]any) { last(d)["sealed"] = last(from)["sealed"] })
		},
		"the record of another component": func(s *sealedWorld) {
			from := s.document("environments/test/secrets/y")
			s.edit("environments/test/secrets/x", func(d map[string]any) {
				own := last(d)
				maps.Copy(d, from)
				last(d)["content"], last(d)["version"] = own["content"], own["version"]
			})
		},
		"another environment": func(s *sealedWorld) {
			from := s.document("environments/production/secrets/x")
			s.edit("environments/test/secrets/x", func(d map[string]any) { maps.Copy(d, from) })
		},
		"another version": func(s *sealedWorld) {
			s.edit("environments/test/secrets/x", func(d map[string]any) {
				all := d["secrets"].([]any)
				a, b := all[0].(map[string]any), all[1].(map[string]any)
				a["sealed"], b["sealed"] = b["sealed"], a["sealed"]
			})
		},
		"a version called another": func(s *sealedWorld) {
			s.edit("environments/test/secrets/x", func(d map[string]any) {
				for _, one := range d["secrets"].([]any) {
					m := one.(map[string]any)
					m["version"] = m["version"].(float64) + 1
				}
			})
		},
		"another number": func(s *sealedWorld) {
			s.edit("environments/test/secrets/x", func(d map[string]any) { d["number"] = d["number"].(float64) + 1 })
		},
		"another generation": func(s *sealedWorld) {
			s.edit("environments/test/secrets/x", func(d map[string]any) { d["generation"] = 2 })
		},
		"truncated": func(s *sealedWorld) {
			s.edit("environments/test/secrets/x", func(d map[string]any) {
				for _, one := range d["secrets"].([]any) {
					m := one.(map[string]any)
					raw, _ := base64.StdEncoding.DecodeString(m["sealed"].(string))
					m["sealed"] = base64.StdEncoding.EncodeToString(raw[:len(raw)-1])
				}
			})
		},
		"empty": func(s *sealedWorld) {
			s.edit("environments/test/secrets/x", func(d map[string]any) {
				for _, one := range d["secrets"].([]any) {
					one.(map[string]any)["sealed"] = ""
				}
			})
		},
		"a recipient more": func(s *sealedWorld) {
			s.edit("environments/test/secrets", func(d map[string]any) {
				all := d["recipients"].([]any)
				mine := maps.Clone(all[0].(map[string]any))
				mine["name"], mine["key"] = "mallory", newKey(s.t).SealingKey().String()
				d["recipients"] = append(all, mine)
			})
		},
		"a recipient's key replaced": func(s *sealedWorld) {
			s.edit("environments/test/secrets", func(d map[string]any) {
				d["recipients"].([]any)[0].(map[string]any)["key"] = newKey(s.t).SealingKey().String()
			})
		},
		"recipients swapped": func(s *sealedWorld) {
			s.edit("environments/test/secrets", func(d map[string]any) { slices.Reverse(d["recipients"].([]any)) })
		},
		"recipients of another environment": func(s *sealedWorld) {
			from := s.document("environments/production/secrets")
			s.edit("environments/test/secrets", func(d map[string]any) { maps.Copy(d, from) })
		},
		"no recipients": func(s *sealedWorld) {
			s.edit("environments/test/secrets", func(d map[string]any) { d["recipients"] = []any{} })
		},
		"a former data key": func(s *sealedWorld) {
			s.edit("environments/test/secrets", func(d map[string]any) {
				d["generation"] = 2
				d["former"] = []any{map[string]any{"generation": 1, "sealed": base64.StdEncoding.EncodeToString(make([]byte, 60))}}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSealedWorld(t)
			ctx := t.Context()
			for _, id := range []string{"x", "y"} {
				s.identity(id)
				must(t, s.test.SetRole(ctx, "is-"+id, id))
				must(t, s.production.SetRole(ctx, "is-"+id, id))
			}
			check(s.Renew(ctx, "x", issue.Options{Subject: pkix.Name{CommonName: "new"}}, environment.ComponentOptions{}))(t)
			check(s.atom("test").Identity("x"))(t)
			attack(s)
			if p, err := s.as(s.atoms["test"]).Password(ctx, "x"); err == nil {
				t.Errorf("opened: %v", p != nil)
			} else if !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrNotPermitted) && !errors.Is(err, trustkeep.ErrNotFound) {
				t.Errorf("%v", err)
			}
			if s.attachedOpens("x") {
				t.Error("an atom opens it")
			}
			// Nobody seals anything more under what was put there.
			if strings.Contains(name, "recipient") || strings.Contains(name, "data key") {
				s.identity("z")
				if err := s.test.SetRole(ctx, "is-z", "z"); err == nil {
					t.Error("a password is sealed for recipients whom nobody has added")
				}
			}
		})
	}
}

func (s *sealedWorld) attachedOpens(component string) bool {
	_, err := s.atom("test").Identity(component)
	return err == nil
}

// TestDataKeyOfSomebodyElseForAnEnvironment: who may write to the storage can wrap a data key of
// their own for all recipients, whose public keys they have. As long as anything is sealed under
// the true one, that is noticed before anything is sealed under theirs.
func TestDataKeyOfSomebodyElseForAnEnvironment(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	s.identity("x")
	s.identity("y")
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "x"))
	// Mallory's registry has the same recipients and a data key that she knows.
	mallory := newKey(t)
	theirs := check(environment.Open(ctx, storagetest.NewMemory(nil), environment.Options{OpeningKey: mallory}))(t)
	check(theirs.CreateEnvironment(ctx, "test"))(t)
	check(theirs.Seal(ctx, recipient("mallory", mallory), recipient("root", s.root), recipient("atom", s.atoms["test"])))(t)
	forgedList := check(check(theirs.Environment(ctx, "test"))(t).Recipients(ctx))(t)
	if len(forgedList) != 3 {
		t.Fatal(forgedList)
	}
	forged := check(environment.StorageOf(theirs).Get(ctx, "environments/test/secrets"))(t)
	r := check(s.storage.Get(ctx, "environments/test/secrets"))(t)
	check(s.storage.Put(ctx, r.Key, forged.Value, r.Revision))(t)
	if err := s.test.SetRole(ctx, environment.RolePrimary, "y"); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("sealed under a data key of somebody else: %v", err)
	}
	if err := s.test.AddRecipient(ctx, recipient("second", newKey(t))); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("a recipient is added to a data key of somebody else: %v", err)
	}
	if _, err := s.test.RemoveRecipient(ctx, "mallory"); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("a recipient is removed from a data key of somebody else: %v", err)
	}
	s.want("administrators:y test:x")
	if found := environment.Openings(mallory, s.everything()); len(found) > 0 {
		t.Errorf("they open %v", found)
	}
}
