package pgp

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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

func FuzzKeys(f *testing.F) {
	seeds(f, "*_pub.*", "*_priv.*", "*.kbx")
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := Parse(data)
		typed(t, err)
		if err != nil {
			return
		}
		for k := range ring.All() {
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

func FuzzMessages(f *testing.F) {
	seeds(f, "*.gpg", "*.msg.asc")
	k := fuzzKey(f, "gpg-ed25519_priv.asc")
	public := k.Public()
	f.Fuzz(func(t *testing.T, data []byte) {
		d := Decryption{Keys: []*Key{k}, Passwords: passwords("password"), Signers: []*Key{public}, AllowUnencrypted: true}
		r, err := d.UnverifiedReader(bytes.NewReader(data))
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		typed(t, err)
		_, err = Verification{Signers: []*Key{public}}.Message(io.Discard, bytes.NewReader(data))
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
