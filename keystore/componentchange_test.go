package keystore_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

func TestRename(t *testing.T) {
	private := newComponent(t, "old name")
	for _, c := range []*component.Component{private, publicOf(t, private)} {
		r := mustComponent(t)(c.Rename("new name"))
		if r.Name() != "new name" || c.Name() != "old name" || r.ID() != c.ID() || r.Version() != c.Version() || r.Fingerprint() != c.Fingerprint() {
			t.Errorf("%v", r)
		}
		if name, _, err := r.ExportPublic(keystore.SuffixDER); err != nil || name != "new_name.der" {
			t.Errorf("%q, %v", name, err)
		}
		for name, want := range map[string]error{"": trustkeep.ErrInvalid, "a\nb": trustkeep.ErrInvalid, strings.Repeat("x", 1000): trustkeep.ErrInvalid} {
			if _, err := c.Rename(name); !errors.Is(err, want) {
				t.Errorf("%q: %v", name, err)
			}
		}
	}
	r := mustComponent(t)(private.Rename("new name"))
	opens(t, r, "secret")
	_, data, err := r.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("export"), component.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keystore.Parse(data, trustkeep.Password("export"))
	if err != nil || !slices.Equal(ks.Aliases(), []string{"new_name"}) {
		t.Errorf("%v, %v", ks.Aliases(), err)
	}
}

func TestRegenerateThePrivateKeyInPlace(t *testing.T) {
	c := newComponent(t, "server")
	before := opens(t, c, "secret")
	next := noon.Add(300 * 24 * time.Hour)
	o := component.Options{Clock: at(next).Clock, Password: trustkeep.Password("secret")}
	r := mustComponent(t)(c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, o))
	after := opens(t, r, "secret")
	if r.ID() != c.ID() || r.Name() != c.Name() || r.Version() != 2 || equalKeys(before, after) ||
		!slices.Equal(after.Leaf().DNSNames, before.Leaf().DNSNames) || !r.NotAfter().After(c.NotAfter()) || !r.Versions()[1].Replaced.Equal(next) {
		t.Errorf("%v, valid until %s", r, r.NotAfter())
	}
	o.NewPassword = trustkeep.Password("new")
	opens(t, mustComponent(t)(c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, o)), "new")
	// A new certificate for the same key.
	o.NewPassword = nil
	renewed := mustComponent(t)(c.Renew(t.Context(), issue.RenewOptions{}, o))
	if !equalKeys(before, opens(t, renewed, "secret")) || renewed.Fingerprint() == c.Fingerprint() {
		t.Errorf("%v", renewed)
	}

	o.Password = trustkeep.Password("wrong")
	_, err := c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, o)
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	_, err = c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, component.Options{})
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	_, err = c.Renew(t.Context(), issue.RenewOptions{KeepAs: "old"}, withPassword("secret"))
	wantError(t, err, trustkeep.ErrInvalid, "versions")
	if c.Version() != 1 || c.Fingerprint() != fingerprint(before.Leaf().Raw) {
		t.Errorf("changed: %v", c)
	}
}

// TestRegenerateWhatACASigned: nothing becomes self-signed by accident.
func TestRegenerateWhatACASigned(t *testing.T) {
	root, intermediate := newCA(t)
	c := mustComponent(t)(component.Create(t.Context(), "server",
		issue.Options{Subject: cn("a"), DNSNames: []string{"a.example"}, Issuer: intermediate}, withPassword("secret")))
	_, err := c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, withPassword("secret"))
	wantError(t, err, trustkeep.ErrInvalid)
	tests := map[string]issue.RenewOptions{
		"issuer": {Certificate: issue.Options{Issuer: intermediate}},
		"sign": {Sign: func(_ context.Context, request []byte) ([]byte, error) {
			return issue.Sign(intermediate, request, issue.Options{Clock: clockAt(noon)})
		}},
	}
	for about, renew := range tests {
		renew.NewKey = true
		r := mustComponent(t)(c.Renew(t.Context(), renew, withPassword("secret")))
		id := opens(t, r, "secret")
		sameChain(t, r, id.Leaf(), intermediate.Leaf(), root.Leaf())
		if equalKeys(id, opens(t, c, "secret")) || len(id.Chain()) != 3 {
			t.Errorf("%s: %v", about, id)
		}
	}
}

