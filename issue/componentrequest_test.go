package issue_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func secretOf(text string) trustkeep.PasswordSource { return trustkeep.Password(text) }

func componentOptions() component.Options {
	return component.Options{Kinds: []component.Kind{keystore.ComponentKind()}, Clock: atNoon, Password: secretOf("secret")}
}

// newRequest makes a component that waits for its first certificate.
func newRequest(t *testing.T) (*component.Component, []byte) {
	t.Helper()
	c, csr, err := component.CreateRequest(t.Context(), "server",
		issue.RequestOptions{Certificate: issue.Options{Subject: cn("a.example"), DNSNames: []string{"a.example"}}}, componentOptions())
	if err != nil {
		t.Fatal(err)
	}
	return c, csr
}

// again stores a component and restores it, as it is days later.
func again(t *testing.T, c *component.Component) *component.Component {
	t.Helper()
	text, err := json.Marshal(c.State())
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(text, []byte("PRIVATE")) || bytes.Contains(text, []byte("secret")) {
		t.Errorf("%s", text)
	}
	var state component.State
	if err := json.Unmarshal(text, &state); err != nil {
		t.Fatal(err)
	}
	restored, err := component.Restore(state, keystore.ComponentKind())
	if err != nil {
		t.Fatal(err)
	}
	if !restored.Equal(c) {
		t.Errorf("%v, %v restored from %v, %v", restored, restored.Pending(), c, c.Pending())
	}
	return restored
}

func derOf(chain []*x509.Certificate) []byte { return chain[0].Raw }

// p7bOf is a reply as Windows CAs send it.
func p7bOf(t *testing.T, chain []*x509.Certificate) []byte {
	t.Helper()
	c, err := component.Import(t.Context(), "reply", pemOf(chain...), componentOptions())
	if err != nil {
		t.Fatal(err)
	}
	_, p7b, err := c.ExportPublic(keystore.SuffixP7B)
	if err != nil {
		t.Fatal(err)
	}
	return p7b
}

// A component begins as a request and counts for nothing until the reply is there, in
// whatever form it comes.
func TestComponentThatBeginsAsARequest(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	for name, test := range map[string]struct {
		form  func([]*x509.Certificate) []byte
		o     issue.InstallOptions
		chain []string
	}{
		"PEM, chain":                       {func(r []*x509.Certificate) []byte { return pemOf(append(r, root.Leaf())...) }, issue.InstallOptions{}, []string{"a.example", "Intermediate CA", "Root CA"}},
		"PEM, without the root":            {func(r []*x509.Certificate) []byte { return pemOf(r[:2]...) }, issue.InstallOptions{}, []string{"a.example", "Intermediate CA"}},
		"PEM, certificate alone":           {func(r []*x509.Certificate) []byte { return pemOf(r[0]) }, issue.InstallOptions{}, []string{"a.example"}},
		"DER, certificate alone":           {derOf, issue.InstallOptions{}, []string{"a.example"}},
		"DER, the root is trusted":         {func(r []*x509.Certificate) []byte { return pemOf(r[:2]...) }, issue.InstallOptions{Trust: truststore.New(root.Leaf())}, []string{"a.example", "Intermediate CA", "Root CA"}},
		"p7b, chain":                       {func(r []*x509.Certificate) []byte { return p7bOf(t, append(r[:2:2], root.Leaf())) }, issue.InstallOptions{}, []string{"a.example", "Intermediate CA", "Root CA"}},
		"p7b, certificate alone":           {func(r []*x509.Certificate) []byte { return p7bOf(t, r[:1]) }, issue.InstallOptions{}, []string{"a.example"}},
		"PEM, the intermediate is missing": {func(r []*x509.Certificate) []byte { return pemOf(root.Leaf(), r[0]) }, issue.InstallOptions{}, []string{"a.example", "Root CA"}},
	} {
		t.Run(name, func(t *testing.T) {
			c, csr := newRequest(t)
			c = again(t, c)
			if c.Version() != 0 || c.Fingerprint() != "" || !c.NotAfter().IsZero() || len(c.Versions()) != 0 || c.Kind() != trustkeep.X509 ||
				c.Visibility() != trustkeep.Private || c.Describe() != nil || len(c.Pending()) != 1 || !bytes.Equal(c.Pending()[0].Request, csr) {
				t.Errorf("%v, %v", c, c.Pending())
			}
			if _, err := keystore.IdentityOf(c, secretOf("secret")); !errors.Is(err, trustkeep.ErrEmpty) {
				t.Errorf("identity: %v", err)
			}
			if _, err := keystore.CertificateOf(c); !errors.Is(err, trustkeep.ErrEmpty) || keystore.ChainOf(c) != nil {
				t.Errorf("certificate: %v", err)
			}
			if _, _, err := c.ExportPublic(""); !errors.Is(err, trustkeep.ErrEmpty) {
				t.Errorf("export: %v", err)
			}
			if _, _, err := c.ExportPrivate(secretOf("secret"), secretOf("x"), component.ExportOptions{}); !errors.Is(err, trustkeep.ErrEmpty) {
				t.Errorf("export: %v", err)
			}
			answer := test.form(reply(t, intermediate, csr, issue.Options{}))
			done, err := c.Install(t.Context(), answer, test.o, componentOptions())
			if err != nil {
				t.Fatal(err)
			}
			done = again(t, done)
			id, err := keystore.IdentityOf(done, secretOf("secret"))
			if err != nil {
				t.Fatal(err)
			}
			if got := subjects(id.Chain()); !slices.Equal(got, test.chain) || done.Version() != 1 || done.ID() != c.ID() || len(done.Pending()) != 0 {
				t.Errorf("%v: %q, %v", done, got, done.Pending())
			}
		})
	}
}

