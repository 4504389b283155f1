package truststore_test

import (
	"bytes"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

const host = "server.example"

func certs(c ...*x509.Certificate) []*x509.Certificate { return c }

// sent is what the peer presents: its chain without the root.
func sent(id *testpki.Identity) []*x509.Certificate {
	if len(id.Chain) > 1 {
		return id.Chain[:len(id.Chain)-1]
	}
	return id.Chain
}

func TestVerifyRules(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	other := testpki.New(t, testpki.Options{Name: "B"})
	server := pki.Server(host)
	sibling := pki.Server(host)
	self := pki.SelfSigned(host)
	selfCA := pki.Issue(testpki.Request{Names: []string{host}, CA: true, SelfSigned: true})
	belowSelfCA := pki.Issue(testpki.Request{Names: []string{host}, Issuer: selfCA})
	cross := pki.CrossSign(other.Root)
	crossed := other.Server(host)
	mail := pki.Issue(testpki.Request{Names: []string{"Ann@Partner.example"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})
	client := pki.Client("partner-7")

	tests := []struct {
		name   string
		trust  []*x509.Certificate
		chain  []*x509.Certificate
		o      truststore.VerifyOptions
		rule   truststore.Rule // zero: refused
		anchor *x509.Certificate
		code   trustkeep.Code
	}{
		{name: "root", trust: certs(pki.Root.Cert), chain: sent(server), rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "intermediate, sent", trust: certs(pki.Intermediate.Cert), chain: sent(server), rule: truststore.RuleChain, anchor: pki.Intermediate.Cert},
		{name: "intermediate, not sent", trust: certs(pki.Intermediate.Cert), chain: certs(server.Cert), rule: truststore.RuleChain, anchor: pki.Intermediate.Cert},
		{name: "intermediate and root: the shorter chain is reported", trust: certs(pki.Root.Cert, pki.Intermediate.Cert), chain: sent(server), rule: truststore.RuleChain, anchor: pki.Intermediate.Cert},
		{name: "exact leaf", trust: certs(server.Cert), chain: sent(server), rule: truststore.RuleExact, anchor: server.Cert},
		{name: "exact leaf, alone", trust: certs(server.Cert), chain: certs(server.Cert), rule: truststore.RuleExact, anchor: server.Cert},
		{name: "exact leaf beside its root", trust: certs(pki.Root.Cert, server.Cert), chain: sent(server), rule: truststore.RuleExact, anchor: server.Cert},
		{name: "sibling of the exact leaf", trust: certs(server.Cert), chain: sent(sibling), code: truststore.CodeUnknownIssuer},
		{name: "self-signed, in store", trust: certs(self.Cert), chain: certs(self.Cert), rule: truststore.RuleExact, anchor: self.Cert},
		{name: "self-signed CA, in store", trust: certs(selfCA.Cert), chain: certs(selfCA.Cert), rule: truststore.RuleExact, anchor: selfCA.Cert},
		{name: "below a self-signed CA in store", trust: certs(selfCA.Cert), chain: certs(belowSelfCA.Cert), rule: truststore.RuleChain, anchor: selfCA.Cert},
		{name: "self-signed, not in store", trust: certs(pki.Root.Cert), chain: certs(self.Cert), code: truststore.CodeSelfSigned},
		{name: "root only, leaf only", trust: certs(pki.Root.Cert), chain: certs(server.Cert), code: truststore.CodeIncompleteChain},
		{name: "intermediates given by the caller", trust: certs(pki.Root.Cert), chain: certs(server.Cert), o: truststore.VerifyOptions{Intermediates: certs(pki.Intermediate.Cert)}, rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "other root", trust: certs(other.Root.Cert), chain: sent(server), code: truststore.CodeUnknownIssuer},
		{name: "other root, root sent", trust: certs(other.Root.Cert), chain: server.Chain, code: truststore.CodeUnknownIssuer},
		{name: "unordered chain", trust: certs(pki.Root.Cert), chain: certs(server.Cert, other.Root.Cert, pki.Intermediate.Cert), rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "cross-signed", trust: certs(pki.Root.Cert), chain: append(sent(crossed), cross.Cert), rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "issuer in store is no authority", trust: certs(server.Cert), chain: certs(pki.Issue(testpki.Request{Names: []string{host}, Issuer: server}).Cert), code: truststore.CodeNotAuthority},
		{name: "namesake of the issuer in store", trust: certs(testpki.New(t, testpki.Options{Name: "A"}).Intermediate.Cert), chain: certs(server.Cert), code: truststore.CodeBadSignature},
		{name: "expired", trust: certs(pki.Root.Cert), chain: sent(pki.Expired(host)), code: truststore.CodeExpired},
		{name: "not yet valid", trust: certs(pki.Root.Cert), chain: sent(pki.NotYetValid(host)), code: truststore.CodeNotYetValid},
		{name: "other name", trust: certs(pki.Root.Cert), chain: sent(pki.WrongName()), code: truststore.CodeNameMismatch},
		{name: "common name only", trust: certs(pki.Root.Cert), chain: sent(pki.CommonNameOnly(host)), code: truststore.CodeCommonNameOnly},
		{name: "other usage", trust: certs(pki.Root.Cert), chain: sent(pki.WrongUsage(host)), code: truststore.CodeWrongUsage},
		{name: "client certificate as server", trust: certs(pki.Root.Cert), chain: sent(pki.Client(host)), code: truststore.CodeWrongUsage},
		{name: "server certificate as client", trust: certs(pki.Root.Cert), chain: sent(server), o: truststore.VerifyOptions{Purpose: truststore.Client}, code: truststore.CodeWrongUsage},
		{name: "client", trust: certs(pki.Root.Cert), chain: sent(client), o: truststore.VerifyOptions{Purpose: truststore.Client}, rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "client, by name", trust: certs(pki.Root.Cert), chain: sent(client), o: truststore.VerifyOptions{Purpose: truststore.Client, Name: "partner-7"}, rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "client, other name", trust: certs(pki.Root.Cert), chain: sent(client), o: truststore.VerifyOptions{Purpose: truststore.Client, Name: "partner-8"}, code: truststore.CodeNameMismatch},
		{name: "any purpose", trust: certs(pki.Root.Cert), chain: sent(pki.WrongUsage(host)), o: truststore.VerifyOptions{Purpose: truststore.Any}, rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "email", trust: certs(pki.Root.Cert), chain: sent(mail), o: truststore.VerifyOptions{Purpose: truststore.Email}, rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "email, domain in another case", trust: certs(pki.Root.Cert), chain: sent(mail), o: truststore.VerifyOptions{Purpose: truststore.Email, Name: "Ann@PARTNER.example"}, rule: truststore.RuleChain, anchor: pki.Root.Cert},
		{name: "email, local part in another case", trust: certs(pki.Root.Cert), chain: sent(mail), o: truststore.VerifyOptions{Purpose: truststore.Email, Name: "ann@Partner.example"}, code: truststore.CodeNameMismatch},
		{name: "email, no address", trust: certs(pki.Root.Cert), chain: sent(mail), o: truststore.VerifyOptions{Purpose: truststore.Email, Name: "Partner.example"}, code: truststore.CodeNameMismatch},
		{name: "empty store", chain: sent(server), code: truststore.CodeEmptyStore},
		{name: "no certificate", trust: certs(pki.Root.Cert), code: truststore.CodeNoCertificate},
		{name: "nil certificate", trust: certs(pki.Root.Cert), chain: certs(server.Cert, nil), code: truststore.CodeNoCertificate},
		{name: "unparsed certificate", trust: certs(pki.Root.Cert), chain: certs(&x509.Certificate{}), code: truststore.CodeNoCertificate},
		{name: "invalid purpose", trust: certs(pki.Root.Cert), chain: sent(server), o: truststore.VerifyOptions{Purpose: 9}, code: truststore.CodeWrongPurpose},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.o.Purpose == truststore.Server && tt.o.Name == "" {
				tt.o.Name = host
			}
			tt.o.Time = pki.Now()
			verdict, err := truststore.New(tt.trust...).Verify(tt.chain, tt.o)
			if tt.rule != 0 {
				if err != nil {
					t.Fatalf("refused: %v", err)
				}
				if verdict.Rule != tt.rule || !verdict.Anchor.Equal(tt.anchor) || len(verdict.Relaxations) != 0 {
					t.Errorf("verdict %v", verdict)
				}
				if !verdict.Chain[0].Equal(tt.chain[0]) || !verdict.Chain[len(verdict.Chain)-1].Equal(tt.anchor) {
					t.Errorf("chain does not lead from the peer to the anchor: %v", verdict)
				}
				return
			}
			var refused *truststore.VerifyError
			if verdict != nil || !errors.As(err, &refused) {
				t.Fatalf("got %v, %v; want a *VerifyError", verdict, err)
			}
			t.Log(err)
			if refused.Code != tt.code {
				t.Errorf("code %q, want %q", refused.Code, tt.code)
			}
			checkText(t, refused)
		})
	}
}

