package cms_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestMissingSignatureIsNoEnd: io.EOF instead of a signature, as multipart.Reader.NextPart says it
// where the part is missing, does not end the content well.
func TestMissingSignatureIsNoEnd(t *testing.T) {
	p := newPeople(t)
	for _, missing := range []error{io.EOF, fmt.Errorf("next part: %w", io.EOF), io.ErrUnexpectedEOF} {
		r, err := cms.VerifyOptions{Trust: p.trust}.DetachedReader(bytes.NewReader([]byte("pay the attacker")), func() ([]byte, error) { return nil, missing })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadAll(r); err == nil {
			t.Errorf("%v: content without a signature was accepted", missing)
		} else if !errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) {
			t.Errorf("%v: %v", missing, err)
		}
		if v, err := r.Result(); err == nil {
			t.Errorf("%v: result %v", missing, v)
		}
	}
}

// endingTrust is a truststore.Source that fails with io.EOF from the nth call on.
type endingTrust struct {
	truststore.Source
	after int
}

func (e *endingTrust) Snapshot() (*truststore.Snapshot, error) {
	if e.after--; e.after < 0 {
		return nil, io.EOF
	}
	return e.Source.Snapshot()
}

func TestTrustThatEndsIsNoEnd(t *testing.T) {
	p := newPeople(t)
	r, err := cms.VerifyOptions{Trust: &endingTrust{p.trust, 1}}.DetachedReader(bytes.NewReader([]byte("x")), func() ([]byte, error) { return []byte{0x30, 0}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err == nil {
		t.Error("content without a signature was accepted")
	}
}
