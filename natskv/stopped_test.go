package natskv

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// reload gives a running server other options.
func (b *broker) reload(edit func(*server.Options)) {
	b.t.Helper()
	o := b.options
	edit(&o)
	if err := b.ReloadOptions(&o); err != nil {
		b.t.Fatal(err)
	}
}

// nextWith waits for an update of a kind, and passes over others.
func nextWith(t *testing.T, updates <-chan environment.Update, what string, is func(environment.Update) bool) environment.Update {
	t.Helper()
	timeout := time.After(30 * time.Second)
	var last environment.Update
	for {
		select {
		case u, ok := <-updates:
			if !ok {
				t.Fatalf("the watch ended before %s; the last update was %+v", what, last)
			}
			if last = u; is(u) {
				return u
			}
		case <-timeout:
			t.Fatalf("no %s within 30 seconds; the last update was %+v", what, last)
		}
	}
}

func failing(with error) func(environment.Update) bool {
	return func(u environment.Update) bool { return errors.Is(u.Err, with) }
}

func has(key string) func(environment.Update) bool {
	return func(u environment.Update) bool {
		for _, r := range u.Records {
			if r.Key == key && u.Err == nil {
				return true
			}
		}
		return false
	}
}

// quick are options of a storage that notices everything soon.
func quick() Options { return Options{Heartbeat: testBeat, check: testBeat} }

func watchAll(t *testing.T, s *Storage) <-chan environment.Update {
	t.Helper()
	updates, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	next(t, updates)
	return updates
}

// A program whose login is refused, however often, goes on when it is accepted again.
func TestLoginsRefused(t *testing.T) {
	admin := &server.User{Username: "admin", Password: "admin"}
	b := newBroker(t, func(o *server.Options) {
		o.Users = []*server.User{admin, {Username: "atom", Password: "atom"}}
	})
	refused := make(chan bool, 100)
	connectAs := func(name string) *Storage {
		t.Helper()
		s, err := Connect(t.Context(), Server{URLs: []string{b.ClientURL()}, NATS: []nats.Option{
			nats.UserInfo(name, name), nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond),
			nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
				if errors.Is(err, nats.ErrAuthorization) {
					select {
					case refused <- true:
					default:
					}
				}
			}),
		}}, quick())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	writer, reader := connectAs("admin"), connectAs("atom")
	updates := watchAll(t, reader)
	b.reload(func(o *server.Options) { o.Users = []*server.User{admin} })
	for range 5 {
		select {
		case <-refused:
		case <-time.After(30 * time.Second):
			t.Fatal("the storage does not try to log in any more")
		}
	}
	nextWith(t, updates, "refusal", failing(nats.ErrAuthorization))
	mustPut(t, writer, "k", []byte("1"), 0)
	b.reload(func(*server.Options) {})
	nextWith(t, updates, "record after the refusal", has("k"))
}

