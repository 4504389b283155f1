package jks

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/javaio/javatest"
	"github.com/trustkeep/trustkeep/internal/store/pbe"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

func TestSecretAlgorithms(t *testing.T) {
	for _, want := range javatest.Load(t, "testdata") {
		if want.File != "secrets.jceks" {
			continue
		}
		s := mustParse(t, want.Read(t, "testdata"), want.Password)
		for _, w := range want.Entries {
			if w.Kind != "secret" {
				continue
			}
			key := find(t, s, w.Alias).Key
			if name := key.AlgorithmName(); name != "" {
				t.Errorf("%s: algorithm %q known before the key is open", w.Alias, name)
			}
			if _, err := key.Open([]byte("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
				t.Errorf("%s: wrong password: %v", w.Alias, err)
			}
			if _, err := key.Open([]byte(w.KeyPassword)); err != nil {
				t.Errorf("%s: %v", w.Alias, err)
			}
			if name := key.AlgorithmName(); name != w.KeyAlgorithm {
				t.Errorf("%s: algorithm %q, Java says %q", w.Alias, name, w.KeyAlgorithm)
			}
			if key.Protection != "PBEWithMD5AndTripleDES 200000" {
				t.Errorf("%s: protection %q", w.Alias, key.Protection)
			}
		}
		return
	}
	t.Fatal("no secrets.jceks")
}

func jceksStore(tb testing.TB) *entry.Store {
	s := javatest.NewStore(tb)
	s.Entries = append(s.Entries[:3], javatest.Secret("aes", "AES", []byte("0123456789abcdef")))
	return s
}

func TestRoundTripJCEKS(t *testing.T) {
	want := jceksStore(t)
	data := mustEncode(t, want, entry.JCEKS, javatest.WriteOptions("pä€ is for the store", map[string]string{
		"server": "sesame", "schlüssel 鍵 🔑": "sesame", "aes": "sesame",
	}))
	got := mustParse(t, data, "pä€ is for the store")
	sameContent(t, got, want, "sesame", nil)

	// Kept, everything but the digest stays as it is.
	opts := javatest.WriteOptions("new", nil)
	opts.Keep = javatest.KeepAll
	again := mustEncode(t, got, entry.JCEKS, opts)
	if !bytes.Equal(again[:len(again)-20], data[:len(data)-20]) {
		t.Error("kept entries changed")
	}

	// The algorithm of a secret key, known since it was opened, goes along.
	opts.Keep = nil
	opts.Key = func(e *entry.Entry) ([]byte, []byte, error) {
		plain, err := e.Key.Open([]byte("sesame"))
		return plain, []byte("new"), err
	}
	renewed := mustParse(t, mustEncode(t, got, entry.JCEKS, opts), "new")
	sameContent(t, renewed, want, "new", nil)
	if name := find(t, renewed, "aes").Key.AlgorithmName(); name != "AES" {
		t.Errorf("algorithm %q", name)
	}
}

func TestEncodeRefusesJCEKS(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for name, test := range map[string]struct {
		e        *entry.Entry
		password string
	}{
		"key password outside ASCII": {javatest.Identity("alias", pki.Server("x")), "pä€"},
		"unknown algorithm":          {javatest.Secret("alias", "", []byte{1}), "x"},
		"opaque":                     {&entry.Entry{Alias: "alias", Kind: entry.Opaque, Raw: []byte{1}}, "x"},
	} {
		_, err := Encode(&entry.Store{Entries: []*entry.Entry{test.e}}, entry.JCEKS, javatest.WriteOptions(test.password, nil))
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), `alias "alias"`) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestInteropJavaJCEKS(t *testing.T) {
	java := javatest.NewJava(t, "")
	want := jceksStore(t)
	keyPasswords := map[string]string{"aes": "sesame"}
	data := mustEncode(t, want, entry.JCEKS, javatest.WriteOptions(storePassword, keyPasswords))
	seen := java.Describe(t, "", "JCEKS", data, storePassword, keyPasswords)
	seen.Check(t, mustParse(t, data, storePassword))
	sameContent(t, mustParse(t, data, storePassword), want, storePassword, keyPasswords)
	if n := len(seen.Entries); n != len(want.Entries) {
		t.Errorf("Java sees %d entries, want %d", n, len(want.Entries))
	}
	for _, e := range seen.Entries {
		if e.Alias == "aes" && e.KeyAlgorithm != "AES" {
			t.Errorf("Java sees a key for %q", e.KeyAlgorithm)
		}
	}
	list := java.List(t, "", "JCEKS", data, storePassword)
	if !strings.Contains(list, "Entry type: SecretKeyEntry") || !strings.Contains(list, "Your keystore contains 4 entries") {
		t.Errorf("keytool -list -v:\n%s", list)
	}
	t.Logf("JCEKS: Java read %d entries of ours, 2 private keys and 1 secret key opened; keytool -list -v", len(seen.Entries))
}

// TestInteropEqualSaltHalves: two equal halves of the salt take a branch of the
// key derivation of their own.
func TestInteropEqualSaltHalves(t *testing.T) {
	java := javatest.NewJava(t, "")
	want := &entry.Store{Entries: []*entry.Entry{javatest.Secret("aes", "AES", []byte("0123456789abcdef"))}}
	opts := javatest.WriteOptions(storePassword, nil)
	opts.Rand = strings.NewReader("abcdabcd")
	data := mustEncode(t, want, entry.JCEKS, opts)
	if !bytes.Contains(data, []byte("abcdabcd")) {
		t.Fatal("the salt is another one")
	}
	seen := java.Describe(t, "", "JCEKS", data, storePassword, nil)
	seen.Check(t, mustParse(t, data, storePassword))
	t.Log("Java opened a key whose salt has two equal halves")
}

// TestPKCS8Protection: keys in JKS under the schemes of PKCS#8, which some
// programs put there.
func TestPKCS8Protection(t *testing.T) {
	id := testpki.New(t, testpki.Options{}).Server("x")
	der, err := pkcs8.Seal(id.PKCS8(), []byte("sesame"), pbe.Modern(1000), strings.NewReader(strings.Repeat("salt", 20)))
	if err != nil {
		t.Fatal(err)
	}
	body := append(header(1), builder{}.u32(tagKey).utf("a").u64(0).block(string(der)).u32(0)...)
	key := mustParse(t, resign(body, storePassword), storePassword).Entries[0].Key
	if plain, err := key.Open([]byte("sesame")); err != nil || !bytes.Equal(plain, id.PKCS8()) {
		t.Errorf("%v", err)
	}
	if _, err := key.Open([]byte("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if key.Protection != "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 1000" {
		t.Errorf("protection %q", key.Protection)
	}
}

func TestHostileTripleDES(t *testing.T) {
	id := testpki.New(t, testpki.Options{}).Server("x").PKCS8()
	protect := func(change func(*tripleDES, *[]byte)) string {
		scheme := &tripleDES{salt: []byte("saltsalt"), iterations: 1}
		encrypted, err := scheme.seal(id, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		change(scheme, &encrypted)
		params, err := scheme.params()
		if err != nil {
			t.Fatal(err)
		}
		der, err := joinEncrypted(oidTripleDES, params, encrypted)
		if err != nil {
			t.Fatal(err)
		}
		return string(der)
	}
	for _, test := range []struct {
		name   string
		change func(*tripleDES, *[]byte)
		want   error
	}{
		{"intact", func(*tripleDES, *[]byte) {}, nil},
		{"no iteration", func(p *tripleDES, _ *[]byte) { p.iterations = 0 }, trustkeep.ErrCorrupt},
		{"negative iterations", func(p *tripleDES, _ *[]byte) { p.iterations = -1 }, trustkeep.ErrCorrupt},
		{"2^31-1 iterations", func(p *tripleDES, _ *[]byte) { p.iterations = 1<<31 - 1 }, trustkeep.ErrLimit},
		{"2^62 iterations", func(p *tripleDES, _ *[]byte) { p.iterations = 1 << 62 }, trustkeep.ErrLimit},
		{"salt of 7 bytes", func(p *tripleDES, _ *[]byte) { p.salt = p.salt[1:] }, trustkeep.ErrCorrupt},
		{"no ciphertext", func(_ *tripleDES, c *[]byte) { *c = nil }, trustkeep.ErrCorrupt},
		{"half a block", func(_ *tripleDES, c *[]byte) { *c = (*c)[:12] }, trustkeep.ErrCorrupt},
		{"one block less", func(_ *tripleDES, c *[]byte) { *c = (*c)[:len(*c)-8] }, trustkeep.ErrIncorrectPassword},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := append(header(1), builder{}.u32(tagKey).utf("a").u64(0).block(protect(test.change)).u32(0)...)
			key := mustParse(t, resign(body, storePassword), storePassword).Entries[0].Key
			if _, err := key.Open([]byte("x")); !errors.Is(err, test.want) {
				t.Errorf("error %v, want %v", err, test.want)
			}
		})
	}
}

// TestManyKeysInOneOperation: 200,000 iterations are what the JDK writes. The default
// limits open a dozen such keys in one operation and any number one by one.
func TestManyKeysInOneOperation(t *testing.T) {
	budget := limits.New(trustkeep.Limits{})
	opened := 0
	for budget.Derive(defaultIterations, 2) == nil {
		opened++
	}
	if opened != 12 {
		t.Errorf("%d keys in one operation", opened)
	}
	if err := limits.New(trustkeep.Limits{}).Derive(defaultIterations, 2); err != nil {
		t.Error(err)
	}
}

func TestHostileObjects(t *testing.T) {
	sealed, err := serializeSealed([]byte{1}, []byte{2}, nameTripleDES)
	if err != nil {
		t.Fatal(err)
	}
	start := func(tags ...byte) builder { return append(builder{}.u32(streamHeader), tags...) }
	class := func(b builder, name string, fields uint16) builder {
		return append(append(b, tcClassDesc), builder{}.utf(name).u64(1)...).add(flagSerializable, byte(fields>>8), byte(fields))
	}
	nested := start(tcObject)
	for range 100 {
		nested = class(nested, classSecretKey, 0).add(tcEnd)
	}
	inner := start(tcObject)
	inner = append(class(inner, classSecretKey, 1).add('L').utf("x").add(tcString).utf("L").add(tcEnd, tcNull), bytes.Repeat([]byte{tcObject, tcReference, 0, 0x7E, 0, 0}, 100)...)
	for _, test := range []struct {
		name   string
		object builder
		want   error
	}{
		{"no stream", builder("no stream"), trustkeep.ErrCorrupt},
		{"empty", nil, trustkeep.ErrCorrupt},
		{"other version", builder{}.u32(streamHeader + 1), trustkeep.ErrCorrupt},
		{"unknown class", class(start(tcObject), "java.util.HashMap", 0).add(tcEnd, tcNull), trustkeep.ErrUnsupported},
		{"class in another case", class(start(tcObject), "javax.crypto.sealedobject", 0).add(tcEnd, tcNull), trustkeep.ErrUnsupported},
		{"unsealed key", class(start(tcObject), classSecretKey, 0).add(tcEnd, tcNull), trustkeep.ErrUnsupported},
		{"null", start(tcNull), trustkeep.ErrCorrupt},
		{"string", start(tcString).utf("x"), trustkeep.ErrCorrupt},
		{"unknown tag", start(0x7D), trustkeep.ErrCorrupt},
		{"object without a class", start(tcObject, tcNull), trustkeep.ErrCorrupt},
		{"reference to itself", start(tcObject, tcReference, 0, 0x7E, 0, 0), trustkeep.ErrCorrupt},
		{"negative reference", start(tcObject, tcReference, 0, 0, 0, 0), trustkeep.ErrCorrupt},
		{"class that is its own super class", class(start(tcObject), classSealed, 0).add(tcEnd, tcReference, 0, 0x7E, 0, 0), trustkeep.ErrCorrupt},
		{"deep classes", nested, trustkeep.ErrLimit},
		{"deep objects", inner, trustkeep.ErrLimit},
		{"65535 fields", class(start(tcObject), classSealed, 65535), trustkeep.ErrCorrupt},
		{"primitive field", class(start(tcObject), classSealed, 1).add('I').utf("x"), trustkeep.ErrUnsupported},
		{"array of 4 GiB", append(class(start(tcArray), classBytes, 0).add(tcEnd, tcNull), 0xff, 0xff, 0xff, 0xff), trustkeep.ErrCorrupt},
		{"over 64 KiB", append(class(start(tcArray), classBytes, 0).add(tcEnd, tcNull).u32(70_000), make([]byte, 70_000)...), trustkeep.ErrLimit},
		{"cut", sealed[:len(sealed)-1], trustkeep.ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := builder{}.u32(magicJCEKS).u32(2).u32(1).u32(tagSecret).utf("a").u64(0)
			s, err := Parse(resign(append(body, test.object...), storePassword), entry.ReadOptions{Password: []byte(storePassword), Budget: javatest.Budget()})
			if !errors.Is(err, test.want) || s != nil {
				t.Errorf("store %v, error %v, want %v", s, err, test.want)
			}
		})
	}
}

