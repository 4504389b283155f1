package natskv

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// A server is asked for that many messages ahead, of maxInline bytes at most: well
	// below the 64 MiB at which it would call a connection slow and cut it.
	pullAhead = 256
	heartbeat = 10 * time.Second
	// settleAfter is how long no message comes before the leader is asked whether
	// there are more.
	settleAfter = 250 * time.Millisecond
	// abandoned is when a server forgets a reader that does not ask any more.
	abandoned = time.Minute
)

// errStalled: the server has messages and does not send them.
var errStalled = errors.New("the server does not send the messages that it has")

// replay reads the messages of a bucket in their order, by a consumer of its own.
//
// At some points what was read is exactly what the bucket holds. A message that leaves
// the history before it is delivered is not missed by anybody, so it is not enough to
// count messages or to read up to one of them. But where the server says that nothing is
// pending, the last version of each key has been there ever since it was written, and so
// was delivered.
type replay struct {
	s        *Storage
	filter   string
	consumer jetstream.Consumer
	messages jetstream.MessagesContext

	seen      uint64 // revision of the last message
	delivered uint64 // messages
	pending   uint64
	// floor is a revision that was there before the reading began. The server that
	// delivers may lag behind the one that answers writers.
	floor uint64
}

func (s *Storage) replay(ctx context.Context, filter string, policy jetstream.DeliverPolicy) (*replay, error) {
	ask, cancel := context.WithTimeout(ctx, s.o.Timeout/4)
	defer cancel()
	r := &replay{s: s, filter: filter}
	var err error
	if r.floor, err = r.leader(ask); err != nil {
		return nil, err
	}
	r.consumer, err = s.records.CreateConsumer(ask, jetstream.ConsumerConfig{
		FilterSubject:     filter,
		DeliverPolicy:     policy,
		AckPolicy:         jetstream.AckNonePolicy,
		InactiveThreshold: abandoned,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		return nil, err
	}
	r.pending = r.consumer.CachedInfo().NumPending
	r.messages, err = r.consumer.Messages(jetstream.PullMaxMessages(pullAhead), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		r.remove()
		return nil, err
	}
	return r, nil
}

// close ends the reading.
func (r *replay) close() {
	r.messages.Stop()
	r.remove()
}

// remove tells the server, which would otherwise find out after a while.
func (r *replay) remove() {
	if r.s.conn.IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.s.records.DeleteConsumer(ctx, r.consumer.CachedInfo().Name)
	}
}

// leader returns the revision of the last message, by the server that takes writes.
func (r *replay) leader(ctx context.Context) (uint64, error) {
	m, err := r.s.records.GetLastMsgForSubject(ctx, r.filter)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return m.Sequence, nil
}

// settled says whether what was read is what the bucket holds.
func (r *replay) settled() bool { return r.pending == 0 && r.seen >= r.floor }

// settle reads until what was read is what the bucket holds, and hands over the entries
// as they come.
func (r *replay) settle(ctx context.Context, take func(entry)) error {
	quiet := 0
	for !r.settled() {
		wait, cancel := context.WithTimeout(ctx, settleAfter)
		err := r.next(wait, take)
		cancel()
		switch {
		case err == nil:
			quiet = 0
		case ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded):
			return err
		default:
			if err := r.ask(ctx); err != nil {
				return err
			}
			if quiet++; time.Duration(quiet)*settleAfter > r.s.o.Timeout {
				return errStalled
			}
		}
	}
	return nil
}

// ask finds out whether the last message that the leader has is one that was read.
func (r *replay) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.s.o.Timeout/4)
	defer cancel()
	last, err := r.leader(ctx)
	if err != nil {
		return err
	}
	if r.floor = last; last <= r.seen {
		r.pending = 0
	}
	return nil
}

// next waits for one message.
func (r *replay) next(ctx context.Context, take func(entry)) error {
	m, err := r.messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return err
	}
	meta, err := m.Metadata()
	if err != nil {
		return err
	}
	if meta.Sequence.Consumer != r.delivered+1 {
		return fmt.Errorf("message %d comes after %d: %w", meta.Sequence.Consumer, r.delivered, errLost)
	}
	r.delivered, r.seen, r.pending = meta.Sequence.Consumer, meta.Sequence.Stream, meta.NumPending
	if key, ok := r.s.keyOf(m.Subject()); ok {
		take(entryOf(key, r.seen, meta.Timestamp, nats.Header(m.Headers()), m.Data()))
	}
	return nil
}

// read reads all there is at one moment, and begins anew where the connection is lost or
// use says errSuperseded.
func (s *Storage) read(ctx context.Context, filter string, policy jetstream.DeliverPolicy, use func(context.Context, []entry) error) error {
	for {
		err := s.tryFor(ctx, func(ctx context.Context) error {
			r, err := s.replay(ctx, filter, policy)
			if err != nil {
				return err
			}
			defer r.close()
			var all []entry
			if err := r.settle(ctx, func(e entry) { all = append(all, e) }); err != nil {
				return err
			}
			return use(ctx, all)
		})
		if !errors.Is(err, errSuperseded) {
			return err
		}
	}
}