func TestRepliesThatAreRefused(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	other := put(t, at(noon).New(), "other", issue.Options{Subject: cn("Other CA"), Purposes: issue.ForCA})
	c, csr := newRequest(t)
	_, strange := newRequest(t)
	answer := pemOf(reply(t, intermediate, csr, issue.Options{})...)
	for name, test := range map[string]struct {
		reply []byte
		o     issue.InstallOptions
		with  string
		want  error
	}{
		"for another key":      {pemOf(reply(t, intermediate, strange, issue.Options{})...), issue.InstallOptions{}, "secret", trustkeep.ErrKeyMismatch},
		"of another CA":        {answer, issue.InstallOptions{Trust: truststore.New(other.Leaf())}, "secret", trustkeep.ErrNotFound},
		"wrong password":       {answer, issue.InstallOptions{}, "wrong", trustkeep.ErrIncorrectPassword},
		"nothing":              {nil, issue.InstallOptions{}, "secret", trustkeep.ErrEmpty},
		"garbage":              {[]byte("garbage"), issue.InstallOptions{}, "secret", trustkeep.ErrCorrupt},
		"the request":          {csr, issue.InstallOptions{}, "secret", trustkeep.ErrEmpty},
		"the CA alone":         {pemOf(root.Leaf()), issue.InstallOptions{}, "secret", trustkeep.ErrKeyMismatch},
		"expired":              {answer, issue.InstallOptions{Clock: func() time.Time { return noon.AddDate(3, 0, 0) }}, "secret", trustkeep.ErrExpired},
		"an alias":             {answer, issue.InstallOptions{KeepAs: "old"}, "secret", trustkeep.ErrInvalid},
		"beyond size":          {slices.Concat(answer, bytes.Repeat([]byte("\n"), 5<<20)), issue.InstallOptions{}, "secret", trustkeep.ErrLimit},
		"too many":             {pemOf(slices.Repeat([]*x509.Certificate{root.Leaf()}, 101)...), issue.InstallOptions{}, "secret", trustkeep.ErrLimit},
		"limits of the caller": {answer, issue.InstallOptions{Limits: trustkeep.Limits{MaxEntries: 1}}, "secret", trustkeep.ErrLimit},
	} {
		o := componentOptions()
		o.Password = secretOf(test.with)
		if after, err := c.Install(t.Context(), test.reply, test.o, o); !errors.Is(err, test.want) || after != nil {
			t.Errorf("%s: %v, %v", name, after, err)
		}
	}
	o := componentOptions()
	o.Policy = func(*component.Component) error { return trustkeep.ErrRejected }
	if _, err := c.Install(t.Context(), answer, issue.InstallOptions{}, o); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("policy: %v", err)
	}
	o = componentOptions()
	o.Scanner = trustkeep.ScannerFunc(func(context.Context, string, []byte) error { return trustkeep.ErrRejected })
	if _, err := c.Install(t.Context(), answer, issue.InstallOptions{}, o); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("scanner: %v", err)
	}
	if _, err := c.Install(t.Context(), answer, nil, componentOptions()); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no installer: %v", err)
	}
	if len(c.Pending()) != 1 {
		t.Error("the request no longer waits")
	}
}

