package natskv

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/trustkeep/trustkeep"
)

var (
	errLost = errors.New("the connection to the server was lost")
	// errOvertaken: the record has changed since it was read.
	errOvertaken = errors.New("overtaken by another writer")
	// errPurged: what was read may no longer be there.
	errPurged = errors.New("records were removed from the bucket without a trace")
)

// link follows the state of a connection.
type link struct {
	conn    func() *nats.Conn // a closure: printed, a connection shows its URLs and passwords
	why     func() error      // there is no connection
	events  chan nats.Status
	stopped chan struct{}

	mu      sync.Mutex
	up      context.Context // ends when the connection is lost
	down    context.CancelCauseFunc
	changed chan struct{} // closed when up is replaced
}

// newLink begins to follow a connection. why tells what is wrong with it, and gone is
// called when it is closed.
func newLink(conn *nats.Conn, why func() error, gone func()) *link {
	l := &link{conn: func() *nats.Conn { return conn }, why: why, stopped: make(chan struct{}), changed: make(chan struct{})}
	l.up, l.down = context.WithCancelCause(context.Background())
	l.events = conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	if !conn.IsConnected() {
		l.down(errLost)
	}
	go func() {
		defer close(l.stopped)
		for status := range l.events {
			l.follow(status)
			if status == nats.CLOSED {
				gone()
			}
		}
	}()
	if conn.IsClosed() {
		gone()
	}
	return l
}

func (l *link) follow(status nats.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// What was said to a server is lost with the connection to it, also if there is
	// another one at once.
	l.down(errLost)
	if status == nats.CONNECTED {
		l.up, l.down = context.WithCancelCause(context.Background())
		close(l.changed)
		l.changed = make(chan struct{})
	}
}

// renew ends what goes on, as if the connection had been lost for that reason and was there
// again.
func (l *link) renew(why error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.up.Err() != nil {
		return
	}
	l.down(why)
	l.up, l.down = context.WithCancelCause(context.Background())
	close(l.changed)
	l.changed = make(chan struct{})
}

// revive makes a connection anew if it is dead: nothing was heard through it for a while,
// and it does not answer now.
func (s *Storage) revive(ctx, up context.Context) {
	ctx, cancel := context.WithTimeout(ctx, s.o.Heartbeat/2)
	defer cancel()
	err := s.conn().FlushWithContext(ctx)
	if err != nil && up.Err() == nil && s.closed.Err() == nil {
		s.o.Logger.Warn("the connection is dead and is made anew", "error", err)
		_ = s.conn().ForceReconnect() // fails if it is closed
	}
}

// regain connects anew after an error that is due to a subscription for which the server
// no longer saw a right: nats.go would go on without it when the right is back.
func (s *Storage) regain(err error) {
	why := s.conn().LastError()
	if errors.Is(err, context.DeadlineExceeded) && errors.Is(why, nats.ErrPermissionViolation) && strings.Contains(why.Error(), "for Subscription to") {
		_ = s.conn().ForceReconnect() // fails if it is closed
	}
}

func (l *link) stop() {
	l.conn().RemoveStatusListener(l.events)
	<-l.stopped
	l.down(errLost)
}

// connection waits until there is one, and returns a context that ends with it.
func (l *link) connection(ctx context.Context) (context.Context, error) {
	for {
		l.mu.Lock()
		up, changed := l.up, l.changed
		l.mu.Unlock()
		if up.Err() == nil {
			return up, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			if why := l.why(); why != nil {
				return nil, fmt.Errorf("%w: %w", errLost, why)
			}
			return nil, errLost
		}
	}
}

// during is a context that ends with the connection too.
func during(up, ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(ctx)
	release := context.AfterFunc(up, func() { cancel(context.Cause(up)) })
	return ctx, func() { release(); cancel(nil) }
}

// try asks the server for something, and asks again if the connection is lost or the server
// cannot answer yet, until Options.Timeout is over. Each time it may take a quarter of
// that.
func (s *Storage) try(ctx context.Context, ask func(context.Context) error) error {
	return s.tryFor(ctx, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, s.o.Timeout/4)
		defer cancel()
		return ask(ctx)
	})
}

// tryFor is try for what takes as long as it takes, while the server answers at all.
func (s *Storage) tryFor(ctx context.Context, ask func(context.Context) error) error {
	if err := s.alive(ctx); err != nil {
		return err
	}
	patience, cancel := context.WithTimeout(ctx, s.o.Timeout)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, time.Second) {
		err := s.once(ctx, patience, ask)
		if err == nil {
			return nil
		}
		if gone := s.alive(ctx); gone != nil {
			return gone
		}
		if full := fullOf(err); full != nil {
			return full
		}
		if !passing(err) {
			return err
		}
		if !pause(patience, wait) {
			if gone := s.alive(ctx); gone != nil {
				return gone
			}
			return s.explain(fmt.Errorf("no answer of the server within %v: %w", s.o.Timeout, err))
		}
	}
}

