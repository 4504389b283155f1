package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/trustkeep/trustkeep/examples/recipes/grpccreds"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// serveHTTP serves over HTTP/1.1 and HTTP/2 by a Listener, whose refusals are told to OnRefused.
func serveHTTP(s *site, handler http.Handler) (string, error) {
	inner, err := s.listen()
	if err != nil {
		return "", err
	}
	b := s.builder
	b.NextProtos = []string{"h2", "http/1.1"}
	l, err := b.Listen(inner)
	if err != nil {
		return "", err
	}
	server := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	s.onClose(func() { server.Close() })
	go server.Serve(l)
	return inner.Addr().String(), nil
}

// site of all that is HTTP: "/" answers with the protocol, "/echo" is a WebSocket.
func serveSite(s *site) (string, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Proto) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		c, err := websocket.Accept(w, r, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, data, err := c.Read(r.Context())
			if err != nil || c.Write(r.Context(), kind, data) != nil {
				return
			}
		}
	})
	return serveHTTP(s, mux)
}

// get fetches a page and compares it.
func get(ctx context.Context, client *http.Client, url, want string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	r, err := client.Do(request)
	if err != nil {
		return err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err == nil && string(body) != want {
		err = fmt.Errorf("the answer is %q, not %q", body, want)
	}
	return err
}

var overHTTP = recipe{
	library: "net/http", form: "Transport", hook: "http.Client.Transport", serve: serveSite,
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		transport, err := b.Transport(nil)
		if err != nil {
			return nil, err
		}
		client := &http.Client{Transport: transport}
		return &session{
			use:   func() error { return get(ctx, client, "https://"+address, "HTTP/2.0") },
			close: client.CloseIdleConnections, recheck: transport.Recheck,
		}, nil
	},
}

// overHTTP2 is for programs that need an http.Transport of their own.
var overHTTP2 = recipe{
	library: "net/http, own Transport", form: "Dialer", hook: "DialTLSContext", serve: serveSite,
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		b.NextProtos = []string{"h2", "http/1.1"}
		d, err := b.Dialer()
		if err != nil {
			return nil, err
		}
		d.Track = true
		client := &http.Client{Transport: &http.Transport{DialTLSContext: d.DialContext, ForceAttemptHTTP2: true}}
		return &session{
			use:   func() error { return get(ctx, client, "https://"+address, "HTTP/2.0") },
			close: client.CloseIdleConnections, recheck: d.Recheck,
		}, nil
	},
}

var overReverseProxy = recipe{
	library: "net/http/httputil", form: "Transport", hook: "ReverseProxy.Transport", serve: serveSite,
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		transport, err := b.Transport(nil)
		if err != nil {
			return nil, err
		}
		var last error
		to := &url.URL{Scheme: "https", Host: address}
		front := httptest.NewServer(&httputil.ReverseProxy{
			Transport: transport,
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(to) },
			ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
				last = err
				w.WriteHeader(http.StatusBadGateway)
			},
		})
		return &session{
			use: func() error {
				last = nil
				if err := get(ctx, front.Client(), front.URL, "HTTP/2.0"); err != nil {
					return fmt.Errorf("%w: %w", err, last)
				}
				// WebSocket passes through.
				c, _, err := websocket.Dial(ctx, front.URL+"/echo", nil)
				if err != nil {
					return fmt.Errorf("%w: %w", err, last)
				}
				defer c.CloseNow()
				return echo(ctx, c)
			},
			close: func() { front.Close(); transport.CloseIdleConnections() }, recheck: transport.Recheck,
		}, nil
	},
}

func echo(ctx context.Context, c *websocket.Conn) error {
	if err := c.Write(ctx, websocket.MessageText, []byte("hello")); err != nil {
		return err
	}
	_, data, err := c.Read(ctx)
	if err == nil && string(data) != "hello" {
		err = fmt.Errorf("the echo is %q", data)
	}
	return err
}

var overWebSocket = recipe{
	library: "coder/websocket", form: "Transport", hook: "DialOptions.HTTPClient", serve: serveSite,
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		transport, err := b.Transport(nil)
		if err != nil {
			return nil, err
		}
		c, _, err := websocket.Dial(ctx, "wss://"+address+"/echo", &websocket.DialOptions{HTTPClient: &http.Client{Transport: transport}})
		if err != nil {
			return nil, err
		}
		return &session{
			use:   func() error { return echo(ctx, c) },
			close: func() { c.CloseNow(); transport.CloseIdleConnections() }, recheck: transport.Recheck,
		}, nil
	},
}

var overGRPC = recipe{
	library: "grpc", form: "Dialer", hook: "credentials: grpccreds.New",
	serve: func(s *site) (string, error) {
		l, err := s.listen()
		if err != nil {
			return "", err
		}
		b := s.builder
		b.NextProtos = []string{"h2"}
		cfg, err := b.Server()
		if err != nil {
			return "", err
		}
		server := grpc.NewServer(grpc.Creds(credentials.NewTLS(cfg)))
		healthpb.RegisterHealthServer(server, health.NewServer())
		s.onClose(server.Stop)
		go server.Serve(l)
		return l.Addr().String(), nil
	},
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		b.NextProtos = []string{"h2"}
		d, err := b.Dialer()
		if err != nil {
			return nil, err
		}
		d.Track = true
		client, err := grpc.NewClient("passthrough:///"+address, grpc.WithTransportCredentials(grpccreds.New(d)))
		if err != nil {
			return nil, err
		}
		return &session{
			use: func() error {
				_, err := healthpb.NewHealthClient(client).Check(ctx, new(healthpb.HealthCheckRequest))
				return err
			},
			close: func() { client.Close() }, recheck: d.Recheck,
		}, nil
	},
}