// checkText holds what is true of every refusal.
func checkText(t *testing.T, e *truststore.VerifyError) {
	t.Helper()
	text := e.Error()
	if len(text) > 2048 || strings.ContainsAny(text, "\n\r\x1b\x00") || !strings.HasPrefix(text, "truststore: ") {
		t.Errorf("%d bytes: %q", len(text), text)
	}
	data, err := json.Marshal(e)
	if err != nil || !json.Valid(data) {
		t.Errorf("json: %v", err)
	}
	if len(data) > 64<<10 {
		t.Errorf("json of %d bytes", len(data))
	}
	if !bytes.Contains(data, []byte(`"code":"`+string(e.Code)+`"`)) {
		t.Errorf("json lacks the code: %s", data)
	}
}

func TestVerifySentinels(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	o := truststore.VerifyOptions{Name: host, Time: pki.Now()}

	_, err := store.Verify(sent(pki.Expired(host)), o)
	var invalid x509.CertificateInvalidError
	if !errors.Is(err, trustkeep.ErrExpired) || !errors.As(err, &invalid) {
		t.Errorf("expired: %v", err)
	}
	_, err = store.Verify(sent(pki.WrongName()), o)
	var name x509.HostnameError
	if !errors.As(err, &name) || errors.Is(err, trustkeep.ErrExpired) {
		t.Errorf("other name: %v", err)
	}
	_, err = store.Verify(certs(pki.SelfSigned(host).Cert), o)
	var unknown x509.UnknownAuthorityError
	if !errors.As(err, &unknown) {
		t.Errorf("unknown issuer: %v", err)
	}
	for _, empty := range []*truststore.Truststore{{}, truststore.New(), truststore.New(nil, nil)} {
		if _, err := empty.Verify(sent(pki.Server(host)), o); !errors.Is(err, trustkeep.ErrEmpty) {
			t.Errorf("%v: %v", empty, err)
		}
	}
	if _, err := (*truststore.Truststore)(nil).Verify(sent(pki.Server(host)), o); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nil store: %v", err)
	}
	if _, err := (*truststore.Snapshot)(nil).Verify(sent(pki.Server(host)), o); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nil snapshot: %v", err)
	}
	if _, err := store.Verify(sent(pki.Server(host)), truststore.VerifyOptions{}); err == nil {
		t.Error("the zero VerifyOptions accepted a server")
	}
}

