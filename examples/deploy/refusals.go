package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// eicar is the test file that scanners take for a virus, https://www.eicar.org. It is in
// two parts so that they do not take this program for one.
func eicar() []byte {
	parts := []string{`X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD`, `ANTIVIRUS-TEST-FILE!$H+H*`}
	return []byte(strings.Join(parts, "-"))
}

// scanForEICAR is a trustkeep.ScannerFunc for machines without a daemon.
func scanForEICAR(_ context.Context, _ string, content []byte) error {
	if bytes.Contains(content, eicar()) {
		return fmt.Errorf("EICAR test file: %w", trustkeep.ErrRejected)
	}
	return nil
}

// refusals tries what must not work, and asks what a change would break.
func (s *story) refusals(ctx context.Context) error {
	uses, err := s.registry.Uses(ctx, "a")
	if err != nil {
		return err
	}
	var list strings.Builder
	for _, u := range uses {
		fmt.Fprintln(&list, u)
	}
	s.add("delete a", "in use", described(s.registry.Delete(ctx, "a"), trustkeep.ErrInUse, "in use")).noting("a is", list.String())
	if err := s.forecast(ctx); err != nil {
		return err
	}

	// The same file as a was imported of, with a virus before it.
	file, err := s.publicOf(ctx, "server-a")
	if err != nil {
		return err
	}
	infected := append(append(eicar(), '\n'), file...)
	_, err = s.registry.Import(ctx, "Infected", infected, environment.ComponentOptions{ID: "infected"})
	r := s.add("import an infected file", "rejected, nothing stored", described(err, trustkeep.ErrRejected, "rejected"))
	if err != nil {
		r.noting("the registry says", err.Error())
	}
	if _, err := s.registry.Component(ctx, "infected"); errors.Is(err, trustkeep.ErrNotFound) {
		r.got += ", nothing stored"
	}
	return nil
}

// forecast asks who would fail if a were taken back, given the peers that the atoms have
// accepted so far.
func (s *story) forecast(ctx context.Context) error {
	if err := s.try(ctx, step{name: "every atom reports whom it has accepted", q: question{Kind: askReport}, want: ok}); err != nil {
		return err
	}
	forecast, err := s.test.DryRun(ctx, environment.Proposal{Undeploy: []string{"a"}})
	if err != nil {
		return err
	}
	var want, got []string
	for _, c := range s.fleet {
		want = append(want, c.name()+" to "+hostA)
	}
	for _, w := range forecast.Failing {
		name := w.Atom + " to " + w.Peer
		if w.Connection != "" {
			name += " over " + w.Connection
		}
		got = append(got, name)
	}
	s.add("dry run: who would fail without a deployed", strings.Join(want, ", "), strings.Join(got, ", ")).
		noting("the dry run says", forecast.String())
	return nil
}

// described names an error that was to be expected.
func described(err, want error, name string) string {
	switch {
	case err == nil:
		return ok
	case errors.Is(err, want):
		return name
	default:
		return err.Error()
	}
}
