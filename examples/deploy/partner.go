package main

import (
	"bytes"
	"context"
	"strings"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/pgp"
)

// partner is somebody who has a key for tests and one for production. The registry gets to
// see only the public halves.
type partner struct{ test, production *pgp.Key }

// The user IDs of the partner's keys.
const (
	testKey       = "Partner (tests) <edi@partner.example>"
	productionKey = "Partner <edi@partner.example>"
)

// substitution deploys the partner's test key to both environments, and puts the other key
// in its place in production.
func (s *story) substitution(ctx context.Context) error {
	for _, key := range []struct {
		to         **pgp.Key
		userID, id string
	}{{&s.partner.test, testKey, "partner"}, {&s.partner.production, productionKey, "partner-live"}} {
		made, _, err := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{key.userID}, Options: pgp.Options{Clock: s.clock.Now}})
		if err != nil {
			return err
		}
		*key.to = made
		file, err := made.Armor()
		if err != nil {
			return err
		}
		if _, err := s.registry.Import(ctx, key.id, file, environment.ComponentOptions{ID: key.id}); err != nil {
			return err
		}
	}
	live, q := []client{s.live}, question{Kind: askPGP, Component: "partner"}
	return s.send(ctx,
		step{name: "deploy partner to test; encrypt to partner in test", change: func() error { return s.test.Deploy(ctx, "partner") }, q: q, want: testKey},
		step{name: "deploy partner to production; encrypt to partner there", by: live,
			change: func() error { return s.production.Deploy(ctx, "partner") }, q: q, want: testKey},
		step{name: "substitute partner-live in production; encrypt to partner", by: live, change: func() error {
			return s.production.Substitute(ctx, environment.Substitution{Component: "partner", Replacement: "partner-live"})
		}, q: q, want: productionKey},
		step{name: "encrypt to partner in test", q: q, want: testKey},
	)
}

// send is try for messages to the partner, who must be able to open them with the key of
// the wanted user ID and with no other.
func (s *story) send(ctx context.Context, steps ...step) error {
	for _, one := range steps {
		r, answers, err := s.ask(ctx, one)
		if err != nil {
			return err
		}
		r.detail = "" // the message
		for _, a := range answers {
			if with := s.partner.opens(a.Detail, s.clock); with != one.want {
				r.got += ", opened with: " + with
			}
		}
	}
	return nil
}

// opens says which of the partner's keys open a message.
func (p partner) opens(message string, c *clock) string {
	var with []string
	for _, key := range []struct {
		userID string
		key    *pgp.Key
	}{{testKey, p.test}, {productionKey, p.production}} {
		var content bytes.Buffer
		d := pgp.Decryption{Options: pgp.Options{Clock: c.Now}, Keys: []*pgp.Key{key.key}}
		if _, err := d.Decrypt(&content, strings.NewReader(message)); err == nil && content.String() == secret {
			with = append(with, key.userID)
		}
	}
	return strings.Join(with, " and ")
}
