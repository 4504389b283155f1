package natskv

import (
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
)

// testBeat is often enough for a test to wait for, and seldom enough for a machine with work.
const testBeat = 400 * time.Millisecond

func TestConformance(t *testing.T) {
	for name, memory := range map[string]bool{"in files": false, "in memory": true} {
		t.Run(name, func(t *testing.T) {
			brokers := make(map[string]*broker)
			suite := storagetest.Suite{
				New: func(t *testing.T) environment.Storage {
					b := newBroker(t, nil)
					brokers[b.ClientURL()] = b
					return connectTo(t, b.ClientURL(), Options{Memory: memory, Heartbeat: testBeat})
				},
				Again: func(t *testing.T, s environment.Storage) environment.Storage {
					return connectTo(t, s.(*Storage).conn().Servers()[0], Options{Heartbeat: testBeat})
				},
			}
			if !memory {
				suite.Disturb = func(t *testing.T, s environment.Storage) {
					brokers[s.(*Storage).conn().Servers()[0]].restart()
				}
			}
			suite.Run(t)
		})
	}
}
