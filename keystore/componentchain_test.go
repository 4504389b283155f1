package keystore_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// deepPKI is a server under two intermediate CAs.
type deepPKI struct{ server, lower, upper, root *keystore.Identity }

func newDeepPKI(t testing.TB) (p deepPKI) {
	t.Helper()
	make := func(o issue.Options) *keystore.Identity {
		id, err := issue.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	two := 2
	one := 1
	p.root = make(issue.Options{Subject: cn("Root"), Purposes: issue.ForCA})
	p.upper = make(issue.Options{Subject: cn("Upper"), Purposes: issue.ForCA, Issuer: p.root, PathLength: &two})
	p.lower = make(issue.Options{Subject: cn("Lower"), Purposes: issue.ForCA, Issuer: p.upper, PathLength: &one})
	p.server = make(issue.Options{Subject: cn("server"), DNSNames: []string{"server.example"}, Issuer: p.lower})
	return p
}

// file has the server's key with certificates, in a format.
func (p deepPKI) file(t testing.TB, f trustkeep.Format, certs ...*keystore.Identity) []byte {
	t.Helper()
	chain := []*x509.Certificate{p.server.Leaf()}
	for _, c := range certs {
		chain = append(chain, c.Leaf())
	}
	id, err := keystore.NewIdentity(p.server.Signer(), chain...)
	if err != nil {
		t.Fatal(err)
	}
	ks := keystore.New()
	if err := ks.SetIdentity("server", id); err != nil {
		t.Fatal(err)
	}
	data, err := ks.Encode(trustkeep.SaveOptions{Format: f, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func chainNames(c *component.Component) (out []string) {
	for _, d := range c.Describe() {
		out = append(out, d.Subject)
	}
	return out
}

// A file whose chain has a gap keeps what is beyond it.
func TestImportKeepsTheChainBeyondAGap(t *testing.T) {
	p := newDeepPKI(t)
	for _, f := range []trustkeep.Format{trustkeep.PKCS12, trustkeep.JKS, trustkeep.PEM} {
		for about, test := range map[string]struct {
			certs []*keystore.Identity
			want  []string
		}{
			"the lower CA is missing":   {[]*keystore.Identity{p.upper, p.root}, []string{"CN=server", "CN=Upper", "CN=Root"}},
			"the upper CA is missing":   {[]*keystore.Identity{p.lower, p.root}, []string{"CN=server", "CN=Lower", "CN=Root"}},
			"only the root is there":    {[]*keystore.Identity{p.root}, []string{"CN=server", "CN=Root"}},
			"nothing is missing":        {[]*keystore.Identity{p.lower, p.upper, p.root}, []string{"CN=server", "CN=Lower", "CN=Upper", "CN=Root"}},
			"in the order of somewhere": {[]*keystore.Identity{p.root, p.lower, p.upper}, []string{"CN=server", "CN=Lower", "CN=Upper", "CN=Root"}},
		} {
			t.Run(fmt.Sprint(f, ", ", about), func(t *testing.T) {
				c := importFile(t, "server", p.file(t, f, test.certs...), withPassword("secret"))
				if got := chainNames(c); !slices.Equal(got, test.want) {
					t.Errorf("%q, want %q", got, test.want)
				}
				// It is stored, opened, exported and imported as it is.
				id, err := keystore.IdentityOf(c, trustkeep.Password("secret"))
				if err != nil || len(id.Chain()) != len(test.want) {
					t.Errorf("%v, %v", id, err)
				}
				_, again, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("secret"), component.ExportOptions{})
				if err != nil {
					t.Fatal(err)
				}
				if got := chainNames(importFile(t, "server", again, withPassword("secret"))); !slices.Equal(got, test.want) {
					t.Errorf("again: %q, want %q", got, test.want)
				}
			})
		}
	}
}

// What the import of a chain with a gap says, and which verb mends it.
func TestGapIsAFindingAndIsCompleted(t *testing.T) {
	p := newDeepPKI(t)
	o := withPassword("secret")
	o.Kinds = nil
	c := importFile(t, "server", p.file(t, trustkeep.PKCS12, p.upper, p.root), withPassword("secret"))
	found := c.Findings()
	if len(found) != 1 || found[0].Code != keystore.CodeMissingIssuer || found[0].Severity != trustkeep.Warning ||
		found[0].String() != "CN=server: the chain lacks CN=Lower, which signed CN=server; 2 certificates of the file that are no part of it are kept; add it with CompleteChain" {
		t.Errorf("%v", found)
	}
	whole, err := c.CompleteChain(t.Context(), pemOf(p.lower.Leaf()), o)
	if err != nil {
		t.Fatal(err)
	}
	if got := chainNames(whole); !slices.Equal(got, []string{"CN=server", "CN=Lower", "CN=Upper", "CN=Root"}) || whole.Version() != 2 || whole.Fingerprint() != c.Fingerprint() || whole.Findings() != nil {
		t.Errorf("%v: %q, %v", whole, got, whole.Findings())
	}
	if id, err := keystore.IdentityOf(whole, trustkeep.Password("secret")); err != nil || len(id.Chain()) != 4 {
		t.Errorf("%v, %v", id, err)
	}
	again, err := whole.CompleteChain(t.Context(), pemOf(p.lower.Leaf(), p.root.Leaf()), o)
	if err != nil || again != whole {
		t.Errorf("nothing to add: %v, %v", again, err)
	}
}

func TestChainsAreEdited(t *testing.T) {
	p, other := newDeepPKI(t), newDeepPKI(t)
	private := importFile(t, "server", p.file(t, trustkeep.PKCS12), withPassword("secret"))
	public := importFile(t, "server", p.server.Leaf().Raw, component.Options{})
	end, err := issue.New(issue.Options{Subject: cn("Lower"), DNSNames: []string{"x.example"}})
	if err != nil {
		t.Fatal(err)
	}
	p7b := func(ids ...*keystore.Identity) []byte {
		c := importFile(t, "p7b", pemOf(leavesOf(ids)...), component.Options{})
		_, data, err := c.ExportPublic(keystore.SuffixP7B)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	const complete, set = false, true
	for about, test := range map[string]struct {
		replace bool
		file    []byte
		want    []string // of the chain behind the server
		err     error
	}{
		"complete":                 {complete, pemOf(leavesOf([]*keystore.Identity{p.root, p.lower, p.upper})...), []string{"Lower", "Upper", "Root"}, nil},
		"complete from a bundle":   {complete, pemOf(leavesOf([]*keystore.Identity{other.lower, other.root, other.upper, p.upper, p.lower})...), []string{"Lower", "Upper"}, nil},
		"complete, DER":            {complete, p.lower.Leaf().Raw, []string{"Lower"}, nil},
		"complete, p7b":            {complete, p7b(p.lower, p.upper, p.root), []string{"Lower", "Upper", "Root"}, nil},
		"complete, nothing fits":   {complete, pemOf(p.root.Leaf()), nil, trustkeep.ErrNotFound},
		"complete, a namesake":     {complete, pemOf(other.lower.Leaf()), nil, trustkeep.ErrNotFound},
		"complete, no CA":          {complete, pemOf(end.Leaf()), nil, trustkeep.ErrNotFound},
		"complete, garbage":        {complete, []byte("garbage"), nil, trustkeep.ErrCorrupt},
		"complete, nothing":        {complete, nil, nil, trustkeep.ErrEmpty},
		"set":                      {set, pemOf(leavesOf([]*keystore.Identity{p.root, p.server, p.lower, p.upper})...), []string{"Lower", "Upper", "Root"}, nil},
		"set, without the root":    {set, pemOf(leavesOf([]*keystore.Identity{p.upper, p.lower})...), []string{"Lower", "Upper"}, nil},
		"set, nothing but the own": {set, pemOf(p.server.Leaf()), []string{}, nil},
		"set, with a stranger":     {set, pemOf(leavesOf([]*keystore.Identity{p.lower, end})...), nil, trustkeep.ErrNotFound},
		"set, with a gap":          {set, pemOf(leavesOf([]*keystore.Identity{p.lower, p.root})...), nil, trustkeep.ErrInvalid},
		"set, a namesake":          {set, pemOf(leavesOf([]*keystore.Identity{other.lower, p.lower})...), nil, trustkeep.ErrNotFound},
		"set, of another":          {set, pemOf(other.root.Leaf()), nil, trustkeep.ErrInvalid},
	} {
		for _, c := range []*component.Component{private, public} {
			o := component.Options{}
			if c == private {
				o.Password = trustkeep.Password("secret")
			}
			edit := c.CompleteChain
			if test.replace {
				edit = c.SetChain
			}
			after, err := edit(t.Context(), test.file, o)
			if !errors.Is(err, test.err) || test.err == nil && err != nil {
				t.Errorf("%s, %s: %v, %v", about, c.Visibility(), after, err)
				continue
			}
			if test.err != nil {
				continue
			}
			want := []string{"CN=server"}
			for _, name := range test.want {
				want = append(want, "CN="+name)
			}
			if got := chainNames(after); !slices.Equal(got, want) || after.Fingerprint() != c.Fingerprint() {
				t.Errorf("%s, %s: %q", about, c.Visibility(), got)
			}
			if c == private {
				if err := after.CheckPassword(o.Password); err != nil {
					t.Errorf("%s: %v", about, err)
				}
			}
		}
	}
	if _, err := private.CompleteChain(t.Context(), pemOf(p.lower.Leaf()), withPassword("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	rejecting := withPassword("secret")
	rejecting.Scanner = trustkeep.ScannerFunc(func(context.Context, string, []byte) error { return trustkeep.ErrRejected })
	if _, err := private.SetChain(t.Context(), pemOf(p.lower.Leaf()), rejecting); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("%v", err)
	}
}

func leavesOf(ids []*keystore.Identity) (out []*x509.Certificate) {
	for _, id := range ids {
		out = append(out, id.Leaf())
	}
	return out
}
