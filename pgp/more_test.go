package pgp

import (
	"bytes"
	"crypto/aes"
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/ocb"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
)

// TestOCBEncryptedData reads packet 20, which GnuPG 2.3 and 2.4 write to keys
// that they made themselves. The packet is built here from its description in
// draft-koch-openpgp-2015-rfc4880bis section 5.16.
func TestOCBEncryptedData(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := randomBytes(t, 200)
	session, nonce := randomBytes(t, 32), randomBytes(t, 15)
	block, err := aes.NewCipher(session)
	if err != nil {
		t.Fatal(err)
	}
	mode, err := ocb.NewOCB(block)
	if err != nil {
		t.Fatal(err)
	}
	const chunk = 64 // two to the power of the size byte, 0, plus 6
	plain := grammar.New(grammar.TagLiteral, append([]byte("b\x00\x00\x00\x00\x00"), content...)).Data
	header := []byte{0xD4, 1, 9, 2, 0}
	body := append(bytes.Clone(header[1:]), nonce...)
	seal := func(index uint64, data, extra []byte) {
		n := bytes.Clone(nonce)
		for i, b := range binary.BigEndian.AppendUint64(nil, index) {
			n[len(n)-8+i] ^= b
		}
		ad := binary.BigEndian.AppendUint64(bytes.Clone(header), index)
		body = mode.Seal(body, n, data, append(ad, extra...))
	}
	index := uint64(0)
	for rest := plain; len(rest) > 0; index++ {
		n := min(len(rest), chunk)
		seal(index, rest[:n], nil)
		rest = rest[n:]
	}
	seal(index, nil, binary.BigEndian.AppendUint64(nil, uint64(len(plain))))
	r, err := k.recipient(Options{})
	if err != nil {
		t.Fatal(err)
	}
	var message bytes.Buffer
	pc := Options{}.packetConfig(time.Now())
	if err := packet.SerializeEncryptedKeyAEAD(&message, r.public, packet.CipherAES256, false, session, pc); err != nil {
		t.Fatal(err)
	}
	message.Write(grammar.New(grammar.TagOCBEd, body).Data)
	var out bytes.Buffer
	res, err := Decryption{Keys: []*Key{k}}.Decrypt(&out, bytes.NewReader(message.Bytes()))
	if err != nil || !bytes.Equal(out.Bytes(), content) || res.Integrity != "aead" {
		t.Errorf("%v, %d bytes", err, out.Len())
	}
	for _, i := range []int{1, 20, 100, 250} {
		bad := bytes.Clone(message.Bytes())
		bad[len(bad)-i] ^= 1
		out.Reset()
		if _, err := (Decryption{Keys: []*Key{k}}).Decrypt(&out, bytes.NewReader(bad)); !errors.Is(err, trustkeep.ErrCorrupt) || out.Len() > 0 {
			t.Errorf("flipped %d from the end: %v", i, err)
		}
		if _, err := (Decryption{Keys: []*Key{k}}).Decrypt(&out, bytes.NewReader(bad[:len(bad)-i])); !errors.Is(err, trustkeep.ErrCorrupt) || out.Len() > 0 {
			t.Errorf("cut %d from the end: %v", i, err)
		}
	}
}

func TestWriterInPieces(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := randomBytes(t, 3*overlap.WorkSize+17)
	for _, piece := range []int{1000, 100_000, overlap.WorkSize + 1, len(content)} {
		var message, out bytes.Buffer
		w, err := Encryption{To: []*Key{k}, Signers: []*Key{k}}.Writer(&message)
		if err != nil {
			t.Fatal(err)
		}
		for rest := content; len(rest) > 0; {
			n := min(piece, len(rest))
			if _, err := w.Write(rest[:n]); err != nil {
				t.Fatal(err)
			}
			rest = rest[n:]
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte("x")); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("write after close: %v", err)
		}
		if _, err := (Decryption{Keys: []*Key{k}, Signers: []*Key{k}}).Decrypt(&out, &message); err != nil || !bytes.Equal(out.Bytes(), content) {
			t.Errorf("pieces of %d: %v", piece, err)
		}
	}
}

func TestFiles(t *testing.T) {
	k := newKey(t, GenerateOptions{Passphrase: trustkeep.Password("pw")}, Options{})
	dir := t.TempDir()
	path := filepath.Join(dir, "ring.asc")
	ring, err := new(Keyring).With(k, testKeys()[PresetRFC9580])
	if err != nil {
		t.Fatal(err)
	}
	text, err := ring.Armor()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	back, err := Load(path)
	if err != nil || back.Len() != 2 || back.Keys()[0].IsPrivate() {
		t.Fatalf("%v", err)
	}
	var e *trustkeep.Error
	if _, err := Load(filepath.Join(dir, "none")); !errors.As(err, &e) || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
	if _, err := Read(bytes.NewReader(nil)); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("%v", err)
	}
	// With merges a key that is there already.
	renamed, err := k.AddUserID("Other", Options{})
	if err != nil {
		t.Fatal(err)
	}
	merged, err := ring.With(renamed)
	if err != nil || merged.Len() != 2 || len(merged.Keys()[0].Info(Options{}).UserIDs) != 2 {
		t.Errorf("%v", err)
	}
	if merged.Public().Keys()[0].IsPrivate() {
		t.Error("the public ring has private keys")
	}
	message := filepath.Join(dir, "message")
	if err := (Encryption{To: []*Key{k}}).EncryptFile(message, bytes.NewReader([]byte("x"))); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(message)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if info, _ := f.Stat(); info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	if _, err := (Decryption{Keys: []*Key{k}}).Decrypt(io.Discard, f); err != nil {
		t.Error(err)
	}
	if _, err := (Decryption{Keys: []*Key{k}}).DecryptFile(filepath.Join(dir, "no", "folder"), bytes.NewReader(nil)); !errors.As(err, &e) {
		t.Errorf("%v", err)
	}
}
