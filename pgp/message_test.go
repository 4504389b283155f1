package pgp

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
)

// testKeys are made once: key generation is not what most tests are about.
var testKeys = sync.OnceValue(func() map[Preset]*Key {
	keys := make(map[Preset]*Key)
	for _, p := range []Preset{PresetGnuPG22, PresetRSA3072, PresetNISTP256, PresetNISTP384, PresetNISTP521, PresetRFC9580, PresetEd448, PresetPostQuantum, PresetPostQuantumHigh} {
		k, _, err := Generate(GenerateOptions{Preset: p, UserIDs: []string{string(p) + " <" + string(p) + "@example.com>"}})
		if err != nil {
			panic(err)
		}
		keys[p] = k
	}
	return keys
})

func randomBytes(t testing.TB, n int) []byte {
	t.Helper()
	b := make([]byte, n)
	if _, err := rand.Read(b); err != nil {
		t.Fatal(err)
	}
	return b
}

func encrypted(t testing.TB, e Encryption, content []byte) []byte {
	t.Helper()
	e.Options = cheap(t, e.Options)
	var buf bytes.Buffer
	if err := e.Encrypt(&buf, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestMessageRoundTrip(t *testing.T) {
	keys := testKeys()
	sizes := []int{0, 1, 511, 8192, 8193, overlap.ChunkSize - 7, overlap.ChunkSize, overlap.ChunkSize + 1, 3*overlap.ChunkSize + 5}
	for profile, k := range keys {
		sizes := sizes
		if profile != PresetGnuPG22 && profile != PresetRFC9580 && (raceEnabled || !testtool.Long()) {
			sizes = []int{511, overlap.ChunkSize + 1} // what else happens at the others does not depend on the key
		}
		for _, armored := range []bool{false, true} {
			for _, compression := range []Compression{NoCompression, ZLIB} {
				t.Run(fmt.Sprintf("%s/armor=%v/compression=%d", profile, armored, compression), func(t *testing.T) {
					t.Parallel()
					for _, n := range sizes {
						content := randomBytes(t, n)
						message := encrypted(t, Encryption{
							To: []*Key{k.Public()}, Signers: []*Key{k}, Armor: armored, Compression: compression, FileName: "a.txt",
						}, content)
						var out bytes.Buffer
						res, err := Decryption{Keys: []*Key{k}, Signers: []*Key{k.Public()}}.Decrypt(&out, bytes.NewReader(message))
						if err != nil {
							t.Fatalf("%d bytes: %v", n, err)
						}
						if !bytes.Equal(out.Bytes(), content) {
							t.Fatalf("%d bytes: content differs", n)
						}
						integrity := "mdc"
						if k.Version() == 6 {
							integrity = "aead"
						}
						if res.Signature != SignatureValid || !res.Encrypted || res.Integrity != integrity || res.FileName != "a.txt" ||
							res.DecryptedWith != k.Fingerprint() || len(res.SignedBy()) != 1 || res.Size != int64(n) || res.Needed != Strict {
							t.Errorf("%d bytes: %+v", n, res)
						}
					}
				})
			}
		}
	}
}

func TestMessageToManyAndByPassword(t *testing.T) {
	keys := testKeys()
	a, b, c := keys[PresetGnuPG22], keys[PresetRSA3072], keys[PresetRFC9580]
	content := randomBytes(t, 100_000)
	for _, aead := range []bool{false, true} {
		e := Encryption{Passwords: passwords("one", "zwei"), Signers: []*Key{a, c}, AEAD: aead}
		if !aead {
			e.To, e.ToHidden = []*Key{a, c}, []*Key{b}
		}
		message := encrypted(t, e, content)
		open := func(d Decryption) (*Result, error) {
			d.Signers = []*Key{a, c}
			var out bytes.Buffer
			res, err := d.Decrypt(&out, bytes.NewReader(message))
			if err == nil && !bytes.Equal(out.Bytes(), content) {
				t.Error("content differs")
			}
			return res, err
		}
		for _, k := range e.To {
			if res, err := open(Decryption{Keys: []*Key{b, k}}); err != nil || len(res.SignedBy()) != 2 {
				t.Errorf("%v", err)
			}
		}
		if !aead {
			// With a hidden recipient, the signature names none that it is meant for.
			if res, err := open(Decryption{Keys: []*Key{b}}); err != nil || len(res.SignedBy()) != 2 {
				t.Errorf("hidden recipient: %v", err)
			}
		}
		res, err := open(Decryption{Passwords: passwords("wrong", "zwei")})
		if err != nil || !res.ByPassword {
			t.Errorf("aead %v: %v", aead, err)
		}
		if _, err := open(Decryption{Passwords: passwords("wrong")}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("wrong password: %v", err)
		}
		if _, err := open(Decryption{}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("no password: %v", err)
		}
	}
	message := encrypted(t, Encryption{To: []*Key{a}}, content)
	if _, err := (Decryption{Keys: []*Key{b}}).Decrypt(io.Discard, bytes.NewReader(message)); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("for somebody else: %v", err)
	}
}

func TestMessageLockedKey(t *testing.T) {
	k := newKey(t, GenerateOptions{Passphrase: trustkeep.Password("right")}, Options{})
	data, err := k.MarshalPrivate()
	if err != nil {
		t.Fatal(err)
	}
	locked := mustParse(t, data).Keys()[0]
	message := encrypted(t, Encryption{To: []*Key{k}}, []byte("hello"))
	asked := 0
	source := func(pw string) trustkeep.PasswordSource {
		return trustkeep.PasswordFunc(func() ([]byte, error) { asked++; return []byte(pw), nil })
	}
	var out bytes.Buffer
	if _, err := (Decryption{Keys: []*Key{locked}, Passphrase: source("right")}).Decrypt(&out, bytes.NewReader(message)); err != nil || out.String() != "hello" {
		t.Errorf("%q, %v", out.String(), err)
	}
	asked = 0
	for _, pw := range []trustkeep.PasswordSource{source("wrong"), nil} {
		res, err := (Decryption{Keys: []*Key{locked}, Passphrase: pw}).Decrypt(io.Discard, bytes.NewReader(message))
		if !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%v", err)
		}
		if res == nil || !res.Encrypted || len(res.Recipients) != 1 || res.Signature != SignatureUnverified {
			t.Errorf("the envelope of a message that stays closed: %+v", res)
		}
	}
	if asked != 1 {
		t.Errorf("asked %d times", asked)
	}
	if err := (Encryption{To: []*Key{k}, Signers: []*Key{locked}}).Encrypt(io.Discard, strings.NewReader("")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("signing with a locked key: %v", err)
	}
}

