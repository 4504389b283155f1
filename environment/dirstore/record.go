package dirstore

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/storefile"
)

const (
	formatVersion = 1
	recordName    = "record.json"
	versionsName  = ".versions"
	// maxRecord bounds what is read of a record: a value and its files in base64.
	maxRecord = 8 * environment.MaxValue
)

// stored is a record as it is in record.json.
type stored struct {
	environment.Record
	Files []environment.File // under their safe names
}

// document is the JSON of a record.
type document struct {
	Version  int       `json:"version"`
	Key      string    `json:"key"`
	Revision uint64    `json:"revision"`
	Time     time.Time `json:"time"`
	Deleted  bool      `json:"deleted,omitempty"`
	// SHA256 of the value, in hex.
	SHA256 string `json:"sha256,omitempty"`
	// JSON is a value that is JSON, for people to read; Bytes is any other.
	JSON  json.RawMessage `json:"json,omitempty"`
	Bytes []byte          `json:"bytes,omitempty"`
	Files []documentFile  `json:"files,omitempty"`
}

type documentFile struct {
	Name string `json:"name"`
	Data []byte `json:"data"`
}

func (s stored) encode() ([]byte, error) {
	doc := document{Version: formatVersion, Key: s.Key, Revision: s.Revision, Time: s.Time, Deleted: s.Deleted}
	if !s.Deleted {
		sum := sha256.Sum256(s.Value)
		doc.SHA256 = hex.EncodeToString(sum[:])
	}
	// JSON is taken over only if encoding leaves every byte of it as it is.
	if same, err := json.Marshal(json.RawMessage(s.Value)); len(s.Value) > 0 && err == nil && bytes.Equal(same, s.Value) {
		doc.JSON = s.Value
	} else {
		doc.Bytes = s.Value
	}
	for _, f := range s.Files {
		doc.Files = append(doc.Files, documentFile(f))
	}
	return json.Marshal(doc)
}

func decode(text []byte, key string) (stored, error) {
	var doc document
	if err := json.Unmarshal(text, &doc); err != nil {
		return stored{}, corrupt("not a record: %v", err)
	}
	if doc.Version > formatVersion {
		return stored{}, fmt.Errorf("record of format %d, this program knows %d: %w", doc.Version, formatVersion, trustkeep.ErrUnsupported)
	}
	if doc.Key != key || doc.Revision == 0 || doc.Version < 1 {
		return stored{}, corrupt("record of key %q, revision %d", trustkeep.Printable(doc.Key), doc.Revision)
	}
	s := stored{Record: environment.Record{Key: key, Revision: doc.Revision, Time: doc.Time, Deleted: doc.Deleted}}
	for _, f := range doc.Files {
		if safeName(f.Name) != f.Name {
			return stored{}, corrupt("record with a file called %q", trustkeep.Printable(f.Name))
		}
		s.Files = append(s.Files, environment.File(f))
	}
	if doc.Deleted {
		return s, nil
	}
	s.Value = doc.Bytes
	if doc.JSON != nil {
		s.Value = doc.JSON
	}
	if s.Value == nil {
		s.Value = []byte{}
	}
	if sum := sha256.Sum256(s.Value); hex.EncodeToString(sum[:]) != doc.SHA256 {
		return stored{}, corrupt("the value does not have the checksum of the record")
	}
	return s, nil
}

func corrupt(format string, args ...any) error {
	return fmt.Errorf(format+": %w", append(args, trustkeep.ErrCorrupt)...)
}

// read returns the current version, which may be a deletion.
func (d *Directory) read(key string) (stored, error) {
	return readRecord(filepath.Join(d.folder(key), recordName), key)
}

func readRecord(path, key string) (stored, error) {
	text, err := storefile.ReadFile(path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return stored{}, trustkeep.ErrNotFound
	}
	if err != nil {
		return stored{}, err
	}
	return decode(text, key)
}

// oldVersions returns the versions before a revision.
func (d *Directory) oldVersions(key string, before uint64) ([]environment.Record, error) {
	folder := filepath.Join(d.folder(key), versionsName)
	revisions, err := listVersions(folder)
	if err != nil {
		return nil, err
	}
	var out []environment.Record
	for _, revision := range revisions {
		if revision >= before {
			continue // of a writer that died before it had replaced the record
		}
		r, err := readRecord(filepath.Join(folder, versionName(revision)), key)
		if errors.Is(err, trustkeep.ErrNotFound) {
			continue // pruned meanwhile
		}
		if err == nil && r.Revision != revision {
			err = corrupt("version %d calls itself %d", revision, r.Revision)
		}
		if err != nil {
			r = stored{Record: environment.Record{Key: key, Revision: revision, Err: err}}
		}
		out = append(out, r.Record)
	}
	return out, nil
}

func versionName(revision uint64) string { return fmt.Sprintf("%020d.json", revision) }

// listVersions returns the revisions in a folder of versions, which need not exist.
func listVersions(folder string) ([]uint64, error) {
	entries, err := os.ReadDir(folder)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []uint64
	for _, e := range entries { // sorted by name, and so by number
		digits, ok := strings.CutSuffix(e.Name(), ".json")
		if n, err := strconv.ParseUint(digits, 10, 64); ok && err == nil && versionName(n) == e.Name() {
			out = append(out, n)
		}
	}
	return out, nil
}

// walk calls f for every record.json whose key begins with the prefix, in no order.
func (d *Directory) walk(ctx context.Context, prefix string, f func(key string, info fs.FileInfo) error) error {
	whole := prefix[:strings.LastIndexByte(prefix, '/')+1]
	start := strings.TrimSuffix(whole, "/")
	if start != "" && environment.CheckCapitalKey(start) != nil {
		return nil // no key begins so
	}
	folder := d.root
	if start != "" {
		folder = d.folder(start)
	}
	return d.walkFolder(ctx, folder, whole, prefix, f)
}

// walkFolder walks a folder whose records' keys begin with parent.
func (d *Directory) walkFolder(ctx context.Context, folder, parent, prefix string, f func(string, fs.FileInfo) error) error {
	if err := d.alive(ctx); err != nil {
		return err
	}
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) && folder != d.root {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !e.IsDir() {
			continue
		}
		key := parent + segmentName(e.Name())
		if environment.CheckCapitalKey(key) != nil || folderName(segmentName(e.Name())) != e.Name() {
			continue
		}
		inside := filepath.Join(folder, e.Name())
		if strings.HasPrefix(key, prefix) {
			switch info, err := os.Lstat(filepath.Join(inside, recordName)); {
			case err == nil:
				if err := f(key, info); err != nil {
					return err
				}
			case !errors.Is(err, fs.ErrNotExist):
				return err
			}
		}
		if below := key + "/"; strings.HasPrefix(below, prefix) || strings.HasPrefix(prefix, below) {
			if err := d.walkFolder(ctx, inside, below, prefix, f); err != nil {
				return err
			}
		}
	}
	return nil
}

func sortRecords(records []environment.Record) {
	slices.SortFunc(records, func(a, b environment.Record) int { return strings.Compare(a.Key, b.Key) })
}
