package natskv

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
)

const (
	formatVersion = 1
	// maxManifest bounds the first line of a record.
	maxManifest = 1 << 10
	// minChunk keeps a manifest from asking for millions of messages.
	minChunk = 1 << 10
)

// manifest is the first line of a stored value, as JSON. The value follows it, or is in
// parts of its own.
type manifest struct {
	Version int `json:"trustkeep"`
	Size    int `json:"size"`
	// SHA256 of the whole value, in hex.
	SHA256 string `json:"sha256"`
	// Upload names the parts in the second bucket, each of Chunk bytes but for the
	// last. Empty means that the value follows.
	Upload string `json:"upload,omitempty"`
	Chunk  int    `json:"chunk,omitempty"`
}

func describe(value []byte) manifest {
	return manifest{Version: formatVersion, Size: len(value), SHA256: digest(value)}
}

func digest(value []byte) string {
	sum := sha256.Sum256(value)
	return hex.EncodeToString(sum[:])
}

func (m manifest) encode(body []byte) []byte {
	line, err := json.Marshal(m)
	if err != nil {
		panic(err) // of numbers and strings
	}
	out := make([]byte, 0, len(line)+1+len(body))
	return append(append(append(out, line...), '\n'), body...)
}

// parts is the number of parts.
func (m manifest) parts() int { return (m.Size + m.Chunk - 1) / m.Chunk }

// partSize is the size in bytes of a part.
func (m manifest) partSize(i int) int { return min(m.Chunk, m.Size-i*m.Chunk) }

// check compares a whole value with its description.
func (m manifest) check(value []byte) error {
	if len(value) != m.Size || digest(value) != m.SHA256 {
		return corrupt("the value does not have the size and checksum of the record")
	}
	return nil
}

// parseRecord splits what is stored into its description and the value, which is nil if it
// is in parts. The error wraps trustkeep.ErrCorrupt, or trustkeep.ErrUnsupported for a
// later format.
func parseRecord(data []byte) (manifest, []byte, error) {
	var m manifest
	end := bytes.IndexByte(data[:min(len(data), maxManifest)], '\n')
	if end < 0 {
		return m, nil, corrupt("not a record of this library")
	}
	if err := json.Unmarshal(data[:end], &m); err != nil {
		return m, nil, corrupt("not a record of this library: %v", trustkeep.Printable(err.Error()))
	}
	body := data[end+1:]
	switch {
	case m.Version > formatVersion:
		return m, nil, fmt.Errorf("record of format %d, this program knows %d: %w", m.Version, formatVersion, trustkeep.ErrUnsupported)
	case m.Version < 1:
		return m, nil, corrupt("not a record of this library")
	case m.Size < 0 || m.Size > environment.MaxValue:
		return m, nil, corrupt("record of %d bytes", m.Size)
	case m.Upload == "":
		return m, body, m.check(body)
	case !validUpload(m.Upload) || m.Chunk < minChunk || m.Size == 0 || len(body) > 0:
		return m, nil, corrupt("record of %d bytes in parts of %d", m.Size, m.Chunk)
	}
	return m, nil, nil
}

// validUpload keeps the name of an upload from meaning anything in a subject.
func validUpload(name string) bool {
	for _, c := range []byte(name) {
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9') {
			return false
		}
	}
	return name != "" && len(name) <= 64
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, trustkeep.ErrCorrupt)...)
}

// entry is a message of the bucket: a version whose value is not yet looked at.
type entry struct {
	key      string
	revision uint64
	time     time.Time
	deleted  bool
	data     []byte
}

// Headers of messages. The first is of ADR-8: DEL and PURGE are deletions. The second
// says which write a message is of, for writers that were cut off before the answer.
const (
	operationHeader = "KV-Operation"
	writeHeader     = "Trustkeep-Write"
)

func entryOf(key string, revision uint64, at time.Time, h nats.Header, data []byte) entry {
	operation := h.Get(operationHeader)
	return entry{key: key, revision: revision, time: at, data: data, deleted: operation == "DEL" || operation == "PURGE"}
}

// current is the revision that a writer has to expect, zero for none.
func (e entry) current() uint64 {
	if e.deleted {
		return 0
	}
	return e.revision
}
