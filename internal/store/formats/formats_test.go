package formats_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

func options(password []byte) entry.ReadOptions {
	return entry.ReadOptions{Password: password, Budget: limits.New(trustkeep.Limits{})}
}

// fixtures returns the store files of all codecs by path.
func fixtures(tb testing.TB) map[string][]byte {
	tb.Helper()
	files := make(map[string][]byte)
	for _, pattern := range []string{
		"pemfile/testdata/*.pem", "pemfile/testdata/*.bundle", "pkcs7/testdata/*.p7?", "pkcs8/testdata/encrypted/*.der",
		"openssh/testdata/*", "pkcs12/testdata/*.p12", "jks/testdata/*.j*ks", "bks/testdata/*.bks*", "bks/testdata/*.uber", "bcfks/testdata/*.bcfks",
	} {
		paths, err := filepath.Glob("../" + pattern)
		if err != nil || len(paths) == 0 {
			tb.Fatalf("no fixtures in %s", pattern)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil && !errors.Is(err, fs.ErrInvalid) {
				if info, statErr := os.Stat(path); statErr == nil && info.IsDir() {
					continue
				}
				tb.Fatal(err)
			}
			files[strings.TrimPrefix(path, "../")] = data
		}
	}
	return files
}

func wantFormat(path string) entry.Format {
	switch {
	case strings.HasSuffix(path, "pkcs7.bundle"), strings.HasPrefix(path, "pkcs7"):
		return entry.PKCS7
	case strings.HasPrefix(path, "openssh"):
		return entry.OpenSSH
	}
	switch filepath.Ext(path) {
	case ".pem", ".bundle":
		return entry.PEM
	case ".der":
		return entry.PKCS8
	case ".p12":
		return entry.PKCS12
	case ".bks", ".bks-v1":
		return entry.BKS
	}
	return entry.Format(strings.TrimPrefix(filepath.Ext(path), "."))
}

func TestDetectFixtures(t *testing.T) {
	for path, data := range fixtures(t) {
		if strings.HasSuffix(path, ".txt") || strings.HasSuffix(path, ".md") || strings.HasSuffix(path, ".sh") {
			continue
		}
		if got, ok := formats.Detect(data); !ok || got != wantFormat(path) {
			t.Errorf("%s: %q, %v", path, got, ok)
		}
		// The name does not count, nor do prefixes that PEM may have.
		if wantFormat(path) != entry.PEM && bytes.HasPrefix(data, []byte{0x30}) {
			armorless := base64.StdEncoding.EncodeToString(data)
			if got, ok := formats.Detect([]byte(armorless + "\r\n")); !ok || got != wantFormat(path) {
				t.Errorf("%s in base64: %q, %v", path, got, ok)
			}
		}
		for _, n := range []int{0, 1, 3, 4, 16, len(data) / 2, len(data) - 1} {
			formats.Detect(data[:n]) // any answer, no panic
		}
	}
}

// What Detect says is what Parse makes of it.
func TestParseFixtures(t *testing.T) {
	passwords := [][]byte{[]byte("secret"), []byte("changeit"), []byte("storepass"), nil}
	for path, data := range fixtures(t) {
		format, ok := formats.Detect(data)
		if !ok {
			continue
		}
		read := false
		for _, password := range passwords {
			// Cheap ones only: what needs more is opened in the tests of
			// its codec.
			s, err := formats.Parse(data, entry.ReadOptions{Password: password, Budget: limits.New(trustkeep.Limits{MaxIterations: 1})})
			if errors.Is(err, trustkeep.ErrLimit) || errors.Is(err, trustkeep.ErrUnsupported) {
				read = true
			}
			if err != nil {
				if s != nil {
					t.Errorf("%s: store and error", path)
				}
				continue
			}
			read = true
			if s.Format != format {
				t.Errorf("%s: detected %q, parsed %q", path, format, s.Format)
			}
		}
		if !read && !strings.HasSuffix(path, "rfc9579-a6.p12") { // which is to be refused
			t.Errorf("%s: refused with every password", path)
		}
	}
}

func TestResemblance(t *testing.T) {
	tests := []struct{ data, want string }{
		{"", "empty input"},
		{"<!DOCTYPE html><html>", "an HTML page"},
		{"\n <HTML>", "an HTML page"},
		{"<?xml version", "an XML document"},
		{"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"},
		{"PK\x03\x04rest", "a ZIP archive"},
		{"\x1f\x8b\x08\x00", "a gzip file"},
		{"7z\xbc\xaf\x27\x1c", "a 7z archive"},
		{"%PDF-1.4", "a PDF document"},
		{"\x7fELF", "a program"},
		{"SQLite format 3\x00", "cert9.db"},
		{"\x00\x06\x15\x61", "cert8.db"},
		{"PuTTY-User-Key-File-3: ssh-rsa", "a PuTTY key"},
		{"ssh-rsa AAAA", "an SSH public key"},
		{"ecdsa-sha2-nistp256 AAAA", "an SSH public key"},
		{"---- BEGIN SSH2 PUBLIC KEY ----", "an SSH2 public key"},
		{"AGE-SECRET-KEY-1", "an age key"},
		{"$ANSIBLE_VAULT;1.1", "an Ansible vault"},
		{"Salted__xxxx", "openssl enc"},
		{"Certificate:\n    Data:\n", "the text of a certificate"},
		{"{\"kty\":\"RSA\"}", "JSON"},
		{"\xff\xfeh\x00e\x00", "UTF-16"},
		{"\x99\x01\x0d\x04", "a binary OpenPGP key"},
		{"\x00\x00\x00\x00\x00", "nothing but zero bytes"},
		{"0\x82\x10\x00\x02", "truncated or unknown ASN.1"},
		{"hello", "text without a PEM block"},
		{"Grüße\n", "text without a PEM block"},
		{"\x01\x02\x03", "unknown format"},
		{strings.Repeat("ä", 300), "text without a PEM block"}, // cut within a letter
	}
	for _, test := range tests {
		s, err := formats.Parse([]byte(test.data), options(nil))
		if !errors.Is(err, trustkeep.ErrCorrupt) || s != nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v, want %s", test.data, err, test.want)
		}
		if f, ok := formats.Detect([]byte(test.data)); ok {
			t.Errorf("%q detected as %s", test.data, f)
		}
	}
}