// TestVerifyExplains looks at the parts of explanations that people act on.
func TestVerifyExplains(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	now := pki.Now()
	server := pki.Server(host)
	clientCA := pki.Issue(testpki.Request{CommonName: "Clients CA", CA: true, Issuer: pki.Root, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	staleCA := pki.Issue(testpki.Request{CommonName: "Stale CA", CA: true, Issuer: pki.Root, NotAfter: now.Add(-time.Hour)})
	staleRoot := pki.Issue(testpki.Request{CommonName: "Stale Root", CA: true, SelfSigned: true, NotAfter: now.AddDate(0, 0, -10)})
	narrowCA := pki.Issue(testpki.Request{CommonName: "Narrow CA", CA: true, Issuer: pki.Root, Edit: func(c *x509.Certificate) {
		c.PermittedDNSDomains, c.PermittedDNSDomainsCritical = []string{"elsewhere.example"}, true
	}})
	shortCA := pki.Issue(testpki.Request{CommonName: "Short CA", CA: true, Issuer: pki.Root, Edit: func(c *x509.Certificate) { c.MaxPathLenZero = true }})
	belowShort := pki.Issue(testpki.Request{CommonName: "Below CA", CA: true, Issuer: shortCA})
	critical := pki.Issue(testpki.Request{Names: []string{host}, Edit: func(c *x509.Certificate) {
		c.ExtraExtensions = []pkix.Extension{{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 99999, 1}, Critical: true, Value: []byte{5, 0}}}
	}})
	renewed := pki.Issue(testpki.Request{Names: []string{host}, KeyOf: server})
	published := pki.Issue(testpki.Request{Names: []string{host}, Edit: func(c *x509.Certificate) {
		c.IssuingCertificateURL = []string{"http://ca.example/a.cer"}
	}})
	byIssuer := func(ca *testpki.Identity) []*x509.Certificate {
		return sent(pki.Issue(testpki.Request{Names: []string{host}, Issuer: ca}))
	}

	tests := []struct {
		name  string
		trust *x509.Certificate
		chain []*x509.Certificate
		code  trustkeep.Code
		want  []string // in the line
	}{
		{"expired names the day", pki.Root.Cert, sent(pki.Expired(host)), truststore.CodeExpired, []string{"it expired on " + now.Add(-24*time.Hour).Format(time.RFC3339), "24 hours ago", "renew"}},
		{"not yet valid asks for the clock", pki.Root.Cert, sent(pki.NotYetValid(host)), truststore.CodeNotYetValid, []string{"24 hours from now", "clock"}},
		{"names are listed", pki.Root.Cert, sent(pki.Server("a.example", "b.example", "192.0.2.1")), truststore.CodeNameMismatch, []string{"made out to a.example, b.example, 192.0.2.1, not to \"" + host}},
		{"common name", pki.Root.Cert, sent(pki.CommonNameOnly(host)), truststore.CodeCommonNameOnly, []string{"only as common name", "subject alternative name \"" + host}},
		{"usage", pki.Root.Cert, sent(pki.WrongUsage(host)), truststore.CodeWrongUsage, []string{"only for codeSigning, not for serverAuth"}},
		{"usage of an authority", pki.Root.Cert, byIssuer(clientCA), truststore.CodeWrongUsage, []string{"Clients CA", "only for clientAuth"}},
		{"all reasons at once", staleRoot.Cert, sent(pki.Issue(testpki.Request{Names: []string{"a.example"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}, NotAfter: now.Add(-30 * time.Minute)})), truststore.CodeExpired, []string{"30 minutes ago", "not to \"" + host, "A Root CA", "codeSigning"}},
		{"missing issuer, nothing sent", pki.Root.Cert, certs(server.Cert), truststore.CodeIncompleteChain, []string{"sent no other certificate", "A Intermediate CA", "full chain"}},
		{"missing issuer, chain sent", staleRoot.Cert, sent(server), truststore.CodeUnknownIssuer, []string{"chain ends at", "A Intermediate CA", "whose issuer", "A Root CA"}},
		{"root sent, not trusted", staleRoot.Cert, server.Chain, truststore.CodeUnknownIssuer, []string{"its chain ends at", "A Root CA", trustkeep.DescribeCertificate(pki.Root.Cert).SHA256}},
		{"self-signed", pki.Root.Cert, certs(pki.SelfSigned(host).Cert), truststore.CodeSelfSigned, []string{"self-signed and not in the store", "SHA-256"}},
		{"expired intermediate", pki.Root.Cert, byIssuer(staleCA), truststore.CodeExpired, []string{"the authority", "Stale CA", "sent by the peer", "expired", "must send the current"}},
		{"expired anchor", staleRoot.Cert, certs(pki.Issue(testpki.Request{Names: []string{host}, Issuer: staleRoot}).Cert), truststore.CodeExpired, []string{"Stale Root", "in the store expired", "10 days ago", "trust store by its successor"}},
		{"issuer in store no authority", server.Cert, certs(pki.Issue(testpki.Request{Names: []string{host}, Issuer: server}).Cert), truststore.CodeNotAuthority, []string{"in the store is no certificate authority"}},
		{"sent issuer no authority", pki.Root.Cert, byIssuer(server), truststore.CodeNotAuthority, []string{"sent by the peer is no certificate authority"}},
		{"authority changed its key", testpki.New(t, testpki.Options{Name: "A"}).Intermediate.Cert, certs(server.Cert), truststore.CodeBadSignature, []string{"did not sign", "changed its key"}},
		{"name constraint", pki.Root.Cert, byIssuer(narrowCA), truststore.CodeNameConstraint, []string{"must not issue for its names"}},
		{"path length", pki.Root.Cert, byIssuer(belowShort), truststore.CodePathTooLong, []string{"Short CA", "at most 0 other authorities", "chain has 1"}},
		{"critical extension", pki.Root.Cert, sent(critical), truststore.CodeCriticalExtension, []string{"1.3.6.1.4.1.99999.1"}},
		{"renewed since", server.Cert, certs(renewed.Cert), truststore.CodeIncompleteChain, []string{"A Intermediate CA"}},
		{"exact and expired", pki.Expired(host).Cert, nil, truststore.CodeExpired, []string{"it expired on"}},
		{"issuer is published", pki.Root.Cert, certs(published.Cert), truststore.CodeIncompleteChain, []string{"A Intermediate CA"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.chain == nil {
				tt.chain = certs(tt.trust)
			}
			_, err := truststore.New(tt.trust).Verify(tt.chain, truststore.VerifyOptions{Name: host, Time: now})
			var e *truststore.VerifyError
			if !errors.As(err, &e) {
				t.Fatalf("got %v", err)
			}
			t.Log(err)
			if e.Code != tt.code {
				t.Errorf("code %q, want %q", e.Code, tt.code)
			}
			for _, want := range tt.want {
				if !strings.Contains(err.Error()+e.Remedy, want) {
					t.Errorf("lacks %q", want)
				}
			}
			checkText(t, e)
			if len(e.Rules) == 0 || e.Rules[0].Rule != truststore.RuleExact {
				t.Errorf("rules tried: %v", e.Rules)
			}
			switch tt.name {
			case "renewed since":
				if !strings.Contains(e.Rules[0].Text, "same subject with the same key") {
					t.Errorf("rule exact: %q", e.Rules[0].Text)
				}
			case "issuer is published":
				if m := e.MissingIssuer; m == nil || fmt.Sprint(m.URLs) != "[http://ca.example/a.cer]" || m.KeyID != fmt.Sprintf("%x", pki.Intermediate.Cert.SubjectKeyId) {
					t.Errorf("missing issuer %+v", e.MissingIssuer)
				}
			}
		})
	}
}

// TestVerifyHostileText: whatever a certificate says, the explanation is short,
// in one line and without control characters, and made quickly.
func TestVerifyHostileText(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	nasty := strings.Repeat("\x1b[31m\u202eevil\n\U000e0001", 500)
	names := make([]string, 10_000)
	for i := range names {
		names[i] = fmt.Sprintf("host-%d.example", i)
	}
	id := pki.Issue(testpki.Request{CommonName: nasty, Names: names, SelfSigned: true, NotAfter: pki.Now().Add(-time.Minute), Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}})
	chain := certs(id.Cert)
	for range 200 {
		chain = append(chain, pki.Intermediate.Cert)
	}
	start := testcpu.Used()
	_, err := truststore.New(pki.Root.Cert).Verify(chain, truststore.VerifyOptions{Name: nasty, Time: pki.Now()})
	var e *truststore.VerifyError
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	t.Log(len(err.Error()), testcpu.Since(start))
	checkText(t, e)
	if d := testcpu.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}

// TestVerifyManyIssuers: a thousand authorities of one name do not make a
// refusal expensive.
func TestVerifyManyIssuers(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	var trust []*x509.Certificate
	for range 300 {
		trust = append(trust, pki.Issue(testpki.Request{CommonName: "A Intermediate CA", CA: true, SelfSigned: true}).Cert)
	}
	store := truststore.New(trust...)
	start := testcpu.Used()
	_, err := store.Verify(certs(pki.Server(host).Cert), truststore.VerifyOptions{Name: host, Time: pki.Now()})
	var e *truststore.VerifyError
	if !errors.As(err, &e) {
		t.Fatalf("got %v", err)
	}
	checkText(t, e)
	if d := testcpu.Since(start); d > time.Second {
		t.Errorf("took %v", d)
	}
}
