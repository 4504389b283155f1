package pbe

import (
	"bytes"
	"crypto"
	"encoding/asn1"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/cryptobyte"
	tag "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
)

// macData splits what Marshal wrote, as a PKCS#12 reader would.
func macData(t *testing.T, der []byte) (algorithm, digest, salt []byte, iterations int64) {
	t.Helper()
	in := cryptobyte.String(der)
	var seq, info, alg, d, s cryptobyte.String
	if !in.ReadASN1(&seq, tag.SEQUENCE) || !in.Empty() || !seq.ReadASN1(&info, tag.SEQUENCE) ||
		!info.ReadASN1Element(&alg, tag.SEQUENCE) || !info.ReadASN1(&d, tag.OCTET_STRING) || !info.Empty() ||
		!seq.ReadASN1(&s, tag.OCTET_STRING) || !readCount(&seq, &iterations) || !seq.Empty() {
		t.Fatalf("MacData: %x", der)
	}
	return alg, d, s, iterations
}

func TestMACRoundTrip(t *testing.T) {
	var all []MACParams
	for _, h := range allHashes {
		all = append(all, MACParams{KDF: PKCS12, Hash: h, Iterations: 30})
		if h.Size() >= minMACKey {
			all = append(all, MACParams{KDF: PBKDF2, Hash: h, PRF: crypto.SHA256, Iterations: 30})
		}
	}
	for _, p := range all {
		m, err := p.NewMAC(seeded())
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		key, err := m.Derive([]byte("secret"), budget())
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		der, err := m.Authenticate(key, []byte("con"), []byte("tent")).Marshal()
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		back, err := ParseMAC(macData(t, der))
		if err != nil {
			t.Errorf("%v: %v", p, err)
			continue
		}
		if back.String() != p.String() {
			t.Errorf("%q read back as %q", p, back)
		}
		key, err = back.Derive([]byte("secret"), budget())
		if err != nil || !back.Verify(key, []byte("content")) {
			t.Errorf("%v: does not verify (%v)", p, err)
		}
		if back.Verify(key, []byte("Content")) {
			t.Errorf("%v: verifies other content", p)
		}
		key, err = back.Derive([]byte("Secret"), budget())
		if err != nil || back.Verify(key, []byte("content")) {
			t.Errorf("%v: verifies with another password (%v)", p, err)
		}
	}
}

// pbmac1 builds the AlgorithmIdentifier of PBMAC1 with a key length, -1 for
// none at all, around a salt element.
func pbmac1(keyLength int64, salt func(*cryptobyte.Builder)) []byte {
	_, hmacSHA256 := digestAndHMAC(crypto.SHA256)
	var b cryptobyte.Builder
	addAlgorithm(&b, oidPBMAC1, func(b *cryptobyte.Builder) {
		b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
			addAlgorithm(b, oidPBKDF2, func(b *cryptobyte.Builder) {
				b.AddASN1(tag.SEQUENCE, func(b *cryptobyte.Builder) {
					salt(b)
					b.AddASN1Int64(10)
					if keyLength >= 0 {
						b.AddASN1Int64(keyLength)
					}
					addAlgorithm(b, hmacSHA256, addNull)
				})
			})
			addAlgorithm(b, hmacSHA256, addNull)
		})
	})
	return b.BytesOrPanic()
}

// Security advisory GHSA-mpwr-8vm7-h73f: a key of one byte authenticates one
// forgery in 256.
func TestPBMAC1KeyLength(t *testing.T) {
	salt := func(b *cryptobyte.Builder) { b.AddASN1OctetString([]byte("saltsalt")) }
	for _, c := range []struct {
		keyLength int64
		want      error
	}{
		{-1, trustkeep.ErrCorrupt}, {0, trustkeep.ErrCorrupt}, {1, trustkeep.ErrCorrupt}, {19, trustkeep.ErrCorrupt},
		{20, nil}, {32, nil}, {64, nil},
		{65, trustkeep.ErrUnsupported}, {256, trustkeep.ErrUnsupported}, {1 << 31, trustkeep.ErrUnsupported}, {1 << 62, trustkeep.ErrUnsupported},
	} {
		_, err := ParseMAC(pbmac1(c.keyLength, salt), make([]byte, 32), nil, 1)
		if !errors.Is(err, c.want) {
			t.Errorf("key of %d bytes: %v, want %v", c.keyLength, err, c.want)
		}
	}
	if _, err := ParseMAC(pbmac1(32, addNull), make([]byte, 32), nil, 1); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("NULL for a salt: %v", err)
	}
}

func TestParseMACRefuses(t *testing.T) {
	sha256, _ := digestAndHMAC(crypto.SHA256)
	algorithm := func(oid asn1.ObjectIdentifier) []byte {
		var b cryptobyte.Builder
		addAlgorithm(&b, oid, addNull)
		return b.BytesOrPanic()
	}
	for _, c := range []struct {
		name      string
		algorithm []byte
		digest    int
		want      error
	}{
		{"empty", nil, 32, trustkeep.ErrCorrupt},
		{"trailing", append(algorithm(sha256), 0), 32, trustkeep.ErrCorrupt},
		{"digest too short", algorithm(sha256), 31, trustkeep.ErrCorrupt},
		{"no digest", algorithm(sha256), 0, trustkeep.ErrCorrupt},
		{"GOST", algorithm(asn1.ObjectIdentifier{1, 2, 643, 2, 2, 9}), 32, trustkeep.ErrUnsupported},
	} {
		if _, err := ParseMAC(c.algorithm, make([]byte, c.digest), []byte("s"), 1); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	for _, gost := range []asn1.ObjectIdentifier{{1, 2, 643, 2, 2, 9}, {1, 2, 643, 7, 1, 1, 2, 2}, {1, 2, 643, 7, 1, 1, 2, 3}} {
		if _, err := ParseMAC(algorithm(gost), make([]byte, 32), []byte("s"), 1); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "GOST R 34.11") {
			t.Errorf("%v: %v", gost, err)
		}
	}
	m, err := ParseMAC(algorithm(sha256), make([]byte, 32), []byte("s"), 1<<31)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.Derive(nil, budget()); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("2^31 iterations: %v", err)
	}
}

func TestMACReproducible(t *testing.T) {
	marshal := func() []byte {
		m, err := MACParams{KDF: PKCS12, Hash: crypto.SHA256, Iterations: 2}.NewMAC(seeded())
		if err != nil {
			t.Fatal(err)
		}
		der, err := m.Authenticate([]byte("k"), nil).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	if a, b := marshal(), marshal(); !bytes.Equal(a, b) {
		t.Errorf("%x and %x from the same random bytes", a, b)
	}
}
