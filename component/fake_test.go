package component

import (
	"bytes"
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/content"
)

// fakeKind reads "public" and "private" texts, and counts how many it parses.
type fakeKind struct{ parsed *atomic.Int32 }

func (fakeKind) Detect(file []byte) bool     { return bytes.HasPrefix(file, []byte("p")) }
func (fakeKind) Holds(s content.Stored) bool { return len(s.Data) > 0 }

func (k fakeKind) Parse(file []byte, _ Content, o content.Options) (Content, error) {
	return k.Restore(content.Stored{Data: file})
}

func (fakeKind) Outline(s content.Stored) (trustkeep.Visibility, error) {
	switch {
	case bytes.HasPrefix(s.Data, []byte("public")):
		return trustkeep.Public, nil
	case bytes.HasPrefix(s.Data, []byte("private")):
		return trustkeep.Private, nil
	}
	return 0, fmt.Errorf("outline: %w", trustkeep.ErrCorrupt)
}

func (k fakeKind) Restore(s content.Stored) (Content, error) {
	if k.parsed != nil {
		k.parsed.Add(1)
	}
	v, err := k.Outline(s)
	if err == nil && bytes.HasSuffix(s.Data, []byte("damaged")) {
		err = fmt.Errorf("content: %w", trustkeep.ErrCorrupt)
	}
	return fakeContent{v, string(s.Data)}, err
}

type fakeContent struct {
	visibility trustkeep.Visibility
	text       string
}

func (fakeContent) Kind() trustkeep.Kind               { return trustkeep.PGP }
func (fakeContent) ComponentKind() Kind                { return fakeKind{} }
func (c fakeContent) Visibility() trustkeep.Visibility { return c.visibility }
func (c fakeContent) Fingerprint() string              { return c.text }
func (fakeContent) NotBefore() time.Time               { return time.Time{} }
func (fakeContent) NotAfter() time.Time                { return time.Time{} }
func (fakeContent) Describe() []trustkeep.Certificate  { return nil }
func (c fakeContent) Files() []content.File {
	return []content.File{{Suffix: ".txt", Data: []byte(c.text)}}
}
func (c fakeContent) Stored() content.Stored                            { return content.Stored{Data: []byte(c.text)} }
func (c fakeContent) ChangePassword(o content.Options) (Content, error) { return c, nil }
func (c fakeContent) CheckPassword(p trustkeep.PasswordSource) error    { return nil }

func (c fakeContent) ExportPublic(suffix string) (content.File, error) {
	return content.File{Suffix: ".txt", Data: []byte(c.text)}, nil
}

func (c fakeContent) ExportPrivate(e content.ExportOptions, o content.Options) (content.File, error) {
	return c.ExportPublic("")
}

// nilScanner would pass everything as a nil pointer.
type nilScanner struct{}

func (*nilScanner) Scan(context.Context, string, []byte) error { return nil }

// emptySource makes nothing.
type emptySource struct{}

func (emptySource) MakeContent(context.Context, Content, content.Options) (Content, error) {
	return nil, nil
}

// fakeSource makes content of its text.
type fakeSource string

func (s fakeSource) MakeContent(context.Context, Content, content.Options) (Content, error) {
	return fakeKind{}.Restore(content.Stored{Data: []byte(s)})
}