// Several requests wait at once, for new keys and for the one there is, and survive what
// happens to the content meanwhile.
func TestRequestsWait(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	o := componentOptions()
	first, err := component.Create(t.Context(), "server", issue.Options{Subject: cn("a.example"), DNSNames: []string{"a.example"}, Key: issue.ECP384}, o)
	if err != nil {
		t.Fatal(err)
	}
	c, sameKey, err := first.Request(t.Context(), issue.RequestOptions{}, o)
	if err != nil {
		t.Fatal(err)
	}
	next := o
	next.NewPassword = secretOf("second")
	c, newKey, err := c.Request(t.Context(), issue.RequestOptions{NewKey: true}, next)
	if err != nil {
		t.Fatal(err)
	}
	c, third, err := c.Request(t.Context(), issue.RequestOptions{NewKey: true, Certificate: issue.Options{Key: issue.ECP256, DNSNames: []string{"b.example"}}}, o)
	if err != nil {
		t.Fatal(err)
	}
	if c.Version() != 1 || c.Fingerprint() != first.Fingerprint() || first.Pending() == nil || len(first.Pending()) != 0 {
		t.Errorf("%v", c)
	}
	for i, want := range []string{"request 1 of 2026-03-01", "request 2 of 2026-03-01", "request 3 of 2026-03-01"} {
		if p := c.Pending()[i]; p.String() != want || p.Number != i+1 {
			t.Errorf("%v", p)
		}
	}
	// The key is replaced, renamed, rolled back, stored meanwhile.
	c, err = c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, o)
	if err != nil {
		t.Fatal(err)
	}
	c, err = c.Rename("renamed")
	if err != nil {
		t.Fatal(err)
	}
	c = again(t, c)
	var last *keystore.Identity
	for _, test := range []struct {
		about    string
		csr      []byte
		number   int
		password string
		waits    []int
	}{
		{"a new key", newKey, 2, "second", []int{1, 3}},
		{"the former key", sameKey, 1, "secret", []int{3}},
		{"other names", third, 3, "secret", nil},
	} {
		answer := pemOf(append(reply(t, intermediate, test.csr, issue.Options{}), root.Leaf())...)
		if n, err := c.Answers(answer, issue.InstallOptions{}, o); n != test.number || err != nil {
			t.Errorf("%s: answers %d, %v", test.about, n, err)
		}
		o := o
		o.Password = secretOf(test.password)
		c, err = c.Install(t.Context(), answer, issue.InstallOptions{}, o)
		if err != nil {
			t.Fatalf("%s: %v", test.about, err)
		}
		if c, err = c.Rollback(c.Version(), o); err != nil {
			t.Fatal(err)
		}
		c = again(t, c)
		var waits []int
		for _, p := range c.Pending() {
			waits = append(waits, p.Number)
		}
		if last, err = keystore.IdentityOf(c, o.Password); err != nil || !slices.Equal(waits, test.waits) {
			t.Errorf("%s: %v, %v wait", test.about, err, waits)
		}
	}
	if names := last.Leaf().DNSNames; !slices.Equal(names, []string{"b.example"}) || c.Name() != "renamed" {
		t.Errorf("%v of %v", names, c)
	}
	c, _, err = c.Request(t.Context(), issue.RequestOptions{}, o)
	if err != nil || c.Pending()[0].Number != 4 {
		t.Errorf("%v, %v", c.Pending(), err)
	}
}