func (b builder) add(more ...byte) builder { return append(b, more...) }

// TestHostileSecrets: objects that are sealed as they should be, with something
// else inside or outside.
func TestHostileSecrets(t *testing.T) {
	scheme := &tripleDES{salt: []byte("saltSALT"), iterations: 1}
	params, err := scheme.params()
	if err != nil {
		t.Fatal(err)
	}
	seal := func(plain, params []byte, algorithm string) []byte {
		content, err := scheme.seal(plain, []byte("x"))
		if err != nil {
			t.Fatal(err)
		}
		object, err := serializeSealed(params, content, algorithm)
		if err != nil {
			t.Fatal(err)
		}
		return object
	}
	key, err := serializeSecret("AES", []byte("key"))
	if err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		object []byte
		want   error
	}{
		{"intact", seal(key, params, nameTripleDES), nil},
		{"unknown algorithm", seal(key, params, "AES\x1b"), trustkeep.ErrUnsupported},
		{"no parameters", seal(key, nil, nameTripleDES), trustkeep.ErrCorrupt},
		{"unknown class inside", seal(bytes.Replace(key, []byte("javax"), []byte("Javax"), 1), params, nameTripleDES), trustkeep.ErrUnsupported},
		{"no object inside", seal([]byte("garbage"), params, nameTripleDES), trustkeep.ErrIncorrectPassword},
		{"bytes behind the object", seal(append(bytes.Clone(key), 0), params, nameTripleDES), trustkeep.ErrIncorrectPassword},
		{"sealed object inside", seal(seal(key, params, nameTripleDES), params, nameTripleDES), trustkeep.ErrUnsupported},
	} {
		t.Run(test.name, func(t *testing.T) {
			body := append(builder{}.u32(magicJCEKS).u32(2).u32(1).u32(tagSecret).utf("a").u64(0), test.object...)
			s := mustParse(t, resign(body, storePassword), storePassword)
			plain, err := s.Entries[0].Key.Open([]byte("x"))
			if !errors.Is(err, test.want) || (err == nil) != (string(plain) == "key") {
				t.Errorf("%q, %v, want %v", plain, err, test.want)
			}
		})
	}
}