// TestReplacingAnExpiredCertificateKeepsReferencesValid: the ID that others refer to
// leads to the new certificate.
func TestReplacingAnExpiredCertificateKeepsReferencesValid(t *testing.T) {
	c := newComponent(t, "server")
	stored := map[string]*component.Component{c.ID(): c}
	reference := c.ID()
	expired := c.NotAfter().Add(time.Hour)
	r := mustComponent(t)(stored[reference].Renew(t.Context(), issue.RenewOptions{NewKey: true}, component.Options{Clock: at(expired).Clock, Password: trustkeep.Password("secret")}))
	stored[r.ID()] = r
	if len(stored) != 1 || !stored[reference].NotAfter().After(expired) || stored[reference].NotBefore().After(expired) {
		t.Errorf("%v", stored)
	}
}

// TestKindDecidesWhatCanBeChangedAndExported is the table of it.
func TestKindDecidesWhatCanBeChangedAndExported(t *testing.T) {
	type target = *component.Component
	secret, next := trustkeep.Password("secret"), trustkeep.Password("new")
	private := newComponent(t, "partner")
	public := publicOf(t, private)
	_, cert, err := private.ExportPublic("")
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := private.ExportPrivate(secret, secret, component.ExportOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		about               string
		toPublic, toPrivate bool
		do                  func(c target) error
		refusal             string // of what the kind does not have
	}{
		{"rename", true, true, func(c target) error { _, err := c.Rename("other"); return err }, ""},
		{"roll back", true, true, func(c target) error { _, err := c.Rollback(1, component.Options{}); return err }, ""},
		{"export the public key", true, true, func(c target) error { _, _, err := c.ExportPublic(""); return err }, ""},
		{"export the private key", false, true, func(c target) error {
			_, _, err := c.ExportPrivate(secret, next, component.ExportOptions{})
			return err
		}, "public component"},
		{"re-import a certificate", true, false, func(c target) error { _, err := c.Reimport(t.Context(), cert, withPassword("secret")); return err }, "other kind"},
		{"re-import a private key", false, true, func(c target) error { _, err := c.Reimport(t.Context(), key, withPassword("secret")); return err }, "other kind"},
		{"regenerate the key", false, true, func(c target) error {
			_, err := c.Renew(t.Context(), issue.RenewOptions{NewKey: true}, withPassword("secret"))
			return err
		}, "public component"},
		{"renew the certificate", false, true, func(c target) error {
			_, err := c.Renew(t.Context(), issue.RenewOptions{}, withPassword("secret"))
			return err
		}, "public component"},
		{"change the password", false, true, func(c target) error {
			_, err := c.ChangePassword(secret, next, component.Options{})
			return err
		}, "public component"},
		{"use the private key", false, true, func(c target) error { _, err := keystore.IdentityOf(c, secret); return err }, "public component"},
	}
	for _, test := range tests {
		for c, allowed := range map[target]bool{public: test.toPublic, private: test.toPrivate} {
			t.Run(fmt.Sprint(test.about, ", ", c.Visibility()), func(t *testing.T) {
				err := test.do(c)
				if allowed {
					if err != nil {
						t.Error(err)
					}
					return
				}
				wantError(t, err, trustkeep.ErrUnsupported, `"partner"`, test.refusal)
			})
		}
	}
}

func TestNoKeyCanBeGeneratedForAPublicComponent(t *testing.T) {
	c := publicOf(t, newComponent(t, "partner"))
	for _, renew := range []issue.RenewOptions{{}, {NewKey: true}, {Sign: func(context.Context, []byte) ([]byte, error) { panic("asked a CA") }}} {
		r, err := c.Renew(t.Context(), renew, withPassword("secret"))
		wantError(t, err, trustkeep.ErrUnsupported, `"partner"`, "no key", "public component")
		if r != nil || c.Version() != 1 {
			t.Errorf("made %v", r)
		}
	}
}

func TestPublicComponentExportsOnlyThePublicKey(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	private := importFile(t, "ACME / orders", encode(t, id, trustkeep.PKCS12, "secret"), withPassword("secret"))
	public := importFile(t, "ACME / orders", id.ChainPEM(), component.Options{})
	tests := []struct {
		suffix, file string
		certs        int
	}{
		{"", "ACME___orders.cer", 1},
		{keystore.SuffixCER, "ACME___orders.cer", 1},
		{keystore.SuffixDER, "ACME___orders.der", 1},
		{keystore.SuffixPEM, "ACME___orders.pem", 3},
		{keystore.SuffixP7B, "ACME___orders.p7b", 3},
	}
	for _, c := range []*component.Component{private, public} {
		for _, test := range tests {
			t.Run(fmt.Sprint(c.Visibility(), " as ", test.suffix), func(t *testing.T) {
				name, data, err := c.ExportPublic(test.suffix)
				if err != nil || name != test.file {
					t.Fatalf("%q, %v", name, err)
				}
				if bytes.Contains(data, []byte("PRIVATE KEY")) || bytes.Contains(data, id.PKCS8()) {
					t.Error("the private key was exported")
				}
				partners := importFile(t, "copy", data, component.Options{})
				sameChain(t, partners, id.Chain[:test.certs]...)
				if partners.Visibility() != trustkeep.Public {
					t.Error("a private component came of it")
				}
			})
		}
		for _, suffix := range []string{keystore.SuffixP12, keystore.SuffixPFX, ".jks", "cer", ".cer\n"} {
			if name, data, err := c.ExportPublic(suffix); !errors.Is(err, trustkeep.ErrUnsupported) || name != "" || data != nil {
				t.Errorf("%q: %q, %v", suffix, name, err)
			}
		}
	}
}

