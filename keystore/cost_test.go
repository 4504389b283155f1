package keystore_test

import (
	"bytes"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"math/big"
	"strconv"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

// hugeRSA is an RSAPrivateKey of which the number at that index has that many bits,
// and the others 2,048.
func hugeRSA(t *testing.T, index, bits int) []byte {
	t.Helper()
	number := func(bits int) *big.Int {
		n := new(big.Int).Lsh(big.NewInt(1), uint(bits-1))
		return n.Add(n, big.NewInt(12345))
	}
	numbers := make([]*big.Int, 9)
	for i := range numbers {
		numbers[i] = number(2048)
	}
	numbers[0], numbers[2] = big.NewInt(0), big.NewInt(65537)
	numbers[index] = number(bits)
	if index == 1 { // as a real one would be
		for i := 3; i < 9; i++ {
			numbers[i] = number(bits / 2)
		}
	}
	der, err := asn1.Marshal(numbers)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// A key of 524,288 bits took 19 seconds to import, and one of 2 million more than a
// minute: crypto/rsa checks whatever it is given. So does a key of usual size of which
// one number is not.
func TestHugeKeysAreRefusedBeforeArithmetic(t *testing.T) {
	certificate := newStore(t).Certificates()[0]
	bits := testtool.Rounds(500_000, 2_000_000)
	password := trustkeep.Password("changeit")
	for _, index := range []int{1, 3, 4, 8} { // n, d, p, q^-1 mod p
		traditional := hugeRSA(t, index, bits)
		info, err := pkcs8.Wrap(traditional)
		if err != nil {
			t.Fatal(err)
		}
		files := map[string][]byte{
			"PKCS#1 in PEM": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: traditional}),
			"PKCS#8 in PEM": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: info}),
			"PKCS#8":        info,
		}
		for _, format := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.UBER, trustkeep.BCFKS} {
			key := &entry.PrivateKey{Protection: "none"}
			store := &entry.Store{Format: format, Entries: []*entry.Entry{{
				Kind: entry.Key, Alias: "huge", Key: key, Chain: []*entry.Certificate{entry.FromX509(certificate)},
			}}}
			data, err := formats.Encode(store, trustkeep.Modern, entry.WriteOptions{
				Password: []byte("changeit"), Rand: quickkdf.Rand(),
				Key: func(*entry.Entry) ([]byte, []byte, error) { return bytes.Clone(info), []byte("changeit"), nil },
			})
			if err != nil {
				t.Fatal(err)
			}
			files[string(format)] = data
		}
		for name, data := range files {
			start := testcpu.Used()
			ks, err := keystore.Options{AllowUnauthenticated: true}.Parse(data, password)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			alias := ks.Aliases()[0]
			_, identity := ks.Identity(alias)
			_, signer := ks.Signer(alias)
			_, check := ks.CheckKey(alias)
			for _, err := range []error{identity, signer, check, ks.CheckKeys(trustkeep.Limits{})[0].Err} {
				if !errors.Is(err, trustkeep.ErrLimit) || !strings.Contains(err.Error(), "16384 are allowed (Limits.MaxKeyBits)") {
					t.Errorf("%s, number %d: %v", name, index, err)
				}
			}
			if took := testcpu.Used() - start; took.Seconds() > 1 {
				t.Errorf("%s, number %d: %v", name, index, took)
			}
		}
	}
}

// The bound is the caller's.
func TestMaxKeyBits(t *testing.T) {
	ks := newStore(t)
	data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	for limit, want := range map[int]error{1000: trustkeep.ErrLimit, 0: nil, 1 << 20: nil} {
		ks, err := keystore.Options{Limits: trustkeep.Limits{MaxKeyBits: limit}}.Parse(data, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ks.Identity(""); !errors.Is(err, want) {
			t.Errorf("%d bits: %v", limit, err)
		}
	}
}

// manyKeys is a PEM file of n copies of one key, each under PBKDF2 of that many
// iterations: a derivation each, since a codec cannot know that they are the same.
func manyKeys(t *testing.T, n int, iterations int64) []byte {
	t.Helper()
	der, err := pkcs8.Wrap(marshalKey(t, newStore(t)))
	if err != nil {
		t.Fatal(err)
	}
	algorithm, ciphertext, err := pbe.Modern(iterations).Seal(der, []byte("secret of the store"), bytes.NewReader(make([]byte, 64)))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := asn1.Marshal(struct {
		Algorithm asn1.RawValue
		Content   []byte
	}{asn1.RawValue{FullBytes: algorithm}, ciphertext})
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Repeat(pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: sealed}), n)
}

