package truststore_test

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func code(err error) trustkeep.Code {
	var e *truststore.VerifyError
	if errors.As(err, &e) {
		return e.Code
	}
	return ""
}

// The relaxations, each for what it is about and for nothing else.
func TestRelaxations(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	expiredCN := pki.Issue(testpki.Request{CommonName: host, SelfSigned: true, NotBefore: pki.Now().Add(-48 * time.Hour), NotAfter: pki.Now().Add(-time.Hour)})
	all := truststore.Relaxations()
	for _, c := range []struct {
		name  string
		leaf  *testpki.Identity
		allow []truststore.Relaxation
		want  []truststore.Relaxation // nil: refused
		code  trustkeep.Code
	}{
		{"nothing wrong", pki.Server(host), all, []truststore.Relaxation{}, ""},
		{"expired", pki.Expired(host), nil, nil, truststore.CodeExpired},
		{"expired", pki.Expired(host), all, []truststore.Relaxation{truststore.AllowExpired}, ""},
		{"expired, others allowed", pki.Expired(host), []truststore.Relaxation{truststore.AllowCommonName, truststore.AllowAnyName}, nil, truststore.CodeExpired},
		{"not yet valid", pki.NotYetValid(host), all, nil, truststore.CodeNotYetValid},
		{"common name", pki.CommonNameOnly(host), []truststore.Relaxation{truststore.AllowCommonName}, []truststore.Relaxation{truststore.AllowCommonName}, ""},
		{"common name, the slighter relaxation", pki.CommonNameOnly(host), all, []truststore.Relaxation{truststore.AllowCommonName}, ""},
		{"common name, any", pki.CommonNameOnly(host), []truststore.Relaxation{truststore.AllowAnyName}, []truststore.Relaxation{truststore.AllowAnyName}, ""},
		{"common name, expired allowed", pki.CommonNameOnly(host), []truststore.Relaxation{truststore.AllowExpired}, nil, truststore.CodeCommonNameOnly},
		{"another common name", pki.CommonNameOnly("other.example"), []truststore.Relaxation{truststore.AllowCommonName}, nil, truststore.CodeNameMismatch},
		{"another name", pki.WrongName(), []truststore.Relaxation{truststore.AllowCommonName, truststore.AllowExpired}, nil, truststore.CodeNameMismatch},
		{"another name", pki.WrongName(), all, []truststore.Relaxation{truststore.AllowAnyName}, ""},
		{"a common name beside other names", pki.Issue(testpki.Request{CommonName: host, Names: []string{"other.example"}}), []truststore.Relaxation{truststore.AllowCommonName}, nil, truststore.CodeNameMismatch},
		{"expired, common name", expiredCN, []truststore.Relaxation{truststore.AllowExpired, truststore.AllowCommonName}, []truststore.Relaxation{truststore.AllowExpired, truststore.AllowCommonName}, ""},
		{"expired, common name, half allowed", expiredCN, []truststore.Relaxation{truststore.AllowCommonName}, nil, truststore.CodeExpired},
		{"wrong usage", pki.WrongUsage(host), all, []truststore.Relaxation{truststore.AllowAnyUsage}, ""},
		{"wrong usage, others allowed", pki.WrongUsage(host), []truststore.Relaxation{truststore.AllowExpired, truststore.AllowExpiredAnchor, truststore.AllowCommonName, truststore.AllowAnyName}, nil, truststore.CodeWrongUsage},
	} {
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: c.allow}
		for rule, s := range map[truststore.Rule]truststore.Source{
			truststore.RuleExact: truststore.New(c.leaf.Cert),
			truststore.RulePin:   truststore.Pinned(truststore.PinKey(c.leaf.Cert)),
		} {
			snapshot, err := s.Snapshot()
			if err != nil {
				t.Fatal(err)
			}
			v, err := snapshot.Verify(c.leaf.Chain, o)
			if (err == nil) != (c.want != nil) || err == nil && (!slices.Equal(v.Relaxations, c.want) || v.Rule != rule || len(v.Chain) != 1) {
				t.Errorf("%s, %v, %v: %v, %v", c.name, rule, c.allow, v, err)
			}
			if err != nil && rule == truststore.RuleExact && code(err) != c.code {
				t.Errorf("%s: %s, want %s", c.name, code(err), c.code)
			}
		}
		// A chain is never relaxed.
		if len(c.want) > 0 {
			if _, err := truststore.New(pki.Root.Cert, expiredCN.Cert).Verify(c.leaf.Chain, o); err == nil && c.leaf != expiredCN {
				t.Errorf("%s: relaxed although only its authority is trusted", c.name)
			}
		}
	}
}

