package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// overHTTPServer is the side of the server: clients by A are let in until A is removed.
var overHTTPServer = recipe{library: "net/http server", form: "Listener", hook: "http.Server.Serve", prove: func(ctx context.Context) error {
	return proveServer(ctx, overHTTP.open, func(s *site, b tlsctx.Builder) (string, func() error, error) {
		inner, err := s.listen()
		if err != nil {
			return "", nil, err
		}
		b.NextProtos = []string{"h2", "http/1.1"}
		l, err := b.Listen(inner)
		if err != nil {
			return "", nil, err
		}
		server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto) })}
		s.onClose(func() { server.Close() })
		go server.Serve(l)
		return inner.Addr().String(), func() error {
			if n := l.Recheck(); n == 0 {
				return errors.New("a call of Recheck has ended nothing")
			}
			return nil
		}, nil
	})
}}

// overGRPCServer takes a tls.Config: handshakes follow trust, and what is open ends with the server,
// which a program stops gracefully and starts again.
var overGRPCServer = recipe{library: "grpc server", form: "Server", hook: "credentials.NewTLS", ends: "GracefulStop", prove: func(ctx context.Context) error {
	return proveServer(ctx, overGRPC.open, func(s *site, b tlsctx.Builder) (string, func() error, error) {
		l, err := s.listen()
		if err != nil {
			return "", nil, err
		}
		b.NextProtos = []string{"h2"}
		cfg, err := b.Server()
		if err != nil {
			return "", nil, err
		}
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)))
		healthpb.RegisterHealthServer(server, health.NewServer())
		s.onClose(server.Stop)
		go server.Serve(l)
		return l.Addr().String(), func() error { server.GracefulStop(); return nil }, nil
	})
}}

// proveServer shows that a server lets clients by A in and no others, and that end ends those that
// are connected when A is removed.
func proveServer(ctx context.Context, open func(context.Context, tlsctx.Builder, string) (*session, error),
	serve func(*site, tlsctx.Builder) (address string, end func() error, err error)) error {
	a, b := pkitest.Options{Now: time.Now(), Name: "A"}.New(tb{}), pkitest.Options{Now: time.Now(), Name: "B"}.New(tb{})
	s, err := newSite(a)
	if err != nil {
		return err
	}
	defer s.close()
	clients := truststore.New(a.CA.Leaf())
	builder := s.builder
	builder.Trusted = clients
	address, end, err := serve(s, builder)
	if err != nil {
		return err
	}
	use := func(b tlsctx.Builder) (*session, error) {
		c, err := open(ctx, b, address)
		if err == nil {
			err = c.use()
		}
		return c, err
	}
	known, err := use(tlsctx.Builder{Trusted: a.Trust(), Identity: a.NewClient("me")})
	if err != nil {
		return fmt.Errorf("a client by A: %w", err)
	}
	defer known.close()
	if stranger, err := use(tlsctx.Builder{Trusted: a.Trust(), Identity: b.NewClient("stranger")}); err == nil {
		stranger.close()
		return errors.New("a client by B works")
	}
	if err := clients.Set(b.CA.Leaf()); err != nil {
		return err
	}
	if err := end(); err != nil {
		return fmt.Errorf("the trust in A has gone: %w", err)
	}
	if known.use() == nil {
		return errors.New("the trust in A has gone, and its client goes on")
	}
	return nil
}
