package trustkeep

import "context"

// Scanner sees the bytes of an import before anything parses them, as a virus
// scanner does. A nil error lets the import go on. An error that wraps
// ErrRejected says that the content is unwanted; any other error says that no
// verdict was reached, and the import is refused all the same.
//
// Implementations must not keep or change content and must be safe for
// concurrent use.
type Scanner interface {
	Scan(ctx context.Context, name string, content []byte) error
}

// ScannerFunc makes a function a Scanner.
type ScannerFunc func(ctx context.Context, name string, content []byte) error

// Scan calls f.
func (f ScannerFunc) Scan(ctx context.Context, name string, content []byte) error {
	return f(ctx, name, content)
}