// An anchor that has ended is accepted by its relaxation, and nothing else in the chain with it.
func TestAllowExpiredAnchor(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ended := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = pki.Now().Add(-48*time.Hour), pki.Now().Add(-time.Hour)
	}
	early := func(c *x509.Certificate) {
		c.NotBefore, c.NotAfter = pki.Now().Add(time.Hour), pki.Now().Add(48*time.Hour)
	}
	ca := func(name string, issuer *testpki.Identity, edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{CommonName: name, CA: true, Issuer: issuer, SelfSigned: issuer == nil, Edit: edit})
	}
	old, young := ca("Old", nil, ended), ca("Young", nil, early)
	oldInter := ca("Old intermediate", pki.Root, ended)
	below, belowEnded := ca("Below", old, nil), ca("Below, ended", old, ended)
	renewed := pki.Issue(testpki.Request{CommonName: "Old", CA: true, SelfSigned: true, KeyOf: old})
	leaf := func(issuer *testpki.Identity) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{host}, Issuer: issuer})
	}
	of := func(ids ...*testpki.Identity) (out []*x509.Certificate) {
		for _, id := range ids {
			out = append(out, id.Cert)
		}
		return out
	}
	for _, c := range []struct {
		name    string
		store   []*x509.Certificate
		sent    []*x509.Certificate
		accept  bool
		relaxed bool
	}{
		{"root", of(old), of(leaf(old)), true, true},
		{"root, sent as well", of(old), of(leaf(old), old), true, true},
		{"root, an intermediate between", of(old), of(leaf(below), below), true, true},
		{"intermediate", of(oldInter), of(leaf(oldInter)), true, true},
		{"root, and its renewal in the store", of(old, renewed), of(leaf(old)), true, false},
		{"intermediate that is sent and not trusted", of(pki.Root), of(leaf(oldInter), oldInter), false, false},
		{"root, an intermediate that has ended", of(old), of(leaf(belowEnded), belowEnded), false, false},
		{"root that is not valid yet", of(young), of(leaf(young)), false, false},
		{"root, a leaf that has ended", of(old), of(pki.Issue(testpki.Request{Names: []string{host}, Issuer: old, Edit: ended})), false, false},
		{"root, another name", of(old), of(pki.Issue(testpki.Request{Names: []string{"other.example"}, Issuer: old})), false, false},
		{"root, another usage", of(old), of(pki.Issue(testpki.Request{Names: []string{host}, Issuer: old, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})), false, false},
		{"root of the same name", of(ca("Old", nil, ended)), of(leaf(old)), false, false},
	} {
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: truststore.JavaHTTPS()}
		store := truststore.New(c.store...)
		v, err := store.Verify(c.sent, o)
		if (err == nil) != c.accept || err == nil && (len(v.Relaxations) > 0) != c.relaxed {
			t.Errorf("%s: %v, %v", c.name, v, err)
		}
		if err == nil && (v.Rule != truststore.RuleChain || !store.Certificates()[len(c.store)-1].Equal(v.Anchor) || v.Anchor.NotAfter.After(pki.Now()) == c.relaxed || v.Chain[len(v.Chain)-1] != v.Anchor) {
			t.Errorf("%s: %v", c.name, v)
		}
		o.Allow = []truststore.Relaxation{truststore.AllowExpired, truststore.AllowCommonName, truststore.AllowAnyUsage, truststore.AllowAnyName}
		if _, err := store.Verify(c.sent, o); (err == nil) != (c.accept && !c.relaxed) {
			t.Errorf("%s, without the relaxation: %v", c.name, err)
		}
	}
	// Policies and scopes count.
	o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: truststore.JavaHTTPS(), Policy: truststore.Policy{KeyTypes: []string{"RSA"}}}
	if _, err := truststore.New(old.Cert).Verify(of(leaf(old)), o); code(err) != truststore.CodeKeyType {
		t.Errorf("policy: %v", err)
	}
	o.Policy = truststore.Policy{}
	store := truststore.New(old.Cert)
	noError(t, store.SetScope(store.Aliases()[0], truststore.Scope{Names: []string{"elsewhere.example"}}))
	if _, err := store.Verify(of(leaf(old)), o); err == nil {
		t.Error("out of scope, and accepted")
	}
}

