package pgp

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/pgp/internal/fault"
)

// seeds are the fixtures; without any, fuzzing would start from nothing.
func seeds(f *testing.F, patterns ...string) {
	f.Helper()
	n := 0
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join("testdata", pattern))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
			n++
		}
	}
	if n == 0 {
		f.Fatal("no seeds")
	}
}

// typed fails for an error that wraps no sentinel.
func typed(t *testing.T, err error) {
	t.Helper()
	if err != nil && (!fault.Typed(err) || !strings.HasPrefix(err.Error(), "pgp: ")) {
		t.Errorf("untyped error %v", err)
	}
}

// fuzzKey loads a fixture.
func fuzzKey(f *testing.F, name string) *Key {
	f.Helper()
	ring, err := Load(filepath.Join("testdata", name))
	if err != nil {
		f.Fatal(err)
	}
	return ring.Keys()[0]
}

// keybox is a keyring file of GnuPG with one key.
func keybox(packets []byte) []byte {
	data := append([]byte{0, 0, 0, 32, 1, 1, 0, 2}, "KBXf and 20 octets more."[:24]...)
	data = binary.BigEndian.AppendUint32(data, uint32(16+len(packets)))
	data = append(data, 2, 1, 0, 0, 0, 0, 0, 16)
	data = binary.BigEndian.AppendUint32(data, uint32(len(packets)))
	return append(data, packets...)
}

func FuzzKeys(f *testing.F) {
	seeds(f, "*_pub.*", "*_priv.*")
	f.Add(keybox(fuzzKey(f, "gpg-ed25519_pub.asc").Marshal())) // GnuPG's own has keys that take long to verify
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := Parse(data)
		typed(t, err)
		if err != nil {
			return
		}
		for k := range ring.All() {
			if k != ring.keys[0] { // one is enough, and not for nothing
				break
			}
			k.Info(Options{})
			k.NotAfter()
			typed(t, k.CanEncrypt(Options{}))
			typed(t, k.CanSign(Options{Allow: Legacy}))
			again, err := Parse(k.Marshal())
			if err != nil {
				t.Fatalf("cannot read what was written: %v", err)
			}
			if got := again.Keys()[0]; got.Fingerprint() != k.Fingerprint() {
				t.Errorf("fingerprint %s became %s", k.Fingerprint(), got.Fingerprint())
			}
		}
		_, err = ring.Marshal()
		typed(t, err)
	})
}

// FuzzMessages costs what parsing costs: deriving keys from passwords is left to what the seeds
// made here need, and content ends after a megabyte, which compressed data reaches soon.
func FuzzMessages(f *testing.F) {
	seeds(f, "*.gpg", "*.msg.asc")
	k := fuzzKey(f, "gpg-ed25519_priv.asc")
	public := k.Public()
	v6 := fuzzKey(f, "rfc9580-a4_priv.asc")
	for _, e := range []Encryption{
		{Passwords: passwords("password"), AEAD: true}, {Passwords: passwords("password")}, {To: []*Key{k}, Passwords: passwords("password"), Signers: []*Key{k}, Text: true},
		{ToHidden: []*Key{k}, Compression: ZLIB, Signers: []*Key{k}, Notations: []Notation{SigningContext("x")}},
		{To: []*Key{v6}, AllSubkeys: true}, {To: []*Key{k}, Armor: true},
	} {
		e.Options = quick
		var message bytes.Buffer
		if err := e.Encrypt(&message, strings.NewReader("hello\n")); err != nil {
			f.Fatal(err)
		}
		f.Add(message.Bytes())
	}
	const most = 1 << 20
	// What quick derives takes 512 iterations and 1 MiB.
	o := Options{Limits: trustkeep.Limits{MaxIterations: 10_000, MaxKDFMemory: 1 << 20}}
	f.Fuzz(func(t *testing.T, data []byte) {
		d := Decryption{Options: o, Keys: []*Key{k, v6}, Passwords: passwords("password"), Signers: []*Key{public}, AllowUnencrypted: true}
		r, err := d.UnverifiedReader(bytes.NewReader(data))
		if err == nil {
			_, err = io.CopyN(io.Discard, r, most)
			if err == io.EOF {
				err = nil
			}
		}
		typed(t, err)
		v := Verification{Options: o, Signers: []*Key{public}, MaxBuffer: most}
		_, err = v.Message(io.Discard, bytes.NewReader(data))
		typed(t, err)
	})
}

func FuzzSignatures(f *testing.F) {
	seeds(f, "*.sig", "*.sig.asc")
	public := fuzzKey(f, "gpg-ed25519_priv.asc").Public()
	f.Fuzz(func(t *testing.T, data []byte) {
		res, err := Verification{Signers: []*Key{public}}.Detached(strings.NewReader("hello\n"), bytes.NewReader(data))
		typed(t, err)
		if (err == nil) != (res != nil && res.Signature == SignatureValid) {
			t.Errorf("error %v with %+v", err, res)
		}
		_, err = public.ApplyRevocation(data)
		typed(t, err)
	})
}
