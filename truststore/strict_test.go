package truststore_test

import (
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certcases"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func question(c certcases.Case) truststore.VerifyOptions {
	o := truststore.VerifyOptions{Name: c.Host, Time: certcases.Now()}
	switch c.Usage {
	case x509.ExtKeyUsageEmailProtection:
		o.Purpose = truststore.Email
	case x509.ExtKeyUsageClientAuth:
		o.Purpose = truststore.Client
	}
	return o
}

// Each rule refuses what breaks it, under its code, and nothing that keeps it; without the
// rule, and by default, all is accepted, as by crypto/x509.
func TestStrict(t *testing.T) {
	cases, err := certcases.All()
	if err != nil {
		t.Fatal(err)
	}
	strict := truststore.Strict()
	broken := make(map[trustkeep.Code]bool)
	for _, c := range cases {
		store, o := truststore.New(c.Anchor), question(c)
		if err := c.Std(); err != nil {
			t.Errorf("%s, %s: crypto/x509: %v", c.Rule, c.Name, err)
		}
		if c.Refused() {
			if _, err := store.Verify(c.Chain, o); code(err) != truststore.CodeFIPS {
				t.Errorf("%s, %s: in FIPS mode: %v", c.Rule, c.Name, err)
			}
			broken[c.Rule] = true
			continue
		}
		if _, err := store.Verify(c.Chain, o); err != nil {
			t.Errorf("%s, %s: by default: %v", c.Rule, c.Name, err)
		}
		s, err := store.Snapshot()
		noError(t, err)
		verify := map[string]func(truststore.Policy) error{
			"Verify": func(p truststore.Policy) error { o.Policy = p; _, err := s.Verify(c.Chain, o); return err },
			"Judge": func(p truststore.Policy) error {
				o.Policy = p
				chain := c.Chain
				if !slices.ContainsFunc(chain, c.Anchor.Equal) {
					chain = append(slices.Clone(chain), c.Anchor)
				}
				_, err := s.Judge(c.Chain, [][]*x509.Certificate{chain[:slices.IndexFunc(chain, c.Anchor.Equal)+1]}, o)
				return err
			},
		}
		for how, verify := range verify {
			switch err := verify(strict); {
			case c.Rule == truststore.CodeAnchorNotRoot && err != nil:
				t.Errorf("%s, %s, %s: %v", c.Rule, c.Name, how, err)
			case c.Rule == truststore.CodeAnchorNotRoot:
				err := verify(truststore.Policy{Refuse: []trustkeep.Code{c.Rule}})
				if (err == nil) != c.Good || err != nil && code(err) != c.Rule {
					t.Errorf("%s, %s, %s: %v", c.Rule, c.Name, how, err)
				}
			case c.Good && err != nil:
				t.Errorf("%s, %s, %s: good, and refused: %v", c.Rule, c.Name, how, err)
			case !c.Good && code(err) != c.Rule:
				t.Errorf("%s, %s, %s: %v", c.Rule, c.Name, how, err)
			}
			without := strict.Clone()
			without.Refuse = slices.DeleteFunc(without.Refuse, func(x trustkeep.Code) bool { return x == c.Rule })
			switch c.Rule {
			case truststore.CodeWeakKey:
				without.MinRSABits = 0
			case truststore.CodeKeyType:
				without.KeyTypes = nil
			}
			if err := verify(without); err != nil {
				t.Errorf("%s, %s, %s: refused by another rule: %v", c.Rule, c.Name, how, err)
			}
		}
		if !c.Good {
			broken[c.Rule] = true
		}
	}
	for _, rule := range truststore.Restrictions() {
		if !broken[rule] {
			t.Errorf("no case breaks %s", rule)
		}
	}
	for limbo, rule := range strictCases {
		if !broken[rule] {
			t.Errorf("no case breaks %s, which %s does", rule, limbo)
		}
	}
}

