package main

import (
	"bytes"
	"context"
	"fmt"
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
		made, _, err := pgp.Generate(pgp.GenerateOptions{UserIDs: []string{key.userID}}, &pgp.Config{Time: s.clock.Now})
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
	live := []client{s.live}
	for _, step := range []struct {
		clients []client
		name    string
		change  func() error
		want    string
	}{
		{s.fleet, "deploy partner to test; encrypt to partner in test", func() error { return s.test.Deploy(ctx, "partner") }, testKey},
		{live, "deploy partner to production; encrypt to partner there", func() error { return s.production.Deploy(ctx, "partner") }, testKey},
		{live, "substitute partner-live in production; encrypt to partner", func() error {
			return s.production.Substitute(ctx, environment.Substitution{Component: "partner", Replacement: "partner-live"})
		}, productionKey},
		{s.fleet, "encrypt to partner in test", nil, testKey},
	} {
		q := question{Kind: askPGP, Component: "partner"}
		if err := s.sends(ctx, step.clients, step.name, step.change, q, step.want); err != nil {
			return err
		}
	}
	return nil
}

// sends has messages encrypted to the partner, who is to open them with the key of a
// user ID and with no other.
func (s *story) sends(ctx context.Context, clients []client, step string, change func() error, q question, want string) error {
	r, answers, err := s.asked(ctx, clients, step, change, q, want)
	if err != nil {
		return err
	}
	r.detail = ""
	for _, a := range answers {
		if opened := s.partner.opens(a.Detail, s.clock); opened != want {
			r.got = fmt.Sprintf("%s, opened with %s", r.got, opened)
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
		d := pgp.Decryption{Config: pgp.Config{Time: c.Now}, Keys: []*pgp.Key{key.key}}
		if _, err := d.Decrypt(&content, strings.NewReader(message)); err == nil && content.String() == secret {
			with = append(with, key.userID)
		}
	}
	return strings.Join(with, " and ")
}
