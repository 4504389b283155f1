package natskv

import (
	"fmt"
	"net"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

// newCluster starts servers that keep three copies of everything.
func newCluster(t *testing.T) []*broker {
	t.Helper()
	const size = 3
	var routes []*url.URL
	ports := make([]int, size)
	for i := range ports { // which each has to know of the others
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		ports[i] = l.Addr().(*net.TCPAddr).Port
		routes = append(routes, &url.URL{Scheme: "nats", Host: l.Addr().String()})
		l.Close()
	}
	var all []*broker
	for i, port := range ports {
		all = append(all, newBroker(t, func(o *server.Options) {
			o.ServerName = fmt.Sprintf("n%d", i)
			o.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: port}
			o.Routes = routes
		}))
	}
	for _, b := range all {
		waitFor(t, func() bool { return b.NumRoutes() >= size-1 && b.JetStreamIsCurrent() })
	}
	waitFor(t, func() bool {
		for _, b := range all {
			if b.JetStreamIsLeader() && len(b.JetStreamClusterPeers()) == size {
				return true
			}
		}
		return false
	})
	return all
}

func waitFor(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	timeout := time.After(30 * time.Second)
	for !done() {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatal("it did not come about within 30 seconds")
		}
	}
}

// Three servers, each program at one of them, with copies that lag behind, and the leader
// of the records restarted.
func TestConformanceOfCluster(t *testing.T) {
	if testing.Short() {
		t.Skip("takes as long as elections do")
	}
	cluster := newCluster(t)
	var buckets, turn atomic.Int32
	open := func(t *testing.T, bucket string) *Storage {
		b := cluster[int(turn.Add(1))%len(cluster)]
		var s *Storage
		waitFor(t, func() bool { // the others have to notice that the one restarted is there
			var err error
			s, err = Connect(t.Context(), Server{URLs: []string{b.ClientURL()}}, Options{Bucket: bucket, Replicas: 3, Heartbeat: 2 * testBeat})
			return err == nil
		})
		t.Cleanup(func() { s.Close() })
		return s
	}
	storagetest.Suite{
		New: func(t *testing.T) environment.Storage {
			return open(t, fmt.Sprintf("b%d", buckets.Add(1)))
		},
		Again: func(t *testing.T, s environment.Storage) environment.Storage {
			return open(t, s.(*Storage).o.Bucket)
		},
		Disturb: func(t *testing.T, s environment.Storage) {
			info, err := s.(*Storage).records.Info(t.Context())
			if err != nil {
				t.Error(err)
				return
			}
			for i, b := range cluster {
				if info.Cluster.Leader == fmt.Sprintf("n%d", i) {
					b.restart()
				}
			}
			for _, b := range cluster {
				waitFor(t, func() bool { return b.JetStreamIsCurrent() })
			}
		},
		Patience: time.Minute,
	}.Run(t)
}
