package natskv

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

// Servers take messages of a mebibyte unless told otherwise. Values up to maxInline are in
// the message of the record; a watcher may have a few hundred of those under way. Larger
// ones are in parts.
const (
	maxInline = 64 << 10
	maxChunk  = 512 << 10
	// overhead is what headers and manifest may add to a message.
	overhead = 4 << 10
)

// errSuperseded: the version is no longer kept, so neither are its parts.
var errSuperseded = errors.New("version is no longer kept")

func (s *Storage) tooLarge(value []byte) bool {
	return len(value) > min(maxInline, int(s.conn().MaxPayload())-overhead)
}

func (s *Storage) part(key, upload string, i int) string {
	return s.subject(chunkBucket, key) + "." + upload + "." + strconv.Itoa(i)
}

// upload stores a value in parts under a name of its own, so that no two writers ever
// share one, and notes it in the manifest.
func (s *Storage) upload(ctx context.Context, key string, value []byte, m *manifest) error {
	chunk := min(maxChunk, int(s.conn().MaxPayload())-overhead)
	if chunk < minChunk {
		return fmt.Errorf("the server takes messages of %d bytes: %w", s.conn().MaxPayload(), trustkeep.ErrUnsupported)
	}
	m.Upload, m.Chunk = nuid.Next(), chunk
	for i := range m.parts() {
		part := value[i*chunk:][:m.partSize(i)]
		err := s.try(ctx, func(ctx context.Context) error {
			_, err := s.js.Publish(ctx, s.part(key, m.Upload, i), part, jetstream.WithRetryAttempts(0))
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// load makes a record of an entry, and fetches what of it is in parts. A value that is
// damaged is an error in the record; errSuperseded is an error of load, as is a server
// that does not answer.
func (s *Storage) load(ctx context.Context, e entry) (environment.Record, error) {
	r := environment.Record{Key: e.key, Revision: e.revision, Time: e.time, Deleted: e.deleted}
	if e.deleted {
		return r, nil
	}
	m, value, err := parseRecord(e.data)
	if err != nil {
		r.Err = err
		return r, nil
	}
	if m.Upload == "" {
		r.Value = bytes.Clone(value)
		if r.Value == nil {
			r.Value = []byte{}
		}
		return r, nil
	}
	r.Value, err = s.download(ctx, e.key, m)
	if errors.Is(err, trustkeep.ErrCorrupt) {
		// Parts go after the version, so this tells why they are missing.
		kept, gone := s.kept(ctx, e)
		if gone != nil {
			return r, gone
		}
		if !kept {
			return r, errSuperseded
		}
		r.Value, r.Err = nil, err
		return r, nil
	}
	return r, err
}

func (s *Storage) download(ctx context.Context, key string, m manifest) ([]byte, error) {
	var value []byte
	for i := range m.parts() {
		err := s.try(ctx, func(ctx context.Context) error {
			part, err := s.chunks.GetLastMsgForSubject(ctx, s.part(key, m.Upload, i))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return corrupt("part %d of %d is missing", i+1, m.parts())
			}
			if err != nil {
				return err
			}
			if len(part.Data) != m.partSize(i) {
				return corrupt("part %d of %d has %d bytes", i+1, m.parts(), len(part.Data))
			}
			value = append(value, part.Data...)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return value, m.check(value)
}

// kept says whether a version is still in the history.
func (s *Storage) kept(ctx context.Context, e entry) (bool, error) {
	kept := false
	err := s.try(ctx, func(ctx context.Context) error {
		m, err := s.records.GetMsg(ctx, e.revision)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		kept = err == nil && m.Subject == s.subject(recordBucket, e.key)
		return err
	})
	return kept, err
}

// discard removes an upload that no record will ever need. What fails is left to Tidy.
func (s *Storage) discard(ctx context.Context, key, upload string) {
	if upload == "" {
		return
	}
	filter := s.subject(chunkBucket, key) + "." + upload + ".>"
	err := s.try(ctx, func(ctx context.Context) error {
		return s.chunks.Purge(ctx, jetstream.WithPurgeSubject(filter))
	})
	if err != nil {
		s.o.Logger.Warn("parts that no record needs could not be removed", "key", key, "error", err)
	}
}

// Tidy removes the parts of large values that no version needs any more, of all records:
// what writers have left that died or were cut off, and what they came not to remove. Put
// does it for its own record, so it is not needed often. It returns the number of values
// whose parts were removed.
func (s *Storage) Tidy(ctx context.Context) (int, error) {
	if err := s.alive(ctx); err != nil {
		return 0, fail("tidy", "", err)
	}
	uploads, err := s.uploads(ctx, s.subject(chunkBucket, ">"))
	if err != nil {
		return 0, fail("tidy", "", err)
	}
	removed := 0
	for key, names := range uploads.of {
		n, err := s.sweep(ctx, key, names, uploads.now)
		removed += n
		if err != nil {
			return removed, fail("tidy", key, err)
		}
	}
	return removed, nil
}

// tidy is Tidy for one record. It is not worth an error: the next one tries again.
func (s *Storage) tidy(ctx context.Context, key string) {
	uploads, err := s.uploads(ctx, s.subject(chunkBucket, key)+".*.*")
	if err == nil {
		_, err = s.sweep(ctx, key, uploads.of[key], uploads.now)
	}
	if err != nil {
		s.o.Logger.Warn("parts of old versions could not be removed", "key", key, "error", err)
	}
}

// uploadList is what uploads there are of each key, at a time of the server's clock.
type uploadList struct {
	of  map[string][]string
	now time.Time
}

func (s *Storage) uploads(ctx context.Context, filter string) (uploadList, error) {
	list := uploadList{of: make(map[string][]string)}
	var info *jetstream.StreamInfo
	err := s.try(ctx, func(ctx context.Context) (err error) {
		info, err = s.chunks.Info(ctx, jetstream.WithSubjectFilter(filter))
		return err
	})
	if err != nil {
		return list, err
	}
	list.now = info.TimeStamp
	seen := make(map[string]bool)
	for subject := range info.State.Subjects {
		// $KV, the bucket, the segments of the key, the upload, the part.
		tokens := strings.Split(subject, ".")
		if len(tokens) < 5 {
			continue
		}
		key, upload := strings.Join(tokens[2:len(tokens)-2], "/"), tokens[len(tokens)-2]
		if environment.CheckCapitalKey(key) != nil || !validUpload(upload) || seen[key+"."+upload] {
			continue
		}
		seen[key+"."+upload] = true
		list.of[key] = append(list.of[key], upload)
	}
	return list, nil
}

// sweep removes those uploads of a record that none of its versions needs. They are listed
// before the versions are, so that a version which came since cannot be among those that
// are missed; and an upload whose version has yet to come is too young.
func (s *Storage) sweep(ctx context.Context, key string, uploads []string, now time.Time) (int, error) {
	if len(uploads) == 0 {
		return 0, nil
	}
	needed := make(map[string]bool)
	err := s.read(ctx, s.subject(recordBucket, key), jetstream.DeliverAllPolicy, func(_ context.Context, all []entry) error {
		for _, e := range all {
			m, _, err := parseRecord(e.data)
			if errors.Is(err, trustkeep.ErrUnsupported) {
				return err // who knows what a later format needs
			}
			needed[m.Upload] = true
		}
		return nil
	})
	removed := 0
	for _, upload := range uploads {
		if err != nil {
			return removed, err
		}
		if needed[upload] {
			continue
		}
		var young bool
		if young, err = s.young(ctx, key, upload, now); err == nil && !young {
			s.discard(ctx, key, upload)
			removed++
		}
	}
	return removed, err
}

// young says whether a writer may still be about to write the record of an upload. It
// goes by the clock of the server alone.
func (s *Storage) young(ctx context.Context, key, upload string, now time.Time) (bool, error) {
	young := false
	err := s.try(ctx, func(ctx context.Context) error {
		m, err := s.chunks.GetLastMsgForSubject(ctx, s.subject(chunkBucket, key)+"."+upload+".*")
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return nil
		}
		young = err == nil && now.Sub(m.Time) < s.o.KeepUploads
		return err
	})
	return young, err
}