// With the same key, no request need wait, and two that wait are answered together.
func TestReplyForTheCurrentKey(t *testing.T) {
	_, root, intermediate := newCA(t, atNoon)
	o := componentOptions()
	c, csr := newRequest(t)
	c, err := c.Install(t.Context(), pemOf(append(reply(t, intermediate, csr, issue.Options{}), root.Leaf())...), issue.InstallOptions{}, o)
	if err != nil {
		t.Fatal(err)
	}
	longer := reply(t, intermediate, csr, issue.Options{Validity: 24 * time.Hour})
	c, err = c.Install(t.Context(), pemOf(longer[0]), issue.InstallOptions{}, o)
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Describe(); len(got) != 3 || c.Version() != 2 {
		t.Errorf("the chain is not that of before: %v", got)
	}
	for range 2 {
		if c, csr, err = c.Request(t.Context(), issue.RequestOptions{}, o); err != nil {
			t.Fatal(err)
		}
	}
	c, err = c.Install(t.Context(), pemOf(reply(t, intermediate, csr, issue.Options{})...), issue.InstallOptions{}, o)
	if err != nil || len(c.Pending()) != 0 || c.Version() != 3 {
		t.Errorf("%v, %v wait, %v", c, c.Pending(), err)
	}
}

func TestRequestsAreCancelled(t *testing.T) {
	o := componentOptions()
	c, _ := newRequest(t)
	if _, err := c.Cancel(1); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("the only one: %v", err)
	}
	c, _, err := c.Request(t.Context(), issue.RequestOptions{Certificate: issue.Options{Subject: cn("again")}}, o)
	if err != nil {
		t.Fatal(err)
	}
	if c, err = c.Cancel(2); err != nil {
		t.Fatal(err)
	}
	if _, err = c.Cancel(2); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("cancelled twice: %v", err)
	}
	c = again(t, c)
	for range 15 {
		if c, _, err = c.Request(t.Context(), issue.RequestOptions{Certificate: issue.Options{Subject: cn("again")}}, o); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err = c.Request(t.Context(), issue.RequestOptions{Certificate: issue.Options{Subject: cn("again")}}, o); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("17 requests: %v", err)
	}
	if n := c.Pending()[15].Number; n != 17 {
		t.Errorf("number %d was used again", n)
	}
	// A whole file ends the waiting as well.
	id := put(t, at(noon).New(), "x", issue.Options{Subject: cn("x")})
	replaced, err := c.Renew(t.Context(), id, o)
	if err != nil || replaced.Version() != 1 || len(replaced.Pending()) != 16 {
		t.Errorf("%v, %v", replaced, err)
	}
}

func TestPasswordOfAKeyThatWaits(t *testing.T) {
	o := componentOptions()
	c, csr := newRequest(t)
	if err := c.CheckPassword(secretOf("secret")); err != nil {
		t.Error(err)
	}
	if err := c.CheckPassword(secretOf("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Error(err)
	}
	if _, err := c.ChangePassword(secretOf("wrong"), secretOf("next"), o); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Error(err)
	}
	c, err := c.ChangePassword(secretOf("secret"), secretOf("next"), o)
	if err != nil || c.Version() != 0 {
		t.Fatal(c, err)
	}
	c = again(t, c)
	_, root, _ := newCA(t, atNoon)
	o.Password = secretOf("next")
	if err := c.Pending()[0].CheckPassword(o.Password); err != nil {
		t.Error(err)
	}
	c, err = c.Install(t.Context(), pemOf(reply(t, root, csr, issue.Options{})...), issue.InstallOptions{}, o)
	if err != nil {
		t.Fatal(err)
	}
	// With a certificate, the content's password and those of requests under the same one.
	other := o
	other.NewPassword = secretOf("its own")
	c, _, err = c.Request(t.Context(), issue.RequestOptions{NewKey: true}, o)
	if err == nil {
		c, _, err = c.Request(t.Context(), issue.RequestOptions{NewKey: true}, other)
	}
	if err == nil {
		c, err = c.ChangePassword(o.Password, secretOf("last"), o)
	}
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"last", "its own"} {
		if err := c.Pending()[i].CheckPassword(secretOf(want)); err != nil {
			t.Errorf("request %d: %v", i, err)
		}
	}
	if err := c.CheckPassword(secretOf("last")); err != nil {
		t.Error(err)
	}
	if err := (component.Pending{}).CheckPassword(nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Error(err)
	}
}

