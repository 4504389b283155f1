package natskv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep"
)

const (
	// settleAfter is how long no message comes before the leader is asked whether
	// there are more.
	settleAfter = 250 * time.Millisecond
	// abandoned is when a server forgets a reader that is no longer there.
	abandoned = time.Minute
)

// errStalled: the server has messages and does not send them, or has ended the reading.
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
	filters  []string
	up       context.Context // ends with the connection
	consumer string
	messages *queue
	sub      *nats.Subscription

	seen      message // the last one
	delivered uint64  // messages
	pending   uint64
	// floor is a revision that was there before the reading began. The server that
	// delivers may lag behind the one that answers writers, if there are several.
	floor uint64
}

// replay begins to read, where start says.
func (s *Storage) replay(ctx context.Context, filters []string, start jetstream.ConsumerConfig) (*replay, error) {
	ask, cancel := context.WithTimeout(ctx, s.o.Timeout/4)
	defer cancel()
	r := &replay{s: s, filters: filters, messages: newQueue()}
	var err error
	if r.up, err = s.link.connection(ask); err != nil {
		return nil, err
	}
	if s.replicas() > 1 {
		if r.floor, err = r.leader(ask); err != nil {
			return nil, err
		}
	}
	// The server pushes: what asks a server for messages is lost where it comes to the
	// consumer's server before the news of the consumer does. Flow control keeps it
	// from sending more than is read.
	inbox := s.conn().NewInbox()
	if r.sub, err = s.conn().Subscribe(inbox, r.messages.put); err != nil {
		return nil, err
	}
	_ = r.sub.SetPendingLimits(-1, -1) // fails if the connection is closed
	consumer, err := s.records.CreatePushConsumer(ask, jetstream.ConsumerConfig{
		FilterSubjects:    filters,
		DeliverSubject:    inbox,
		DeliverPolicy:     start.DeliverPolicy,
		OptStartSeq:       start.OptStartSeq,
		AckPolicy:         jetstream.AckNonePolicy,
		FlowControl:       true,
		IdleHeartbeat:     s.o.Heartbeat,
		InactiveThreshold: abandoned,
		MemoryStorage:     true,
		Replicas:          1,
	})
	if err != nil {
		_ = r.sub.Unsubscribe()
		return nil, err
	}
	r.consumer, r.pending = consumer.CachedInfo().Name, consumer.CachedInfo().NumPending
	return r, nil
}

// close ends the reading, and tells the server, which would otherwise find out after a
// while. It does find out after a lost connection, when it has others to do.
func (r *replay) close() {
	_ = r.sub.Unsubscribe() // fails if the connection is closed
	if r.up.Err() == nil && r.s.conn().IsConnected() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = r.s.records.DeleteConsumer(ctx, r.consumer)
	}
}

// leader returns the revision of the last message, by the server that takes writes.
func (r *replay) leader(ctx context.Context) (uint64, error) {
	var last uint64
	for _, filter := range r.filters {
		m, err := r.s.records.GetLastMsgForSubject(ctx, filter)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue
		}
		if err != nil {
			return 0, err
		}
		last = max(last, m.Sequence)
	}
	return last, nil
}

// settled says whether what was read is what the bucket holds.
func (r *replay) settled() bool { return r.pending == 0 && r.seen.revision >= r.floor }