func TestOpenWantsAConnectionThatDoesNotGiveUp(t *testing.T) {
	b := newBroker(t, nil)
	conn, err := nats.Connect(b.ClientURL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := Open(t.Context(), conn, Options{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("a connection that gives up after two refused logins: error %v", err)
	}
}

func TestBucketDeleted(t *testing.T) {
	b := newBroker(t, nil)
	s := connectTo(t, b.ClientURL(), quick())
	mustPut(t, s, "old", []byte("1"), 0)
	updates := watchAll(t, s)
	for _, kind := range []bucketKind{recordBucket, chunkBucket} {
		if err := s.js.DeleteStream(t.Context(), s.streamName(kind)); err != nil {
			t.Fatal(err)
		}
	}
	nextWith(t, updates, "word of the deletion", failing(jetstream.ErrStreamNotFound))
	again := connectTo(t, b.ClientURL(), quick())
	mustPut(t, again, "new", []byte("1"), 0)
	full := false // before the record was there, or with it
	u := nextWith(t, updates, "record of the new bucket", func(u environment.Update) bool {
		full = full || u.Full
		return has("new")(u)
	})
	if !full || len(u.Records) != 1 {
		t.Errorf("update %+v; what was in the old bucket is gone", u)
	}
}

// A purge leaves no trace in the stream.
func TestPurged(t *testing.T) {
	for name, subject := range map[string]string{"everything": "", "a record": "$KV.trustkeep.a"} {
		t.Run(name, func(t *testing.T) {
			s := connectTo(t, newBroker(t, nil).ClientURL(), quick())
			mustPut(t, s, "a", []byte("1"), 0)
			mustPut(t, s, "b", []byte("1"), 0)
			updates := watchAll(t, s)
			nextWith(t, updates, "heartbeat", func(u environment.Update) bool { return len(u.Records) == 0 })
			want := 0
			if subject != "" {
				want = 1
			}
			if err := s.records.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
				t.Fatal(err)
			}
			nextWith(t, updates, "full update", func(u environment.Update) bool { return u.Full && len(u.Records) == want })
		})
	}
}

// What a user may no longer do is told, and goes on when he may again.
func TestRightsWithdrawn(t *testing.T) {
	admin := &server.User{Username: "admin", Password: "admin"}
	reader := func(subscribe string, publish ...string) *server.User {
		return &server.User{Username: "reader", Password: "reader", Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: publish},
			Subscribe: &server.SubjectPermission{Allow: []string{subscribe}},
		}}
	}
	all := []string{"$JS.API.STREAM.INFO.*", "$JS.API.STREAM.MSG.GET.*", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DELETE.>", "$JS.FC.>"}
	b := newBroker(t, func(o *server.Options) { o.Users = []*server.User{admin, reader("_INBOX.>", all...)} })
	connectAs := func(name string) *Storage {
		t.Helper()
		o := quick()
		o.Timeout = 2 * time.Second
		s, err := Connect(t.Context(), Server{URLs: []string{b.ClientURL()}, NATS: []nats.Option{
			nats.UserInfo(name, name), nats.ReconnectWait(5 * time.Millisecond),
		}}, o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { s.Close() })
		return s
	}
	writer := connectAs("admin")
	updates := watchAll(t, connectAs("reader"))
	b.reload(func(o *server.Options) { o.Users = []*server.User{admin, reader("nothing", all...)} })
	nextWith(t, updates, "word of the withdrawal", failing(nats.ErrPermissionViolation))
	mustPut(t, writer, "k", []byte("1"), 0)
	b.reload(func(*server.Options) {})
	nextWith(t, updates, "record after the withdrawal", has("k"))
}

// A connection that its owner closes is the end.
func TestConnectionClosed(t *testing.T) {
	s := connectTo(t, newBroker(t, nil).ClientURL(), quick())
	updates := watchAll(t, s)
	s.conn().Close()
	nextWith(t, updates, "the end", failing(fs.ErrClosed))
	if u, ok := <-updates; ok {
		t.Errorf("%+v after the end", u)
	}
}

// A link on which nothing moves any more is noticed by what does not come.
func TestDeadLink(t *testing.T) {
	b := newBroker(t, nil)
	p := newProxy(t, b.Addr().String())
	updates := watchAll(t, connectTo(t, p.url(), quick()))
	writer := connectTo(t, b.ClientURL(), quick())
	p.freeze(true)
	nextWith(t, updates, "word of the dead link", failing(errLost))
	mustPut(t, writer, "k", []byte("1"), 0)
	p.freeze(false)
	nextWith(t, updates, "record after it", has("k"))
}

// Who was cut off gets what has changed, and everything where that cannot be told.
func TestResumes(t *testing.T) {
	b := newBroker(t, nil)
	p := newProxy(t, b.Addr().String())
	writer := connectTo(t, b.ClientURL(), quick())
	for _, key := range []string{"a/changed", "a/deleted", "a/kept", "b/other"} {
		mustPut(t, writer, key, []byte("1"), 0)
	}
	updates, err := connectTo(t, p.url(), quick()).Watch(t.Context(), "a/")
	if err != nil {
		t.Fatal(err)
	}
	next(t, updates)
	cut := func(meanwhile func()) environment.Update {
		t.Helper()
		p.partition(true)
		nextWith(t, updates, "word of the cut", failing(errLost))
		meanwhile()
		p.partition(false)
		return nextWith(t, updates, "update after the cut", func(u environment.Update) bool { return u.Err == nil })
	}
	revision := func(key string) uint64 {
		r, err := writer.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		return r.Revision
	}
	if u := cut(func() {}); u.Full || len(u.Records) != 0 {
		t.Errorf("nothing has changed: %+v", u)
	}
	u := cut(func() {
		mustPut(t, writer, "a/changed", []byte("2"), mustPut(t, writer, "a/changed", []byte("between"), revision("a/changed")))
		if err := writer.Delete(t.Context(), "a/deleted", revision("a/deleted")); err != nil {
			t.Fatal(err)
		}
		mustPut(t, writer, "a/large", large(1), 0)
		mustPut(t, writer, "b/other", nil, revision("b/other"))
	})
	if u.Full || len(u.Records) != 3 || string(u.Records[0].Value) != "2" || !u.Records[1].Deleted || len(u.Records[2].Value) != len(large(1)) {
		t.Errorf("full: %t, %d records", u.Full, len(u.Records))
	}
	u = cut(func() {
		for last := revision("a/large"); ; { // until the last message that was read is history
			last = mustPut(t, writer, "a/large", nil, last)
			if old, err := writer.Versions(t.Context(), "a/large"); err != nil || len(old[0].Value) == 0 {
				return
			}
		}
	})
	if !u.Full || len(u.Records) != 3 {
		t.Errorf("full: %t, %d records", u.Full, len(u.Records))
	}
	u = cut(func() {
		if err := writer.js.DeleteStream(t.Context(), writer.streamName(recordBucket)); err != nil {
			t.Fatal(err)
		}
		again := connectTo(t, b.ClientURL(), quick())
		for range 3 * 64 { // beyond the revisions that there were
			_ = mustPut(t, again, "b/other", nil, again.revisionOf(t, "b/other"))
		}
		mustPut(t, again, "a/new", nil, 0)
	})
	if !u.Full || len(u.Records) != 1 || u.Records[0].Key != "a/new" {
		t.Errorf("of another bucket: %+v", u)
	}
}

