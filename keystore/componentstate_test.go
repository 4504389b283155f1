package keystore_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// stored sends a component through JSON and back.
func restored(t testing.TB, c *component.Component) *component.Component {
	t.Helper()
	text, err := json.Marshal(c.State())
	if err != nil {
		t.Fatal(err)
	}
	var s component.State
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return mustComponent(t)(component.Restore(s, keystore.ComponentKind()))
}

func TestVersionsAndRollback(t *testing.T) {
	hours := 0
	o := withPassword("one")
	o.Clock = func() time.Time { return noon.Add(time.Duration(hours) * time.Hour) }
	one := mustComponent(t)(component.Create(t.Context(), "server", issue.Options{Subject: cn("a")}, o))
	hours = 1
	two := mustComponent(t)(one.Renew(t.Context(), issue.RenewOptions{NewKey: true}, o))
	hours = 2
	three := mustComponent(t)(two.ChangePassword(trustkeep.Password("one"), trustkeep.Password("three"), o))
	hours = 3
	four := mustComponent(t)(three.Rollback(1, o))
	want := []string{one.Fingerprint(), two.Fingerprint(), two.Fingerprint(), one.Fingerprint()}
	versions := restored(t, four).Versions()
	if len(versions) != len(want) {
		t.Fatalf("%d versions", len(versions))
	}
	for i, v := range versions {
		if v.Number != i+1 || v.Fingerprint() != want[i] || !v.Replaced.Equal(noon.Add(time.Duration(i)*time.Hour)) {
			t.Errorf("version %d: number %d of %s, %s", i+1, v.Number, v.Replaced, v.Fingerprint())
		}
	}
	// Each has the password that it had then.
	for version, password := range map[int]string{1: "one", 2: "one", 3: "three", 4: "one"} {
		opens(t, mustComponent(t)(four.Rollback(version, o)), password)
	}
	for _, none := range []int{0, -1, 5} {
		_, err := four.Rollback(none, o)
		wantError(t, err, trustkeep.ErrNotFound)
	}
	// Two that start from the same version do not meet.
	a, b := mustComponent(t)(two.Rollback(1, o)), mustComponent(t)(two.Rollback(2, o))
	if a.Fingerprint() != one.Fingerprint() || b.Fingerprint() != two.Fingerprint() || two.Version() != 2 {
		t.Errorf("%v, %v, %v", a, b, two)
	}
}

func TestComponentIsRestored(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	private := mustComponent(t)(newComponent(t, "server / 1").Renew(t.Context(), issue.RenewOptions{NewKey: true}, withPassword("secret")))
	public := importFile(t, "partner", pki.Server("a.example").ChainPEM(), component.Options{})
	for _, c := range []*component.Component{private, public} {
		r := restored(t, c)
		if r.ID() != c.ID() || r.String() != c.String() || !r.NotAfter().Equal(c.NotAfter()) || !r.NotBefore().Equal(c.NotBefore()) ||
			!slices.EqualFunc(keystore.ChainOf(r), keystore.ChainOf(c), bytes.Equal) || len(r.Versions()) != c.Version() {
			t.Errorf("%v came back as %v", c, r)
		}
		if c.Visibility() == trustkeep.Private && !equalKeys(opens(t, r, "secret"), opens(t, c, "secret")) {
			t.Error("another key")
		}
		// The state is a copy.
		s := c.State()
		for _, v := range s.Versions {
			clear(v.Store)
			clear(v.Chain[0])
		}
		if restored(t, c).String() != r.String() {
			t.Error("the state shares memory with the component")
		}
		s = c.State()
		r = mustComponent(t)(component.Restore(s, keystore.ComponentKind()))
		for _, v := range s.Versions {
			clear(v.Store)
			clear(v.Chain[0])
		}
		if cert, err := keystore.CertificateOf(r); err != nil || fingerprint(cert.Raw) != c.Fingerprint() {
			t.Errorf("the component shares memory with the state: %v", err)
		}
	}
}