// explain adds what NATS says of a missing right beside what failed for it.
func (s *Storage) explain(err error) error {
	if errors.Is(err, nats.ErrPermissionViolation) {
		return err
	}
	if why := s.conn().LastError(); errors.Is(why, nats.ErrPermissionViolation) {
		return errors.Join(err, why)
	}
	return err
}

// once asks as soon as there is a connection, for which patience is waited.
func (s *Storage) once(ctx, patience context.Context, ask func(context.Context) error) error {
	up, err := s.link.connection(patience)
	if err != nil {
		return err
	}
	ctx, cancel := during(up, ctx)
	defer cancel()
	defer context.AfterFunc(s.closed, cancel)()
	return ask(ctx)
}

// pause waits, and says whether the context still goes on.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// passing tells errors of a server that starts, stops or cannot be reached from answers.
// The caller's context is not asked about here.
func passing(err error) bool {
	for _, p := range []error{
		context.DeadlineExceeded, context.Canceled, errLost, errStalled, errQuiet, nats.ErrTimeout, nats.ErrNoResponders, nats.ErrDisconnected,
		nats.ErrConnectionReconnecting, nats.ErrReconnectBufExceeded, nats.ErrStaleConnection, nats.ErrSlowConsumer,
		jetstream.ErrNoStreamResponse,
	} {
		if errors.Is(err, p) {
			return true
		}
	}
	// 503: no leader yet, or JetStream is starting.
	answer := answerOf(err)
	return answer != nil && answer.Code == 503
}

// publish writes a message of a record, a deletion if data is nil, if the last one has
// that revision; otherwise it is errOvertaken.
func (s *Storage) publish(ctx context.Context, key string, data []byte, last uint64) (uint64, error) {
	subject, id := s.subject(recordBucket, key), nuid.Next()
	m := nats.NewMsg(subject)
	m.Data = data
	m.Header.Set(writeHeader, id)
	m.Header.Set(jetstream.ExpectedLastSubjSeqHeader, strconv.FormatUint(last, 10))
	if data == nil {
		m.Header.Set(operationHeader, "DEL")
	}
	var revision uint64
	unsure := false
	err := s.try(ctx, func(ctx context.Context) error {
		ack, err := s.js.PublishMsg(ctx, m, jetstream.WithRetryAttempts(0))
		if err == nil {
			revision = ack.Sequence
			return nil
		}
		if !wrongLast(err) {
			unsure = true
			return err
		}
		if unsure {
			// It may be that very message, whose answer was lost.
			if revision, err = s.find(ctx, subject, last, id); err != nil || revision > 0 {
				return err
			}
		}
		return errOvertaken
	})
	return revision, err
}

// answerOf is what JetStream says, nil if that is not what the error is.
func answerOf(err error) *jetstream.APIError {
	var answer jetstream.JetStreamError
	if !errors.As(err, &answer) {
		return nil
	}
	return answer.APIError()
}

// fullOf is the error of a bucket or server that takes no more, nil for other errors.
func fullOf(err error) error {
	const (
		accountExceeded = 10002
		noResources     = 10023
		memoryExceeded  = 10028
		storageExceeded = 10047
		notStored       = 10077 // for whatever reason
	)
	answer := answerOf(err)
	if answer == nil {
		return nil
	}
	hint := "raise the limits of the account, or of jetstream in the server's configuration"
	switch answer.ErrorCode {
	case accountExceeded, noResources, memoryExceeded, storageExceeded:
	case notStored:
		if !strings.HasPrefix(answer.Description, "maximum ") || !strings.HasSuffix(answer.Description, " exceeded") {
			return nil
		}
		hint = "raise or lift the bucket's limits (nats stream edit --max-bytes=-1 --max-msgs=-1); do not let it discard old messages"
	default:
		return nil
	}
	return &trustkeep.Error{Op: "the storage is full", Err: fmt.Errorf("%w: %w", err, trustkeep.ErrLimit), Hint: hint}
}

func wrongLast(err error) bool {
	answer := answerOf(err)
	if answer == nil {
		return false
	}
	code := answer.ErrorCode
	return code == jetstream.JSErrCodeStreamWrongLastSequence || code == jetstream.JSErrCodeStreamWrongLastSequenceConstant
}

// find returns the revision of a write, zero if it did not happen. It can only be the
// first one after that which it expected to be the last.
func (s *Storage) find(ctx context.Context, subject string, last uint64, id string) (uint64, error) {
	m, err := s.records.GetMsg(ctx, last+1, jetstream.WithGetMsgSubject(subject))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	if m.Header.Get(writeHeader) != id {
		return 0, nil
	}
	return m.Sequence, nil
}
