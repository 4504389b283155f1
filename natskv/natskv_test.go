package natskv

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

// broker is a NATS server in this process, on a port of its own.
type broker struct {
	t       testing.TB
	options server.Options
	*server.Server
}

func newBroker(t testing.TB, edit func(*server.Options)) *broker {
	t.Helper()
	b := &broker{t: t, options: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	if edit != nil {
		edit(&b.options)
	}
	b.start()
	b.options.Port = b.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *broker) start() {
	b.t.Helper()
	o := b.options
	s, err := server.NewServer(&o)
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		b.t.Fatal("the NATS server does not start")
	}
	b.Server = s
}

func (b *broker) stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

// restart stops the server and starts it on the same files.
func (b *broker) restart() {
	b.t.Helper()
	b.stop()
	b.start()
}

func connectTo(t testing.TB, url string, o Options) *Storage {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := Connect(ctx, Server{URLs: []string{url}, NATS: []nats.Option{
		nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond),
	}}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestConformance(t *testing.T) {
	for name, memory := range map[string]bool{"in files": false, "in memory": true} {
		t.Run(name, func(t *testing.T) {
			brokers := make(map[string]*broker)
			suite := storagetest.Suite{
				New: func(t *testing.T) environment.Storage {
					b := newBroker(t, nil)
					brokers[b.ClientURL()] = b
					return connectTo(t, b.ClientURL(), Options{Memory: memory})
				},
				Again: func(t *testing.T, s environment.Storage) environment.Storage {
					return connectTo(t, s.(*Storage).conn.Servers()[0], Options{})
				},
			}
			if !memory {
				suite.Disturb = func(t *testing.T, s environment.Storage) {
					brokers[s.(*Storage).conn.Servers()[0]].restart()
				}
			}
			suite.Run(t)
		})
	}
}