// TestPartnerEncryptsToTheExportedKey: the certificate is all that a partner needs.
func TestPartnerEncryptsToTheExportedKey(t *testing.T) {
	c := mustComponent(t)(component.Create(t.Context(), "AS2", issue.Options{
		Subject: cn("a"), EmailAddresses: []string{"as2@a.example"}, Key: issue.RSA2048}, withPassword("secret")))
	cert, err := keystore.CertificateOf(publicOf(t, c))
	if err != nil {
		t.Fatal(err)
	}
	message, err := rsa.EncryptOAEP(sha256.New(), rand.Reader, cert.PublicKey.(*rsa.PublicKey), []byte("an order"), nil)
	if err != nil {
		t.Fatal(err)
	}
	key, err := opens(t, c, "secret").Decrypter()
	if err != nil {
		t.Fatal(err)
	}
	content, err := key.Decrypt(rand.Reader, message, &rsa.OAEPOptions{Hash: crypto.SHA256})
	if err != nil || string(content) != "an order" {
		t.Errorf("%q, %v", content, err)
	}
}

func TestExportedPrivateKeyHasThePasswordOfTheCallersChoice(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id := pki.Server("a.example")
	c := importFile(t, "a", encode(t, id, trustkeep.PKCS12, "secret"), withPassword("secret"))
	own, chosen := trustkeep.Password("secret"), trustkeep.Password("chosen")
	for _, profile := range append(trustkeep.Profiles(), "") {
		for _, suffix := range []string{"", keystore.SuffixP12, keystore.SuffixPFX} {
			name, data, err := c.ExportPrivate(own, chosen, component.ExportOptions{Rand: quickkdf.Rand(), Suffix: suffix, Profile: profile})
			if profile == trustkeep.Passwordless {
				wantError(t, err, trustkeep.ErrUnsupported)
				continue
			}
			want := "a" + suffix
			if suffix == "" {
				want = "a.p12"
			}
			if err != nil || name != want {
				t.Errorf("%s %s: %q, %v", profile, suffix, name, err)
				continue
			}
			for _, wrong := range []trustkeep.PasswordSource{trustkeep.Password("secret"), trustkeep.Password(""), nil} {
				if _, err := keystore.Parse(data, wrong); !isIncorrect(err) {
					t.Errorf("%s: with password %v: %v", profile, wrong, err)
				}
			}
			sameChain(t, importFile(t, "b", data, withPassword("chosen")), id.Chain...)
		}
	}
	for _, none := range []trustkeep.PasswordSource{nil, trustkeep.Password("")} {
		_, data, err := c.ExportPrivate(own, none, component.ExportOptions{})
		wantError(t, err, trustkeep.ErrInvalid, "password")
		if data != nil {
			t.Error("exported all the same")
		}
	}
	for _, wrong := range []trustkeep.PasswordSource{nil, trustkeep.Password(""), trustkeep.Password("wrong")} {
		_, _, err := c.ExportPrivate(wrong, chosen, component.ExportOptions{})
		wantError(t, err, trustkeep.ErrIncorrectPassword)
	}
	_, _, err := c.ExportPrivate(own, chosen, component.ExportOptions{Suffix: ".pem"})
	wantError(t, err, trustkeep.ErrUnsupported, `".pem"`)
	opens(t, c, "secret")
}

