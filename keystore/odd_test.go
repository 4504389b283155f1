package keystore_test

import (
	"bytes"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// certtool wraps PKCS#12 in PEM unless it is told not to.
func TestPEMThatWrapsPKCS12(t *testing.T) {
	password := trustkeep.Password("changeit")
	data, err := newStore(t).Encode(trustkeep.SaveOptions{Password: password})
	if err != nil {
		t.Fatal(err)
	}
	wrapped := append([]byte("text before it\n"), pem.EncodeToMemory(&pem.Block{Type: "PKCS12", Bytes: data})...)
	ks, err := keystore.Parse(wrapped, password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ks.Identity("server"); err != nil || ks.Format() != trustkeep.PKCS12 {
		t.Errorf("%s: %v", ks.Format(), err)
	}
	for _, broken := range [][]byte{
		wrapped[:len(wrapped)/2], bytes.Replace(wrapped, []byte("MI"), []byte("??"), 1),
		pem.EncodeToMemory(&pem.Block{Type: "PKCS12", Bytes: []byte("0")}), pem.EncodeToMemory(&pem.Block{Type: "PKCS12"}),
	} {
		if _, err := keystore.Parse(broken, password); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%q: %v", broken[:20], err)
		}
	}
}

// What openssl -caname and other writers call the certificates of a chain is shown and
// survives a rewrite.
func TestInteropChainNames(t *testing.T) {
	testtool.Need(t, "openssl")
	folder := t.TempDir()
	root, intermediate := newCA(t)
	ks := keystore.New()
	id := generate(t, ks, "server", issue.Options{DNSNames: []string{"a.example"}, Issuer: intermediate, Clock: clockAt(noon)})
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: marshalKey(t, ks)})
	write := func(name string, data []byte) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	path := filepath.Join(folder, "named.p12")
	cas := write("cas.pem", pemOf(intermediate.Leaf(), root.Leaf()))
	testtool.Run(t, "openssl", "pkcs12", "-export", "-in", write("server.pem", append(pemOf(id.Leaf()), key...)), "-certfile", cas,
		"-name", "server", "-caname", "the intermediate", "-caname", "the root", "-passout", "pass:changeit", "-out", path)
	password := trustkeep.Password("changeit")
	ks, err := keystore.Load(path, password)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		e, err := ks.Entry("server")
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"", "the intermediate", "the root"}; !slices.Equal(e.ChainNames, want) {
			t.Errorf("names %q, want %q", e.ChainNames, want)
		}
		data, err := ks.Encode(trustkeep.SaveOptions{Password: trustkeep.Password("another")})
		if err != nil {
			t.Fatal(err)
		}
		if ks, err = keystore.Parse(data, trustkeep.Password("another")); err != nil {
			t.Fatal(err)
		}
	}
}

// MACs of hashes that openssl has and no other writer uses.
func TestInteropMACHashes(t *testing.T) {
	testtool.Need(t, "openssl")
	folder := t.TempDir()
	data, err := newStore(t).Encode(trustkeep.SaveOptions{Format: trustkeep.PEM, NoPassword: true})
	if err != nil {
		t.Fatal(err)
	}
	in := filepath.Join(folder, "in.pem")
	if err := os.WriteFile(in, data, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, hash := range []string{"md5", "sha3-224", "sha3-256", "sha3-384", "sha3-512"} {
		path := filepath.Join(folder, hash)
		testtool.Run(t, "openssl", "pkcs12", "-export", "-in", in, "-name", "server", "-macalg", hash, "-passout", "pass:changeit", "-out", path)
		ks, err := keystore.Load(path, trustkeep.Password("changeit"))
		if err != nil {
			t.Errorf("%s: %v", hash, err)
			continue
		}
		if _, err := ks.Identity("server"); err != nil {
			t.Errorf("%s: %v", hash, err)
		}
		if _, err := keystore.Load(path, trustkeep.Password("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s: %v", hash, err)
		}
		// Saved in the same way, and read by openssl again.
		if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
			t.Errorf("%s: %v", hash, err)
			continue
		}
		testtool.Run(t, "openssl", "pkcs12", "-in", path, "-passin", "pass:changeit", "-noout")
	}
}

// A PEM file of a key and a certificate that do not match says so where the identity is
// wanted, and not only in a finding.
func TestPEMPairThatDoesNotMatch(t *testing.T) {
	ks, other := newStore(t), newStore(t)
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: marshalKey(t, ks)})
	mixed, err := keystore.Parse(append(key, pemOf(other.Certificates()...)...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := mixed.Identity(""); !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Errorf("%v", err)
	}
	alone, err := keystore.Parse(key, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := alone.Identity(""); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("without a certificate: %v", err)
	}
}
