package natskv

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/watching"
)

// bucketKind tells the two buckets of a storage apart.
type bucketKind int

const (
	recordBucket bucketKind = iota
	chunkBucket
)

// maxConsumers takes the place of the limit that servers have unless told otherwise, a
// thousand for a stream: each watcher is one. It cannot be changed later.
const maxConsumers = 100_000

// A key-value bucket is a stream called KV_<bucket>, with the keys as subjects
// $KV.<bucket>.<key>: NATS ADR-8, which other clients and the nats command follow too.
func (s *Storage) bucketName(kind bucketKind) string {
	if kind == chunkBucket {
		return s.o.Bucket + "-chunks"
	}
	return s.o.Bucket
}

func (s *Storage) streamName(kind bucketKind) string { return "KV_" + s.bucketName(kind) }

// subject is where a key is. Keys have no dots, so this is one to one.
func (s *Storage) subject(kind bucketKind, key string) string {
	return "$KV." + s.bucketName(kind) + "." + strings.ReplaceAll(key, "/", ".")
}

// keyOf is the reverse of subject. Subjects that are not of records have no key.
func (s *Storage) keyOf(subject string) (string, bool) {
	name, ok := strings.CutPrefix(subject, "$KV."+s.o.Bucket+".")
	if !ok || strings.Contains(name, "/") {
		return "", false
	}
	key := strings.ReplaceAll(name, ".", "/")
	return key, environment.CheckCapitalKey(key) == nil
}

// filter matches the records whose keys begin with the prefix, and others, since
// subjects match by whole segments.
func (s *Storage) filter(prefix string) string {
	folder := prefix[:strings.LastIndexByte(prefix, '/')+1]
	if folder == "" || environment.CheckCapitalKey(folder+"x") != nil {
		return s.subject(recordBucket, ">")
	}
	return s.subject(recordBucket, folder) + ">"
}

// filters match the records that a watcher asks for, and no others.
func (s *Storage) filters(paths watching.Paths) []string {
	var out []string
	for _, p := range paths {
		if p == "" || strings.HasSuffix(p, "/") {
			p += ">"
		}
		out = append(out, s.subject(recordBucket, p))
	}
	return out
}

func validBucket(name string) bool {
	if name == "" || len(name) > 64 {
		return false
	}
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// bucket opens a bucket and creates it if there is none.
func (s *Storage) bucket(ctx context.Context, kind bucketKind) (jetstream.Stream, error) {
	stream, err := s.js.Stream(ctx, s.streamName(kind))
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = s.js.CreateStream(ctx, s.bucketConfig(kind))
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // by somebody else, just now
			stream, err = s.js.Stream(ctx, s.streamName(kind))
		}
	}
	if err != nil {
		return nil, err
	}
	return stream, s.fit(kind, stream.CachedInfo().Config)
}

// bucketConfig is what ADR-8 wants of a bucket, but for AllowDirect: a replica that lags
// behind would answer with what a writer that was told of success has replaced.
func (s *Storage) bucketConfig(kind bucketKind) jetstream.StreamConfig {
	c := jetstream.StreamConfig{
		Name:              s.streamName(kind),
		Description:       "TrustKeep records",
		Subjects:          []string{s.subject(kind, ">")},
		MaxMsgsPerSubject: int64(s.o.History),
		MaxMsgs:           -1, MaxBytes: -1, MaxMsgSize: -1,
		MaxConsumers: maxConsumers,
		Discard:      jetstream.DiscardNew,
		Replicas:     s.o.Replicas,
		AllowRollup:  true,
		DenyDelete:   true,
	}
	if kind == chunkBucket {
		c.Description = "TrustKeep parts of large records"
		c.MaxMsgsPerSubject = 1
	}
	if s.o.Memory {
		c.Storage = jetstream.MemoryStorage
	}
	return c
}

// checkBucket says what is wrong with a bucket that somebody else may have made.
func (s *Storage) checkBucket(kind bucketKind, c jetstream.StreamConfig) error {
	switch {
	case len(c.Subjects) != 1 || c.Subjects[0] != s.subject(kind, ">"):
		return errors.New("has other subjects")
	case kind == recordBucket && c.MaxMsgsPerSubject > 0 && c.MaxMsgsPerSubject < environment.MinVersions:
		return fmt.Errorf("has a history of %d versions, %d are needed", c.MaxMsgsPerSubject, environment.MinVersions)
	case c.MaxAge != 0 || c.Discard != jetstream.DiscardNew && (c.MaxMsgs > 0 || c.MaxBytes > 0):
		return errors.New("forgets records")
	case c.Retention != jetstream.LimitsPolicy || c.NoAck || c.Sealed:
		return errors.New("is not for writing")
	case c.AllowDirect && c.Replicas > 1:
		return errors.New("lets replicas that lag behind answer (nats stream edit --no-allow-direct)")
	}
	return nil
}