func TestPasswordChangeWantsTheCurrentOne(t *testing.T) {
	c := newComponent(t, "server")
	later := component.Options{Clock: at(noon.Add(time.Hour)).Clock}
	for _, wrong := range []trustkeep.PasswordSource{nil, trustkeep.Password(""), trustkeep.Password("wrong")} {
		_, err := c.ChangePassword(wrong, trustkeep.Password("new"), later)
		wantError(t, err, trustkeep.ErrIncorrectPassword)
	}
	for _, none := range []trustkeep.PasswordSource{nil, trustkeep.Password("")} {
		_, err := c.ChangePassword(trustkeep.Password("secret"), none, later)
		wantError(t, err, trustkeep.ErrInvalid)
	}
	r := mustComponent(t)(c.ChangePassword(trustkeep.Password("secret"), trustkeep.Password("new"), later))
	if r.ID() != c.ID() || r.Version() != 2 || r.Fingerprint() != c.Fingerprint() || !r.Versions()[1].Replaced.Equal(noon.Add(time.Hour)) {
		t.Errorf("%v", r)
	}
	if !equalKeys(opens(t, r, "new"), opens(t, c, "secret")) {
		t.Error("another key")
	}
	if _, err := keystore.IdentityOf(r, trustkeep.Password("secret")); !isIncorrect(err) {
		t.Errorf("the old password: %v", err)
	}
}

// TestPasswordIsAskedForOnce, since somebody may have to type it.
func TestPasswordIsAskedForOnce(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	data := encode(t, pki.Server("a.example"), trustkeep.PKCS12, "secret")
	asked := 0
	typed := trustkeep.PasswordFunc(func() ([]byte, error) { asked++; return []byte("secret"), nil })
	o := component.Options{Password: typed}
	c := importFile(t, "a", data, o)
	if asked != 1 {
		t.Errorf("import: asked %d times", asked)
	}
	steps := map[string]func() error{
		"reimport": func() error { _, err := c.Reimport(t.Context(), data, o); return err },
		"regenerate": func() error {
			_, err := c.Renew(t.Context(), issue.RenewOptions{NewKey: true, Sign: nil, Certificate: issue.Options{Issuer: newIdentity(t, pki.Intermediate)}}, o)
			return err
		},
		"identity": func() error { _, err := keystore.IdentityOf(c, typed); return err },
		"export": func() error {
			_, _, err := c.ExportPrivate(typed, trustkeep.Password("x"), component.ExportOptions{})
			return err
		},
		"new password": func() error { _, err := c.ChangePassword(trustkeep.Password("secret"), typed, o); return err },
	}
	for about, step := range steps {
		asked = 0
		if err := step(); err != nil || asked != 1 {
			t.Errorf("%s: asked %d times, %v", about, asked, err)
		}
	}
	// A source that has no answer is not one without a password.
	silent := trustkeep.PasswordFromFile(filepath.Join(t.TempDir(), "none"))
	if _, err := importComponent(t.Context(), "a", data, component.Options{Password: silent}); err == nil || isIncorrect(err) {
		t.Errorf("%v", err)
	}
	if _, err := keystore.IdentityOf(c, silent); err == nil || isIncorrect(err) {
		t.Errorf("%v", err)
	}
}

func TestCloseDemandsToSaveAChangedPassword(t *testing.T) {
	c := newComponent(t, "server")
	var stored *component.Component
	draft := component.NewDraft(c, func(c *component.Component) error { stored = c; return nil })
	change := func(c *component.Component) (*component.Component, error) {
		return c.ChangePassword(trustkeep.Password("secret"), trustkeep.Password("new"), component.Options{})
	}
	if err := draft.Change(change); err != nil {
		t.Fatal(err)
	}
	wantError(t, draft.Close(), trustkeep.ErrUnsaved, `"server"`, "save")
	if err := draft.Change(change); !isIncorrect(err) {
		t.Errorf("the old password still counts: %v", err)
	}
	if err := draft.Save(); err != nil {
		t.Fatal(err)
	}
	if err := draft.Close(); err != nil {
		t.Error(err)
	}
	opens(t, stored, "new")
}

func TestCancelledContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := newComponent(t, "server")
	_, data, err := c.ExportPublic("")
	if err != nil {
		t.Fatal(err)
	}
	steps := map[string]func() (*component.Component, error){
		"import": func() (*component.Component, error) {
			return importComponent(ctx, "a", data, withPassword("secret"))
		},
		"generate": func() (*component.Component, error) {
			return component.Create(ctx, "a", issue.Options{Subject: cn("a")}, withPassword("secret"))
		},
		"reimport": func() (*component.Component, error) {
			return publicOf(t, c).Reimport(ctx, data, withPassword("secret"))
		},
		"regenerate": func() (*component.Component, error) {
			return c.Renew(ctx, issue.RenewOptions{NewKey: true}, withPassword("secret"))
		},
		"renew": func() (*component.Component, error) {
			return c.Renew(ctx, issue.RenewOptions{}, withPassword("secret"))
		},
	}
	for about, step := range steps {
		if c, err := step(); !errors.Is(err, context.Canceled) || c != nil {
			t.Errorf("%s: %v, %v", about, c, err)
		}
	}
}