// Under CodeAnchorNotRoot, an intermediate in the store is no anchor and completes chains.
func TestRootsOnly(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	self := pki.SelfSigned(host)
	forged := pki.Issue(testpki.Request{CommonName: "Self-issued", CA: true, Issuer: pki.Root, Edit: func(c *x509.Certificate) { c.Subject = pki.Root.Cert.Subject }})
	below := pki.Issue(testpki.Request{Names: []string{host}, Issuer: forged})
	for _, c := range []struct {
		name   string
		store  []*x509.Certificate
		sent   []*x509.Certificate
		length int // of the verdict's chain; 0: refused
	}{
		{"root", []*x509.Certificate{pki.Root.Cert}, leaf.Chain, 3},
		{"intermediate", []*x509.Certificate{pki.Intermediate.Cert}, leaf.Chain, 0},
		{"root and intermediate", []*x509.Certificate{pki.Intermediate.Cert, pki.Root.Cert}, leaf.Chain, 3},
		{"root and intermediate, not sent", []*x509.Certificate{pki.Intermediate.Cert, pki.Root.Cert}, leaf.Chain[:1], 3},
		{"the very certificate", []*x509.Certificate{leaf.Cert}, leaf.Chain, 0},
		{"the very certificate and the root", []*x509.Certificate{leaf.Cert, pki.Root.Cert}, leaf.Chain, 3},
		{"the very certificate, self-signed", []*x509.Certificate{self.Cert}, self.Chain, 1},
		{"self-issued and not self-signed", []*x509.Certificate{forged.Cert}, below.Chain, 0},
	} {
		s, err := truststore.New(c.store...).Snapshot()
		noError(t, err)
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: truststore.Relaxations(), Policy: truststore.Policy{Refuse: []trustkeep.Code{truststore.CodeAnchorNotRoot}}}
		verified := verifiedChains(t, s, c.sent, o)
		for how, verify := range map[string]func() (*truststore.Verdict, error){
			"Verify": func() (*truststore.Verdict, error) { return s.Verify(c.sent, o) },
			"Judge":  func() (*truststore.Verdict, error) { return s.Judge(c.sent, verified, o) },
		} {
			v, err := verify()
			if (err == nil) != (c.length > 0) || err == nil && len(v.Chain) != c.length || err != nil && code(err) != truststore.CodeAnchorNotRoot {
				t.Errorf("%s, %s: %v, %v", c.name, how, v, err)
			}
		}
	}
}

// verifiedChains are those that crypto/tls would have found.
func verifiedChains(t *testing.T, s *truststore.Snapshot, sent []*x509.Certificate, o truststore.VerifyOptions) [][]*x509.Certificate {
	intermediates := x509.NewCertPool()
	for _, c := range sent[1:] {
		intermediates.AddCert(c)
	}
	chains, err := sent[0].Verify(x509.VerifyOptions{Roots: s.Pool(), Intermediates: intermediates, CurrentTime: o.Time, DNSName: o.Name})
	noError(t, err)
	return chains
}

// One chain that the policy accepts is enough.
func TestPolicyJudgesEachChain(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	weak := pki.Issue(testpki.Request{CommonName: "Weak", CA: true, SelfSigned: true, KeyOf: &testpki.Identity{Key: rsaKey(t, 2048)}})
	inter := pki.Issue(testpki.Request{CommonName: "Twice", CA: true, Issuer: weak})
	cross := pki.Issue(testpki.Request{CommonName: "Twice", CA: true, Issuer: pki.Root, KeyOf: inter})
	leaf := pki.Issue(testpki.Request{Names: []string{host}, Issuer: inter})
	o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Policy: truststore.Policy{MinRSABits: 3072}}
	both := truststore.New(weak.Cert, pki.Root.Cert)
	if v, err := both.Verify([]*x509.Certificate{leaf.Cert, inter.Cert, cross.Cert}, o); err != nil || !v.Anchor.Equal(pki.Root.Cert) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := both.Verify([]*x509.Certificate{leaf.Cert, inter.Cert}, o); code(err) != truststore.CodeWeakKey {
		t.Errorf("%v", err)
	}
	// A pinned certificate is judged too, and a relaxed one.
	if _, err := truststore.Pinned(truststore.PinKey(weak.Cert)).Verify([]*x509.Certificate{weak.Cert},
		truststore.VerifyOptions{Purpose: truststore.Any, Time: pki.Now(), Policy: o.Policy}); code(err) != truststore.CodeWeakKey {
		t.Errorf("%v", err)
	}
	old := pki.Issue(testpki.Request{Names: []string{host}, KeyOf: weak, NotBefore: pki.Now().Add(-2 * time.Hour), NotAfter: pki.Now().Add(-time.Hour)})
	o.Allow = truststore.Relaxations()
	if _, err := truststore.New(old.Cert).Verify(old.Chain, o); code(err) != truststore.CodeWeakKey {
		t.Errorf("%v", err)
	}
}