// TestMessageTampered changes every byte and cuts at every place of messages:
// never is a byte of content handed out, and every error is typed.
func TestMessageTampered(t *testing.T) {
	keys := testKeys()
	for _, p := range []Preset{PresetGnuPG22, PresetRFC9580} {
		k := keys[p]
		message := encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}}, bytes.Repeat([]byte("payload "), 30))
		try := func(what string, data []byte) {
			var out bytes.Buffer
			res, err := Decryption{Keys: []*Key{k}, Signers: []*Key{k}}.Decrypt(&out, bytes.NewReader(data))
			if err == nil {
				if !strings.HasPrefix(what, "flip") || res.Signature != SignatureValid || out.String() != strings.Repeat("payload ", 30) {
					t.Errorf("%s %s: accepted", p, what)
				}
				return
			}
			if out.Len() != 0 {
				t.Errorf("%s %s: %d bytes handed out", p, what, out.Len())
			}
			if !fault.Typed(err) || !strings.HasPrefix(err.Error(), "pgp: ") {
				t.Errorf("%s %s: %v", p, what, err)
			}
		}
		for i := range message {
			flipped := bytes.Clone(message)
			flipped[i] ^= 1 << (i % 8)
			try(fmt.Sprint("flip ", i), flipped)
			try(fmt.Sprint("cut ", i), message[:i])
		}
		try("trailing packet", append(bytes.Clone(message), message...))
		try("trailing byte", append(bytes.Clone(message), 0x80))
	}
}

func TestDecryptFileKeepsTheOldFile(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := randomBytes(t, 3*overlap.ChunkSize)
	message := encrypted(t, Encryption{To: []*Key{k}}, content)
	dir := t.TempDir()
	path := filepath.Join(dir, "out")
	if err := os.WriteFile(path, []byte("old"), 0o640); err != nil {
		t.Fatal(err)
	}
	bad := bytes.Clone(message)
	bad[len(bad)/2] ^= 1
	if _, err := (Decryption{Keys: []*Key{k}}).DecryptFile(path, bytes.NewReader(bad)); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if got, _ := os.ReadFile(path); string(got) != "old" {
		t.Error("the old file is gone")
	}
	if _, err := (Decryption{Keys: []*Key{k}}).DecryptFile(path, bytes.NewReader(message)); err != nil {
		t.Fatal(err)
	}
	if got, _ := os.ReadFile(path); !bytes.Equal(got, content) {
		t.Error("content differs")
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("left over: %v", entries)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v", info.Mode())
	}
}

