// Package component holds what the components of packages keystore and pgp have in
// common: names, IDs, file names and the stages of an import that come before the
// content is looked at.
package component

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"unicode"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// maxName is the length of a component's name in bytes.
const maxName = 200

// CheckName refuses names that say nothing, do not end or would have to be escaped.
func CheckName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("a component needs a name: %w", trustkeep.ErrEmpty)
	case len(name) > maxName:
		return fmt.Errorf("a name of %d bytes, at most %d: %w", len(name), maxName, trustkeep.ErrLimit)
	case trustkeep.Printable(name) != name:
		return fmt.Errorf("a name with characters that cannot be seen: %w", trustkeep.ErrUnsupported)
	}
	return nil
}

// NewID returns wanted, or 32 random hex digits where nothing is wanted. A nil source is
// crypto/rand.
func NewID(wanted string, source io.Reader) (string, error) {
	if wanted != "" {
		return wanted, nil
	}
	if source == nil {
		source = rand.Reader
	}
	var b [16]byte
	if _, err := io.ReadFull(source, b[:]); err != nil {
		return "", err
	}
	return hex.EncodeToString(b[:]), nil
}

// FileName makes a component's name fit for every file system.
func FileName(name string) string {
	safe := strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("-.@", r) {
			return r
		}
		return '_'
	}, strings.TrimLeft(name, "."))
	if safe == "" {
		return "_"
	}
	return safe
}

// Admit runs the stages of an import before the content is parsed: its size, the
// scanner if there is one, and the context. Nothing is parsed, let alone stored, before
// the scanner has seen it.
func Admit(ctx context.Context, name string, content []byte, budget *limits.Budget, scanner trustkeep.Scanner) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if len(content) == 0 {
		return fmt.Errorf("no content: %w", trustkeep.ErrEmpty)
	}
	if err := budget.Size(int64(len(content))); err != nil {
		return err
	}
	if scanner == nil {
		return nil
	}
	if err := scanner.Scan(ctx, name, content); err != nil {
		return err
	}
	return ctx.Err() // a scanner may have ended because of it
}