// The common name counts only where no alternative name of any kind is there.
func TestAllowCommonName(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	other := func(c *x509.Certificate) { // an otherName, which crypto/x509 passes over
		value := []byte{0x30, 0x0d, 0xa0, 0x0b, 6, 3, 0x2a, 3, 4, 0xa0, 4, 0x0c, 2, 'm', 'e'}
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{2, 5, 29, 17}, Value: value})
	}
	for _, c := range []struct {
		name   string
		r      testpki.Request
		accept bool
	}{
		{"none", testpki.Request{}, true},
		{"the DNS name of another", testpki.Request{Names: []string{"other.example"}}, false},
		{"an address", testpki.Request{Names: []string{"192.0.2.1"}}, false},
		{"an e-mail address", testpki.Request{Names: []string{"me@partner.example"}}, false},
		{"a URI", testpki.Request{Edit: uris("https://partner.example/")}, false},
		{"another kind of name", testpki.Request{Edit: other}, false},
	} {
		c.r.CommonName, c.r.SelfSigned = host, true
		leaf := pki.Issue(c.r)
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: []truststore.Relaxation{truststore.AllowCommonName}}
		if _, err := truststore.New(leaf.Cert).Verify(leaf.Chain, o); (err == nil) != c.accept {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Without a name, only AllowAnyName will do, and only for what is exactly trusted.
func TestNoName(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	o := truststore.VerifyOptions{Time: pki.Now(), Allow: []truststore.Relaxation{truststore.AllowAnyName}}
	if v, err := truststore.New(leaf.Cert).Verify(leaf.Chain, o); err != nil || !slices.Equal(v.Relaxations, o.Allow) {
		t.Errorf("%v, %v", v, err)
	}
	if _, err := truststore.New(pki.Root.Cert).Verify(leaf.Chain, o); code(err) != truststore.CodeNoName {
		t.Errorf("%v", err)
	}
	o.Allow = []truststore.Relaxation{truststore.AllowExpired, truststore.AllowCommonName}
	if _, err := truststore.New(leaf.Cert).Verify(leaf.Chain, o); code(err) != truststore.CodeNoName {
		t.Errorf("%v", err)
	}
}

func TestPins(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	renewed := pki.Issue(testpki.Request{Names: []string{host}, KeyOf: leaf})
	ca := pki.CALeaf(host)
	child := pki.Issue(testpki.Request{Names: []string{host}, Issuer: ca})
	store := truststore.New(pki.Root.Cert)
	for _, c := range []struct {
		name   string
		peer   *testpki.Identity
		pin    truststore.Pin
		accept bool
	}{
		{"certificate", leaf, truststore.PinCertificate(leaf.Cert), true},
		{"key", leaf, truststore.PinKey(leaf.Cert), true},
		{"renewed for the same key, certificate pinned", renewed, truststore.PinCertificate(leaf.Cert), false},
		{"renewed for the same key, key pinned", renewed, truststore.PinKey(leaf.Cert), true},
		{"authority pinned, child presented", child, truststore.PinCertificate(ca.Cert), false},
		{"key of the authority pinned, child presented", child, truststore.PinKey(ca.Cert), false},
		{"root pinned", leaf, truststore.PinCertificate(pki.Root.Cert), false},
		{"zero pin", leaf, truststore.Pin{}, false},
	} {
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Pins: []truststore.Pin{c.pin}}
		if _, err := store.Verify(c.peer.Chain, o); (err == nil) != c.accept || err != nil && code(err) != truststore.CodePinMismatch {
			t.Errorf("%s, besides a store: %v", c.name, err)
		}
		o.Pins = nil
		v, err := truststore.Pinned(c.pin).Verify(c.peer.Chain, o)
		if (err == nil) != c.accept || err == nil && v.Rule != truststore.RulePin {
			t.Errorf("%s, alone: %v, %v", c.name, v, err)
		}
	}
	// A list that was filtered until it was empty pins nothing that anybody has.
	filtered := truststore.VerifyOptions{Name: host, Time: pki.Now(), Pins: []truststore.Pin{}}
	if _, err := store.Verify(leaf.Chain, filtered); code(err) != truststore.CodePinMismatch {
		t.Errorf("an empty list of pins: %v", err)
	}
	// A pin narrows, and does not grant.
	o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Pins: []truststore.Pin{truststore.PinCertificate(leaf.Cert)}}
	other := testpki.New(t, testpki.Options{Name: "Other"})
	if _, err := truststore.New(other.Root.Cert).Verify(leaf.Chain, o); err == nil {
		t.Error("a pin granted trust that the store does not give")
	}
	if _, err := truststore.Pinned().Verify(leaf.Chain, truststore.VerifyOptions{Name: host}); code(err) != truststore.CodeEmptyStore {
		t.Errorf("%v", err)
	}
	// In a union, pins and stores both count.
	both, err := truststore.Union(truststore.New(other.Root.Cert), truststore.Pinned(truststore.PinKey(leaf.Cert))).Snapshot()
	if err != nil || both.Plain() {
		t.Fatal(both, err)
	}
	for _, chain := range [][]*x509.Certificate{leaf.Chain, other.Server(host).Chain} {
		if _, err := both.Verify(chain, truststore.VerifyOptions{Name: host, Time: pki.Now()}); err != nil {
			t.Error(err)
		}
	}
}

