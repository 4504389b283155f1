package trustkeep

import "context"

// Scanner sees the bytes of an import before anything parses them, as a virus scanner does. A
// nil error admits the import. An error that wraps ErrRejected means that the content is
// unwanted; any other error means that there is no verdict, and the import is refused all the
// same.
//
// Implementations must not keep or change content and must be safe for concurrent use.
type Scanner interface {
	Scan(ctx context.Context, name string, content []byte) error
}

// ScannerFunc adapts a function to a Scanner.
type ScannerFunc func(ctx context.Context, name string, content []byte) error

// Scan calls f.
func (f ScannerFunc) Scan(ctx context.Context, name string, content []byte) error {
	return f(ctx, name, content)
}
