package main

import (
	"context"
	"crypto/x509/pkix"
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
)

// request has B's next certificate signed by a CA that takes days to answer. The key waits in
// the component meanwhile, and nobody notices.
func (s *story) request(ctx context.Context) error {
	ca, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: "Slow CA"}, Purposes: issue.ForCA, Clock: s.clock.Now})
	if err != nil {
		return err
	}
	csr, err := s.registry.Request(ctx, "server-b", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{})
	if err != nil {
		return err
	}
	c, err := s.registry.Component(ctx, "server-b")
	if err != nil {
		return err
	}
	s.add("request a certificate for a new key of server-b", "private X.509 version 1, 1 waits", fmt.Sprintf("%s, %d waits", content(c), len(c.Pending()))).
		noting("the request, for the CA", string(csr))
	over := https(s.b).over("to-b")
	if err := s.try(ctx, step{name: "HTTPS over to-b, the reply is not there yet", q: over, want: ok}); err != nil {
		return err
	}

	// A component can begin as a request.
	_, first, err := s.registry.CreateRequest(ctx, "Server C", issue.RequestOptions{Certificate: issue.Options{DNSNames: []string{"c.example"}}},
		environment.ComponentOptions{ID: "server-c", Password: trustkeep.Password("of server-c")})
	if err != nil {
		return err
	}
	s.add("server-c is a request; set its role", "waits for its certificate",
		described(s.test.SetRole(ctx, "server", "server-c"), trustkeep.ErrEmpty, "waits for its certificate"))

	s.clock.set(s.clock.Now().Add(3 * day))
	reply, err := issue.Sign(ca, csr, issue.Options{Clock: s.clock.Now})
	if err != nil {
		return err
	}
	_, err = s.registry.Install(ctx, "server-c", reply, nil, environment.ComponentOptions{})
	s.add("3 days later, install the reply in server-c", "for another key", described(err, trustkeep.ErrKeyMismatch, "for another key"))
	installed, err := s.registry.Install(ctx, "server-b", reply, nil, environment.ComponentOptions{})
	if err != nil {
		return err
	}
	s.add("install it in server-b", "private X.509 version 2", content(installed))
	if reply, err = issue.Sign(ca, first, issue.Options{Clock: s.clock.Now}); err != nil {
		return err
	}
	if installed, err = s.registry.Install(ctx, "server-c", reply, nil, environment.ComponentOptions{}); err != nil {
		return err
	}
	s.add("install that of server-c", "private X.509 version 1", content(installed))
	if err := s.awaitServer(ctx, "server-b", 2); err != nil {
		return err
	}
	file, err := s.publicOf(ctx, "server-b")
	if err != nil {
		return err
	}
	next := step{name: "reimport b; HTTPS over to-b", q: over, want: ok}
	next.change = func() error {
		_, err := s.registry.Reimport(ctx, "b", file, environment.ComponentOptions{})
		return err
	}
	return s.try(ctx, next)
}