func TestDER(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("der.example")
	cert := id.DERChain()[0]
	s, err := formats.Parse(cert, options(nil))
	if err != nil || len(s.Entries) != 1 || s.Format != entry.DER {
		t.Fatalf("%v", err)
	}
	if e := s.Entries[0]; e.Kind != entry.Trusted || e.Alias != "der.example" || !e.Unnamed {
		t.Errorf("got %+v", e)
	}
	if out, err := formats.Encode(s, "", entry.WriteOptions{}); err != nil || !bytes.Equal(out, cert) {
		t.Errorf("written again: %v", err)
	}
	s, err = formats.Parse(id.PKCS8(), options(nil))
	if err != nil || s.Entries[0].Kind != entry.Key || s.Format != entry.PKCS8 || s.Entries[0].Key.Algorithm != "EC P-256" {
		t.Fatalf("%v", err)
	}
	key := s.Entries[0]
	sealed, err := formats.Encode(s, "", entry.WriteOptions{Key: func(*entry.Entry) ([]byte, []byte, error) {
		return id.PKCS8(), []byte("secret"), nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	if s, err = formats.Parse(sealed, options([]byte("secret"))); err != nil || !s.Entries[0].Key.Encrypted {
		t.Errorf("encrypted key: %v", err)
	}
	if _, err = formats.Parse(sealed, options([]byte("wrong"))); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("wrong password: %v", err)
	}
	if _, err = formats.Parse(sealed, options(nil)); err != nil {
		t.Errorf("no password: %v", err)
	}
	for _, data := range [][]byte{append(bytes.Clone(cert), 0), append(bytes.Clone(id.PKCS8()), 0), cert[:len(cert)-1]} {
		if s, err := formats.Parse(data, options(nil)); !errors.Is(err, trustkeep.ErrCorrupt) || s != nil {
			t.Errorf("data behind or missing: %v", err)
		}
	}
	two := &entry.Store{Format: entry.PKCS8, Entries: []*entry.Entry{key, key}}
	if _, err := formats.Encode(two, "", entry.WriteOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("two keys in PKCS#8: %v", err)
	}
}

// Kept keys are written as they were, in the formats of one block too.
func TestEncodeKeeps(t *testing.T) {
	keep := entry.WriteOptions{Keep: func(*entry.Entry) bool { return true }}
	for path, data := range fixtures(t) {
		if f := wantFormat(path); f != entry.OpenSSH && f != entry.PKCS8 || filepath.Ext(path) != "" && f == entry.OpenSSH {
			continue
		}
		s, err := formats.Parse(data, options(nil))
		if err != nil {
			t.Errorf("%s: %v", path, err)
			continue
		}
		if out, err := formats.Encode(s, "", keep); err != nil || !bytes.Equal(out, data) {
			t.Errorf("%s: %v", path, err)
		}
	}
	armored := fixtures(t)["pkcs7/testdata/certs-pem.p7b"]
	s, err := formats.Parse(armored, options(nil))
	if err != nil {
		t.Fatal(err)
	}
	if out, err := formats.Encode(s, "", keep); err != nil || !bytes.HasPrefix(out, []byte("-----BEGIN PKCS7-----")) {
		t.Errorf("PEM of PKCS#7: %v", err)
	}
}

func TestSizeFirst(t *testing.T) {
	_, err := formats.Parse(make([]byte, 11), entry.ReadOptions{Budget: limits.New(trustkeep.Limits{MaxSize: 10})})
	if !errors.Is(err, trustkeep.ErrLimit) {
		t.Error(err)
	}
}

func TestEncodeUnknown(t *testing.T) {
	for _, s := range []*entry.Store{{Format: "floppy"}, {Format: entry.OpenSSH}} {
		if _, err := formats.Encode(s, "", entry.WriteOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", s.Format, err)
		}
	}
	if _, err := formats.Encode(&entry.Store{Format: entry.PKCS12}, "floppy", entry.WriteOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("unknown profile: %v", err)
	}
}

var sentinels = []error{
	trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrIncorrectPassword, trustkeep.ErrEmpty, trustkeep.ErrExists,
}

// FuzzParse: any bytes, any codec; an error with a sentinel or a store of the
// format that Detect announced.
func FuzzParse(f *testing.F) {
	for _, data := range fixtures(f) {
		f.Add(data)
	}
	small := trustkeep.Limits{MaxIterations: 5_000, MaxKDFMemory: 1 << 20, MaxEntries: 100}
	f.Fuzz(func(t *testing.T, data []byte) {
		format, ok := formats.Detect(data)
		s, err := formats.Parse(data, entry.ReadOptions{Password: []byte("secret"), Budget: limits.New(small), AllowUnauthenticated: true})
		switch {
		case err != nil:
			for _, sentinel := range sentinels {
				if errors.Is(err, sentinel) {
					return
				}
			}
			t.Fatalf("untyped error %v", err)
		case !ok:
			t.Fatalf("read as %s, but not detected", s.Format)
		case s.Format != format:
			t.Fatalf("read as %s, detected as %s", s.Format, format)
		}
		for _, e := range s.Entries {
			if e.Kind == 0 {
				t.Fatalf("entry without a kind: %+v", e)
			}
		}
	})
}
