package pgp

import (
	"bytes"
	"io"
	"testing"
)

// TestProgressThatEndsIsNoEnd: io.EOF of Progress stops the work; what was read by then is not
// all of the content.
func TestProgressThatEndsIsNoEnd(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := randomBytes(t, 3<<20)
	o := Options{Progress: func(n int64) error {
		if n > 1<<20 {
			return io.EOF
		}
		return nil
	}}
	signature := signed(t, Signing{Signers: []*Key{k}}, "detached", string(content))
	inline := signed(t, Signing{Signers: []*Key{k}}, "message", string(content))
	for name, run := range map[string]func() error{
		"encrypt": func() error {
			return Encryption{Options: o, To: []*Key{k}}.Encrypt(io.Discard, bytes.NewReader(content))
		},
		"sign": func() error {
			return Signing{Options: o, Signers: []*Key{k}}.Sign(io.Discard, bytes.NewReader(content))
		},
		"sign apart": func() error {
			return Signing{Options: o, Signers: []*Key{k}}.Detached(io.Discard, bytes.NewReader(content))
		},
		"verify apart": func() error {
			_, err := Verification{Options: o, Signers: []*Key{k}}.Detached(bytes.NewReader(content), bytes.NewReader(signature))
			return err
		},
		"verify": func() error {
			_, err := Verification{Options: o, Signers: []*Key{k}}.Message(io.Discard, bytes.NewReader(inline))
			return err
		},
	} {
		if err := run(); err == nil || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
	}
}
