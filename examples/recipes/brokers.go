package main

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/url"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"
	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
	natsserver "github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/trustkeep/trustkeep/tlsctx"
)

// patience bounds what a client tries again and again.
const patience = 2 * time.Second

func tracking(b tlsctx.Builder) (*tlsctx.Dialer, error) {
	d, err := b.Dialer()
	if err == nil {
		d.Track = true
	}
	return d, err
}

// natsDialer is a nats.CustomDialer. A NATS server says one line in clear, INFO, before TLS begins;
// the client gets it again from the connection. With handshake_first on the server, Dial is
// Dialer.DialContext alone.
type natsDialer struct{ *tlsctx.Dialer }

// SkipTLSHandshake tells the client that Dial has done it.
func (natsDialer) SkipTLSHandshake() bool { return true }

func (d natsDialer) Dial(network, address string) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	raw, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	raw.SetReadDeadline(deadline)
	var info []byte
	for one := make([]byte, 1); len(info) == 0 || info[len(info)-1] != '\n'; info = append(info, one[0]) {
		if _, err := io.ReadFull(raw, one); err != nil || len(info) > 64<<10 {
			raw.Close()
			return nil, errors.Join(errors.New("no INFO from the NATS server"), err)
		}
	}
	raw.SetReadDeadline(time.Time{})
	conn, err := d.Handshake(ctx, raw, address)
	if err != nil {
		return nil, err
	}
	return &natsConn{conn, info}, nil
}

type natsConn struct {
	net.Conn
	info []byte
}

func (c *natsConn) Read(b []byte) (int, error) {
	if len(c.info) > 0 {
		n := copy(b, c.info)
		c.info = c.info[n:]
		return n, nil
	}
	return c.Conn.Read(b)
}

var overNATS = recipe{
	library: "nats.go", form: "Dialer", hook: "SetCustomDialer, SkipTLSHandshake",
	serve: func(s *site) (string, error) {
		server, err := natsserver.NewServer(&natsserver.Options{Host: "127.0.0.1", Port: natsserver.RANDOM_PORT, TLSConfig: s.tls, TLSTimeout: 5, NoLog: true, NoSigs: true})
		if err != nil {
			return "", err
		}
		server.Start()
		s.onClose(func() { server.Shutdown(); server.WaitForShutdown() })
		if !server.ReadyForConnections(10 * time.Second) {
			return "", errors.New("nats-server did not start")
		}
		return server.Addr().String(), nil
	},
	open: func(_ context.Context, b tlsctx.Builder, address string) (*session, error) {
		d, err := tracking(b)
		if err != nil {
			return nil, err
		}
		c, err := nats.Connect("tls://"+address, nats.SetCustomDialer(natsDialer{d}), nats.NoReconnect())
		if err != nil {
			return nil, err
		}
		return &session{use: func() error { return c.FlushTimeout(patience) }, close: c.Close, recheck: d.Recheck}, nil
	},
}

var overMQTT = recipe{
	library: "paho.mqtt.golang", form: "Dialer", hook: "SetCustomOpenConnectionFn",
	serve: func(s *site) (string, error) {
		l, err := s.listen()
		if err != nil {
			return "", err
		}
		broker := mochi.New(&mochi.Options{Logger: slog.New(slog.DiscardHandler)})
		err = errors.Join(broker.AddHook(new(auth.AllowHook), nil), broker.AddListener(listeners.NewNet("tls", tls.NewListener(l, s.tls))), broker.Serve())
		s.onClose(func() { broker.Close() })
		return l.Addr().String(), err
	},
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		d, err := tracking(b)
		if err != nil {
			return nil, err
		}
		o := mqtt.NewClientOptions().AddBroker("tls://" + address).SetAutoReconnect(false).SetConnectTimeout(patience)
		o.SetCustomOpenConnectionFn(func(u *url.URL, o mqtt.ClientOptions) (net.Conn, error) {
			ctx, cancel := context.WithTimeout(ctx, o.ConnectTimeout)
			defer cancel()
			return d.DialContext(ctx, "tcp", u.Host)
		})
		var last error // paho keeps no more than "network Error"
		o.SetConnectionNotificationHandler(func(_ mqtt.Client, n mqtt.ConnectionNotification) {
			if failed, ok := n.(mqtt.ConnectionNotificationBrokerFailed); ok {
				last = failed.Reason
			}
		})
		c := mqtt.NewClient(o)
		done := func(t mqtt.Token) error {
			if !t.WaitTimeout(patience) {
				return errors.New("no answer")
			}
			return t.Error()
		}
		if err := done(c.Connect()); err != nil {
			return nil, errors.Join(err, last)
		}
		return &session{
			use:   func() error { return done(c.Publish("orders", 1, false, "hello")) },
			close: func() { c.Disconnect(0) }, recheck: d.Recheck,
		}, nil
	},
}

var overKafka = recipe{
	library: "franz-go", form: "Dialer", hook: "kgo.Dialer",
	serve: func(s *site) (string, error) {
		cluster, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.TLS(s.tls), kfake.SeedTopics(1, "orders"))
		if err != nil {
			return "", err
		}
		s.onClose(cluster.Close)
		return cluster.ListenAddrs()[0], nil
	},
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		d, err := tracking(b)
		if err != nil {
			return nil, err
		}
		c, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.Dialer(d.DialContext), kgo.RequestRetries(1), kgo.RetryTimeout(patience))
		if err != nil {
			return nil, err
		}
		return &session{
			use: func() error {
				ctx, cancel := context.WithTimeout(ctx, patience)
				defer cancel()
				return c.Ping(ctx)
			},
			close: c.Close, recheck: d.Recheck,
		}, nil
	},
}
