package truststore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestSaveKeepsFormat: a store stays what it was, aliases and all, and an
// addition is there after reading it again.
func TestSaveKeepsFormat(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for file, password := range map[string]trustkeep.PasswordSource{
		"trust.jks": changeit, "trust.p12": changeit, "passwordless.p12": nil, "trust.pem": nil, "trust.p7b": nil,
	} {
		t.Run(file, func(t *testing.T) {
			store, err := truststore.Load(filepath.Join("testdata", file), password)
			if err != nil {
				t.Fatal(err)
			}
			if err := store.Add("Näue CA", pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join(t.TempDir(), "store")
			if err := store.Save(path, trustkeep.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			info, err := os.Stat(path)
			if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			again, err := truststore.Load(path, password)
			if err != nil {
				t.Fatal(err)
			}
			if again.Format() != store.Format() || again.Len() != 3 || again.Authenticated() != store.Authenticated() {
				t.Errorf("%v, authenticated %v", again, again.Authenticated())
			}
			if s, _ := again.Snapshot(); !s.Contains(pki.Root.Cert) {
				t.Error("the added certificate is gone")
			}
			if file != "trust.p7b" && file != "trust.pem" {
				if e, err := again.Entry("NÄUE ca"); err != nil || !e.Certificate.Equal(pki.Root.Cert) {
					t.Errorf("by alias: %v", err)
				}
			}
		})
	}
}

func TestSaveOptions(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	tests := []struct {
		o       trustkeep.SaveOptions
		read    trustkeep.PasswordSource
		authent bool
	}{
		{trustkeep.SaveOptions{Password: changeit}, changeit, true},
		{trustkeep.SaveOptions{Password: changeit, Profile: trustkeep.Legacy}, changeit, true},
		{trustkeep.SaveOptions{Profile: trustkeep.Passwordless}, nil, false},
		{trustkeep.SaveOptions{Password: changeit, Format: trustkeep.JKS, Mode: 0o644}, changeit, true},
		{trustkeep.SaveOptions{Format: trustkeep.PEM}, nil, false},
		{trustkeep.SaveOptions{Format: trustkeep.PKCS7}, nil, false},
	}
	for _, tt := range tests {
		t.Run(fmt.Sprint(tt.o.Format, tt.o.Profile), func(t *testing.T) {
			store := truststore.New(pki.Root.Cert, pki.Intermediate.Cert)
			path := filepath.Join(t.TempDir(), "store")
			if err := store.Save(path, tt.o); err != nil {
				t.Fatal(err)
			}
			want := tt.o.Format
			if want == "" {
				want = trustkeep.PKCS12
			}
			if store.Format() != want || store.Generation() != 1 {
				t.Errorf("after saving: %v, generation %d", store, store.Generation())
			}
			info, err := os.Stat(path)
			if err != nil || tt.o.Mode != 0 && runtime.GOOS != "windows" && info.Mode().Perm() != tt.o.Mode {
				t.Errorf("mode %v, %v", info.Mode(), err)
			}
			again, err := truststore.Load(path, tt.read)
			if err != nil {
				t.Fatal(err)
			}
			if again.Len() != 2 || again.Format() != want || again.Authenticated() != tt.authent {
				t.Errorf("read again: %v, authenticated %v", again, again.Authenticated())
			}
			// Saved once, it can be saved again without being told how.
			if err := store.RemoveCertificate(pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			if err := store.Save(path, trustkeep.SaveOptions{}); err != nil {
				t.Fatal(err)
			}
			if again, err = truststore.Load(path, tt.read); err != nil || again.Len() != 1 {
				t.Errorf("second time: %v, %v", again, err)
			}
		})
	}
}

func TestSaveErrors(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	path := filepath.Join(t.TempDir(), "store.jks")
	store := truststore.New(pki.Root.Cert)
	if err := store.Save(path, trustkeep.SaveOptions{Format: trustkeep.JKS}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("jks without password: %v", err)
	}
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a failed save left a file: %v", err)
	}
	jks := trustkeep.SaveOptions{Format: trustkeep.JKS, Password: changeit}
	if err := store.Save(path, jks); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(path)

	// Two aliases that differ in case only.
	if err := store.Add("TEST root ca", pki.Intermediate.Cert); err != nil {
		t.Fatal(err)
	}
	if err := store.Add("Test ROOT ca", pki.Intermediate.Cert); !errors.Is(err, trustkeep.ErrExists) {
		t.Errorf("alias in another case: %v", err)
	}
	if err := store.Save(path, trustkeep.SaveOptions{Profile: "no such profile", Format: trustkeep.PKCS12}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("profile: %v", err)
	}
	if err := store.Save(path, trustkeep.SaveOptions{Password: trustkeep.PasswordFromEnv("TRUSTKEEP_TEST_UNSET")}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("password: %v", err)
	}
	if err := store.Save(path, trustkeep.SaveOptions{Format: trustkeep.PEM, Password: changeit, NoPassword: true}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("with and without a password: %v", err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a failed save changed the file")
	}

	// Somebody else was faster.
	other, err := truststore.Load(path, changeit)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Add("other", pki.Server("x").Cert); err != nil {
		t.Fatal(err)
	}
	if err := other.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := store.Save(path, trustkeep.SaveOptions{}); !errors.Is(err, trustkeep.ErrConflict) {
		t.Errorf("conflict: %v", err)
	}
	if err := (*truststore.Truststore)(nil).Save(path, trustkeep.SaveOptions{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nil store: %v", err)
	}
}

// TestUpdate: several writers lose nothing.
func TestUpdate(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	path := filepath.Join(t.TempDir(), "trust.p12")
	o := trustkeep.SaveOptions{Profile: trustkeep.Passwordless}
	var wg sync.WaitGroup
	const writers, each = 4, 5
	leaf := pki.Root.Cert
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				err := truststore.Update(path, nil, o, func(s *truststore.Truststore) error {
					return s.Add(fmt.Sprintf("w%d-%d", w, i), leaf)
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	store, err := truststore.Load(path, nil)
	if err != nil || store.Len() != writers*each {
		t.Errorf("%v, %v", store, err)
	}
	stop := errors.New("stop")
	if err := truststore.Update(path, nil, o, func(*truststore.Truststore) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("%v", err)
	}
	if err := truststore.Update(path, changeit, o, func(*truststore.Truststore) error { return nil }); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("password for a store without: %v", err)
	}
}

// TestInteropKeytool: what is written here is listed by keytool, every alias
// and every certificate as trusted.
func TestInteropKeytool(t *testing.T) {
	testtool.Need(t, "keytool")
	pki := testpki.New(t, testpki.Options{Name: "Interop"})
	store := truststore.New()
	for alias, id := range map[string]*testpki.Identity{"root": pki.Root, "sub ca": pki.Intermediate, "partner-ä": pki.SelfSigned("partner.example")} {
		if err := store.Add(alias, id.Cert); err != nil {
			t.Fatal(err)
		}
	}
	for name, o := range map[string]trustkeep.SaveOptions{
		"modern":       {Format: trustkeep.PKCS12, Password: changeit},
		"legacy":       {Format: trustkeep.PKCS12, Password: changeit, Profile: trustkeep.Legacy},
		"passwordless": {Format: trustkeep.PKCS12, Profile: trustkeep.Passwordless},
		"jks":          {Password: changeit, Format: trustkeep.JKS},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			if err := store.Save(path, o); err != nil {
				t.Fatal(err)
			}
			text := testtool.Run(t, "keytool", "-J-Duser.language=en", "-J-Dfile.encoding=UTF-8", "-J-Dstdout.encoding=UTF-8",
				"-list", "-v", "-keystore", path, "-storepass", "changeit")
			if strings.Count(text, "trustedCertEntry") != 3 || !strings.Contains(text, "Alias name: sub ca") {
				t.Errorf("keytool lists\n%s", text)
			}
			for _, id := range []*testpki.Identity{pki.Root, pki.Intermediate} {
				sum := strings.ToUpper(trustkeep.DescribeCertificate(id.Cert).SHA256)
				var colons strings.Builder
				for i := 0; i < len(sum); i += 2 {
					if i > 0 {
						colons.WriteByte(':')
					}
					colons.WriteString(sum[i : i+2])
				}
				if !strings.Contains(text, colons.String()) {
					t.Errorf("keytool does not list %s", id.Cert.Subject)
				}
			}
			t.Logf("%s: 3 trusted entries", name)
		})
	}
}
