package main

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"path/filepath"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/authority"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/natskv"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// signed has another registry, whose storage nobody has to trust, attacked by whoever owns the
// storage.
func (s *story) signed(ctx context.Context) error {
	storage, err := s.secondStorage(ctx)
	if err != nil {
		return err
	}
	// The public part of the first key makes the Authority; the second one dates, and nothing else.
	_, administrator, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	_, dating, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return err
	}
	trusted, err := trusting(administrator, dating)
	if err != nil {
		return err
	}
	open := func(signer crypto.Signer) (*environment.Registry, error) {
		return environment.Open(ctx, storage, environment.Options{Authority: trusted, Signer: signer, Clock: s.clock.Now})
	}
	registry, err := open(administrator)
	if err != nil {
		return err
	}
	test, err := registry.CreateEnvironment(ctx, "test")
	if err != nil {
		return err
	}
	for _, id := range []string{"a", "b"} {
		file, err := s.publicOf(ctx, "server-"+id)
		if err == nil {
			_, err = registry.Import(ctx, id, file, environment.ComponentOptions{ID: id})
		}
		if err != nil {
			return err
		}
	}
	if err := test.Deploy(ctx, "a"); err != nil {
		return err
	}
	atom, err := test.Attach(ctx, "one", environment.AtomOptions{Memory: filepath.Join(s.dir, "one.memory")})
	if err != nil {
		return err
	}
	s.atEnd(atom.Close)
	trusts := func() string {
		all, err := atom.Certificates()
		if err != nil {
			return err.Error()
		}
		var ids []string
		for _, c := range all {
			ids = append(ids, c.Component)
		}
		return "trusts " + strings.Join(ids, ", ")
	}
	s.add("every record is signed; a is deployed", "trusts a", trusts())

	// What whoever owns the storage may try with a record.
	const key = "environments/test"
	before, err := storage.Get(ctx, key)
	if err != nil {
		return err
	}
	if err := test.DeployTo(ctx, "b", "one"); err != nil {
		return err
	}
	if err := atom.Wait(ctx, func(*environment.Atom) bool { return trusts() == "trusts a, b" }); err != nil {
		return err
	}
	if err := test.Undeploy(ctx, "a"); err != nil {
		return err
	}
	if err := atom.Wait(ctx, func(*environment.Atom) bool { return trusts() == "trusts b" }); err != nil {
		return err
	}
	s.add("b is deployed, a taken back", "trusts b", trusts())
	honest, err := storage.Get(ctx, key)
	if err != nil {
		return err
	}
	other, err := storage.Get(ctx, "components/a")
	if err != nil {
		return err
	}
	forged := []byte(strings.ReplaceAll(string(honest.Value), `"b":`, `"a":`))
	for _, one := range []struct {
		name  string
		value []byte
		code  trustkeep.Code
	}{
		{"the storage changes the record: a in the place of b", forged, authority.CodeForged},
		{"it puts another record in its place", other.Value, authority.CodeSwapped},
		{"it brings back the one before", before.Value, authority.CodeRolledBack},
	} {
		if err := replace(ctx, storage, key, one.value); err != nil {
			return err
		}
		within, cancel := context.WithTimeout(ctx, patience)
		err := atom.Wait(within, func(a *environment.Atom) bool { return says(a, one.code) })
		cancel()
		if err != nil {
			return err
		}
		want := string(one.code) + ", trusts b"
		s.add(one.name, want, string(one.code)+", "+trusts()).noting("the atom says", atom.Problem().Error())
	}
	_, err = registry.Environment(ctx, "test")
	s.add("the registry reads it", "not trusted", described(err, trustkeep.ErrUntrusted, "not trusted"))
	if _, err = registry.Discard(ctx); err != nil {
		return err
	}
	if err := atom.Wait(ctx, func(a *environment.Atom) bool { return a.Problem() == nil }); err != nil {
		return err
	}
	s.add("the administrator puts back what the index lists", "trusts b", trusts())

	// Nobody dates the index.
	s.clock.set(s.clock.Now().Add(2 * day))
	_, err = test.Attach(ctx, "late", environment.AtomOptions{})
	s.add("2 days later, undated, an atom starts", "not trusted", described(err, trustkeep.ErrUntrusted, "not trusted"))
	s.add("the one that runs", "trusts b", trusts())
	if _, err := registry.Complete(ctx); err != nil {
		return err
	}
	dater, err := open(dating)
	if err != nil {
		return err
	}
	dated, err := dater.Environment(ctx, "test")
	if err != nil {
		return err
	}
	s.add("the dating key deploys a", "not permitted", described(dated.Deploy(ctx, "a"), trustkeep.ErrNotPermitted, "not permitted"))
	s.add("it dates the index", ok, described(dated.Date(ctx, environment.DateOptions{}), nil, ""))
	late, err := test.Attach(ctx, "late", environment.AtomOptions{})
	if err != nil {
		return err
	}
	return late.Close()
}

// trusting makes the Authority that atoms are given beside their configuration.
func trusting(administrator, dating ed25519.PrivateKey) (*authority.Authority, error) {
	a, err := authority.NewPublicKey(administrator.Public())
	if err != nil {
		return nil, err
	}
	d, err := authority.NewPublicKey(dating.Public())
	if err != nil {
		return nil, err
	}
	all := authority.Role{Keys: []string{a.ID()}, Threshold: 1}
	document, err := authority.Make(authority.Document{
		Registry: rand.Text(), Number: 1,
		Keys:   []authority.Member{{Name: "administrator", Key: a}, {Name: "dating", Key: d}},
		Root:   all,
		Grants: []authority.Grant{{Keys: all.Keys, Kinds: authority.Kinds(), Environments: []string{authority.Everywhere}}},
		Environments: map[string]authority.Environment{
			authority.Everywhere: {Release: all, Dating: []string{d.ID()}, Lifetime: 24 * time.Hour},
		},
	})
	if err == nil {
		document, err = document.Sign(nil, administrator)
	}
	if err != nil {
		return nil, err
	}
	return authority.Trust(document.Encode())
}

// secondStorage is one beside that of the story.
func (s *story) secondStorage(ctx context.Context) (environment.Storage, error) {
	if n := s.network; n != nil {
		me, err := n.issue("signed", issue.Options{})
		if err != nil {
			return nil, err
		}
		storage, err := connectBucket(ctx, n.address, tlsctx.Builder{Trusted: n.trust, Identity: me}, natskv.Options{Bucket: "signed"})
		if err == nil {
			s.atEnd(storage.Close)
		}
		return storage, err
	}
	storage, err := dirstore.Open(filepath.Join(s.dir, "signed"), dirstore.Options{})
	if err == nil {
		s.atEnd(storage.Close)
	}
	return storage, err
}

// replace writes what it likes, as whoever owns the storage can.
func replace(ctx context.Context, storage environment.Storage, key string, value []byte) error {
	now, err := storage.Get(ctx, key)
	if err == nil {
		_, err = storage.Put(ctx, key, value, now.Revision)
	}
	return err
}

// says tells whether an atom complains of something.
func says(a *environment.Atom, code trustkeep.Code) bool {
	e, ok := errors.AsType[*authority.Error](a.Problem())
	return ok && e.Code == code
}
