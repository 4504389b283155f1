package natskv

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// errQuiet: nothing came for a while.
var errQuiet = errors.New("no message of the server")

// queue holds the messages of a subscription until they are read. It grows with them: flow
// control bounds what a server sends ahead to 32 MiB. The queue of nats.go would take half a
// MiB each time a watcher begins, and lose messages when that is full.
type queue struct {
	wake  chan struct{}
	timer *time.Timer

	mu       sync.Mutex
	messages []*nats.Msg
}

func newQueue() *queue {
	q := &queue{wake: make(chan struct{}, 1), timer: time.NewTimer(time.Hour)}
	q.timer.Stop()
	return q
}

func (q *queue) put(m *nats.Msg) {
	q.mu.Lock()
	q.messages = append(q.messages, m)
	q.mu.Unlock()
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *queue) pop() *nats.Msg {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.messages) == 0 {
		return nil
	}
	m := q.messages[0]
	q.messages[0] = nil
	if q.messages = q.messages[1:]; len(q.messages) == 0 {
		q.messages = nil
	}
	return m
}

// next waits for a message; for one reader. The error is errQuiet if none comes in time, or
// that of the context.
func (q *queue) next(ctx context.Context, atMost time.Duration) (*nats.Msg, error) {
	if m := q.pop(); m != nil {
		return m, ctx.Err()
	}
	q.timer.Reset(atMost)
	defer q.timer.Stop()
	for {
		select {
		case <-q.wake:
			if m := q.pop(); m != nil {
				return m, nil
			}
		case <-q.timer.C:
			return nil, errQuiet
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
