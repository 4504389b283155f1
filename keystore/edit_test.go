package keystore_test

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

func newIdentity(t testing.TB, id *testpki.Identity) *keystore.Identity {
	t.Helper()
	made, err := keystore.NewIdentity(id.Key, id.Chain...)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

func wantError(t *testing.T, err, want error, texts ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error %v, want %v", err, want)
		return
	}
	for _, text := range texts {
		if !strings.Contains(err.Error(), text) {
			t.Errorf("error %q does not say %q", err, text)
		}
	}
}

func TestAliasesFoldCase(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := keystore.New()
	id := newIdentity(t, pki.Server("a"))
	if err := ks.SetIdentity("Server", id); err != nil {
		t.Fatal(err)
	}
	for _, spelling := range []string{"Server", "server", "SERVER"} {
		got, err := ks.Identity(spelling)
		if err != nil || got.Alias() != "Server" {
			t.Errorf("%s: %v, %v", spelling, got, err)
		}
	}
	wantError(t, ks.SetIdentity("SERVER", id), trustkeep.ErrExists, `"Server"`)
	wantError(t, ks.SetTrusted("server", pki.Root.Cert), trustkeep.ErrExists)
	if err := ks.SetIdentity("Server", newIdentity(t, pki.Server("b"))); err != nil {
		t.Errorf("replacing the very alias: %v", err)
	}
	if err := ks.SetTrusted("ca", pki.Root.Cert); err != nil {
		t.Fatal(err)
	}
	wantError(t, ks.Rename("ca", "SERVER"), trustkeep.ErrExists)
	if err := ks.Rename("server", "SERVER"); err != nil {
		t.Errorf("changing only the spelling: %v", err)
	}
	if got := ks.Aliases(); !slices.Equal(got, []string{"SERVER", "ca"}) {
		t.Errorf("aliases %q", got)
	}
	wantError(t, ks.Rename("none", "x"), trustkeep.ErrNotFound, `"SERVER"`, `"ca"`)
	wantError(t, ks.Delete("none"), trustkeep.ErrNotFound)
	if err := ks.Delete("Ca"); err != nil {
		t.Fatal(err)
	}
	if ks.Len() != 1 {
		t.Errorf("%d entries", ks.Len())
	}
	wantError(t, ks.SetIdentity("", id), trustkeep.ErrInvalid)
	wantError(t, ks.SetIdentity("x", nil), trustkeep.ErrInvalid)
	wantError(t, ks.SetTrusted("x", nil), trustkeep.ErrInvalid)
}

func TestIdentityWithoutAlias(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := keystore.New()
	_, err := ks.Identity("")
	wantError(t, err, trustkeep.ErrNotFound, "no private key")
	if err := ks.SetTrusted("ca", pki.Root.Cert); err != nil {
		t.Fatal(err)
	}
	_, err = ks.Identity("ca")
	wantError(t, err, trustkeep.ErrNotFound, "kind trusted")
	if err := ks.SetIdentity("one", newIdentity(t, pki.Server("a"))); err != nil {
		t.Fatal(err)
	}
	if id, err := ks.Identity(""); err != nil || id.Alias() != "one" {
		t.Errorf("the only key: %v, %v", id, err)
	}
	if err := ks.SetIdentity("two", newIdentity(t, pki.Server("b"))); err != nil {
		t.Fatal(err)
	}
	_, err = ks.Identity("")
	wantError(t, err, trustkeep.ErrNotFound, "several private keys", `"one"`, `"two"`)
	_, err = ks.Identity("three")
	wantError(t, err, trustkeep.ErrNotFound, `alias "three"`)
}

func TestNewIdentityChecksAndOrders(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server, other := pki.Server("a"), pki.Server("b")
	_, err := keystore.NewIdentity(server.Key, other.Chain...)
	wantError(t, err, trustkeep.ErrKeyMismatch)
	_, err = keystore.NewIdentity(server.Key)
	wantError(t, err, trustkeep.ErrInvalid)
	_, err = keystore.NewIdentity(nil, server.Chain...)
	wantError(t, err, trustkeep.ErrInvalid)

	shuffled := []*x509.Certificate{pki.Root.Cert, other.Cert, pki.Intermediate.Cert, server.Cert}
	id, err := keystore.NewIdentity(server.Key, shuffled...)
	if err != nil {
		t.Fatal(err)
	}
	want := []*x509.Certificate{server.Cert, pki.Intermediate.Cert, pki.Root.Cert, other.Cert}
	if !slices.Equal(id.Chain(), want) {
		t.Errorf("chain out of order: %v", id.Chain())
	}
	if id.SelfSigned() {
		t.Error("a CA-signed identity says that it is self-signed")
	}
	if !newIdentity(t, pki.SelfSigned("c")).SelfSigned() {
		t.Error("a self-signed identity does not say so")
	}
	if _, err := id.Decrypter(); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("an elliptic key decrypts: %v", err)
	}
}

func TestIdentitiesDoNotPrint(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := keystore.New()
	server := pki.Issue(testpki.Request{KeyType: testpki.Ed25519, Names: []string{"a"}})
	id := newIdentity(t, server)
	if err := ks.SetIdentity("a", id); err != nil {
		t.Fatal(err)
	}
	canary := fmt.Sprintf("%d", server.Key)
	canary = canary[10:60]
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	cert, err := id.TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{id, *id, ks, id.Signer(), cert, *cert} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		log.Info("x", "v", v)
	}
	if strings.Contains(out.String(), canary) {
		t.Error("the private key was printed")
	}
	if !strings.Contains(out.String(), `identity "`) || !strings.Contains(out.String(), "1 entries") {
		t.Errorf("nothing useful was printed: %s", out.String())
	}
}