func TestRestoreRefusesContradictions(t *testing.T) {
	good := func() component.State {
		return mustComponent(t)(newComponent(t, "server").Renew(t.Context(), issue.RenewOptions{NewKey: true}, withPassword("secret"))).State()
	}
	tests := map[string]func(*component.State){
		"no ID":                   func(s *component.State) { s.ID = "" },
		"no name":                 func(s *component.State) { s.Name = "" },
		"name of two lines":       func(s *component.State) { s.Name = "a\nb" },
		"name without end":        func(s *component.State) { s.Name = strings.Repeat("x", 1<<20) },
		"no versions":             func(s *component.State) { s.Versions = nil },
		"version 0":               func(s *component.State) { s.Versions[0].Number = 0 },
		"negative version":        func(s *component.State) { s.Versions[0].Number = -1 },
		"last of all versions":    func(s *component.State) { s.Versions[1].Number = 1<<63 - 1 },
		"one version twice":       func(s *component.State) { s.Versions[1].Number = 1 },
		"versions backwards":      func(s *component.State) { slices.Reverse(s.Versions) },
		"no certificate":          func(s *component.State) { s.Versions[1].Chain = nil },
		"empty certificate":       func(s *component.State) { s.Versions[0].Chain[0] = nil },
		"garbage in the chain":    func(s *component.State) { s.Versions[0].Chain = append(s.Versions[0].Chain, []byte("garbage")) },
		"private and then public": func(s *component.State) { s.Versions[1].Store = nil },
		"public and then private": func(s *component.State) { s.Versions[0].Store = nil },
	}
	for about, change := range tests {
		t.Run(about, func(t *testing.T) {
			s := good()
			change(&s)
			c, err := component.Restore(s, keystore.ComponentKind())
			wantError(t, err, trustkeep.ErrCorrupt)
			if c != nil || len(err.Error()) > 2000 {
				t.Errorf("%v, error of %d bytes", c, len(err.Error()))
			}
		})
	}
	s := good()
	s.Versions = s.Versions[1:] // old versions may be given up
	if c, err := component.Restore(s, keystore.ComponentKind()); err != nil || c.Version() != 2 {
		t.Errorf("%v, %v", c, err)
	}
}

// TestTamperedStateIsFoundOut: whoever writes to the storage does not know the password,
// and nothing that he leaves there is taken for what it protects.
func TestTamperedStateIsFoundOut(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	own, evil := pki.Server("a.example"), pki.Server("a.example")
	c := importFile(t, "a", encode(t, own, trustkeep.PKCS12, "secret"), withPassword("secret"))
	evilKey := append(evil.KeyPEM(), evil.ChainPEM()...)
	unprotected, err := pkcs12.Passwordless.Encode(evil.Key, evil.Cert, evil.Chain[1:], "")
	if err != nil {
		t.Fatal(err)
	}
	evilChain := evil.DERChain()
	tests := map[string]struct {
		change func(*component.VersionState)
		want   error
	}{
		"another certificate": {func(v *component.VersionState) { v.Chain[0] = evil.DER }, trustkeep.ErrCorrupt},
		"an issuer more":      {func(v *component.VersionState) { v.Chain = append(v.Chain, pki.Server("b").DER) }, trustkeep.ErrCorrupt},
		"an issuer less":      {func(v *component.VersionState) { v.Chain = v.Chain[:2] }, trustkeep.ErrCorrupt},
		"another issuer":      {func(v *component.VersionState) { v.Chain[2] = evil.DER }, trustkeep.ErrCorrupt},
		"an issuer twice":     {func(v *component.VersionState) { v.Chain[2] = v.Chain[1] }, trustkeep.ErrCorrupt},
		"another's store":     {func(v *component.VersionState) { v.Store = encode(t, evil, trustkeep.PKCS12, "guess") }, trustkeep.ErrIncorrectPassword},
		"all of another": {func(v *component.VersionState) {
			v.Store, v.Chain = encode(t, evil, trustkeep.PKCS12, "guess"), evilChain
		}, trustkeep.ErrIncorrectPassword},
		"store under no password, PEM":    {func(v *component.VersionState) { v.Store, v.Chain = evilKey, evilChain }, trustkeep.ErrCorrupt},
		"store under no password, PKCS12": {func(v *component.VersionState) { v.Store, v.Chain = unprotected, evilChain }, trustkeep.ErrCorrupt},
		"flipped bit":                     {func(v *component.VersionState) { v.Store[len(v.Store)/2] ^= 1 }, nil},
		"garbage":                         {func(v *component.VersionState) { v.Store = []byte("garbage") }, trustkeep.ErrCorrupt},
	}
	for about, test := range tests {
		t.Run(about, func(t *testing.T) {
			s := c.State()
			test.change(&s.Versions[0])
			r := mustComponent(t)(component.Restore(s, keystore.ComponentKind()))
			steps := map[string]func() error{
				"identity": func() error { _, err := keystore.IdentityOf(r, trustkeep.Password("secret")); return err },
				"export": func() error {
					_, _, err := r.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("x"), component.ExportOptions{})
					return err
				},
				"change password": func() error {
					_, err := r.ChangePassword(trustkeep.Password("secret"), trustkeep.Password("x"), component.Options{})
					return err
				},
				"renew": func() error {
					o := withPassword("secret")
					o.Kinds = []component.Kind{keystore.Options{AllowUnauthenticated: true}.ComponentKind()}
					_, err := r.Renew(t.Context(), issue.RenewOptions{Certificate: issue.Options{Issuer: newIdentity(t, pki.Intermediate)}}, o)
					return err
				},
			}
			for about, step := range steps {
				err := step()
				if err == nil || test.want != nil && !errors.Is(err, test.want) || !isTyped(err) {
					t.Errorf("%s: %v, want %v", about, err, test.want)
				}
			}
			for _, none := range []trustkeep.PasswordSource{nil, trustkeep.Password("")} {
				if _, err := keystore.IdentityOf(r, none); !isIncorrect(err) {
					t.Errorf("without password: %v", err)
				}
			}
		})
	}
}

