package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"
)

// step is something that atoms try, and what is to come of it.
type step struct {
	name   string
	by     []client     // nil for all atoms of the test environment
	change func() error // of the registry, that the outcome is to follow; nil for none
	q      question
	want   string
	// explain prints what an atom says about the outcome, too.
	explain bool
}

// try goes through steps. An outcome other than the wanted one is no error; it is marked in
// the table.
func (s *story) try(ctx context.Context, steps ...step) error {
	for _, one := range steps {
		r, _, err := s.ask(ctx, one)
		if err != nil {
			return err
		}
		if one.explain {
			r.explained()
		}
	}
	return nil
}

// ask goes through one step and returns what each of the atoms has answered.
func (s *story) ask(ctx context.Context, one step) (*row, []answer, error) {
	clients, q := one.by, one.q
	if clients == nil {
		clients = s.fleet
	}
	q.Now, q.Want = s.clock.Now(), one.want
	answers := make([]answer, len(clients))
	took := make([]time.Duration, len(clients))
	errs := make([]error, len(clients)+1)
	began := time.Now()
	var all sync.WaitGroup
	for i, c := range clients {
		all.Go(func() {
			answers[i], errs[i] = c.ask(ctx, q)
			took[i] = time.Since(began)
		})
	}
	if one.change != nil {
		errs[len(clients)] = one.change()
	}
	all.Wait()
	r := s.add(one.name, one.want, together(clients, answers))
	r.detail = answers[0].Detail
	if one.change != nil {
		r.took = took
	}
	return r, answers, errors.Join(errs...)
}

// together is the outcome of all, or that of each if they differ.
func together(clients []client, answers []answer) string {
	same := true
	var each []string
	for i, a := range answers {
		same = same && a.Outcome == answers[0].Outcome
		each = append(each, clients[i].name()+" "+a.Outcome)
	}
	if same {
		return answers[0].Outcome
	}
	return strings.Join(each, "; ")
}

func https(s *server) question {
	return question{Kind: askHTTPS, Host: s.host, Address: s.https.Addr().String()}
}

func ftps(s *server) question {
	return question{Kind: askFTPS, Host: s.host, Address: s.ftps.Addr().String()}
}

func (q question) over(connection string) question {
	q.Connection = connection
	return q
}

func (q question) in(process string) question {
	q.Process = process
	return q
}
