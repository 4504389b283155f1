package main

import (
	"context"
	"fmt"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
)

// promotion gives A another certificate, which test has tried before production takes it over.
func (s *story) promotion(ctx context.Context) error {
	live := []client{s.live}
	take := func() error {
		return s.production.Promote(ctx, environment.Promotion{From: "test", Components: []string{"a"}})
	}
	if err := s.try(ctx, step{name: "promote a to production; HTTPS to A there", by: live, change: take, q: https(s.a), want: ok}); err != nil {
		return err
	}
	renewed, err := s.registry.Renew(ctx, "server-a", issue.RenewOptions{NewKey: true}, environment.ComponentOptions{})
	if err != nil {
		return err
	}
	if err := s.awaitServer(ctx, "server-a", renewed.Version()); err != nil {
		return err
	}
	file, err := s.publicOf(ctx, "server-a")
	if err != nil {
		return err
	}
	reimport := func() error {
		_, err := s.registry.Reimport(ctx, "a", file, environment.ComponentOptions{})
		return err
	}
	err = s.try(ctx,
		step{name: "A has a new certificate, reimport a; HTTPS to A in test", change: reimport, q: https(s.a), want: ok},
		step{name: "production stays at its version; HTTPS to A there", by: live, q: https(s.a), want: refusedFor("self-signed")},
	)
	if err != nil {
		return err
	}
	forecast, err := s.production.DryRun(ctx, environment.Proposal{Promote: environment.Promotion{From: "test", Components: []string{"a"}}})
	if err != nil {
		return err
	}
	s.add("forecast of the promotion of a", "0 fail", fmt.Sprintf("%d fail", len(forecast.Failing)))
	return s.try(ctx, step{name: "promote a once more; HTTPS to A in production", by: live, change: take, q: https(s.a), want: ok})
}
