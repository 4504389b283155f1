package pgp

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
)

// TestEmptySignersAcceptNothing: a list of signers that was filtered until nobody was left
// expects nobody, so nothing is valid; it does not switch verification off.
func TestEmptySignersAcceptNothing(t *testing.T) {
	const content = "content\n"
	k := testKeys()[PresetGnuPG22]
	filtered := slices.DeleteFunc([]*Key{k}, func(*Key) bool { return true })
	for _, how := range []string{"message", "detached", "cleartext"} {
		data := signed(t, Signing{Signers: []*Key{k}}, how, content)
		for name, signers := range map[string][]*Key{"nil": nil, "empty": {}, "filtered": filtered} {
			res, got, err := verified(Verification{Signers: signers}, how, content, data)
			var serr *SignatureError
			if !errors.As(err, &serr) || res == nil || res.Signature == SignatureValid {
				t.Errorf("%s, %s signers: %v", how, name, err)
			}
			if how != "detached" && got != "" {
				t.Errorf("%s, %s signers: wrote %q", how, name, got)
			}
			if _, _, err := verified(Verification{Signers: signers}, how, "other", data); err == nil {
				t.Errorf("%s, %s signers: other content accepted", how, name)
			}
		}
	}
	unsigned := encrypted(t, Encryption{To: []*Key{k}}, []byte(content))
	if _, err := (Verification{Signers: filtered}).Message(io.Discard, bytes.NewReader(unsigned)); err == nil {
		t.Error("encrypted message accepted")
	}
}

func TestDecryptionSigners(t *testing.T) {
	k, other := testKeys()[PresetGnuPG22], testKeys()[PresetRFC9580]
	content := []byte("content\n")
	unsigned := encrypted(t, Encryption{To: []*Key{k}}, content)
	bySigner := encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}}, content)
	var serr *SignatureError
	for name, tt := range map[string]struct {
		d       Decryption
		message []byte
		ok      func(error) bool
	}{
		"nil list":                        {Decryption{}, bySigner, func(err error) bool { return err == nil }},
		"empty list":                      {Decryption{Signers: []*Key{}}, bySigner, invalidCall},
		"empty list, unsigned":            {Decryption{Signers: []*Key{}}, unsigned, invalidCall},
		"empty list, unsigned is allowed": {Decryption{Signers: []*Key{}, AllowUnsigned: true}, unsigned, invalidCall},
		"must be signed, by nobody":       {Decryption{MustBeSigned: true}, bySigner, invalidCall},
		"must be signed":                  {Decryption{MustBeSigned: true, Signers: []*Key{k}}, bySigner, func(err error) bool { return err == nil }},
		"must be signed, and is not":      {Decryption{MustBeSigned: true, Signers: []*Key{k}}, unsigned, func(err error) bool { return errors.As(err, &serr) }},
		"must be signed, by another":      {Decryption{MustBeSigned: true, Signers: []*Key{other}}, bySigner, func(err error) bool { return errors.As(err, &serr) }},
		"must be signed and need not":     {Decryption{MustBeSigned: true, AllowUnsigned: true, Signers: []*Key{k}}, bySigner, invalidCall},
	} {
		tt.d.Keys = []*Key{k}
		var out bytes.Buffer
		if _, err := tt.d.Decrypt(&out, bytes.NewReader(tt.message)); !tt.ok(err) || (err != nil && out.Len() > 0) {
			t.Errorf("%s: %v, %q", name, err, out.String())
		}
		r, err := tt.d.UnverifiedReader(bytes.NewReader(tt.message))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if !tt.ok(err) {
			t.Errorf("%s, reader: %v", name, err)
		}
	}
}

func invalidCall(err error) bool { return errors.Is(err, trustkeep.ErrInvalid) }

// TestNilKeysInLists: nil, and the zero Key, are wrong calls wherever keys are listed.
func TestNilKeysInLists(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	message := encrypted(t, Encryption{To: []*Key{k}}, []byte("x"))
	for name, list := range map[string][]*Key{"nil": {k, nil}, "zero": {new(Key), k}} {
		for call, f := range map[string]func() error{
			"To":       func() error { return Encryption{To: list}.Encrypt(io.Discard, strings.NewReader("")) },
			"ToHidden": func() error { return Encryption{ToHidden: list}.Encrypt(io.Discard, strings.NewReader("")) },
			"Signers": func() error {
				return Encryption{To: []*Key{k}, Signers: list}.Encrypt(io.Discard, strings.NewReader(""))
			},
			"Sign": func() error { return Signing{Signers: list}.Sign(io.Discard, strings.NewReader("")) },
			"Keys": func() error {
				_, err := Decryption{Keys: list}.Decrypt(io.Discard, bytes.NewReader(message))
				return err
			},
			"Decryption.Signers": func() error {
				_, err := Decryption{Keys: []*Key{k}, Signers: list}.Decrypt(io.Discard, bytes.NewReader(message))
				return err
			},
			"Verification": func() error {
				_, err := Verification{Signers: list}.Message(io.Discard, bytes.NewReader(message))
				return err
			},
			"Detached": func() error {
				_, err := Verification{Signers: list}.Detached(strings.NewReader(""), bytes.NewReader(nil))
				return err
			},
			"With": func() error { _, err := new(Keyring).With(list...); return err },
			"Merge": func() error {
				_, err := k.Merge(list[slices.IndexFunc(list, func(l *Key) bool { return l != k })])
				return err
			},
		} {
			if err := f(); !invalidCall(err) {
				t.Errorf("%s, %s key: %v", call, name, err)
			}
		}
	}
	if got := new(Key).Fingerprint() + new(Key).KeyID() + new(Key).String(); got != "no key" {
		t.Errorf("the zero Key is %q", got)
	}
}
