package natskv

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep"
)

// checkEvery is how often each program looks at what administrators have made of the
// buckets. Each time it takes between half as long and once and a half.
const checkEvery = time.Minute

// inspect looks at the buckets until the storage is closed.
func (s *Storage) inspect() {
	for pause(s.closed, s.o.check/2+rand.N(s.o.check)) {
		flaw := error(nil)
		for _, kind := range []bucketKind{recordBucket, chunkBucket} {
			info, err := s.info(kind)
			if errors.Is(err, jetstream.ErrStreamNotFound) {
				if kind == recordBucket {
					s.link.renew(err) // so that watchers find out
				}
				continue
			}
			if err != nil {
				break // watchers and writers notice
			}
			if kind == recordBucket {
				s.compare(info)
			}
			if err := s.fit(kind, info.Config); err != nil {
				flaw = errors.Join(flaw, err)
			}
		}
		s.setFlaw(flaw)
	}
}

func (s *Storage) info(kind bucketKind) (*jetstream.StreamInfo, error) {
	ctx, cancel := context.WithTimeout(s.closed, s.o.Timeout)
	defer cancel()
	stream, err := s.js.Stream(ctx, s.streamName(kind))
	if err != nil {
		return nil, err
	}
	return stream.CachedInfo(), nil
}

// compare notices what leaves no message behind. The number of keys never falls otherwise,
// since the last message of each key stays.
func (s *Storage) compare(now *jetstream.StreamInfo) {
	s.copies.Store(int64(now.Config.Replicas))
	s.mu.Lock()
	before := s.known
	if now.TimeStamp.Before(before.TimeStamp) {
		s.mu.Unlock() // somebody has looked later
		return
	}
	s.known = now
	s.mu.Unlock()
	if now.Created.Equal(before.Created) && now.State.NumSubjects >= before.State.NumSubjects {
		return
	}
	s.live.forget()
	s.o.Logger.Warn("records were removed from the bucket without a trace; all are read anew", "bucket", s.o.Bucket)
	s.link.renew(errPurged)
}

// note finds out how many keys there are before a watcher reads them, for compare.
func (s *Storage) note(ctx context.Context) error {
	stream, err := s.js.Stream(ctx, s.streamName(recordBucket))
	if err == nil {
		s.compare(stream.CachedInfo())
	}
	return err
}

// fit says what is wrong with the configuration of a bucket.
func (s *Storage) fit(kind bucketKind, c jetstream.StreamConfig) error {
	if err := s.checkBucket(kind, c); err != nil {
		return fmt.Errorf("bucket %s %w: %w", s.bucketName(kind), err, trustkeep.ErrUnsupported)
	}
	return nil
}

func (s *Storage) setFlaw(err error) {
	s.mu.Lock()
	before := s.flaw
	s.flaw = err
	s.mu.Unlock()
	switch {
	case err == nil && before != nil:
		s.o.Logger.Info("the buckets are fit to keep records again", "bucket", s.o.Bucket)
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.o.Logger.Error("the buckets are no longer fit to keep records", "bucket", s.o.Bucket, "error", err)
	}
}

// bucketFlaw is why records may get lost, nil if they cannot.
func (s *Storage) bucketFlaw() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flaw
}