func marshalKey(t *testing.T, ks *keystore.Keystore) []byte {
	t.Helper()
	data, err := ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			t.Fatal("no key")
		}
		if strings.HasSuffix(block.Type, "PRIVATE KEY") {
			return block.Bytes
		}
		data = rest
	}
}

// Two hundred keys of 150,000 iterations, 36 kB, took audit 45 seconds: eight
// passwords on each.
func TestAuditOfManyKeysIsBounded(t *testing.T) {
	ks, err := keystore.Parse(manyKeys(t, 200, 150_000), nil)
	if err != nil {
		t.Fatal(err)
	}
	start := testcpu.Used()
	report := audit.Run(audit.Target{Keystore: ks})
	if took := testcpu.Used() - start; took.Seconds() > 4 { // both cores, and the race detector
		t.Errorf("%v", took)
	}
	found := report.With(audit.KeysNotTried)
	if len(found) != 1 || !strings.HasPrefix(found[0].Text, "197 of 200 keys not tried") && !strings.HasPrefix(found[0].Text, "196 of 200 keys not tried") ||
		!errors.Is(found[0].Err, trustkeep.ErrLimit) || !strings.Contains(found[0].Text, "5000000 (Limits.MaxIterations)") {
		t.Errorf("%v", found)
	}
}

// All keys together are one operation, whose bound the caller sets, and each alone is
// one of its own.
func TestManyKeysByTheCallersLimits(t *testing.T) {
	const keys, each = 1000, 1000
	data := manyKeys(t, keys, each)
	password := trustkeep.Password("secret of the store")
	tight := trustkeep.Limits{MaxIterations: 100 * each}
	ks, err := keystore.Options{Limits: tight}.Parse(data, password)
	if err != nil {
		t.Fatal(err)
	}
	for _, alias := range ks.Aliases() {
		if _, err := ks.Signer(alias); err != nil {
			t.Fatalf("%s: %v", alias, err)
		}
	}
	tried := 0
	for _, c := range ks.CheckKeys(tight) {
		switch {
		case c.Err == nil:
			tried++
		case !errors.Is(c.Err, trustkeep.ErrLimit) || !strings.Contains(c.Err.Error(), strconv.Itoa(100*each)+" (Limits.MaxIterations)"):
			t.Fatalf("%s: %v", c.Alias, c.Err)
		}
	}
	if tried < 60 || tried > 100 {
		t.Errorf("%d of %d keys were tried", tried, keys)
	}
	_, err = keystore.Options{Limits: tight, Unlock: true}.Parse(data, password)
	if !errors.Is(err, trustkeep.ErrLimit) || !strings.Contains(err.Error(), "100000 (Limits.MaxIterations)") {
		t.Errorf("unlocked at once: %v", err)
	}
	enough := trustkeep.Limits{MaxIterations: 2 * keys * each}
	ks, err = keystore.Options{Limits: enough}.Parse(data, password)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range ks.CheckKeys(enough) {
		if c.Err != nil {
			t.Fatalf("%s: %v", c.Alias, c.Err)
		}
	}
	if err := ks.ChangePassword(password, trustkeep.Password("another")); err != nil {
		t.Errorf("all keys under another password: %v", err)
	}
	ks, err = keystore.Options{Limits: tight}.Parse(data, password)
	if err != nil {
		t.Fatal(err)
	}
	if err := ks.ChangePassword(password, trustkeep.Password("another")); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("all keys under another password: %v", err)
	}
}

// An import is one operation from the file to the component.
func TestImportIsOneOperation(t *testing.T) {
	ks := newStore(t)
	data, err := ks.Encode(trustkeep.SaveOptions{Profile: trustkeep.Java17, Password: trustkeep.Password("changeit")})
	if err != nil {
		t.Fatal(err)
	}
	// MAC and certificates, and the key twice, by 10,000 each.
	for limit, want := range map[int]error{39_999: trustkeep.ErrLimit, 41_000: nil} {
		o := withPassword("changeit")
		o.Limits.MaxIterations = limit
		if _, err := importComponent(t.Context(), "a", data, o); !errors.Is(err, want) {
			t.Errorf("%d iterations: %v", limit, err)
		}
	}
}