func (s *Storage) revisionOf(t *testing.T, key string) uint64 {
	t.Helper()
	e, err := s.last(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	return e.current()
}

// edit changes the configuration of a bucket, as administrators do.
func edit(t *testing.T, s *Storage, kind bucketKind, change func(*jetstream.StreamConfig)) {
	t.Helper()
	stream, err := s.js.Stream(t.Context(), s.streamName(kind))
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	change(&c)
	if _, err := s.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// A storage that is full says so at once.
func TestFull(t *testing.T) {
	for name, c := range map[string]struct {
		kind   bucketKind
		change func(*jetstream.StreamConfig)
		value  []byte
	}{
		"messages":           {recordBucket, func(c *jetstream.StreamConfig) { c.MaxMsgs = 1 }, nil},
		"bytes":              {recordBucket, func(c *jetstream.StreamConfig) { c.MaxBytes = 4 << 10 }, make([]byte, 8<<10)},
		"bytes of the parts": {chunkBucket, func(c *jetstream.StreamConfig) { c.MaxBytes = 4 << 10 }, large(1)},
	} {
		t.Run(name, func(t *testing.T) {
			o := quick()
			o.Timeout = time.Hour // for which nobody has to wait
			s := connectTo(t, newBroker(t, nil).ClientURL(), o)
			mustPut(t, s, "first", nil, 0)
			edit(t, s, c.kind, c.change)
			_, err := s.Put(t.Context(), "k", c.value, 0)
			var told *trustkeep.Error
			if !errors.Is(err, trustkeep.ErrLimit) || !errors.As(err, &told) || errors.Is(err, trustkeep.ErrConflict) {
				t.Fatalf("Put into a full storage: %v", err)
			}
			if text := fmt.Sprintf("%v", err); !strings.Contains(text, "full") || !strings.Contains(text, "--max-bytes") {
				t.Errorf("the error does not say what to do: %s", text)
			}
			if r, err := s.Get(t.Context(), "first"); err != nil {
				t.Errorf("%+v, %v", r, err)
			}
		})
	}
}

func TestAccountFull(t *testing.T) {
	b := newBroker(t, func(o *server.Options) { o.JetStreamMaxStore = 64 << 10 })
	o := quick()
	o.Timeout = time.Hour
	s := connectTo(t, b.ClientURL(), o)
	for i := range 100 {
		if _, err := s.Put(t.Context(), fmt.Sprintf("k%d", i), make([]byte, 8<<10), 0); err != nil {
			if !errors.Is(err, trustkeep.ErrLimit) {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("100 records of 8 KiB went into 64 KiB")
}

// What an administrator makes of the buckets is noticed while programs run.
func TestBucketMadeUnfit(t *testing.T) {
	log := new(bytes.Buffer)
	o := quick()
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	s := connectTo(t, newBroker(t, nil).ClientURL(), o)
	mustPut(t, s, "k", nil, 0)
	updates := watchAll(t, s)
	edit(t, s, recordBucket, func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardOld, 100 })
	nextWith(t, updates, "word of it", failing(trustkeep.ErrUnsupported))
	nextWith(t, updates, "word of it again", failing(trustkeep.ErrUnsupported)) // each time, while it is so
	edit(t, s, recordBucket, func(c *jetstream.StreamConfig) { c.Discard, c.MaxMsgs = jetstream.DiscardNew, -1 })
	nextWith(t, updates, "end of it", func(u environment.Update) bool { return u.Err == nil })
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"no longer fit", "forgets records", "fit to keep records again"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, log)
		}
	}
}
