package natskv

import (
	"context"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep"
)

// alone checks that there is no record whose key differs from one in case alone: for NATS they are
// two subjects like any other. The error wraps trustkeep.ErrExists.
func (s *Storage) alone(ctx context.Context, key string) error {
	segments := strings.Split(key, "/")
	for i, segment := range segments {
		if strings.ContainsFunc(segment, func(c rune) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' }) {
			segments[i] = "*" // it may be another one
		}
	}
	var info *jetstream.StreamInfo
	err := s.try(ctx, func(ctx context.Context) (err error) {
		info, err = s.records.Info(ctx, jetstream.WithSubjectFilter(s.subject(recordBucket, strings.Join(segments, "/"))))
		return err
	})
	if err != nil {
		return err
	}
	for subject := range info.State.Subjects {
		other, ok := s.keyOf(subject)
		if !ok || other == key || !strings.EqualFold(other, key) {
			continue
		}
		e, err := s.last(ctx, other)
		if err != nil {
			return err
		}
		if e.current() > 0 {
			return fmt.Errorf("record %q differs in case alone: %w", other, trustkeep.ErrExists)
		}
	}
	return nil
}
