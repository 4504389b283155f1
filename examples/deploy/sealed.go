package main

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"path/filepath"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
)

// sealed has a registry in which each environment has its own secrets: an atom of test and one
// of production, each with a key of its own, and a component that counts in production alone.
func (s *story) sealed(ctx context.Context) error {
	storage, err := dirstore.Open(filepath.Join(s.dir, "sealed"), dirstore.Options{})
	if err != nil {
		return err
	}
	s.atEnd(storage.Close)
	open := func(key *environment.OpeningKey) (*environment.Registry, error) {
		return environment.Open(ctx, storage, environment.Options{OpeningKey: key, Clock: s.clock.Now})
	}
	operator, err := environment.NewOpeningKey()
	if err != nil {
		return err
	}
	registry, err := open(operator)
	if err != nil {
		return err
	}
	if _, err := registry.Seal(ctx, environment.Recipient{Name: "operator", Key: operator.SealingKey()}); err != nil {
		return err
	}
	atoms := make(map[string]*environment.Atom)
	for _, env := range []string{"test", "production"} {
		e, err := registry.CreateEnvironment(ctx, env)
		if err != nil {
			return err
		}
		// The program keeps its opening key; only the sealing key leaves its machine.
		path := filepath.Join(s.dir, env+".key")
		key, err := environment.NewOpeningKey()
		if err == nil {
			err = key.Save(path)
		}
		if err == nil {
			err = e.AddRecipient(ctx, environment.Recipient{Name: "atom", Key: key.SealingKey()})
		}
		if err == nil {
			key, err = environment.LoadOpeningKey(path)
		}
		if err != nil {
			return err
		}
		own, err := open(key)
		if err != nil {
			return err
		}
		mine, err := own.Environment(ctx, env)
		if err != nil {
			return err
		}
		if atoms[env], err = mine.Attach(ctx, "atom", environment.AtomOptions{}); err != nil {
			return err
		}
		s.atEnd(atoms[env].Close)
	}
	_, err = registry.Create(ctx, "live", issue.Options{
		Subject: pkix.Name{CommonName: hostA}, DNSNames: []string{hostA}, NotBefore: s.clock.Now(), Validity: 365 * day,
	}, environment.ComponentOptions{ID: "live", Password: trustkeep.Password("changeit")})
	if err != nil {
		return err
	}
	production, err := registry.Environment(ctx, "production")
	if err == nil {
		err = production.SetRole(ctx, environment.RoleTLS, "live")
	}
	if err != nil {
		return err
	}
	for _, a := range atoms {
		there := func(a *environment.Atom) bool { _, err := a.Component("live"); return err == nil }
		if a.Environment() == "production" {
			there = func(a *environment.Atom) bool { _, err := a.Role(environment.RoleTLS); return err == nil }
		}
		if err := a.Wait(ctx, there); err != nil {
			return err
		}
	}
	_, err = atoms["production"].Identity("live")
	s.add("an atom of production opens the production key", ok, described(err, nil, ""))
	_, err = atoms["test"].Identity("live")
	r := s.add("an atom of test opens it", "not found among its secrets", described(err, trustkeep.ErrNotFound, "not found among its secrets"))
	if err != nil {
		r.noting("the atom of test says", err.Error())
	}
	// Nor does it help to read everything, as a program of test may.
	c, err := registry.Component(ctx, "live")
	if err != nil {
		return err
	}
	s.add("open it with the password that it was created with", "incorrect password",
		described(c.CheckPassword(trustkeep.Password("changeit")), trustkeep.ErrIncorrectPassword, "incorrect password"))
	test, err := environment.LoadOpeningKey(filepath.Join(s.dir, "test.key"))
	if err != nil {
		return err
	}
	reader, err := open(test)
	if err != nil {
		return err
	}
	_, err = reader.Password(ctx, "live")
	s.add("with the key of test, the registry gives its password", "not permitted", described(err, trustkeep.ErrNotPermitted, "not permitted"))
	e, err := reader.Environment(ctx, "test")
	if err != nil {
		return err
	}
	err = e.SetRole(ctx, environment.RoleTLS, "live")
	r = s.add("with the key of test, it is made to count in test", "not permitted", described(err, trustkeep.ErrNotPermitted, "not permitted"))
	if err == nil {
		return errors.New("a production key was sealed for test by somebody who cannot open it")
	}
	r.noting("the registry says who can", err.Error())
	exposed, err := production.RemoveRecipient(ctx, "atom")
	if err != nil {
		return err
	}
	got := ""
	for _, one := range exposed {
		got += one.Component
	}
	s.add("the atom of production is taken off: what to rotate", "live", got)
	return nil
}
