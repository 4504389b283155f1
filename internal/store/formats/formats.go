// Package formats tells what a file is and hands it to the package that reads
// or writes the format.
package formats

import (
	"encoding/pem"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/bcfks"
	"github.com/trustkeep/trustkeep/internal/store/bks"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/jks"
	"github.com/trustkeep/trustkeep/internal/store/pemfile"
	"github.com/trustkeep/trustkeep/internal/store/pkcs12"
	"github.com/trustkeep/trustkeep/internal/store/pkcs7"
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
	s, err := parse(data, opts)
	if err != nil {
		return nil, err
	}
	for _, e := range s.Entries {
		if e.Key != nil {
			e.Key.Limits = opts.Budget.Limits()
		}
	}
	return s, nil
}

func parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	d, ok := detect(data)
	if !ok {
		return nil, fmt.Errorf("formats: %s: %w", resemblance(data), trustkeep.ErrCorrupt)
	}
	if d.pem {
		return parsePEM(d, opts)
	}
	switch d.format {
	case entry.DER, entry.PKCS8:
		return parseDER(d.format, d.content, opts)
	case entry.PKCS7:
		return pkcs7.Parse(d.content, opts)
	case entry.PKCS12:
		return pkcs12.Parse(d.content, opts)
	case entry.JKS, entry.JCEKS:
		return jks.Parse(d.content, opts)
	case entry.BKS, entry.UBER:
		return bks.Parse(d.content, opts)
	case entry.BCFKS:
		return bcfks.Parse(d.content, opts)
	}
	return nil, fmt.Errorf("formats: %s: %w", d.format, trustkeep.ErrUnsupported)
}

// parsePEM reads PEM, of which a file of one block may count as another format.
func parsePEM(d detected, opts entry.ReadOptions) (*entry.Store, error) {
	s, err := pemfile.Parse(d.content, opts)
	if err != nil {
		return nil, err
	}
	if s.Format = d.format; s.Format == entry.PKCS7 {
		s.Source = pkcs7.Source{Armored: true}
	}
	return s, nil
}

// Encode writes the store in s.Format. profile names the algorithms where the
// format leaves a choice; empty is how the store was read, else
// trustkeep.Modern. What the format cannot hold is trustkeep.ErrUnsupported. A zero
// opts.Now is 1970 with opts.Rand, so that the same bytes give the same file, else the
// time.
func Encode(s *entry.Store, profile trustkeep.Profile, opts entry.WriteOptions) ([]byte, error) {
	switch {
	case !opts.Now.IsZero():
	case opts.Rand != nil:
		opts.Now = time.Unix(0, 0).UTC()
	default:
		opts.Now = time.Now()
	}
	if err := checkProfile(profile); err != nil {
		return nil, err
	}
	switch s.Format {
	case entry.PEM:
		return pemfile.Encode(s, opts)
	case entry.PKCS7:
		return encodePKCS7(s)
	case entry.DER, entry.PKCS8, entry.OpenSSH:
		return encodeSingle(s, opts)
	case entry.JKS, entry.JCEKS:
		return jks.Encode(s, s.Format, opts)
	case entry.BKS, entry.UBER:
		return bks.Encode(s, s.Format, opts)
	case entry.BCFKS:
		return bcfks.Encode(s, opts)
	case entry.PKCS12:
		return pkcs12.Encode(s, pkcs12Profile(s, profile), opts)
	}
	return nil, fmt.Errorf("formats: writing %s: %w", s.Format, trustkeep.ErrUnsupported)
}

func encodePKCS7(s *entry.Store) ([]byte, error) {
	der, err := pkcs7.Encode(s)
	if source, ok := s.Source.(pkcs7.Source); err == nil && ok && source.Armored {
		return pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: der}), nil
	}
	return der, err
}
