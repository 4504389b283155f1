package grpccreds_test

import (
	"net"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/trustkeep/trustkeep/examples/recipes/grpccreds"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// call asks a server by A for its health.
func call(t *testing.T, serve, b tlsctx.Builder, options ...grpc.DialOption) error {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := serve.Server()
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)))
	healthpb.RegisterHealthServer(server, health.NewServer())
	go server.Serve(l)
	t.Cleanup(server.Stop)
	d, err := b.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	client, err := grpc.NewClient("passthrough:///"+l.Addr().String(), append(options, grpc.WithTransportCredentials(grpccreds.New(d)))...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	_, err = healthpb.NewHealthClient(client).Check(t.Context(), new(healthpb.HealthCheckRequest))
	return err
}

// TestStatusExplains: what the status says of a refusal, by either side, is the explanation.
func TestStatusExplains(t *testing.T) {
	a, b := pkitest.Options{Now: time.Now(), Name: "A"}.New(t), pkitest.Options{Now: time.Now(), Name: "B"}.New(t)
	h2 := []string{"h2"}
	serve := tlsctx.Builder{Identity: a.NewServer("127.0.0.1", "service.example"), Trusted: a.Trust(), ClientAuth: tlsctx.RequireClientAuth, NextProtos: h2}
	for name, c := range map[string]struct {
		b       tlsctx.Builder
		options []grpc.DialOption
		text    string
	}{
		"accepted":                 {tlsctx.Builder{Trusted: a.Trust(), Identity: a.NewClient("me")}, nil, ""},
		"another authority's name": {tlsctx.Builder{Trusted: a.Trust(), Identity: a.NewClient("me")}, []grpc.DialOption{grpc.WithAuthority("service.example")}, ""},
		"a name it has not":        {tlsctx.Builder{Trusted: a.Trust(), Identity: a.NewClient("me")}, []grpc.DialOption{grpc.WithAuthority("other.example")}, "is made out to"},
		"not trusted":              {tlsctx.Builder{Trusted: b.Trust(), Identity: a.NewClient("me")}, nil, "is not trusted"},
		"the server refuses":       {tlsctx.Builder{Trusted: a.Trust(), Identity: b.NewClient("stranger")}, nil, "does not trust the issuer of the certificate"},
		"nothing to present":       {tlsctx.Builder{Trusted: a.Trust()}, nil, "there is no identity to present"},
	} {
		c.b.NextProtos = h2
		err := call(t, serve, c.b, c.options...)
		if c.text == "" {
			if err != nil {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := call(t, serve, tlsctx.Builder{Trusted: a.Trust(), Identity: a.NewClient("me")}); err == nil || !strings.Contains(err.Error(), "NextProtos") {
		t.Errorf("without h2: %v", err)
	}
}
