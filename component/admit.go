package component

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// maxName is the length of a component's name in bytes.
const maxName = 200

// checkName refuses names that say nothing, do not end or would have to be escaped.
func checkName(name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return fmt.Errorf("a component needs a name: %w", trustkeep.ErrInvalid)
	case len(name) > maxName:
		return fmt.Errorf("a name of %d bytes, at most %d: %w", len(name), maxName, trustkeep.ErrInvalid)
	case trustkeep.Printable(name) != name:
		return fmt.Errorf("a name with characters that cannot be seen: %w", trustkeep.ErrInvalid)
	}
	return nil
}

// newID returns wanted, or 32 random hex digits where nothing is wanted. A nil source is
// crypto/rand.
func newID(wanted string, source io.Reader) (string, error) {
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

// admit runs the stages of an import before the content is parsed: its size, the
// scanner if there is one, and the context. Nothing is parsed, let alone stored, before
// the scanner has seen it.
func admit(ctx context.Context, name string, content []byte, budget *limits.Budget, scanner trustkeep.Scanner) error {
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
