package cms_test

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// What is sealed, and what it is sealed with, is not in a log that has the writer or the
// reader in it.
func TestStreamsPrintNoSecret(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	person := pki.Issue(testpki.Request{Names: []string{"me@a.example"}, KeyType: testpki.RSA2048})
	pair := person.TLSCertificate()
	own := cms.IdentityFunc(func() (*tls.Certificate, error) { return &pair, nil })
	const canary = "canary-of-the-content-that-is-sealed"
	var out bytes.Buffer
	show := func(v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
	}
	for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.AES256GCM} {
		var sealed bytes.Buffer
		w, err := cms.SealOptions{Cipher: cipher}.Writer(&sealed, person.Cert)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, canary)
		show(w)
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := cms.OpenOptions{}.Reader(&sealed, own)
		if err != nil {
			t.Fatal(err)
		}
		r.Read(make([]byte, 8))
		show(r)
	}
	var signed bytes.Buffer
	w, err := cms.SignOptions{}.Writer(&signed, own)
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(w, canary)
	show(w)
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary))[1:40], "0x63, 0x61, 0x6e, 0x61, 0x72, 0x79", "RoundKeys", "0x63616e617279"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("printed %q", form)
		}
	}
	for _, line := range strings.Split(out.String(), "\n") {
		if len(line) > 100 {
			t.Errorf("prints its inside: %.200s", line)
		}
	}
}
