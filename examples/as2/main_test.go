package main

import (
	"bytes"
	"crypto/x509/pkix"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestProve(t *testing.T) {
	var out bytes.Buffer
	if err := prove(t.Context(), &out); err != nil || bytes.Count(out.Bytes(), []byte("as it should")) != 18 {
		t.Errorf("%v\n%s", err, out.String())
	}
}

// A file goes from one program to the other by what the flags say.
func TestRun(t *testing.T) {
	folder := t.TempDir()
	t.Setenv("STORE_PASSWORD", "changeit")
	password := trustkeep.PasswordFromEnv("STORE_PASSWORD")
	ids := make(map[string]*keystore.Identity)
	for _, name := range []string{"us", "them"} {
		id, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: name}, EmailAddresses: []string{"as2@example.com"}})
		if err != nil {
			t.Fatal(err)
		}
		store := keystore.New()
		if err := store.SetIdentity(name, id); err != nil {
			t.Fatal(err)
		}
		if err := store.Save(filepath.Join(folder, name+".p12"), trustkeep.SaveOptions{Password: password}); err != nil {
			t.Fatal(err)
		}
		if err := truststore.New(id.Leaf()).Save(filepath.Join(folder, name+".pem"), trustkeep.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
		ids[name] = id
	}
	s := settings{from: "us", to: "them", inbox: filepath.Join(folder, "inbox")}
	h, err := s.handler(ids["them"], truststore.New(ids["us"].Leaf()))
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(h)
	defer server.Close()

	content := bytes.Repeat([]byte("x"), 100_000)
	s = settings{
		url: server.URL, from: "us", to: "them", identity: filepath.Join(folder, "us.p12"), identityEnv: "STORE_PASSWORD",
		partner: filepath.Join(folder, "them.pem"), file: filepath.Join(folder, "order.edi"), id: "<1@us>",
	}
	if err := os.WriteFile(s.file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second is a repetition
		if err := s.send(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(folder, "inbox", "*-order.edi"))
	if err != nil || len(files) != 1 {
		t.Fatal(files, err)
	}
	if got, err := os.ReadFile(files[0]); err != nil || !bytes.Equal(got, content) {
		t.Error(len(got), err)
	}
	s.partner, s.id = filepath.Join(folder, "us.pem"), "<2@us>"
	if err := s.send(t.Context()); err == nil {
		t.Error("sent with the wrong certificate of the partner")
	}
}
