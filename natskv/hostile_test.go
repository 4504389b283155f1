package natskv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

func mustPut(t testing.TB, s *Storage, key string, value []byte, expected uint64) uint64 {
	t.Helper()
	revision, err := s.Put(context.Background(), key, value, expected)
	if err != nil {
		t.Fatal(err)
	}
	return revision
}

func plant(t *testing.T, s *Storage, subject, data string) uint64 {
	t.Helper()
	ack, err := s.js.Publish(t.Context(), subject, []byte(data))
	if err != nil {
		t.Fatal(err)
	}
	return ack.Sequence
}

// What somebody else writes into the bucket spoils nothing but itself.
func TestGarbageInTheBucket(t *testing.T) {
	s := connectTo(t, newBroker(t, nil).ClientURL(), Options{})
	updates, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	next(t, updates)
	mustPut(t, s, "good", []byte("1"), 0)
	revisions := make(map[string]uint64)
	want := make(map[string]error)
	for i, name := range slices.Sorted(maps.Keys(badRecords)) {
		key := fmt.Sprintf("bad/k%d", i)
		want[key] = badRecords[name].want
		revisions[key] = plant(t, s, s.subject(recordBucket, key), badRecords[name].data)
		if _, err := s.Get(t.Context(), key); !errors.Is(err, want[key]) {
			t.Errorf("%s: Get: error %v, want %v", name, err, want[key])
		}
	}
	for _, name := range []string{"sp%20ace", "a/b", "_x", "a=b"} { // keys of NATS, not of ours
		plant(t, s, "$KV."+s.o.Bucket+"."+name, "x")
	}
	check := func(what string, records []environment.Record) {
		t.Helper()
		if len(records) != len(want)+1 {
			t.Errorf("%s has %d records, want %d", what, len(records), len(want)+1)
		}
		for _, r := range records {
			if !errors.Is(r.Err, want[r.Key]) || r.Err != nil && (r.Value != nil || r.Revision != revisions[r.Key]) {
				t.Errorf("%s has %+v", what, r)
			}
		}
	}
	all, err := s.List(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	check("List", all)
	known := make(map[string]environment.Record)
	for len(known) < len(want)+1 {
		for _, r := range next(t, updates).Records {
			known[r.Key] = r
		}
	}
	check("Watch", slices.Collect(maps.Values(known)))
	for key, revision := range revisions {
		if old, err := s.Versions(t.Context(), key); err != nil || len(old) != 1 || !errors.Is(old[0].Err, want[key]) {
			t.Errorf("Versions(%s) = %+v, %v", key, old, err)
		}
		last := mustPut(t, s, key, []byte("mended"), revision)
		if r, err := s.Get(t.Context(), key); err != nil || string(r.Value) != "mended" {
			t.Errorf("Get(%s) = %+v, %v", key, r, err)
		}
		if err := s.Delete(t.Context(), key, last); err != nil {
			t.Error(err)
		}
	}
}

// Parts that are missing, cut short or exchanged.
func TestDamagedParts(t *testing.T) {
	for name, damage := range map[string]func(t *testing.T, s *Storage, part string){
		"missing":   func(t *testing.T, s *Storage, part string) { purge(t, s, part) },
		"cut short": func(t *testing.T, s *Storage, part string) { plant(t, s, part, "short") },
		"exchanged": func(t *testing.T, s *Storage, part string) { plant(t, s, part, string(make([]byte, maxChunk))) },
	} {
		t.Run(name, func(t *testing.T) {
			s := connectTo(t, newBroker(t, nil).ClientURL(), Options{})
			revision := mustPut(t, s, "a/large", bytes.Repeat([]byte("large"), maxChunk), 0)
			mustPut(t, s, "a/small", []byte("small"), 0)
			uploads, err := s.uploads(t.Context(), s.subject(chunkBucket, ">"))
			if err != nil || len(uploads.of["a/large"]) != 1 {
				t.Fatalf("uploads %v, %v", uploads, err)
			}
			damage(t, s, s.part("a/large", uploads.of["a/large"][0], 1))
			if _, err := s.Get(t.Context(), "a/large"); !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("Get: error %v", err)
			}
			all, err := s.List(t.Context(), "a/")
			if err != nil || len(all) != 2 || !errors.Is(all[0].Err, trustkeep.ErrCorrupt) || all[0].Value != nil || string(all[1].Value) != "small" {
				t.Errorf("List = %+v, %v", all, err)
			}
			mustPut(t, s, "a/large", []byte("again"), revision)
			if r, err := s.Get(t.Context(), "a/large"); err != nil || string(r.Value) != "again" {
				t.Errorf("Get = %+v, %v", r, err)
			}
		})
	}
}

func purge(t *testing.T, s *Storage, subject string) {
	t.Helper()
	if err := s.chunks.Purge(t.Context(), jetstream.WithPurgeSubject(subject)); err != nil {
		t.Fatal(err)
	}
}