func TestUnverifiedReader(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	content := randomBytes(t, 3*overlap.ChunkSize)
	message := encrypted(t, Encryption{To: []*Key{k}, Signers: []*Key{k}}, content)
	r, err := Decryption{Keys: []*Key{k}, Signers: []*Key{k}}.UnverifiedReader(bytes.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Result(); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("a verdict before the end: %v", err)
	}
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, content) {
		t.Fatal("content differs", err)
	}
	if res, err := r.Result(); err != nil || res.Signature != SignatureValid {
		t.Error(err)
	}
	bad := bytes.Clone(message)
	bad[len(bad)-1] ^= 1
	if r, err = (Decryption{Keys: []*Key{k}}).UnverifiedReader(bytes.NewReader(bad)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if _, err := r.Result(); err == nil {
		t.Error("a verdict on a damaged message")
	}
}

func TestWriterErrorsStop(t *testing.T) {
	k := testKeys()[PresetGnuPG22]
	boom := errors.New("boom")
	w := &failing{left: 1 << 20, err: boom}
	if err := (Encryption{To: []*Key{k}, Signers: []*Key{k}}).Encrypt(w, bytes.NewReader(make([]byte, 4<<20))); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if err := (Encryption{To: []*Key{k}}).Encrypt(io.Discard, io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), &failing{err: boom})); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	message := encrypted(t, Encryption{To: []*Key{k}}, make([]byte, 1<<20))
	src := io.MultiReader(bytes.NewReader(message[:len(message)/2]), &failing{err: boom})
	if _, err := (Decryption{Keys: []*Key{k}}).Decrypt(io.Discard, src); !errors.Is(err, boom) {
		t.Errorf("%v", err)
	}
	if _, err := (Decryption{Keys: []*Key{k}, MaxBuffer: 1000}).Decrypt(io.Discard, bytes.NewReader(message)); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
}

// failing reads nothing and writes a little before it fails.
type failing struct {
	left int
	err  error
}

func (f *failing) Read([]byte) (int, error) { return 0, f.err }

func (f *failing) Write(p []byte) (int, error) {
	if f.left -= len(p); f.left < 0 {
		return 0, f.err
	}
	return len(p), nil
}

func TestRecipientErrors(t *testing.T) {
	start := time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(t time.Time) Options { return Options{Clock: func() time.Time { return t }} }
	then := at(start)
	expiring := newKey(t, GenerateOptions{Expires: start.Add(time.Hour)}, then)
	later := at(start.Add(2 * time.Hour))
	var expired *KeyExpiredError
	err := Encryption{Options: later, To: []*Key{expiring}}.Encrypt(io.Discard, strings.NewReader(""))
	if !errors.As(err, &expired) || !expired.When.Equal(start.Add(time.Hour)) || expired.Fingerprint != expiring.Fingerprint() || !errors.Is(err, trustkeep.ErrExpired) {
		t.Errorf("%v", err)
	}
	if err := expiring.CanEncrypt(then); err != nil {
		t.Errorf("%v", err)
	}
	// A clock that is behind by less than the tolerated skew does no harm.
	early, tooEarly := at(start.Add(-time.Minute)), at(start.Add(-time.Hour))
	if err := expiring.CanEncrypt(early); err != nil {
		t.Errorf("%v", err)
	}
	if err := expiring.CanEncrypt(tooEarly); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("%v", err)
	}
	revoked, err := expiring.Revoke(ReasonCompromised, "stolen", then)
	if err != nil {
		t.Fatal(err)
	}
	var revocation *KeyRevokedError
	err = Encryption{Options: then, To: []*Key{revoked}}.Encrypt(io.Discard, strings.NewReader(""))
	if !errors.As(err, &revocation) || revocation.Reason != "stolen" {
		t.Errorf("%v", err)
	}
	if err := revoked.CanSign(then); !errors.As(err, &revocation) {
		t.Errorf("%v", err)
	}
	if err := (Encryption{}).Encrypt(io.Discard, strings.NewReader("")); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
