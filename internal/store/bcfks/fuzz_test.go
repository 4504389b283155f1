package bcfks

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

func typed(t *testing.T, err error) {
	t.Helper()
	for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrIncorrectPassword} {
		if errors.Is(err, sentinel) {
			return
		}
	}
	if err != nil {
		t.Errorf("untyped error %v", err)
	}
}

// FuzzParse has little to spend, so that it ends at the MAC mostly; the rest is
// FuzzStoreData's.
func FuzzParse(f *testing.F) {
	names, err := filepath.Glob("testdata/*.bcfks")
	if err != nil || len(names) == 0 {
		f.Fatalf("no seed: %v", err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(cheap(f, object(typeCertificate, "a", []byte("certificate"))))
	f.Fuzz(func(t *testing.T, data []byte) {
		before := bytes.Clone(data)
		_, err := Parse(data, entry.ReadOptions{Password: []byte(storePassword), Budget: limits.New(trustkeep.Limits{MaxIterations: 100, MaxKDFMemory: 1 << 20})})
		typed(t, err)
		if !bytes.Equal(data, before) {
			t.Error("input was changed")
		}
	})
}

// FuzzStoreData reads what is inside.
func FuzzStoreData(f *testing.F) {
	algorithm := macAlgorithm()
	for _, kind := range []int64{typeCertificate, typePrivateKey, typeSecretKey, 9} {
		store := cryptobyte.String(cheap(f, object(kind, "a", []byte("data"))))
		var outer, data cryptobyte.String
		if !store.ReadASN1(&outer, cbasn1.SEQUENCE) || !outer.ReadASN1Element(&data, cbasn1.SEQUENCE) {
			f.Fatal("cheap store")
		}
		f.Add([]byte(data))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		_, err := readStoreData(data, algorithm, limits.New(trustkeep.Limits{}))
		typed(t, err)
	})
}

// FuzzUnlock opens encrypted keys that cost little.
func FuzzUnlock(f *testing.F) {
	for _, file := range []string{"default.bcfks", "kwp.bcfks"} {
		for _, e := range mustParse(f, read(f, file), storePassword).Entries {
			if e.Key != nil {
				f.Add(e.Key.Protected, []byte(storePassword))
			}
		}
	}
	f.Fuzz(func(t *testing.T, der, password []byte) {
		input := cryptobyte.String(der)
		var seq, algorithm, ciphertext cryptobyte.String
		if !input.ReadASN1(&seq, cbasn1.SEQUENCE) || !seq.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) || !seq.ReadASN1(&ciphertext, cbasn1.OCTET_STRING) {
			return
		}
		e, err := parseEncryption(algorithm)
		typed(t, err)
		if err == nil {
			e.kdf.iterations = min(e.kdf.iterations, 1)
			_, err = e.open(ciphertext, password, purposeSecret, limits.New(trustkeep.Limits{MaxIterations: 100, MaxKDFMemory: 1 << 20}))
			typed(t, err)
		}
	})
}

func macAlgorithm() []byte {
	var b cryptobyte.Builder
	addHMAC(&b)
	return b.BytesOrPanic()
}