func TestRequestsThatCannotBeMade(t *testing.T) {
	o := componentOptions()
	private, _ := newRequest(t)
	id := put(t, at(noon).New(), "x", issue.Options{Subject: cn("x")})
	public, err := component.Import(t.Context(), "public", pemOf(id.Leaf()), o)
	if err != nil {
		t.Fatal(err)
	}
	content, err := component.Create(t.Context(), "private", id, o)
	if err != nil {
		t.Fatal(err)
	}
	wrong, none := o, o
	wrong.Password, none.Password = secretOf("wrong"), nil
	for name, test := range map[string]struct {
		c      *component.Component
		source component.Requester
		o      component.Options
		want   error
	}{
		"public":           {public, issue.RequestOptions{}, o, trustkeep.ErrUnsupported},
		"no source":        {private, nil, o, trustkeep.ErrInvalid},
		"no name":          {private, issue.RequestOptions{}, o, trustkeep.ErrInvalid},
		"wrong password":   {content, issue.RequestOptions{}, wrong, trustkeep.ErrIncorrectPassword},
		"no password":      {private, issue.RequestOptions{Certificate: issue.Options{Subject: cn("x")}}, none, trustkeep.ErrInvalid},
		"the CA's to say":  {content, issue.RequestOptions{Certificate: issue.Options{Validity: time.Hour}}, o, trustkeep.ErrInvalid},
		"key of no type":   {content, issue.RequestOptions{NewKey: true, Certificate: issue.Options{Key: 99}}, o, trustkeep.ErrInvalid},
		"first key, wrong": {private, issue.RequestOptions{Certificate: issue.Options{Subject: cn("x"), Key: 99}}, o, trustkeep.ErrInvalid},
	} {
		if after, csr, err := test.c.Request(t.Context(), test.source, test.o); !errors.Is(err, test.want) || after != nil || csr != nil {
			t.Errorf("%s: %v, %s, %v", name, after, csr, err)
		}
	}
	if c, _, err := component.CreateRequest(t.Context(), "", issue.RequestOptions{}, o); !errors.Is(err, trustkeep.ErrInvalid) || c != nil {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := public.Install(t.Context(), pemOf(id.Leaf()), issue.InstallOptions{}, o); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("reply for a public one: %v", err)
	}
}

// A state from a storage that others can write to.
func TestDamagedRequestsAreRefused(t *testing.T) {
	c, _ := newRequest(t)
	id := put(t, at(noon).New(), "x", issue.Options{Subject: cn("x")})
	full, err := c.Renew(t.Context(), id, componentOptions())
	if err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(*component.State){
		"number 0":        func(s *component.State) { s.Pending[0].Number = 0 },
		"number of no":    func(s *component.State) { s.Pending[0].Number = 2 },
		"no request":      func(s *component.State) { s.Pending[0].Request = nil },
		"no key":          func(s *component.State) { s.Pending[0].Store = nil },
		"no certificate":  func(s *component.State) { s.Pending[0].Chain = nil },
		"of another kind": func(s *component.State) { s.Pending[0].Data = []byte("x") },
		"twice":           func(s *component.State) { s.Pending = append(s.Pending, s.Pending[0]) },
		"too many":        func(s *component.State) { s.Pending = slices.Repeat(s.Pending, 17) },
		"neither nor":     func(s *component.State) { s.Pending, s.Versions = nil, nil },
		"of a public version": func(s *component.State) {
			for i := range s.Versions {
				s.Versions[i].Store = nil
			}
			if len(s.Versions) == 0 {
				s.Pending = nil
			}
		},
	} {
		for _, c := range []*component.Component{c, full} {
			s := c.State()
			damage(&s)
			if restored, err := component.Restore(s, keystore.ComponentKind()); !errors.Is(err, trustkeep.ErrCorrupt) {
				t.Errorf("%s: %v, %v", name, restored, err)
			}
		}
	}
	// The key is swapped for that of somebody else.
	s, strange := c.State(), full.State()
	s.Pending[0].Store = strange.Versions[0].Store
	swapped, err := component.Restore(s, keystore.ComponentKind())
	if err != nil {
		t.Fatal(err)
	}
	if err := swapped.Pending()[0].CheckPassword(secretOf("secret")); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("swapped: %v", err)
	}
}

// Nothing prints the key that waits, nor its password.
func TestRequestsPrintNoKeys(t *testing.T) {
	c, _ := newRequest(t)
	p := c.Pending()[0]
	for _, v := range []any{c, p, &p, c.Pending(), c.Content(), issue.RequestOptions{}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "PRIVATE") || strings.Contains(text, "secret") || len(text) > 6000 {
				t.Errorf("%s of %T: %s", verb, v, text)
			}
		}
	}
}