// SHA-1 counts on the certificates whose signature says something, and not on the anchor.
func TestPolicyNoSHA1(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	key := &testpki.Identity{Key: rsaKey(t, 2048)}
	root := pki.Issue(testpki.Request{CommonName: "Old root", CA: true, SelfSigned: true, KeyOf: key})
	leaf := pki.Issue(testpki.Request{Names: []string{host}, SelfSigned: true, KeyOf: key})
	for _, id := range []*testpki.Identity{root, leaf} {
		// crypto/x509 verifies none of these signatures, so the name of the algorithm is enough.
		id.Cert.SignatureAlgorithm = x509.SHA1WithRSA
	}
	under := pki.Issue(testpki.Request{Names: []string{host}, Issuer: root})
	o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Policy: truststore.Policy{NoSHA1: true}}
	if _, err := truststore.New(leaf.Cert).Verify([]*x509.Certificate{leaf.Cert}, o); code(err) != truststore.CodeWeakSignature {
		t.Errorf("exact: %v", err)
	}
	if _, err := truststore.New(root.Cert).Verify([]*x509.Certificate{under.Cert}, o); err != nil {
		t.Errorf("anchor: %v", err)
	}
	o.Policy = truststore.Policy{}
	if _, err := truststore.New(leaf.Cert).Verify([]*x509.Certificate{leaf.Cert}, o); err != nil {
		t.Errorf("by default: %v", err)
	}
}

// What begins after a date is distrusted, by all anchors or by one; as in NSS, the
// date itself is not.
func TestDistrustAfter(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	at := pki.Now().Add(-10 * time.Hour)
	since := func(p *testpki.PKI, begin time.Time) *testpki.Identity {
		return p.Issue(testpki.Request{Names: []string{host}, NotBefore: begin})
	}
	store := truststore.New()
	noError(t, store.Add("distrusted", pki.Root.Cert))
	noError(t, store.Add("other", other.Root.Cert))
	plain := truststore.New(pki.Root.Cert, other.Root.Cert)
	noError(t, store.SetScope("distrusted", truststore.Scope{DistrustAfter: at}))
	for _, c := range []struct {
		leaf            *testpki.Identity
		global, bounded bool
	}{
		{since(pki, at.Add(-time.Hour)), true, true}, {since(pki, at), true, true}, {since(pki, at.Add(time.Second)), false, false},
		{since(other, at.Add(time.Second)), false, true},
	} {
		o := truststore.VerifyOptions{Name: host, Time: pki.Now()}
		if _, err := store.Verify(c.leaf.Chain, o); (err == nil) != c.bounded || err != nil && code(err) != truststore.CodeOutOfScope {
			t.Errorf("%v, scope: %v", c.leaf.Cert.NotBefore, err)
		}
		o.Policy.DistrustAfter = at
		if _, err := plain.Verify(c.leaf.Chain, o); (err == nil) != c.global || err != nil && code(err) != truststore.CodeDistrusted {
			t.Errorf("%v, policy: %v", c.leaf.Cert.NotBefore, err)
		}
	}
}

func TestWrongPolicies(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, p := range []truststore.Policy{
		{Refuse: []trustkeep.Code{"no-such-rule"}}, {Refuse: []trustkeep.Code{truststore.CodeExpired}}, {Refuse: []trustkeep.Code{truststore.CodeWeakKey}},
		{KeyTypes: []string{"P256"}}, {KeyTypes: []string{""}}, {MinRSABits: -1},
	} {
		if err := p.Validate(); !errors.Is(err, trustkeep.ErrInvalid) || p.IsZero() {
			t.Errorf("%+v: %v", p, err)
		}
		_, err := truststore.New(pki.Root.Cert).Verify(pki.Server(host).Chain, truststore.VerifyOptions{Name: host, Time: pki.Now(), Policy: p})
		if code(err) != truststore.CodeWrongPolicy || !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%+v: %v", p, err)
		}
	}
	for _, p := range []truststore.Policy{{}, truststore.Strict()} {
		if err := p.Validate(); err != nil || p.IsZero() != (len(p.Refuse) == 0) {
			t.Errorf("%+v: %v", p, err)
		}
	}
}
