package natskv

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

func large(n int) []byte { return bytes.Repeat([]byte(strconv.Itoa(n)+"\n"), maxInline) }

func countUploads(t *testing.T, s *Storage, key string) int {
	t.Helper()
	uploads, err := s.uploads(t.Context(), s.subject(chunkBucket, ">"))
	if err != nil {
		t.Fatal(err)
	}
	return len(uploads.of[key])
}

// Parts stay as long as a version in the history needs them, and no longer.
func TestPartsOfOldVersions(t *testing.T) {
	s := connectTo(t, newBroker(t, nil).ClientURL(), Options{History: environment.MinVersions})
	last := uint64(0)
	for i := range environment.MinVersions + 5 {
		last = mustPut(t, s, "a/k", large(i), last)
	}
	mustPut(t, s, "a", large(99), 0) // whose parts are beside those of a/k
	if n := countUploads(t, s, "a/k"); n != environment.MinVersions+5 {
		t.Errorf("%d uploads are kept, want all that are younger than an hour", n)
	}
	s.o.KeepUploads = 0
	if n, err := s.Tidy(t.Context()); n != 5 || err != nil {
		t.Errorf("Tidy = %d, %v; want 5", n, err)
	}
	versions, err := s.Versions(t.Context(), "a/k")
	if err != nil || len(versions) != environment.MinVersions {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	for i, r := range versions {
		if r.Err != nil || !bytes.Equal(r.Value, large(i+5)) {
			t.Errorf("version %d has error %v, or another value", i, r.Err)
		}
	}
	if r, err := s.Get(t.Context(), "a"); err != nil || !bytes.Equal(r.Value, large(99)) {
		t.Errorf("Get: error %v, or another value", err)
	}
	if err := s.Delete(t.Context(), "a/k", last); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Tidy(t.Context()); n != 1 || err != nil {
		t.Errorf("Tidy after the deletion = %d, %v; want the one that it moved out of the history", n, err)
	}
}

// A writer who loses removes what it has uploaded; one who dies leaves it to others.
func TestUploadsWithoutRecord(t *testing.T) {
	s := connectTo(t, newBroker(t, nil).ClientURL(), Options{})
	first := mustPut(t, s, "k", large(1), 0)
	m := describe(large(2))
	if err := s.upload(t.Context(), "k", large(2), &m); err != nil {
		t.Fatal(err)
	}
	if n, err := s.Tidy(t.Context()); n != 0 || err != nil {
		t.Errorf("Tidy = %d, %v: it took the parts of a writer who may not be done", n, err)
	}
	// The record of another writer comes between reading and writing.
	current, err := s.expect(t.Context(), "k", first)
	if err != nil {
		t.Fatal(err)
	}
	mustPut(t, s, "k", large(3), first)
	var conflict *environment.ConflictError
	if _, err := s.write(t.Context(), "k", m.encode(nil), first, current); !errors.As(err, &conflict) || conflict.Actual <= first {
		t.Errorf("error %v", err)
	}
	s.discard(t.Context(), "k", m.Upload)
	if n := countUploads(t, s, "k"); n != 2 {
		t.Errorf("%d uploads, want those of the two versions", n)
	}
	if _, err := s.Put(t.Context(), "k", large(4), first); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("error %v", err)
	}
	if n := countUploads(t, s, "k"); n != 2 {
		t.Errorf("%d uploads after a conflict, want 2", n)
	}
	// Parts of a record that a later version of this library has written.
	plant(t, s, s.subject(recordBucket, "k"), badRecords["a later format"].data)
	s.o.KeepUploads = 0
	if n, err := s.Tidy(t.Context()); n != 0 || !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("Tidy = %d, %v", n, err)
	}
}

// Readers who are slower than writers and than those who remove parts never see a torn
// value, and never an error.
func TestReadersOfPartsThatGo(t *testing.T) {
	b := newBroker(t, nil)
	s := connectTo(t, b.ClientURL(), Options{History: environment.MinVersions})
	last := mustPut(t, s, "k", large(0), 0)
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for i := range 3 {
		reader := connectTo(t, b.ClientURL(), Options{})
		wg.Go(func() {
			for ctx.Err() == nil {
				var all []environment.Record
				var err error
				switch i {
				case 0:
					var r environment.Record
					r, err = reader.Get(ctx, "k")
					all = append(all, r)
				case 1:
					all, err = reader.List(ctx, "")
				default:
					all, err = reader.Versions(ctx, "k")
				}
				if ctx.Err() == nil && (err != nil || len(all) == 0) {
					t.Errorf("reader %d: %d records, error %v", i, len(all), err)
					return
				}
				for _, r := range all {
					if ctx.Err() == nil && (r.Err != nil || !isLarge(r.Value)) {
						t.Errorf("reader %d: record of %d bytes, error %v", i, len(r.Value), r.Err)
						return
					}
				}
			}
		})
	}
	updates, err := s.Watch(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	const writes = 30
	tidier := connectTo(t, b.ClientURL(), Options{})
	tidier.o.KeepUploads = 0 // no upload is under way
	for i := 1; i < writes; i++ {
		last = mustPut(t, s, "k", large(i), last)
		if _, err := tidier.Tidy(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for seen := uint64(0); seen < last; {
		for _, r := range next(t, updates).Records {
			if r.Err != nil || !isLarge(r.Value) {
				t.Errorf("watched a record of %d bytes, error %v", len(r.Value), r.Err)
			}
			seen = r.Revision
		}
	}
	cancel()
	wg.Wait()
}

func isLarge(value []byte) bool {
	line, _, _ := bytes.Cut(value, []byte("\n"))
	n, err := strconv.Atoi(string(line))
	return err == nil && bytes.Equal(value, large(n))
}

// Servers may take less in a message than NATS does by default.
func TestServerThatTakesLittle(t *testing.T) {
	s := connectTo(t, newBroker(t, func(o *server.Options) { o.MaxPayload = 8 << 10 }).ClientURL(), Options{})
	value := make([]byte, 100_000)
	for i := range value {
		value[i] = byte(rand.Uint32())
	}
	mustPut(t, s, "k", value, 0)
	if r, err := s.Get(t.Context(), "k"); err != nil || !bytes.Equal(r.Value, value) {
		t.Errorf("Get: error %v, or another value", err)
	}
}
