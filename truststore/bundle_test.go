package truststore_test

import (
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestBundles: the authorities of a trust domain count there and nowhere else, and the bundle
// follows its source.
func TestBundles(t *testing.T) {
	a, b := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	ofA, ofB := truststore.New(a.Root.Cert), truststore.New(b.Root.Cert)
	trust := truststore.Union(truststore.Bundle("a.example", ofA), truststore.Bundle("b.example", ofB))
	workload := func(ca *testpki.PKI, uri string) *testpki.Identity {
		return ca.Issue(testpki.Request{CommonName: "w", Edit: uris(uri)})
	}
	snapshot := func() *truststore.Snapshot {
		t.Helper()
		s, err := trust.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	want := func(ca *testpki.PKI, uri string, ok bool) {
		t.Helper()
		for _, o := range []truststore.VerifyOptions{{Purpose: truststore.Client}, {URI: uri}} {
			o.Time = a.Now()
			if _, err := snapshot().Verify(workload(ca, uri).Chain, o); (err == nil) != ok || err != nil && code(err) != truststore.CodeOutOfScope {
				t.Errorf("%s: %v", uri, err)
			}
		}
	}
	want(a, "spiffe://a.example/x", true)
	want(b, "spiffe://b.example/x", true)
	want(a, "spiffe://b.example/x", false)
	want(b, "spiffe://a.example/x", false)
	want(a, "spiffe://a.example.b.example/x", false)
	first := snapshot()
	if again := snapshot(); again != first {
		t.Error("another snapshot of the same trust")
	}
	// An authority of both counts in both.
	if err := ofB.Add("", a.Root.Cert); err != nil {
		t.Fatal(err)
	}
	if snapshot() == first {
		t.Error("the source is not followed")
	}
	want(a, "spiffe://a.example/x", true)
	want(a, "spiffe://b.example/x", true)
	want(b, "spiffe://a.example/x", false)
	if err := ofB.RemoveCertificate(a.Root.Cert); err != nil {
		t.Fatal(err)
	}
	want(a, "spiffe://b.example/x", false)

	// Scopes of the source stay: one of another domain makes the anchor count for nobody.
	if err := ofA.SetScope(ofA.Aliases()[0], truststore.Scope{TrustDomains: []string{"other.example"}}); err != nil {
		t.Fatal(err)
	}
	if n := snapshot().Len(); n != 1 {
		t.Errorf("%d certificates", n)
	}
	if err := ofA.SetScope(ofA.Aliases()[0], truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}}); err != nil {
		t.Fatal(err)
	}
	peer := workload(a, "spiffe://a.example/x").Chain
	if _, err := snapshot().Verify(peer, truststore.VerifyOptions{Purpose: truststore.Client, Time: a.Now()}); err != nil {
		t.Error(err)
	}
	if _, err := snapshot().Verify(peer, truststore.VerifyOptions{URI: "spiffe://a.example/x", Time: a.Now()}); code(err) != truststore.CodeOutOfScope {
		t.Error(err)
	}

	for name, c := range map[string]struct {
		source truststore.Source
		want   error
	}{
		"a URI":       {truststore.Bundle("spiffe://a.example", ofA), trustkeep.ErrInvalid},
		"no domain":   {truststore.Bundle("", ofA), trustkeep.ErrInvalid},
		"capitals":    {truststore.Bundle("A.example", ofA), trustkeep.ErrInvalid},
		"nil":         {truststore.Bundle("a.example", nil), trustkeep.ErrInvalid},
		"nil pointer": {truststore.Bundle("a.example", (*truststore.Truststore)(nil)), trustkeep.ErrInvalid},
		"pins":        {truststore.Bundle("a.example", truststore.Pinned(truststore.PinKey(a.Root.Cert))), trustkeep.ErrUnsupported},
	} {
		if s, err := c.source.Snapshot(); !errors.Is(err, c.want) || s != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s, err := truststore.Bundle("a.example", truststore.New()).Snapshot(); err != nil || !s.Empty() {
		t.Errorf("%v", err)
	}
}
