package cms_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// What is sealed, and what it is sealed with, is not in a log that has the writer or the
// reader in it.
func TestStreamsPrintNoSecret(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	person := pki.Issue(testpki.Request{Names: []string{"me@a.example"}, KeyType: testpki.RSA2048})
	pair := person.TLSCertificate()
	own := cms.IdentityFunc(func() (*tls.Certificate, error) { return &pair, nil })
	const canary = "canary-of-the-content-that-is-sealed"
	for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.AES256GCM} {
		var sealed bytes.Buffer
		w, err := cms.SealOptions{Cipher: cipher}.Writer(&sealed, person.Cert)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, canary)
		quiet(t, w, canary)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := cms.OpenOptions{}.Reader(&sealed, own)
		if err != nil {
			t.Fatal(err)
		}
		r.Read(make([]byte, 8))
		quiet(t, r, canary)
	}
	var compressed bytes.Buffer
	w, err := cms.CompressOptions{}.Writer(&compressed)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, canary)
	quiet(t, w, canary)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	plain, err := cms.DecompressOptions{}.Reader(&compressed)
	if err != nil {
		t.Fatal(err)
	}
	plain.Read(make([]byte, 8))
	quiet(t, plain, canary)
	var signed bytes.Buffer
	w, err = cms.SignOptions{}.Writer(&signed, own)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, canary)
	quiet(t, w, canary)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := cms.VerifyOptions{Trust: truststore.New(pki.Root.Cert)}.Reader(&signed)
	if err != nil {
		t.Fatal(err)
	}
	r.Read(make([]byte, 8))
	quiet(t, r, canary)
}

// quiet shows neither the content, of which 8 octets may have been read, nor the key that it
// is sealed with.
func quiet[T any](t *testing.T, v T, content string) {
	t.Helper()
	testleak.Check(t, v, []byte(content), []byte(content[8:]))
	if strings.Contains(testleak.Text(v)+testleak.Text(struct{ v T }{v}), "RoundKeys") {
		t.Errorf("%T prints a key", v)
	}
	for line := range strings.SplitSeq(testleak.Text(v), "\n") {
		if len(line) > 200 {
			t.Errorf("%T prints its inside: %.200s", v, line)
		}
	}
}
