package pkcs7

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

func options() entry.ReadOptions {
	return entry.ReadOptions{Budget: limits.New(trustkeep.Limits{})}
}

func fixture(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func aliases(s *entry.Store) (names []string) {
	for _, e := range s.Entries {
		names = append(names, e.Alias)
	}
	slices.Sort(names)
	return names
}

func TestParse(t *testing.T) {
	tests := []struct {
		file string
		want []string
	}{
		{"certs.p7b", []string{"Root A", "Root B"}},
		{"cert-and-crl.p7b", []string{"Root A", "Root A crl"}},
		{"crl.p7b", []string{"Root A crl"}},
		{"signed-ber.p7m", []string{"Root A", "Root B"}},
	}
	for _, test := range tests {
		t.Run(test.file, func(t *testing.T) {
			s, err := Parse(fixture(t, test.file), options())
			if err != nil {
				t.Fatal(err)
			}
			if got := aliases(s); !slices.Equal(got, test.want) || s.Format != entry.PKCS7 {
				t.Errorf("got %q, want %q", got, test.want)
			}
			for _, e := range s.Entries {
				if len(e.Chain) == 0 {
					continue
				}
				if _, err := e.Chain[0].X509(); err != nil || e.Kind != entry.Trusted {
					t.Errorf("%s: kind %d, %v", e.Alias, e.Kind, err)
				}
			}
			out, err := Encode(s)
			if err != nil {
				t.Fatal(err)
			}
			back, err := Parse(out, options())
			if err != nil || !slices.Equal(aliases(back), test.want) {
				t.Errorf("written and read again: %v", err)
			}
		})
	}
}

// What OpenSSL writes for the same certificates is what Encode writes.
func TestEncodeAsOpenSSL(t *testing.T) {
	want := fixture(t, "certs.p7b")
	s, err := Parse(want, options())
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(s.Entries) // DER sorts
	got, err := Encode(s)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d octets instead of %d: %v", len(got), len(want), err)
	}
	again, err := Encode(s)
	if err != nil || !bytes.Equal(got, again) {
		t.Errorf("not the same again: %v", err)
	}
}

// nest puts content into n elements of a constructed tag.
func nest(n int, header []byte) []byte { return bytes.Repeat(header, n) }

func TestRefused(t *testing.T) {
	certs := fixture(t, "certs.p7b")
	empty := []byte{0x30, 0x1a, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02,
		0xa0, 0x0d, 0x30, 0x0b, 0x02, 0x01, 0x01, 0x31, 0x00, 0x30, 0x02, 0x06, 0x00, 0x31, 0x00}
	empty[1] = byte(len(empty) - 2)
	tests := []struct {
		name string
		data []byte
		want error
	}{
		{"nothing", nil, trustkeep.ErrCorrupt},
		{"other content", fixture(t, "enveloped.p7m"), trustkeep.ErrUnsupported},
		{"no certificates", empty, trustkeep.ErrEmpty},
		{"data behind", append(slices.Clone(certs), 0), trustkeep.ErrCorrupt},
		{"4 MB of open sequences", nest(2<<20, []byte{0x30, 0x80}), trustkeep.ErrLimit},
		{"length of 4 GiB", []byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x06}, trustkeep.ErrCorrupt},
		{"large", make([]byte, 1<<21+1<<22), trustkeep.ErrLimit},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s, err := Parse(test.data, entry.ReadOptions{Budget: limits.New(trustkeep.Limits{MaxSize: 5 << 20})})
			if !errors.Is(err, test.want) || s != nil {
				t.Errorf("got %v, want %v", err, test.want)
			}
		})
	}
	for n := range len(certs) {
		if _, err := Parse(certs[:n], options()); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%d octets: %v", n, err)
		}
	}
	if _, err := Parse(certs, entry.ReadOptions{Budget: limits.New(trustkeep.Limits{MaxEntries: 1})}); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("two certificates where one is allowed: %v", err)
	}
}

// A certificate that is broken does not hide the other, and is written again.
func TestBrokenCertificateIsKept(t *testing.T) {
	data := fixture(t, "certs.p7b")
	s, err := Parse(data, options())
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(data, s.Entries[0].Chain[0].Raw)
	if at < 0 {
		t.Fatal("certificate is not in the file")
	}
	rotten := slices.Clone(data)
	rotten[at+4] = 0x31 // TBSCertificate is no SEQUENCE
	s, err = Parse(rotten, options())
	if err != nil || len(s.Entries) != 2 {
		t.Fatalf("%v", err)
	}
	broken := 0
	for _, e := range s.Entries {
		if e.Kind == entry.Opaque && errors.Is(e.Err, trustkeep.ErrCorrupt) {
			broken++
		}
	}
	out, err := Encode(s)
	if broken != 1 || err != nil || len(out) != len(rotten) {
		t.Errorf("%d broken; %v", broken, err)
	}
}

func TestEncodeRefuses(t *testing.T) {
	for want, e := range map[error]*entry.Entry{
		trustkeep.ErrUnsupported: {Kind: entry.Key, Alias: "k", Key: &entry.PrivateKey{}},
		trustkeep.ErrEmpty:       nil,
	} {
		s := &entry.Store{}
		if e != nil {
			s.Entries = append(s.Entries, e)
		}
		if out, err := Encode(s); !errors.Is(err, want) || out != nil {
			t.Errorf("got %v, want %v", err, want)
		}
	}
}

// OpenSSL, GnuTLS and keytool list the certificates of what is written here.
func TestInteropTools(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	s := &entry.Store{}
	for _, der := range pki.Server("interop.example").DERChain() {
		s.Entries = append(s.Entries, &entry.Entry{Kind: entry.Trusted, Chain: []*entry.Certificate{entry.NewCertificate(der)}})
	}
	der, err := Encode(s)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "x.p7b")
	if err := os.WriteFile(path, der, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"openssl", "pkcs7", "-inform", "DER", "-in", path, "-print_certs", "-text"},
		{"certtool", "--p7-info", "--inder", "--infile", path},
		{"keytool", "-printcert", "-file", path},
	} {
		t.Run(args[0], func(t *testing.T) {
			out, err := testtool.Command(t, args[0], args[1:]...).CombinedOutput()
			if n := strings.Count(string(out), "interop.example"); err != nil || n == 0 && args[0] != "certtool" {
				t.Errorf("%v\n%s", err, out)
			}
			t.Logf("%v: read", args)
		})
	}
}

func FuzzPKCS7(f *testing.F) {
	paths, err := filepath.Glob("testdata/*.p7?")
	if err != nil || len(paths) == 0 {
		f.Fatal("no seeds")
	}
	for _, path := range paths {
		f.Add(fixture(f, filepath.Base(path)))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		s, err := Parse(data, entry.ReadOptions{Budget: limits.New(trustkeep.Limits{MaxEntries: 100})})
		if err != nil {
			for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrEmpty} {
				if errors.Is(err, sentinel) {
					return
				}
			}
			t.Fatalf("untyped error %v", err)
		}
		out, err := Encode(s)
		if err != nil {
			t.Fatalf("not written: %v", err)
		}
		distinct := make(map[string]bool)
		for _, e := range s.Entries {
			if len(e.Chain) > 0 {
				distinct[string(e.Chain[0].Raw)] = true
			} else {
				distinct[string(e.Raw)+string(rune(e.Kind))] = true
			}
		}
		back, err := Parse(out, options())
		if err != nil || len(back.Entries) > len(distinct) {
			t.Fatalf("read again: %v, %d entries of %d", err, len(back.Entries), len(distinct))
		}
	})
}
