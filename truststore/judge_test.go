package truststore_test

import (
	"context"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

// revokes refuses chains with one of the certificates.
type revokes []*x509.Certificate

func (r revokes) CheckRevocation(_ context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	for _, c := range q.Chain {
		for _, revoked := range r {
			if c.Equal(revoked) {
				return nil, trustkeep.ErrRevoked
			}
		}
	}
	return nil, nil
}

func noError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// What was verified is narrowed, chain by chain, and nothing passes that was not verified.
func TestJudge(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{Name: "A"}), testpki.New(t, testpki.Options{Name: "B"})
	cross := pki.CrossSign(other.Root)
	leaf := other.Server(host)
	presented := append(sent(leaf), cross.Cert)
	long := []*x509.Certificate{leaf.Cert, other.Intermediate.Cert, cross.Cert, pki.Root.Cert}
	short := []*x509.Certificate{leaf.Cert, other.Intermediate.Cert, other.Root.Cert}
	snapshot := func(scopes map[*testpki.Identity]truststore.Scope, ids ...*testpki.Identity) *truststore.Snapshot {
		s := truststore.New()
		for _, id := range ids {
			noError(t, s.Add(id.Cert.Subject.CommonName, id.Cert))
			if scope, ok := scopes[id]; ok {
				noError(t, s.SetScope(id.Cert.Subject.CommonName, scope))
			}
		}
		snap, err := s.Snapshot()
		noError(t, err)
		return snap
	}
	both := snapshot(nil, pki.Root, other.Root)
	ask := truststore.VerifyOptions{Name: host, Time: pki.Now()}
	with := func(edit func(*truststore.VerifyOptions)) truststore.VerifyOptions {
		o := ask
		edit(&o)
		return o
	}
	elsewhere := truststore.Scope{Names: []string{"elsewhere.example"}}
	for _, c := range []struct {
		name     string
		s        *truststore.Snapshot
		verified [][]*x509.Certificate
		o        truststore.VerifyOptions
		anchor   *testpki.Identity // nil: refused
		code     trustkeep.Code
	}{
		{"the shortest", both, [][]*x509.Certificate{long, short}, ask, other.Root, ""},
		{"pinned", both, [][]*x509.Certificate{long}, with(func(o *truststore.VerifyOptions) { o.Pins = []truststore.Pin{truststore.PinKey(leaf.Cert)} }), pki.Root, ""},
		{"another pinned", both, [][]*x509.Certificate{long}, with(func(o *truststore.VerifyOptions) { o.Pins = []truststore.Pin{truststore.PinKey(pki.Root.Cert)} }), nil, truststore.CodePinMismatch},
		{"one chain revoked", both, [][]*x509.Certificate{long, short}, with(func(o *truststore.VerifyOptions) { o.Revocation = revokes{other.Root.Cert} }), pki.Root, ""},
		{"all chains revoked", both, [][]*x509.Certificate{long, short}, with(func(o *truststore.VerifyOptions) { o.Revocation = revokes{leaf.Cert} }), nil, truststore.CodeRevoked},
		{"one anchor in scope", snapshot(map[*testpki.Identity]truststore.Scope{other.Root: elsewhere}, pki.Root, other.Root), [][]*x509.Certificate{short, long}, ask, pki.Root, ""},
		{"no anchor in scope", snapshot(map[*testpki.Identity]truststore.Scope{other.Root: elsewhere}, other.Root), [][]*x509.Certificate{short}, ask, nil, truststore.CodeOutOfScope},
		{"unknown name, scope of names", snapshot(map[*testpki.Identity]truststore.Scope{other.Root: {Names: []string{host}}}, other.Root), [][]*x509.Certificate{short}, with(func(o *truststore.VerifyOptions) { o.Name = "" }), nil, truststore.CodeNoName},
		{"unknown name, scope of purposes", snapshot(map[*testpki.Identity]truststore.Scope{other.Root: {Purposes: []truststore.Purpose{truststore.Server}}}, other.Root), [][]*x509.Certificate{short}, with(func(o *truststore.VerifyOptions) { o.Name = "" }), other.Root, ""},
		{"a certificate in the store hides the path", snapshot(map[*testpki.Identity]truststore.Scope{leaf: elsewhere}, leaf, other.Root), [][]*x509.Certificate{{leaf.Cert}}, ask, other.Root, ""},
		{"no longer valid", both, [][]*x509.Certificate{short}, with(func(o *truststore.VerifyOptions) { o.Time = leaf.Cert.NotAfter.Add(time.Second) }), nil, truststore.CodeExpired},
		{"anchor of another store", snapshot(nil, pki.Intermediate), [][]*x509.Certificate{short}, ask, nil, truststore.CodeUnknownIssuer},
		{"chain of somebody else", snapshot(nil, pki.Root), [][]*x509.Certificate{pki.Server(host).Chain}, with(func(o *truststore.VerifyOptions) { o.Name = "wrong.example" }), nil, truststore.CodeNameMismatch},
		{"empty store", snapshot(nil), [][]*x509.Certificate{short}, ask, nil, truststore.CodeEmptyStore},
		{"relaxations do not count", snapshot(nil, pki.Root), [][]*x509.Certificate{short}, with(func(o *truststore.VerifyOptions) { o.Allow = truststore.Relaxations(); o.Name = "wrong.example" }), nil, truststore.CodeNameMismatch},
	} {
		v, err := c.s.Judge(presented, c.verified, c.o)
		if c.anchor != nil {
			if err != nil || !v.Anchor.Equal(c.anchor.Cert) {
				t.Errorf("%s: %v, %v", c.name, v, err)
			}
			continue
		}
		if refused, ok := errors.AsType[*truststore.VerifyError](err); !ok || refused.Code != c.code || v != nil {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// No path is built: there would be none.
	if v, err := both.Judge(certs(leaf.Cert), [][]*x509.Certificate{short}, ask); err != nil || !v.Anchor.Equal(other.Root.Cert) {
		t.Errorf("judged by another path than the verified one: %v, %v", v, err)
	}
	for name, verified := range map[string][][]*x509.Certificate{"nothing": nil, "empty": {}} {
		if _, err := both.Judge(presented, verified, ask); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s verified: %v", name, err)
		}
	}
	for name, chain := range map[string][]*x509.Certificate{"no": {}, "nil": {nil}} {
		if _, err := both.Judge(chain, [][]*x509.Certificate{short}, ask); err == nil {
			t.Errorf("%s certificate was judged", name)
		}
	}
	if _, err := (*truststore.Snapshot)(nil).Judge(presented, [][]*x509.Certificate{short}, ask); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	if truststore.Pinned(truststore.PinKey(leaf.Cert)).PoolSuffices() || !both.PoolSuffices() {
		t.Error("PoolSuffices")
	}
}

// The URI and the trust domain count in Judge as in Verify.
func TestJudgeComparesURIs(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	peer := pki.Issue(testpki.Request{CommonName: "w", Edit: uris("spiffe://a.example/x")})
	s, err := truststore.New(pki.Root.Cert).Snapshot()
	noError(t, err)
	verified := [][]*x509.Certificate{{peer.Cert, pki.Intermediate.Cert, pki.Root.Cert}}
	for _, c := range []struct {
		uri, domain string
		code        trustkeep.Code
	}{
		{"spiffe://a.example/x", "", ""}, {"", "a.example", ""}, {"spiffe://a.example/y", "", truststore.CodeNameMismatch},
		{"", "b.example", truststore.CodeNameMismatch}, {"", "spiffe://a.example", truststore.CodeWrongName},
	} {
		_, err := s.Judge(sent(peer), verified, truststore.VerifyOptions{Purpose: truststore.Client, URI: c.uri, TrustDomain: c.domain, Time: pki.Now()})
		if code(err) != c.code || (err == nil) != (c.code == "") {
			t.Errorf("%q %q: %v", c.uri, c.domain, err)
		}
	}
}

// A pin beside a store does not lead past a revocation that the chain shows.
func TestPinsDoNotLeadPastRevocation(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	both, err := truststore.Union(truststore.New(pki.Root.Cert), truststore.Pinned(truststore.PinKey(leaf.Cert))).Snapshot()
	noError(t, err)
	needsIssuer := checkerFunc(func(chain []*x509.Certificate, _ []byte) error {
		if len(chain) == 1 {
			return nil // nobody to ask
		}
		return trustkeep.ErrRevoked
	})
	if v, err := both.Verify(leaf.Chain, truststore.VerifyOptions{Name: host, Time: pki.Now(), Revocation: needsIssuer}); code(err) != truststore.CodeRevoked {
		t.Errorf("%v, %v", v, err)
	}
}