func TestComponentsDoNotPrintSecrets(t *testing.T) {
	const canary = "canary-password"
	c := mustComponent(t)(component.Create(t.Context(), "server", issue.Options{Subject: cn("a"), Key: issue.Ed25519}, withPassword(canary)))
	id := opens(t, c, canary)
	o := withPassword(canary)
	o.NewPassword = trustkeep.Password(canary)
	o.Kinds = []component.Kind{keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{"one": trustkeep.Password(canary)}}.ComponentKind()}
	values := []any{c, *c, []*component.Component{c}, struct{ C *component.Component }{c}, o, &o, component.NewDraft(c, nil), id, c.Versions(), c.Describe()}
	var all strings.Builder
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&all, verb+"\n", v)
		}
		slog.New(slog.NewTextHandler(&all, nil)).Info("x", "v", v)
		slog.New(slog.NewJSONHandler(&all, nil)).Info("x", "v", v)
		if text, err := json.Marshal(v); err == nil {
			all.Write(text)
		}
	}
	_, err := keystore.IdentityOf(c, trustkeep.Password(canary+"2"))
	fmt.Fprintln(&all, err)
	key := fmt.Sprint(reveal(id))
	for _, secret := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary)), strings.Trim(key, "[]")} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("printed %q", secret)
		}
	}
	if got := fmt.Sprintf("%#v", c); got != c.String() || !strings.Contains(got, c.Fingerprint()) {
		t.Errorf("printed %s", got)
	}
	text, err := json.Marshal(c.State())
	if err != nil || strings.Contains(string(text), canary) || strings.Contains(string(text), strings.Trim(key, "[]")) {
		t.Errorf("state: %v", err)
	}
}

// TestComponentsAreSharedByMany runs under the race detector.
func TestComponentsAreSharedByMany(t *testing.T) {
	c := newComponent(t, "server")
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if id, err := keystore.IdentityOf(c, trustkeep.Password("secret")); err != nil || fingerprint(id.Leaf().Raw) != c.Fingerprint() {
				t.Errorf("%v", err)
			}
			if r, err := c.Rollback(1, withPassword("secret")); err != nil || r.Version() != 2 {
				t.Errorf("%v", err)
			}
			if _, err := component.Restore(c.State(), keystore.ComponentKind()); err != nil {
				t.Error(err)
			}
			c.Describe()[0].Subject = "mine"
		})
	}
	wg.Wait()
	if c.Version() != 1 || c.Describe()[0].Subject == "mine" {
		t.Errorf("%v", c)
	}
}

func FuzzRestoreComponent(f *testing.F) {
	pki := testpki.New(f, testpki.Options{Seed: "components", Now: noon})
	id := pki.Server("a.example")
	private := importFile(f, "a", encode(f, id, trustkeep.PKCS12, "secret"), withPassword("secret"))
	public := importFile(f, "b", id.ChainPEM(), component.Options{Clock: at(noon).Clock, ID: "b"})
	for _, c := range []*component.Component{private, public, mustComponent(f)(public.Rollback(1, component.Options{Clock: at(noon).Clock}))} {
		text, err := json.Marshal(c.State())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"ID":"a","Name":"a","Versions":[{"Number":1,"Chain":["MA=="]}]}`))
	f.Add([]byte(`{}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var s component.State
		if json.Unmarshal(text, &s) != nil {
			return
		}
		c, err := component.Restore(s, keystore.ComponentKind())
		if err != nil {
			if !errors.Is(err, trustkeep.ErrCorrupt) && !errors.Is(err, trustkeep.ErrUnsupported) || c != nil {
				t.Errorf("%v, %v", c, err)
			}
			return
		}
		if c.ID() == "" || c.Name() == "" || c.Version() < 1 || len(c.Fingerprint()) != 64 || len(c.Describe()) != len(keystore.ChainOf(c)) || len(c.String()) == 0 {
			t.Errorf("%v", c)
		}
		if got, err := component.Restore(c.State(), keystore.ComponentKind()); err != nil || got.String() != c.String() {
			t.Errorf("not restored again: %v", err)
		}
		if r, err := c.Rollback(c.Versions()[0].Number, component.Options{}); err != nil || r.Version() != c.Version()+1 {
			t.Errorf("%v, %v", r, err)
		}
		for _, suffix := range []string{keystore.SuffixCER, keystore.SuffixP7B} {
			if _, data, err := c.ExportPublic(suffix); err != nil || len(data) == 0 {
				t.Errorf("%s: %v", suffix, err)
			}
		}
		if _, err := keystore.CertificateOf(c); err != nil && !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%v", err)
		}
		if _, err := keystore.IdentityOf(c, trustkeep.Password("guess")); err == nil || !isTyped(err) {
			t.Errorf("opened with a guessed password: %v", err)
		}
	})
}