// The holder of a pinned key can name itself as it likes: a pin that is bound to a name counts
// for no other.
func TestPinsAreBoundToNames(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	const a, b = "a.example", "b.example"
	ofA, ofB := pki.SelfSigned(a), pki.SelfSigned(b)
	posing := pki.Issue(testpki.Request{Names: []string{a, b}, SelfSigned: true, KeyOf: ofA})
	bound := []truststore.Pin{truststore.PinKey(ofA.Cert).For(a), truststore.PinKey(ofB.Cert).For("*.example")}
	store := truststore.New(posing.Cert, ofB.Cert)
	for _, c := range []struct {
		peer   *testpki.Identity
		o      truststore.VerifyOptions
		pins   []truststore.Pin
		accept bool
	}{
		{ofA, truststore.VerifyOptions{Name: a}, bound, true},
		{ofB, truststore.VerifyOptions{Name: b}, bound, true},
		{posing, truststore.VerifyOptions{Name: a}, bound, true},
		{posing, truststore.VerifyOptions{Name: b}, bound, false},
		{posing, truststore.VerifyOptions{Purpose: truststore.Client}, bound, false},
		{posing, truststore.VerifyOptions{Allow: truststore.Relaxations()}, bound, false},
		{posing, truststore.VerifyOptions{Name: b}, []truststore.Pin{truststore.PinKey(ofA.Cert)}, true}, // the fault, where nothing is bound
		{posing, truststore.VerifyOptions{Name: b}, []truststore.Pin{truststore.PinCertificate(posing.Cert).For(a)}, false},
	} {
		c.o.Time = pki.Now()
		if v, err := truststore.Pinned(c.pins...).Verify(c.peer.Chain, c.o); (err == nil) != c.accept {
			t.Errorf("%v for %q, alone: %v, %v", c.peer.Cert.DNSNames, c.o.Name, v, err)
		}
		if c.peer == ofA {
			continue
		}
		c.o.Pins = c.pins
		if _, err := store.Verify(c.peer.Chain, c.o); (err == nil) != c.accept || err != nil && code(err) != truststore.CodePinMismatch {
			t.Errorf("%v for %q, besides a store: %v", c.peer.Cert.DNSNames, c.o.Name, err)
		}
	}
	for _, p := range append(bound, truststore.PinCertificate(ofA.Cert).For("spiffe://a.example/x y")) {
		if again, err := truststore.ParsePin(p.String()); err != nil || again != p || again.Name() != p.Name() {
			t.Errorf("%q: %v, %v", p, again, err)
		}
	}
	if _, err := truststore.ParsePin(bound[0].For("").String() + " for "); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
	if (truststore.Pin{}).For(a) != (truststore.Pin{}) || !bound[0].Fits(ofA.Cert) || bound[0].Fits(ofB.Cert) {
		t.Error("For of the zero Pin, or Fits")
	}
}

