package pgp

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

// counted is a password that counts how often it was asked for.
type counted struct {
	trustkeep.PasswordSource
	times *int
}

func (c counted) Reveal() ([]byte, error) {
	*c.times++
	return c.PasswordSource.Reveal()
}

// TestLockedKeyIsOpenedOnce: how many session keys a message has for a locked key, or for nobody
// by name, is up to its sender; each cost a derivation, and a question to whoever has the
// passphrase.
func TestLockedKeyIsOpenedOnce(t *testing.T) {
	k, other := testKeys()[PresetGnuPG22], testKeys()[PresetNISTP256]
	locked, err := k.Lock(pw("x"), quick)
	if err != nil {
		t.Fatal(err)
	}
	var others []*Key
	for range 20 {
		others = append(others, other)
	}
	sameKey := []*Key{k, k, k, k}
	for name, e := range map[string]Encryption{
		"hidden":       {ToHidden: append(others, k)},
		"hidden first": {ToHidden: append([]*Key{k}, others...)},
		"named":        {To: sameKey},
	} {
		message := encrypted(t, e, []byte("content"))
		for passphrase, opens := range map[string]bool{"x": true, "wrong": false} {
			var out bytes.Buffer
			times := 0
			_, err := Decryption{Keys: []*Key{locked}, Passphrase: counted{pw(passphrase), &times}}.Decrypt(&out, bytes.NewReader(message))
			if times != 1 || (err == nil) != opens || opens && out.String() != "content" {
				t.Errorf("%s, passphrase %q: asked %d times, %v", name, passphrase, times, err)
			}
		}
	}
}

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

// TestNestedCompressionCountsAsOne: each layer may expand by less than MaxExpansion, and a few
// KiB become gigabytes all the same.
func TestNestedCompressionCountsAsOne(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	const size = 80 << 20 // beyond what may come out of any message
	compressed := func(level int, data []byte) []byte {
		body := bytes.NewBuffer([]byte{1}) // ZIP
		z, err := flate.NewWriter(body, level)
		if err != nil {
			t.Fatal(err)
		}
		z.Write(data)
		z.Close()
		return grammar.New(grammar.TagCompressed, body.Bytes()).Data
	}
	literal := grammar.New(grammar.TagLiteral, append([]byte{'b', 0, 0, 0, 0, 0}, make([]byte, size)...)).Data
	once := compressed(flate.HuffmanOnly, literal) // 1 to 8
	twice := compressed(flate.BestSpeed, once)     // and 1 to 200
	for name, test := range map[string]struct {
		packets []byte
		factor  int
		want    error
	}{
		"one layer":           {once, 0, nil},
		"two layers":          {twice, 0, trustkeep.ErrLimit},
		"two layers, allowed": {twice, 1 << 20, nil},
	} {
		r, err := Decryption{Keys: []*Key{k}, AllowUnencrypted: true, MaxExpansion: test.factor}.UnverifiedReader(bytes.NewReader(test.packets))
		if err != nil {
			t.Fatal(err)
		}
		if n, err := io.Copy(io.Discard, r); !errors.Is(err, test.want) || err == nil && n != size {
			t.Errorf("%s, %d bytes: %d bytes came out, %v", name, len(test.packets), n, err)
		}
	}
}