// The tools of NATS remove records too: by a marker, or without a trace.
func TestPurgedByOthers(t *testing.T) {
	s := connectTo(t, newBroker(t, nil).ClientURL(), Options{})
	kv, err := s.js.KeyValue(t.Context(), s.o.Bucket)
	if err != nil {
		t.Fatalf("the bucket is none for others: %v", err)
	}
	mustPut(t, s, "a/b", []byte("1"), 0)
	if e, err := kv.Get(t.Context(), "a.b"); err != nil || !bytes.HasSuffix(e.Value(), []byte("\n1")) {
		t.Errorf("others see %v, %v", e, err)
	}
	updates, err := s.Watch(t.Context(), "a/")
	if err != nil {
		t.Fatal(err)
	}
	next(t, updates)
	if err := kv.Purge(t.Context(), "a.b"); err != nil {
		t.Fatal(err)
	}
	if u := next(t, updates); u.Full || len(u.Records) != 1 || !u.Records[0].Deleted {
		t.Errorf("update %+v", u)
	}
	if _, err := s.Get(t.Context(), "a/b"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("error %v", err)
	}
	if err := kv.PurgeDeletes(t.Context(), jetstream.DeleteMarkersOlderThan(-1)); err != nil {
		t.Fatal(err)
	}
	if all, err := s.List(t.Context(), ""); err != nil || len(all) != 0 {
		t.Errorf("List = %v, %v", all, err)
	}
	mustPut(t, s, "a/b", []byte("2"), 0)
	if u := next(t, updates); len(u.Records) != 1 || string(u.Records[0].Value) != "2" {
		t.Errorf("update %+v", u)
	}
}

func TestOpenRefuses(t *testing.T) {
	b := newBroker(t, nil)
	conn, err := nats.Connect(b.ClientURL(), nats.MaxReconnects(-1), nats.IgnoreAuthErrorAbort())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	js, err := jetstream.New(conn)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.KeyValueConfig{
		{Bucket: "shallow", History: 5},
		{Bucket: "forgetful", History: 64, TTL: time.Hour},
	} {
		if _, err := js.CreateKeyValue(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		o    Options
		want error
	}{
		"a bucket with too little history":  {Options{Bucket: "shallow"}, trustkeep.ErrUnsupported},
		"a bucket whose records end":        {Options{Bucket: "forgetful"}, trustkeep.ErrUnsupported},
		"a bucket with a name of many":      {Options{Bucket: "a.>"}, trustkeep.ErrInvalid},
		"a history that is too short":       {Options{History: 3}, trustkeep.ErrInvalid},
		"a history that is longer than can": {Options{History: 65}, trustkeep.ErrInvalid},
		"less than one replica":             {Options{Replicas: -1}, trustkeep.ErrInvalid},
		"more replicas than can be":         {Options{Replicas: 6}, trustkeep.ErrInvalid},
	} {
		if s, err := Open(t.Context(), conn, c.o); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, error %v", name, s, err)
		}
	}
	if s, err := Open(t.Context(), nil, Options{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no connection: %v, error %v", s, err)
	}
	mortal, err := nats.Connect(b.ClientURL())
	if err != nil {
		t.Fatal(err)
	}
	defer mortal.Close()
	if _, err := Open(t.Context(), mortal, Options{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("a connection that gives up: error %v", err)
	}
	if _, err := js.CreateKeyValue(t.Context(), jetstream.KeyValueConfig{Bucket: "theirs", History: 64}); err != nil {
		t.Fatal(err)
	}
	s, err := Open(t.Context(), conn, Options{Bucket: "theirs"})
	if err != nil {
		t.Fatalf("a bucket that the nats command made: %v", err)
	}
	updates, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil || conn.IsClosed() {
		t.Errorf("Close: error %v, connection of the caller closed: %t", err, conn.IsClosed())
	}
	for range updates {
	}
	if _, err := s.Get(t.Context(), "k"); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Get after Close: error %v", err)
	}
}

// A server that is not there, and one that goes away.
func TestNoAnswer(t *testing.T) {
	if _, err := Connect(t.Context(), Server{PrivateURLs: trustkeep.Password("nats://me:hunter2@127.0.0.1:1")}, Options{}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("connected to nothing, or an error with a password: %v", err)
	}
	b := newBroker(t, nil)
	s := connectTo(t, b.ClientURL(), Options{Timeout: 2 * time.Second}) // in which a loaded machine connects
	b.stop()
	if _, err := s.Get(t.Context(), "k"); err == nil || errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("Get: error %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Put(ctx, "k", nil, 0); !errors.Is(err, context.Canceled) {
		t.Errorf("Put: error %v", err)
	}
	ctx, cancel = context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := s.List(ctx, ""); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("List: error %v", err)
	}
	b.start()
	r, err := s.Get(t.Context(), "k")
	for err != nil && !errors.Is(err, trustkeep.ErrNotFound) && t.Context().Err() == nil {
		r, err = s.Get(t.Context(), "k")
	}
	if !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("Get = %v, %v after the server is back", r, err)
	}
}

// A write whose answer is lost with the connection is found, rather than done again or
// reported as a conflict.
func TestLostAnswer(t *testing.T) {
	b := newBroker(t, nil)
	p := newProxy(t, b.Addr().String())
	s := connectTo(t, p.url(), Options{})
	near := connectTo(t, b.ClientURL(), Options{})
	updates, err := near.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	next(t, updates)
	last := uint64(0)
	for i := range 5 {
		p.mute(true)
		type result struct {
			revision uint64
			err      error
		}
		done := make(chan result, 1)
		go func() {
			m := describe([]byte{byte(i)})
			revision, err := s.publish(t.Context(), "k", m.encode([]byte{byte(i)}), last)
			done <- result{revision, err}
		}()
		u := next(t, updates) // it is written
		if i%2 == 1 {         // and by another one after it
			mustPut(t, near, "k", []byte("later"), u.Records[0].Revision)
			next(t, updates)
		}
		p.partition(true)
		p.mute(false)
		p.partition(false)
		r := <-done
		if r.err != nil || r.revision != u.Records[0].Revision {
			t.Fatalf("publish = %d, %v; revision %d was written", r.revision, r.err, u.Records[0].Revision)
		}
		e, err := near.last(t.Context(), "k")
		if err != nil {
			t.Fatal(err)
		}
		last = e.revision
	}
	old, err := near.Versions(t.Context(), "k")
	if err != nil || len(old) != 7 {
		t.Errorf("%d versions, %v; want 7", len(old), err)
	}
}
