package main

import (
	"bytes"
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/sshctx"
)

func TestProve(t *testing.T) {
	var out bytes.Buffer
	if err := prove(t.Context(), &out); err != nil || bytes.Count(out.Bytes(), []byte("as it should")) != 9 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// A host is shown, accepted into a file of known hosts, and files go there and back by a key out
// of a PKCS#12 store.
func TestRun(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("STORE_PASSWORD", "changeit")
	hostKey, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: "host"}})
	if err != nil {
		t.Fatal(err)
	}
	me, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: "me"}})
	if err != nil {
		t.Fatal(err)
	}
	store := keystore.New()
	if err := store.SetIdentity("me", me); err != nil {
		t.Fatal(err)
	}
	s := settings{user: "me", identity: filepath.Join(folder, "me.p12"), identityEnv: "STORE_PASSWORD", alias: "me", knownHosts: filepath.Join(folder, "known"), to: filepath.Join(folder, "to")}
	if err := store.Save(s.identity, trustkeep.SaveOptions{Password: trustkeep.PasswordFromEnv("STORE_PASSWORD")}); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(s.to, 0o700); err != nil {
		t.Fatal(err)
	}
	lines, err := sshctx.AuthorizedLines(sshctx.FromIdentity(me))
	if err != nil {
		t.Fatal(err)
	}
	authorized, err := sshctx.ParseAuthorizedKeys([]byte(strings.Join(lines, "\n")))
	if err != nil {
		t.Fatal(err)
	}
	server, err := listen(sshctx.FromIdentity(hostKey), authorized)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	s.address = server.address

	signers, err := sshctx.FromIdentity(hostKey).SSHSigners()
	if err != nil {
		t.Fatal(err)
	}
	s.accept = "SHA256:" + strings.Repeat("A", 43)
	if err := s.run(t.Context()); err == nil {
		t.Error("accepted a fingerprint that the host has not")
	}
	s.accept = sshctx.Fingerprint(signers[0].PublicKey())
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	s.accept = ""
	source := filepath.Join(folder, "orders.csv")
	content := bytes.Repeat([]byte("x"), 100_000)
	if err := os.WriteFile(source, content, 0o600); err != nil {
		t.Fatal(err)
	}
	s.put, s.get, s.list = source, "/orders.csv", "/"
	if err := s.run(t.Context()); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(filepath.Join(s.to, "orders.csv"))
	if err != nil || !bytes.Equal(got, content) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	s.get = "/none"
	if err := s.run(t.Context()); err == nil {
		t.Error("fetched what is not there")
	}
	if files, err := os.ReadDir(s.to); err != nil || len(files) != 1 {
		t.Error(files, err)
	}
	other, err := sshctx.FromIdentity(me).SSHSigners()
	if err != nil {
		t.Fatal(err)
	}
	s.pin = sshctx.Fingerprint(other[0].PublicKey())
	if err := s.run(t.Context()); err == nil {
		t.Error("the pin does not replace the known hosts")
	}
}
