package keystore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// stages records which stages of an import were reached.
type stages struct {
	reached []string
	virus   error
	policy  error
}

func (s *stages) Scan(_ context.Context, name string, content []byte) error {
	s.reached = append(s.reached, "scanner")
	return s.virus
}

func (s *stages) options(password string) component.Options {
	return component.Options{
		Limits:  trustkeep.Limits{MaxSize: 64 << 10},
		Scanner: s,
		Policy: func(c *component.Component) error {
			s.reached = append(s.reached, "policy")
			return s.policy
		},
		Password: trustkeep.PasswordFunc(func() ([]byte, error) {
			s.reached = append(s.reached, "password")
			return []byte(password), nil
		}),
	}
}

// TestImportRunsItsStagesInOrder: size, scanner, format, password, match, policy. What
// fails at one stage does not reach the next, and leaves nothing.
func TestImportRunsItsStagesInOrder(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id, other := pki.Server("a.example"), pki.Server("b.example")
	good := encode(t, id, trustkeep.PKCS12, "secret")
	infected := fmt.Errorf("eicar: %w", trustkeep.ErrRejected)
	outOfPolicy := errors.New("RSA is wanted")
	tests := []struct {
		about         string
		data          []byte
		password      string
		virus, policy error
		want          error
		reached       string
	}{
		{"too large", append(bytes.Clone(good), make([]byte, 64<<10)...), "secret", infected, nil, trustkeep.ErrLimit, "[]"},
		{"empty", nil, "secret", infected, nil, trustkeep.ErrEmpty, "[]"},
		{"virus that is no certificate", []byte("X5O!P%@AP"), "secret", infected, nil, trustkeep.ErrRejected, "[scanner]"},
		{"virus", good, "wrong", infected, outOfPolicy, trustkeep.ErrRejected, "[scanner]"},
		{"scanner is down", good, "secret", context.DeadlineExceeded, nil, context.DeadlineExceeded, "[scanner]"},
		{"garbage", []byte("no certificate"), "secret", nil, outOfPolicy, trustkeep.ErrCorrupt, "[scanner password]"},
		{"wrong password", good, "wrong", nil, outOfPolicy, trustkeep.ErrIncorrectPassword, "[scanner password]"},
		{"mismatch", append(other.KeyPEM(), id.ChainPEM()...), "secret", nil, outOfPolicy, trustkeep.ErrKeyMismatch, "[scanner password]"},
		{"policy", good, "secret", nil, outOfPolicy, outOfPolicy, "[scanner password policy]"},
		{"policy that rejects", id.DER, "secret", nil, fmt.Errorf("weak: %w", trustkeep.ErrRejected), trustkeep.ErrRejected, "[scanner password policy]"},
		{"nothing wrong", good, "secret", nil, nil, nil, "[scanner password policy]"},
	}
	private := importFile(t, "a", good, withPassword("secret"))
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			s := &stages{virus: test.virus, policy: test.policy}
			c, err := importComponent(t.Context(), "new", test.data, s.options(test.password))
			if !errors.Is(err, test.want) || (c != nil) != (test.want == nil) {
				t.Errorf("%v, %v; want %v", c, err, test.want)
			}
			if got := fmt.Sprint(s.reached); got != test.reached {
				t.Errorf("reached %s, want %s", got, test.reached)
			}
			if test.want == nil {
				return
			}
			c, err = private.Reimport(t.Context(), test.data, s.options(test.password))
			if c != nil || err == nil || !errors.Is(err, test.want) && !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("reimport: %v, %v; want %v", c, err, test.want)
			}
			if private.Version() != 1 || len(private.Versions()) != 1 {
				t.Errorf("left %v", private)
			}
		})
	}
}