func TestParsePin(t *testing.T) {
	leaf := testpki.New(t, testpki.Options{}).Server(host).Cert
	cert, key := truststore.PinCertificate(leaf), truststore.PinKey(leaf)
	hex := strings.TrimPrefix(cert.String(), "sha256:")
	for text, want := range map[string]truststore.Pin{
		cert.String(): cert, hex: cert, strings.ToUpper(hex): cert, "SHA256:" + hex[:2] + ":" + hex[2:]: cert,
		key.String(): key, " " + key.String(): key, strings.Replace(key.String(), "sha256/", "spki-sha256:", 1): key,
	} {
		if p, err := truststore.ParsePin(text); err != nil || p != want {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
	for _, text := range []string{"", "sha256:", "sha256/", "sha256:zz", hex[:60], hex + "00", "sha1:" + hex[:40], "sha256/!!"} {
		if p, err := truststore.ParsePin(text); !errors.Is(err, trustkeep.ErrInvalid) || p != (truststore.Pin{}) {
			t.Errorf("%q: %v, %v", text, p, err)
		}
	}
}

func TestScopes(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	names := []string{"a.host.example", "host.example", "b.a.host.example", "192.0.2.1"}
	leaf := pki.Issue(testpki.Request{Names: names}) // for servers and clients
	check := func(s truststore.Scope, o truststore.VerifyOptions, accept bool) {
		t.Helper()
		store := truststore.New(pki.Root.Cert)
		if err := store.SetScope(store.Aliases()[0], s); err != nil {
			t.Fatal(err)
		}
		if o.Time.IsZero() {
			o.Time = pki.Now()
		}
		if _, err := store.Verify(leaf.Chain, o); (err == nil) != accept || err != nil && code(err) != truststore.CodeOutOfScope {
			t.Errorf("%+v, %q: %v", s, o.Name, err)
		}
	}
	for pattern, accepted := range map[string][]string{
		"host.example": {"host.example"}, "HOST.example.": {"host.example"}, "*.host.example": {"a.host.example"},
		".host.example": {"a.host.example", "b.a.host.example"}, "192.0.2.1": {"192.0.2.1"}, "ost.example": nil, "*": nil, "": nil,
	} {
		for _, name := range names {
			check(truststore.Scope{Names: []string{"elsewhere.example", pattern}}, truststore.VerifyOptions{Name: name}, slices.Contains(accepted, name))
		}
	}
	server := truststore.VerifyOptions{Name: "host.example"}
	check(truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}}, server, false)
	check(truststore.Scope{Purposes: []truststore.Purpose{truststore.Client, truststore.Server}}, server, true)
	check(truststore.Scope{Until: pki.Now().Add(-time.Second)}, server, false)
	check(truststore.Scope{Until: pki.Now().Add(time.Second)}, server, true)
	check(truststore.Scope{Names: []string{"host.example"}}, truststore.VerifyOptions{Purpose: truststore.Client}, false)
}

// A certificate that is out of scope does not stand in the way of another anchor,
// on the same path or another.
func TestScopesLeaveOtherPaths(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: truststore.Relaxations()}
	elsewhere := truststore.Scope{Names: []string{"elsewhere.example"}}
	for _, bounded := range []*x509.Certificate{leaf.Cert, pki.Intermediate.Cert} {
		store := truststore.New(bounded)
		if err := store.SetScope(store.Aliases()[0], elsewhere); err != nil {
			t.Fatal(err)
		}
		if _, err := store.Verify(leaf.Chain, o); code(err) != truststore.CodeOutOfScope {
			t.Errorf("%v", err)
		}
		if err := store.Add("root", pki.Root.Cert); err != nil {
			t.Fatal(err)
		}
		if v, err := store.Verify(leaf.Chain, o); err != nil || !v.Anchor.Equal(pki.Root.Cert) {
			t.Errorf("%v, %v", v, err)
		}
		// And within a union, a part that trusts it without bounds prevails.
		u, err := truststore.Union(store, truststore.New(bounded)).Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		if v, err := u.Verify(leaf.Chain, o); err != nil || !v.Anchor.Equal(bounded) || !u.Plain() {
			t.Errorf("%v, %v", v, err)
		}
	}
}

