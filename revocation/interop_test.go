package revocation

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// OpenSSL's responder understands what is asked, by SHA-256, and its lists and responses say
// here what they say there.
func TestInteropOpenSSLResponderAndLists(t *testing.T) {
	folder := testtool.NewFolder(t, "openssl")
	pki := testpki.New(t, testpki.Options{Now: time.Now().Truncate(time.Second)})
	ca := pki.Intermediate
	issue := func(name string) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{name}, Edit: func(c *x509.Certificate) {
			c.OCSPServer, c.CRLDistributionPoints = []string{ocspURL}, []string{crlURL}
		}})
	}
	good, stolen, held, strange := issue("good.example"), issue("stolen.example"), issue("held.example"), issue("strange.example")
	var index strings.Builder
	line := func(id *testpki.Identity, status, revoked string) {
		fmt.Fprintf(&index, "%s\t%s\t%s\t%X\tunknown\t/CN=%s\n", status, id.Cert.NotAfter.UTC().Format("060102150405Z"), revoked, id.Cert.SerialNumber.Bytes(), id.Cert.DNSNames[0])
	}
	then := pki.Now().Add(-time.Hour).UTC().Format("060102150405Z")
	line(good, "V", "")
	line(stolen, "R", then+",keyCompromise")
	line(held, "R", then+",holdInstruction,holdInstructionNone")
	folder.Write("index.txt", []byte(index.String()))
	folder.Write("number", []byte("1001\n"))
	folder.Write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Cert.Raw}))
	folder.Write("ca.key", ca.KeyPEM())
	folder.Write("ca.cnf", []byte("[ca]\ndefault_ca=d\n[d]\ndatabase=index.txt\ncrlnumber=number\ndefault_md=sha256\ndefault_crl_days=1\nprivate_key=ca.key\ncertificate=ca.pem\ncrl_extensions=x\n"+
		"[x]\nauthorityKeyIdentifier=keyid\nissuingDistributionPoint=critical,@point\n[point]\nonlyuser=TRUE\nfullname=URI:"+crlURL+"\n"))
	folder.Run("openssl", "ca", "-config", "ca.cnf", "-gencrl", "-out", "list.pem")
	list := folder.Read("list.pem")

	n := 0
	fetch := func(_ context.Context, _ string, request []byte) ([]byte, error) {
		n++
		in, out := fmt.Sprintf("%d.req", n), fmt.Sprintf("%d.resp", n)
		folder.Write(in, request)
		folder.Run("openssl", "ocsp", "-index", "index.txt", "-CA", "ca.pem", "-rsigner", "ca.pem", "-rkey", "ca.key", "-ndays", "1", "-reqin", in, "-respout", out)
		return folder.Read(out), nil
	}
	asOCSP, err := New(Options{Coverage: LeafOnly, FetchOCSP: fetch})
	if err != nil {
		t.Fatal(err)
	}
	asList, err := New(Options{Coverage: LeafOnly, FetchCRL: func(context.Context, string) ([]byte, error) { return list, nil }})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		id         *testpki.Identity
		ocsp, list string
	}{{good, "good", "good"}, {stolen, "revoked", "revoked"}, {held, "revoked", "revoked"}, {strange, "unknown", "good"}} {
		for how, want := range map[*Checker]string{asOCSP: c.ocsp, asList: c.list} {
			if err := how.check(t.Context(), c.id.Chain, nil, time.Now()); outcome(err) != want {
				t.Errorf("%s, OCSP %t: %v", c.id.Cert.DNSNames[0], how == asOCSP, err)
			}
		}
	}
	if n != 4 {
		t.Errorf("%d requests about 4 certificates: SHA-256 was refused", n)
	}
	var id changing
	id.set(good)
	s, err := NewStapled(t.Context(), &id, StapleOptions{FetchOCSP: fetch})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var cert *tls.Certificate
	if cert, err = s.TLSCertificate(); err != nil || cert.OCSPStaple == nil {
		t.Fatalf("nothing is stapled: %v, %v", err, s.Err())
	}
	folder.Write("staple.der", cert.OCSPStaple)
	folder.Write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.Root.Cert.Raw}))
	if text := folder.Run("openssl", "ocsp", "-respin", "staple.der", "-CAfile", "root.pem", "-verify_other", "ca.pem", "-resp_text"); !strings.Contains(text, "Cert Status: good") {
		t.Error(text)
	}
}
