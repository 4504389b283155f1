package truststore_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// Explain says of a refusal of crypto/x509 what Verify says.
func TestExplainSaysWhatVerifySays(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	for name, c := range map[string]struct {
		id    *testpki.Identity
		store *truststore.Truststore
		asked string
	}{
		"unknown issuer": {other.Server("a.example"), truststore.New(pki.Root.Cert), "a.example"},
		"self-signed":    {pki.SelfSigned("a.example"), truststore.New(pki.Root.Cert), "a.example"},
		"another name":   {pki.Server("a.example"), truststore.New(pki.Root.Cert), "b.example"},
		"expired":        {pki.Expired("a.example"), truststore.New(pki.Root.Cert), "a.example"},
		"exact, expired": {pki.Expired("a.example"), truststore.New(pki.Expired("a.example").Cert), "a.example"},
		"empty store":    {pki.Server("a.example"), truststore.New(), "a.example"},
		"client":         {pki.Client("c"), truststore.New(pki.Root.Cert), "a.example"},
	} {
		snapshot, err := c.store.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		o := truststore.VerifyOptions{Purpose: truststore.Server, Name: c.asked, Time: pki.Now()}
		_, err = snapshot.Verify(c.id.Chain, o)
		if err == nil {
			t.Fatalf("%s: accepted", name)
		}
		intermediates := x509.NewCertPool()
		for _, i := range c.id.Chain[1:] {
			intermediates.AddCert(i)
		}
		_, plain := c.id.Cert.Verify(x509.VerifyOptions{Roots: snapshot.Pool(), Intermediates: intermediates, DNSName: c.asked, CurrentTime: pki.Now()})
		e := snapshot.Explain(c.id.Chain, o, plain)
		if e == nil || e.Error() != err.Error() {
			t.Errorf("%s:\ngot  %v\nwant %v", name, e, err)
		}
	}

	trusted, err := truststore.New(pki.Root.Cert).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	o := truststore.VerifyOptions{Purpose: truststore.Server, Name: "a.example", Time: pki.Now()}
	if e := trusted.Explain(pki.Server("a.example").Chain, o, x509.UnknownAuthorityError{}); e != nil {
		t.Errorf("would be accepted: %v", e)
	}
	o.Pins = []truststore.Pin{truststore.PinCertificate(other.Root.Cert)}
	if e := trusted.Explain(pki.Server("a.example").Chain, o, x509.UnknownAuthorityError{}); e == nil || e.Code != truststore.CodePinMismatch {
		t.Errorf("pins: %v", e)
	}
	if e := (*truststore.Snapshot)(nil).Explain(pki.Server("a.example").Chain, o, nil); e == nil || e.Code != truststore.CodeEmptyStore {
		t.Errorf("nil: %v", e)
	}
}

func TestAcceptedBy(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	snapshot := func(certs ...*x509.Certificate) *truststore.Snapshot {
		s, err := truststore.New(certs...).Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	refused := func(id *testpki.Identity, o truststore.VerifyOptions) *truststore.VerifyError {
		o.Purpose, o.Name, o.Time = truststore.Server, "a.example", pki.Now()
		_, err := snapshot(other.Root.Cert).Verify(id.Chain, o)
		e, ok := err.(*truststore.VerifyError)
		if !ok {
			t.Fatal(err)
		}
		return e
	}
	server, expired := pki.Server("a.example"), pki.Expired("a.example")
	e := refused(server, truststore.VerifyOptions{})
	for name, c := range map[string]struct {
		s    *truststore.Snapshot
		want bool
	}{
		"root": {snapshot(pki.Root.Cert), true}, "intermediate": {snapshot(pki.Intermediate.Cert), true}, "itself": {snapshot(server.Cert), true},
		"another": {snapshot(other.Intermediate.Cert), false}, "none": {snapshot(), false}, "nil": {nil, false},
	} {
		if got := refused(server, truststore.VerifyOptions{}).AcceptedBy(c.s); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	if refused(expired, truststore.VerifyOptions{}).AcceptedBy(snapshot(pki.Root.Cert)) || refused(expired, truststore.VerifyOptions{}).AcceptedBy(snapshot(expired.Cert)) {
		t.Error("expired")
	}
	if !refused(expired, truststore.VerifyOptions{Allow: []truststore.Relaxation{truststore.AllowExpired}}).AcceptedBy(snapshot(expired.Cert)) {
		t.Error("expired and allowed")
	}
	byHand := &truststore.VerifyError{Chain: e.Chain, Purpose: e.Purpose, Name: e.Name, Time: e.Time}
	if !byHand.AcceptedBy(snapshot(pki.Root.Cert)) || (&truststore.VerifyError{}).AcceptedBy(snapshot(pki.Root.Cert)) {
		t.Error("made by hand")
	}
}

// The signatures of an explanation are counted, those for other snapshots included.
func TestExplanationChecksFewSignatures(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for name, curve := range map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-521": elliptic.P521()} {
		namesake := func() *testpki.Identity {
			key, err := ecdsa.GenerateKey(curve, rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return pki.Issue(testpki.Request{CommonName: "Namesake", CA: true, SelfSigned: true, KeyOf: &testpki.Identity{Key: key}})
		}
		issuer := namesake()
		leaf := pki.Issue(testpki.Request{Names: []string{"a.example"}, Issuer: issuer})
		chain, trusted := []*x509.Certificate{leaf.Cert}, []*x509.Certificate{}
		for range 20 {
			chain, trusted = append(chain, namesake().Cert), append(trusted, namesake().Cert)
		}
		want := map[string]int{"P-256": 8, "P-521": 2}[name]
		snapshot, err := truststore.New(trusted...).Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		o := truststore.VerifyOptions{Purpose: truststore.Server, Name: "a.example", Time: pki.Now()}
		e := snapshot.Explain(chain, o, x509.UnknownAuthorityError{Cert: leaf.Cert})
		for range 3 {
			e.AcceptedBy(snapshot)
		}
		if got := truststore.SignaturesChecked(e); got != want {
			t.Errorf("%s: %d signatures checked, want %d", name, got, want)
		}
		if e.Code != truststore.CodeBadSignature {
			t.Errorf("%s: %v", name, e)
		}

		// The one that the key identifier means is found among them all.
		chain = append(chain, issuer.Cert)
		if e = snapshot.Explain(chain, o, x509.UnknownAuthorityError{Cert: leaf.Cert}); e.Code != truststore.CodeUnknownIssuer {
			t.Errorf("%s: %v", name, e)
		}
		if !e.AcceptedBy(must(truststore.New(issuer.Cert).Snapshot())) && name == "P-256" {
			t.Errorf("%s: not accepted by who trusts its issuer", name)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