func TestScannerSeesImportsFirst(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	c := importFile(t, "partner", pki.Server("a.example").DER, component.Options{})
	content := []byte("neither certificate nor key")
	var seen []string
	o := component.Options{Scanner: trustkeep.ScannerFunc(func(_ context.Context, name string, got []byte) error {
		seen = append(seen, name+": "+string(got))
		return nil
	})}
	if _, err := importComponent(t.Context(), "new", content, o); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if _, err := c.Reimport(t.Context(), content, o); !errors.Is(err, trustkeep.ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if got, want := fmt.Sprint(seen), "[new: neither certificate nor key partner: neither certificate nor key]"; got != want {
		t.Errorf("scanned %s, want %s", got, want)
	}
}

func TestVirusRejectsTheImport(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	c := importFile(t, "partner", pki.Server("a.example").DER, component.Options{})
	next := pki.Server("a.example").DER
	o := component.Options{Scanner: trustkeep.ScannerFunc(func(context.Context, string, []byte) error {
		return fmt.Errorf("Win.Test.EICAR_HDB-1: %w", trustkeep.ErrRejected)
	})}
	made, err := importComponent(t.Context(), "new", next, o)
	wantError(t, err, trustkeep.ErrRejected, `"new"`, "EICAR")
	if made != nil {
		t.Error("imported all the same")
	}
	made, err = c.Reimport(t.Context(), next, o)
	wantError(t, err, trustkeep.ErrRejected, `"partner"`, "EICAR")
	if made != nil || c.Version() != 1 {
		t.Error("imported all the same")
	}
}

// TestPolicySeesWhatWouldResult, at every change of content.
func TestPolicySeesWhatWouldResult(t *testing.T) {
	c := newComponent(t, "server")
	_, data, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("secret"), component.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var seen *component.Component
	o := withPassword("secret")
	o.Policy = func(c *component.Component) error { seen = c; return trustkeep.ErrRejected }
	steps := map[string]func() (*component.Component, error){
		"import": func() (*component.Component, error) { return importComponent(t.Context(), "server", data, o) },
		"generate": func() (*component.Component, error) {
			return component.Create(t.Context(), "server", issue.Options{Subject: cn("a")}, o)
		},
		"reimport": func() (*component.Component, error) { return c.Reimport(t.Context(), data, o) },
		"regenerate": func() (*component.Component, error) {
			return c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, o)
		},
		"renew":     func() (*component.Component, error) { return c.Renew(t.Context(), issue.RenewOptions{}, o) },
		"roll back": func() (*component.Component, error) { return c.Rollback(1, o) },
	}
	for about, step := range steps {
		t.Run(about, func(t *testing.T) {
			seen = nil
			made, err := step()
			wantError(t, err, trustkeep.ErrRejected, "policy")
			if made != nil || seen == nil || seen.Name() != "server" || seen.Visibility() != trustkeep.Private {
				t.Errorf("made %v, policy saw %v", made, seen)
			}
			if wanted := map[bool]int{true: 1, false: 2}[about == "import" || about == "generate"]; seen != nil && seen.Version() != wanted {
				t.Errorf("policy saw version %d", seen.Version())
			}
		})
	}
}

// TestLimitsOfTheKindCount where those of the operation are zero, also when the component's
// content is replaced.
func TestLimitsOfTheKindCount(t *testing.T) {
	chain := testpki.New(t, testpki.Options{}).Server("a.example").ChainPEM()
	c := importFile(t, "a", chain, component.Options{})
	for about, limits := range map[string]trustkeep.Limits{"entries": {MaxEntries: 1}, "size": {MaxSize: 10}} {
		kind := keystore.Options{Limits: limits}.ComponentKind()
		_, err := component.Import(t.Context(), "a", chain, component.Options{Kinds: []component.Kind{kind}})
		wantError(t, err, trustkeep.ErrLimit)
		if _, err = mustComponent(t)(component.Restore(c.State(), kind)).Reimport(t.Context(), chain, component.Options{}); !errors.Is(err, trustkeep.ErrLimit) {
			t.Errorf("%s, reimport: %v", about, err)
		}
	}
	kind := keystore.Options{Limits: trustkeep.Limits{MaxEntries: 1}}.ComponentKind()
	if _, err := component.Import(t.Context(), "a", chain, component.Options{Kinds: []component.Kind{kind}, Limits: trustkeep.Limits{MaxEntries: 100}}); err != nil {
		t.Errorf("those of the operation count first: %v", err)
	}
}

func TestSourcesThatHaveNothing(t *testing.T) {
	for about, source := range map[string]component.Source{
		"no identity": (*keystore.Identity)(nil), "the zero identity": &keystore.Identity{},
	} {
		if _, err := component.Create(t.Context(), "a", source, withPassword("secret")); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func TestContentOfNothing(t *testing.T) {
	var none *component.Component
	for about, c := range map[string]interface{ Content() component.Content }{"nil": nil, "a nil component": none} {
		if chain := keystore.ChainOf(c); chain != nil {
			t.Errorf("%s has a chain", about)
		}
		if _, err := keystore.CertificateOf(c); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
		if _, err := keystore.IdentityOf(c, trustkeep.Password("secret")); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
	}
}
