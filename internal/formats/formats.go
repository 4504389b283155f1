// Package formats tells what a file is and hands it to the package that reads
// or writes the format.
package formats

import (
	"fmt"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/entry"
	"github.com/trustkeep/trustkeep/internal/jks"
	"github.com/trustkeep/trustkeep/internal/pemfile"
)

// Parse reads data, whose format it detects from the bytes. The entries may
// share memory with data, which must not change afterwards.
//
// What none of the formats fits is trustkeep.ErrCorrupt, with a text that says
// what it looks like. Other errors are those of the codec.
func Parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if err := opts.Budget.Size(int64(len(data))); err != nil {
		return nil, fmt.Errorf("formats: %w", err)
	}
	format, content, ok := detect(data)
	if !ok {
		return nil, fmt.Errorf("formats: %s: %w", resemblance(data), trustkeep.ErrCorrupt)
	}
	switch format {
	case entry.PEM, entry.OpenSSH:
		return parsePEM(format, content, opts)
	case entry.DER, entry.PKCS8:
		return parseDER(format, content, opts)
	case entry.JKS, entry.JCEKS:
		return jks.Parse(content, opts)
	}
	return nil, fmt.Errorf("formats: %s: %w", format, trustkeep.ErrUnsupported)
}

func parsePEM(format entry.Format, data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	s, err := pemfile.Parse(data, opts)
	if err != nil {
		return nil, err
	}
	s.Format = format
	return s, nil
}

// Encode writes the store in s.Format. profile names the algorithms where the
// format leaves a choice; empty is how the store was read, else
// trustkeep.Modern. What the format cannot hold is trustkeep.ErrUnsupported.
func Encode(s *entry.Store, profile trustkeep.Profile, opts entry.WriteOptions) ([]byte, error) {
	switch s.Format {
	case entry.PEM:
		return pemfile.Encode(s, opts)
	case entry.JKS, entry.JCEKS:
		return jks.Encode(s, s.Format, opts)
	}
	return nil, fmt.Errorf("formats: writing %s: %w", s.Format, trustkeep.ErrUnsupported)
}