func TestScopesAreEditedAndNotLost(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	alias := store.Aliases()[0]
	before, _ := store.Snapshot()
	if err := store.SetScope(strings.ToUpper(alias), truststore.Scope{Names: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	after, _ := store.Snapshot()
	if !before.Plain() || after.Plain() || after.Generation() != before.Generation()+1 {
		t.Error("a scope makes a new generation")
	}
	if _, err := store.Encode(trustkeep.SaveOptions{Password: trustkeep.Password("x")}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a store was saved without its scopes: %v", err)
	}
	if err := store.SetScope("nobody", truststore.Scope{}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := store.SetScope(alias, truststore.Scope{}); err != nil {
		t.Fatal(err)
	}
	if s, _ := store.Snapshot(); !s.Plain() {
		t.Error("the zero scope is none")
	}
	// The scope goes with its certificate.
	if err := store.SetScope(alias, truststore.Scope{Names: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	if err := store.Remove(alias); err != nil {
		t.Fatal(err)
	}
	if err := store.Add(alias, pki.Root.Cert); err != nil {
		t.Fatal(err)
	}
	if s, _ := store.Snapshot(); !s.Plain() {
		t.Error("a new entry inherits a scope")
	}
}

type checkerFunc func(chain []*x509.Certificate, staple []byte) error

func (f checkerFunc) CheckRevocation(_ context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	return nil, f(q.Chain, q.Staple)
}

func TestRevocationHasTheLastWord(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	leaf := pki.Server(host)
	store := truststore.New(pki.Root.Cert)
	for _, c := range []struct {
		err  error
		code trustkeep.Code
		is   error
	}{{nil, "", nil}, {fmt.Errorf("%w yesterday", trustkeep.ErrRevoked), truststore.CodeRevoked, trustkeep.ErrRevoked}, {errors.New("no answer"), truststore.CodeRevocationUnknown, nil}} {
		asked := 0
		o := truststore.VerifyOptions{Name: host, Time: pki.Now(), Staple: []byte("staple"), Revocation: checkerFunc(func(chain []*x509.Certificate, staple []byte) error {
			asked++
			if len(chain) != 3 || !chain[2].Equal(pki.Root.Cert) || string(staple) != "staple" {
				t.Errorf("%d certificates, %q", len(chain), staple)
			}
			return c.err
		})}
		_, err := store.Verify(leaf.Chain, o)
		if code(err) != c.code || c.is != nil && !errors.Is(err, c.is) || asked != 1 {
			t.Errorf("%v: %v, asked %d times", c.err, err, asked)
		}
		// Not asked about what is not trusted anyway.
		o.Name = "other.example"
		if _, err := store.Verify(leaf.Chain, o); err == nil || asked != 1 {
			t.Errorf("%v, asked %d times", err, asked)
		}
	}
}

// Certificates of every kind that crypto/x509 has an opinion about, against every
// set of relaxations: what it refuses is accepted only under RuleExact, with the
// relaxations that the verdict names, and of those only what they are about.
func TestNothingRefusedIsAccepted(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	other := testpki.New(t, testpki.Options{Name: "Other"})
	ca := func(name string, issuer *testpki.Identity, edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{CommonName: name, CA: true, Issuer: issuer, Edit: edit})
	}
	under := func(issuer *testpki.Identity, edit func(*x509.Certificate)) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{host}, Issuer: issuer, Edit: edit})
	}
	critical := func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 2, 3, 4}, Critical: true, Value: []byte{5, 0}})
	}
	zero := ca("Path Zero", pki.Root, func(c *x509.Certificate) { c.MaxPathLen, c.MaxPathLenZero = 0, true })
	peers := map[string]*testpki.Identity{
		"ordinary":                 pki.Server(host),
		"expired":                  pki.Expired(host),
		"not yet valid":            pki.NotYetValid(host),
		"common name":              pki.CommonNameOnly(host),
		"wrong name":               pki.WrongName(),
		"wrong usage":              pki.WrongUsage(host),
		"CA as a server":           pki.CALeaf(host),
		"below a CA leaf":          under(pki.CALeaf("ca.example"), nil),
		"below a leaf":             under(pki.Server("leaf.example"), nil),
		"path length":              under(ca("Too deep", zero, nil), nil),
		"critical extension":       under(nil, critical),
		"critical extension above": under(ca("Critical", pki.Root, critical), nil),
		"permitted name":           under(ca("Permits", pki.Root, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"example"} }), nil),
		"name not permitted":       under(ca("Permits other", pki.Root, func(c *x509.Certificate) { c.PermittedDNSDomains = []string{"other.test"} }), nil),
		"name excluded":            under(ca("Excludes", pki.Root, func(c *x509.Certificate) { c.ExcludedDNSDomains = []string{host} }), nil),
		"address not permitted": under(ca("Permits addresses", pki.Root, func(c *x509.Certificate) {
			c.ExcludedIPRanges = []*net.IPNet{{IP: net.IPv4(10, 0, 0, 0).To4(), Mask: net.CIDRMask(8, 32)}}
		}), func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(10, 1, 1, 1)} }),
		"authority for e-mail only":     under(ca("E-mail CA", pki.Root, func(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection} }), nil),
		"expired authority":             under(pki.Issue(testpki.Request{CommonName: "Old CA", CA: true, Issuer: pki.Root, NotBefore: pki.Now().Add(-48 * time.Hour), NotAfter: pki.Now().Add(-time.Hour)}), nil),
		"authority that may not sign":   under(ca("No signing", pki.Root, func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageDigitalSignature }), nil),
		"another root":                  other.Server(host),
		"cross-signed":                  {Cert: other.Server(host).Cert, Chain: []*x509.Certificate{nil, pki.CrossSign(other.Intermediate).Cert}},
		"self-signed":                   pki.SelfSigned(host),
		"of the same name, another key": {Cert: other.Server(host).Cert, Chain: []*x509.Certificate{nil, pki.Intermediate.Cert, pki.Root.Cert}},
	}
	for _, name := range []string{"cross-signed", "of the same name, another key"} {
		peers[name].Chain[0] = peers[name].Cert
	}
	accepted, refused := 0, 0
	for name, peer := range peers {
		for storeName, certs := range map[string][]*x509.Certificate{
			"root": {pki.Root.Cert}, "intermediate": {pki.Intermediate.Cert}, "exact": {peer.Cert}, "exact and root": {peer.Cert, pki.Root.Cert},
			"all it sends": peer.Chain, "another exact": {pki.SelfSigned(host).Cert},
		} {
			store := truststore.New(certs...)
			for set := range 8 {
				var allow []truststore.Relaxation
				for i, r := range truststore.Relaxations() {
					if set&(1<<i) != 0 {
						allow = append(allow, r)
					}
				}
				at := fmt.Sprintf("%s, %s in the store, %v", name, storeName, allow)
				v, err := store.Verify(peer.Chain, truststore.VerifyOptions{Name: host, Time: pki.Now(), Allow: allow})
				if err == nil {
					accepted++
				} else {
					refused++
				}
				oracle := func(dns string, when time.Time, roots ...*x509.Certificate) bool {
					o := x509.VerifyOptions{DNSName: dns, CurrentTime: when, Roots: x509.NewCertPool(), Intermediates: x509.NewCertPool(), KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
					for _, c := range roots {
						o.Roots.AddCert(c)
					}
					for _, c := range peer.Chain {
						o.Intermediates.AddCert(c)
					}
					_, err := peer.Cert.Verify(o)
					return err == nil
				}
				strict := oracle(host, pki.Now(), certs...)
				switch {
				case strict && (err != nil || len(v.Relaxations) > 0):
					t.Errorf("%s: crypto/x509 accepts it: %v, %v", at, v, err)
				case strict || err != nil:
				case v.Rule != truststore.RuleExact || len(v.Relaxations) == 0 || len(v.Chain) != 1 || !v.Chain[0].Equal(peer.Cert):
					t.Errorf("%s: accepted although crypto/x509 refuses it: %v", at, v)
				default:
					// Of what the relaxations are about, and nothing else.
					dns, when := host, pki.Now()
					for _, r := range v.Relaxations {
						if !slices.Contains(allow, r) {
							t.Errorf("%s: relaxed by %s, which is not allowed", at, r)
						}
						if r == truststore.AllowExpired {
							when = peer.Cert.NotAfter
						} else {
							dns = ""
						}
					}
					if !oracle(dns, when, peer.Cert) {
						t.Errorf("%s: %v accept more than they say", at, v.Relaxations)
					}
				}
			}
		}
	}
	if accepted < 100 || refused < 300 {
		t.Errorf("%d accepted, %d refused", accepted, refused)
	}
}