// settle reads until what was read is what the bucket holds, and hands over the entries
// as they come.
func (r *replay) settle(ctx context.Context, take func(entry)) error {
	quiet := 0
	for !r.settled() {
		before := r.delivered
		beat, err := r.next(ctx, settleAfter, take)
		switch {
		case err != nil && !errors.Is(err, errQuiet):
			return err
		case r.delivered > before:
			quiet = 0
		case beat || err != nil:
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

// follow waits for something new and reads until that is what the bucket holds. It is a
// heartbeat if there is nothing new.
func (r *replay) follow(ctx context.Context, take func(entry)) error {
	for {
		before := r.delivered
		beat, err := r.next(ctx, r.s.o.silence(), take)
		if errors.Is(err, errQuiet) {
			r.s.revive(ctx, r.up)
			return fmt.Errorf("no heartbeat of the server: %w", errLost)
		}
		if err != nil {
			return err
		}
		if beat || r.delivered > before {
			return r.settle(ctx, take)
		}
	}
}

// ask finds out whether the last message that the leader has is one that was read.
func (r *replay) ask(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.s.o.Timeout/4)
	defer cancel()
	last, err := r.leader(ctx)
	if err != nil {
		return err
	}
	if r.floor = last; last <= r.seen.revision {
		r.pending = 0
	}
	return nil
}

// next waits for one message, a heartbeat or flow control.
func (r *replay) next(ctx context.Context, atMost time.Duration, take func(entry)) (beat bool, err error) {
	m, err := r.messages.next(ctx, atMost)
	if err != nil {
		return false, err
	}
	if status := m.Header.Get("Status"); status != "" && len(m.Data) == 0 {
		return r.answer(ctx, m, status)
	}
	meta, err := m.Metadata()
	if err != nil {
		return false, err
	}
	if meta.Sequence.Consumer != r.delivered+1 {
		return false, fmt.Errorf("message %d comes after %d: %w", meta.Sequence.Consumer, r.delivered, errLost)
	}
	r.delivered, r.pending = meta.Sequence.Consumer, meta.NumPending
	r.seen = message{meta.Sequence.Stream, meta.Timestamp}
	if key, ok := r.s.keyOf(m.Subject); ok {
		take(entryOf(key, r.seen.revision, meta.Timestamp, m.Header, m.Data))
	}
	return false, nil
}

// finds reads the message with which the reading was to begin, and reports whether it is
// that one and reading on is cheaper than reading anew.
func (r *replay) finds(ctx context.Context, m message) (bool, error) {
	if r.pending == 0 || r.pending > maxResumed {
		return false, nil
	}
	ctx, cancel := during(r.up, ctx)
	defer cancel()
	for r.delivered == 0 {
		if _, err := r.next(ctx, r.s.o.Timeout/4, func(entry) {}); err != nil {
			return false, reason(ctx, err)
		}
	}
	return r.seen.revision == m.revision && r.seen.time.Equal(m.time), nil
}

// answer handles heartbeats and flow control (NATS ADR-15): the server waits for an empty
// reply to a flow control message, or to the subject that a heartbeat says it waits for.
func (r *replay) answer(ctx context.Context, m *nats.Msg, status string) (beat bool, err error) {
	const control, stalled, sent = "100", "Nats-Consumer-Stalled", "Nats-Last-Consumer"
	switch reply := m.Reply; {
	case status != control:
		return false, fmt.Errorf("status %q: %w", trustkeep.Printable(status), errStalled)
	case reply != "":
		return false, r.s.conn().Publish(reply, nil)
	case m.Header.Get(stalled) != "":
		return false, r.s.conn().Publish(m.Header.Get(stalled), nil)
	}
	if last, err := strconv.ParseUint(m.Header.Get(sent), 10, 64); err == nil && last > r.delivered {
		return false, fmt.Errorf("the server sent message %d, %d arrived: %w", last, r.delivered, errLost)
	}
	if r.s.replicas() > 1 { // a copy that lags behind has heartbeats too
		err = r.ask(ctx)
	}
	return true, err
}

// read reads all there is at one moment, and begins anew where the connection is lost or
// use says errSuperseded.
func (s *Storage) read(ctx context.Context, filter string, policy jetstream.DeliverPolicy, use func(context.Context, []entry) error) error {
	for {
		err := s.tryFor(ctx, func(ctx context.Context) error {
			r, err := s.replay(ctx, []string{filter}, jetstream.ConsumerConfig{DeliverPolicy: policy})
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
