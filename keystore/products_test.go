package keystore_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/x509"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/keystore"
)

const windowsContainer = "te-5c0e2a3f-7c1e-4b4e-9a55-0d7c3f3a9f10"

// products are stores with the layout and the parameters of products; see
// testdata/products/README.md.
var products = []struct {
	file       string
	alias      string // of the key, "" where there is none
	names      []string
	trusted    string
	protection string
}{
	{"windows-3des-sha1.pfx", windowsContainer, []string{"Web Server", ""}, "", "PBES1 3DES-CBC PKCS12-SHA1 2000"},
	{"windows-aes256-sha256.pfx", windowsContainer, []string{"Web Server", ""}, "", "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 2000"},
	{"macos-keychain.p12", "Jane Appleseed", []string{"", "Products Test CA"}, "", "PBES1 3DES-CBC PKCS12-SHA1 2048"},
	{"keystore-explorer.p12", "products.example (products test ca)", nil, "products test ca", "PBES1 3DES-CBC PKCS12-SHA1 51200"},
	{"keystore-explorer.bcfks", "products.example (products test ca)", nil, "products test ca", "PBES2 AES-256-CCM PBKDF2-HMAC-SHA512 51200"},
	{"keystore-explorer.uber", "products.example (products test ca)", nil, "products test ca", "PBES1 3DES-CBC PKCS12-SHA1 1"},
	{"android.bks", "products.example (products test ca)", nil, "products test ca", "PBES1 3DES-CBC PKCS12-SHA1 1"},
	{"android-v1.bks", "products.example (products test ca)", nil, "products test ca", "PBES1 3DES-CBC PKCS12-SHA1 1"},
	{"android-cacerts.bks", "", nil, "0", ""},
}

// Each is read to the last name, and again after it was saved in its own format.
func TestStoresOfProducts(t *testing.T) {
	want := make(map[string][]byte)
	for _, name := range []string{"key.der", "leaf.der", "ca.der"} {
		der, err := os.ReadFile(filepath.Join("testdata", "products", name))
		if err != nil {
			t.Fatal(err)
		}
		want[name] = der
	}
	private, err := x509.ParsePKCS8PrivateKey(want["key.der"])
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range products {
		t.Run(p.file, func(t *testing.T) {
			password := trustkeep.Password("changeit")
			ks, err := keystore.Load(filepath.Join("testdata", "products", p.file), password)
			if err != nil {
				t.Fatal(err)
			}
			for round := range 2 {
				entries := 0
				if p.alias != "" {
					entries++
					e, err := ks.Entry(p.alias)
					if err != nil {
						t.Fatal(err)
					}
					if e.Kind != keystore.KeyEntry || e.Alias != p.alias || !slices.Equal(e.ChainNames, p.names) || e.OtherNames != nil || e.Err != nil {
						t.Errorf("%s %q, names %q and %q: %v", e.Kind, e.Alias, e.ChainNames, e.OtherNames, e.Err)
					}
					if len(e.RawChain) != 2 || !bytes.Equal(e.RawChain[0], want["leaf.der"]) || !bytes.Equal(e.RawChain[1], want["ca.der"]) {
						t.Errorf("%d certificates, or others", len(e.RawChain))
					}
					if round == 0 && !strings.HasPrefix(e.Protection, p.protection) {
						t.Errorf("protected by %s, want %s", e.Protection, p.protection)
					}
					id, err := ks.Identity(p.alias)
					if err != nil {
						t.Fatal(err)
					}
					if public := private.(*ecdsa.PrivateKey).Public().(*ecdsa.PublicKey); !public.Equal(id.Signer().Public()) {
						t.Error("another key")
					}
				}
				if p.trusted != "" {
					entries++
					e, err := ks.Entry(p.trusted)
					if err != nil || e.Kind != keystore.TrustedEntry || len(e.RawChain) != 1 || !bytes.Equal(e.RawChain[0], want["ca.der"]) {
						t.Errorf("trusted %q: %s, %v", p.trusted, e.Kind, err)
					}
				}
				if ks.Len() != entries {
					t.Errorf("%d entries, want %d", ks.Len(), entries)
				}
				data, err := ks.Encode(trustkeep.SaveOptions{Password: password})
				if err != nil {
					t.Fatal(err)
				}
				if ks, err = keystore.Parse(data, password); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := keystore.Load(filepath.Join("testdata", "products", p.file), trustkeep.Password("wrong")); err == nil {
				t.Error("a wrong password opens it")
			}
		})
	}
}

// What Windows says of a key is there for Windows after a change of the password.
func TestInteropWindowsAttributes(t *testing.T) {
	folder := testtool.NewFolder(t, "openssl")
	for _, file := range []string{"windows-3des-sha1.pfx", "windows-aes256-sha256.pfx"} {
		ks, err := keystore.Load(filepath.Join("testdata", "products", file), trustkeep.Password("changeit"))
		if err != nil {
			t.Fatal(err)
		}
		data, err := ks.Encode(trustkeep.SaveOptions{Password: trustkeep.Password("another"), Profile: trustkeep.OpenSSL11})
		if err != nil {
			t.Fatal(err)
		}
		folder.Write(file, data)
		shown := folder.Run("openssl", "pkcs12", "-in", file, "-passin", "pass:another", "-nodes")
		for _, want := range []string{
			"Microsoft Local Key set: <No Values>", "localKeyID: 01 00 00 00", "friendlyName: " + windowsContainer, "friendlyName: Web Server",
			"Microsoft CSP Name: Microsoft Software Key Storage Provider", "1.3.6.1.4.1.311.17.3.20: 00 00", "1.3.6.1.4.1.311.17.3.2: 4B 00",
		} {
			if !strings.Contains(shown, want) {
				t.Errorf("%s: openssl does not show %q", file, want)
			}
		}
	}
}
