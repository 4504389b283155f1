package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// The names in the servers' certificates, and one that is in neither.
const (
	hostA     = "a.example"
	hostB     = "b.example"
	hostWrong = "c.example"
)

// The outcomes of a connection.
const (
	ok         = "ok"
	okAsAS2    = "ok, greeted as as2-client"
	notTrusted = "refused: not trusted"
	wrongName  = "refused: wrong host name"
	noIdentity = "refused: no client certificate"
)

// attempt is one connection: who connects to what, and how it is to end.
type attempt struct {
	name   string
	client tlsctx.Builder
	server *server
	host   string // to ask for; empty is the server's own
	want   string
}

// attempts lists the connections. Builder.Trusted replaces Builder.Global;
// neither of them means the roots of the system.
func attempts(s stores, servers servers) ([]attempt, error) {
	as2, err := s.client.Identity("as2-client")
	if err != nil {
		return nil, err
	}
	return []attempt{
		{name: "to A, no trust", server: servers.a, want: notTrusted},
		{name: "to A, A is deployed", client: tlsctx.Builder{Global: s.a}, server: servers.a, want: ok},
		{name: "to A, A is deployed, but the connection trusts B", client: tlsctx.Builder{Global: s.a, Trusted: s.b}, server: servers.a, want: notTrusted},
		{name: "to B, A is deployed, but the connection trusts B", client: tlsctx.Builder{Global: s.a, Trusted: s.b}, server: servers.b, want: ok},
		{name: "to A, the intermediate alone is deployed", client: tlsctx.Builder{Global: s.intermediate}, server: servers.a, want: ok},
		{name: "mutual TLS, identity as2-client", client: tlsctx.Builder{Global: s.a, Identity: as2}, server: servers.mutual, want: okAsAS2},
		{name: "mutual TLS, no identity", client: tlsctx.Builder{Global: s.a}, server: servers.mutual, want: noIdentity},
		{name: "to A under a wrong host name", client: tlsctx.Builder{Global: s.a}, server: servers.a, host: hostWrong, want: wrongName},
	}, nil
}

// try connects and returns the outcome, and what refused connections say.
func (a attempt) try() (outcome string, refusal error) {
	greeting, err := a.get()
	if err != nil {
		err = a.client.ExplainError(err)
		return classify(err), err
	}
	if client, named := strings.CutPrefix(greeting, a.server.host+" greets "); named && client != anonymous {
		return "ok, greeted as " + client, nil
	} else if named {
		return ok, nil
	}
	return fmt.Sprintf("odd answer %q", greeting), nil
}

// get asks the server for its greeting.
func (a attempt) get() (string, error) {
	if a.server == nil {
		return "", errors.New("no server")
	}
	cfg, err := a.client.Client()
	if err != nil {
		return "", err
	}
	transport := &http.Transport{
		TLSClientConfig:   cfg,
		ForceAttemptHTTP2: true,
		// Instead of a name service: every name is the server at hand.
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, a.server.addr)
		},
	}
	defer transport.CloseIdleConnections()
	host := a.host
	if host == "" {
		host = a.server.host
	}
	client := &http.Client{Transport: transport, Timeout: 30 * time.Second}
	response, err := client.Get("https://" + host + "/")
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	return string(body), err
}

// classify names the reason of a refusal. A machine without system roots
// refuses to build a context from them, which is no trust as well.
func classify(err error) string {
	if errors.Is(err, trustkeep.ErrEmpty) {
		return notTrusted
	}
	var handshake *tlsctx.HandshakeError
	if !errors.As(err, &handshake) {
		return "error"
	}
	switch handshake.Code {
	case tlsctx.CodeIdentityRequired:
		return noIdentity
	case truststore.CodeNameMismatch:
		return wrongName
	case truststore.CodeSelfSigned, truststore.CodeUnknownIssuer, truststore.CodeIncompleteChain:
		return notTrusted
	default:
		return "error: " + string(handshake.Code)
	}
}

// servers are the three that the connections go to.
type servers struct {
	a, b   *server
	mutual *server // A's identity, and clients have to show one of ours
}

func startServers(s stores) (v servers, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, v.stop())
		}
	}()
	for _, step := range []struct {
		to     **server
		alias  string
		host   string
		mutual bool
	}{
		{&v.a, "a", hostA, false},
		{&v.b, "b", hostB, false},
		{&v.mutual, "a", hostA, true},
	} {
		id, err := s.server.Identity(step.alias)
		if err != nil {
			return v, err
		}
		b := tlsctx.Builder{Identity: id}
		if step.mutual {
			b.Trusted, b.ClientAuth = s.clients, tlsctx.RequireClientAuth
		}
		cfg, err := b.Server()
		if err != nil {
			return v, err
		}
		if *step.to, err = serve(step.host, cfg); err != nil {
			return v, err
		}
	}
	return v, nil
}

// stop ends those servers that run.
func (v servers) stop() error {
	var errs []error
	for _, s := range []*server{v.a, v.b, v.mutual} {
		if s != nil {
			errs = append(errs, s.stop())
		}
	}
	return errors.Join(errs...)
}
