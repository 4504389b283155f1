package pgp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
)

var componentStart = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// under are options of that moment.
func under(passphrase string) component.Options {
	return component.Options{
		Rand: quick.Rand, Clock: func() time.Time { return componentStart },
		Password: trustkeep.Password(passphrase),
	}
}

func mustComponent(t testing.TB) func(*component.Component, error) *component.Component {
	return func(c *component.Component, err error) *component.Component {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
}

func generated(t testing.TB, name string) *component.Component {
	t.Helper()
	return mustComponent(t)(component.Create(t.Context(), name, GenerateOptions{UserIDs: []string{"Test <test@example.com>"}}, under("secret")))
}

// files are what a component exports, the private one under the passphrase.
func files(t testing.TB, c *component.Component, passphrase string) (public, private []byte) {
	t.Helper()
	_, public, err := c.ExportPublic("")
	if err != nil {
		t.Fatal(err)
	}
	if c.Visibility() == trustkeep.Private {
		if _, private, err = c.ExportPrivate(trustkeep.Password(passphrase), trustkeep.Password(passphrase), component.ExportOptions{Rand: quick.Rand}); err != nil {
			t.Fatal(err)
		}
	}
	return public, private
}

func unlocks(t testing.TB, c *component.Component, passphrase string) {
	t.Helper()
	if _, err := KeyOf(c).Unlock(trustkeep.Password(passphrase), quick); err != nil || !KeyOf(c).IsLocked() {
		t.Errorf("%v: %v", c, err)
	}
}

func TestKindFollowsTheImport(t *testing.T) {
	c := generated(t, "a")
	public, private := files(t, c, "secret")
	tests := []struct {
		about       string
		data, other []byte
		want        trustkeep.Visibility
	}{
		{"public, text", public, private, trustkeep.Public},
		{"public, binary", KeyOf(c).Public().Marshal(), private, trustkeep.Public},
		{"private, text", private, public, trustkeep.Private},
		{"made by gpg, public", fixture(t, "gpg-rsa_pub.asc"), private, trustkeep.Public},
	}
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			made := mustComponent(t)(importComponent(t.Context(), "a", test.data, under("secret")))
			if made.Visibility() != test.want || made.Kind() != trustkeep.PGP || made.Version() != 1 {
				t.Errorf("%v", made)
			}
			if r, err := made.Reimport(t.Context(), test.other, under("secret")); !errors.Is(err, trustkeep.ErrUnsupported) || r != nil {
				t.Errorf("the other kind: %v, %v", r, err)
			}
		})
	}
	// The other kind is refused whatever its passphrase.
	partner := mustComponent(t)(importComponent(t.Context(), "partner", public, component.Options{}))
	for _, o := range []component.Options{{}, under("wrong")} {
		if _, err := partner.Reimport(t.Context(), private, o); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%v", err)
		}
	}
}

func TestPrivateComponentTakesAnotherPrivateCertificate(t *testing.T) {
	c, other := generated(t, "a"), generated(t, "b")
	_, private := files(t, other, "secret")
	r := mustComponent(t)(c.Reimport(t.Context(), private, under("secret")))
	if r.ID() != c.ID() || r.Name() != "a" || r.Version() != 2 || r.Fingerprint() != other.Fingerprint() || c.Version() != 1 {
		t.Errorf("%v", r)
	}
	unlocks(t, r, "secret")
	if r, err := c.Reimport(t.Context(), private, under("wrong")); !errors.Is(err, trustkeep.ErrIncorrectPassword) || r != nil {
		t.Errorf("%v, %v", r, err)
	}
}

func TestPublicComponentTakesAnotherPublicCertificate(t *testing.T) {
	first, _ := files(t, generated(t, "a"), "secret")
	other := generated(t, "b")
	second, _ := files(t, other, "secret")
	c := mustComponent(t)(importComponent(t.Context(), "partner", first, component.Options{}))
	r := mustComponent(t)(c.Reimport(t.Context(), second, component.Options{}))
	if r.ID() != c.ID() || r.Version() != 2 || r.Fingerprint() != other.Fingerprint() || r.Visibility() != trustkeep.Public {
		t.Errorf("%v", r)
	}
}

// TestImportRunsItsStagesInOrder: size, scanner, format, passphrase, policy. What fails at
// one stage does not reach the next, and leaves nothing.
func TestImportRunsItsStagesInOrder(t *testing.T) {
	_, private := files(t, generated(t, "a"), "secret")
	infected := fmt.Errorf("eicar: %w", trustkeep.ErrRejected)
	outOfPolicy := errors.New("RSA is wanted")
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	tests := []struct {
		about         string
		ctx           context.Context
		data          []byte
		passphrase    string
		virus, policy error
		want          error
		reached       string
	}{
		{"too large", t.Context(), make([]byte, 64<<10+1), "secret", infected, nil, trustkeep.ErrLimit, "[]"},
		{"empty", t.Context(), nil, "secret", infected, nil, trustkeep.ErrEmpty, "[]"},
		{"cancelled", cancelled, private, "secret", nil, nil, context.Canceled, "[]"},
		{"virus that is no key", t.Context(), []byte("X5O!P%@AP"), "secret", infected, nil, trustkeep.ErrRejected, "[scanner]"},
		{"virus", t.Context(), private, "wrong", infected, outOfPolicy, trustkeep.ErrRejected, "[scanner]"},
		{"scanner is down", t.Context(), private, "secret", context.DeadlineExceeded, nil, context.DeadlineExceeded, "[scanner]"},
		{"garbage", t.Context(), []byte("no key"), "secret", nil, outOfPolicy, trustkeep.ErrEmpty, "[scanner]"},
		{"truncated", t.Context(), private[:len(private)/2], "secret", nil, outOfPolicy, trustkeep.ErrCorrupt, "[scanner]"},
		{"wrong passphrase", t.Context(), private, "wrong", nil, outOfPolicy, trustkeep.ErrIncorrectPassword, "[scanner passphrase]"},
		{"policy", t.Context(), private, "secret", nil, outOfPolicy, outOfPolicy, "[scanner passphrase policy]"},
		{"nothing wrong", t.Context(), private, "secret", nil, nil, nil, "[scanner passphrase policy]"},
	}
	before := generated(t, "before")
	for _, test := range tests {
		t.Run(test.about, func(t *testing.T) {
			var reached []string
			o := component.Options{
				Rand: quick.Rand, Limits: trustkeep.Limits{MaxSize: 64 << 10},
				Scanner: trustkeep.ScannerFunc(func(_ context.Context, name string, content []byte) error {
					reached = append(reached, "scanner")
					if !bytes.Equal(content, test.data) {
						t.Error("the scanner sees something else")
					}
					return test.virus
				}),
				Policy: func(*component.Component) error { reached = append(reached, "policy"); return test.policy },
				Password: trustkeep.PasswordFunc(func() ([]byte, error) {
					reached = append(reached, "passphrase")
					return []byte(test.passphrase), nil
				}),
			}
			steps := map[string]func() (*component.Component, error){
				"import":   func() (*component.Component, error) { return importComponent(test.ctx, "new", test.data, o) },
				"reimport": func() (*component.Component, error) { return before.Reimport(test.ctx, test.data, o) },
			}
			for about, step := range steps {
				reached = nil
				c, err := step()
				if !errors.Is(err, test.want) || (c != nil) != (test.want == nil) {
					t.Errorf("%s: %v, %v; want %v", about, c, err, test.want)
				}
				if got := fmt.Sprint(reached); got != test.reached {
					t.Errorf("%s reached %s, want %s", about, got, test.reached)
				}
			}
			if before.Version() != 1 || len(before.Versions()) != 1 {
				t.Errorf("left %v", before)
			}
		})
	}
}

func TestRename(t *testing.T) {
	private := generated(t, "old name")
	data, _ := files(t, private, "secret")
	public := mustComponent(t)(importComponent(t.Context(), "old name", data, component.Options{}))
	for _, c := range []*component.Component{private, public} {
		r := mustComponent(t)(c.Rename("new name"))
		if r.Name() != "new name" || c.Name() != "old name" || r.ID() != c.ID() || r.Version() != 1 || r.Fingerprint() != c.Fingerprint() {
			t.Errorf("%v", r)
		}
		if name, _, err := r.ExportPublic(""); err != nil || name != "new_name_pub.asc" {
			t.Errorf("%q, %v", name, err)
		}
		for name, want := range map[string]error{"": trustkeep.ErrInvalid, "a\nb": trustkeep.ErrInvalid, strings.Repeat("x", 1000): trustkeep.ErrInvalid} {
			if _, err := c.Rename(name); !errors.Is(err, want) {
				t.Errorf("%q: %v", name, err)
			}
			if _, err := importComponent(t.Context(), name, data, component.Options{}); !errors.Is(err, want) {
				t.Errorf("import as %q: %v", name, err)
			}
		}
	}
}

func TestNoKeyCanBeGeneratedForAPublicComponent(t *testing.T) {
	data, _ := files(t, generated(t, "a"), "secret")
	c := mustComponent(t)(importComponent(t.Context(), "partner", data, component.Options{}))
	changes := map[string]func() error{
		"regenerate": func() error {
			_, err := c.Renew(t.Context(), GenerateOptions{}, under("secret"))
			return err
		},
		"change passphrase": func() error {
			_, err := c.ChangePassword(trustkeep.Password("secret"), trustkeep.Password("new"), component.Options{Rand: quick.Rand})
			return err
		},
		"export": func() error {
			_, _, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("new"), component.ExportOptions{Rand: quick.Rand})
			return err
		},
	}
	for about, change := range changes {
		if err := change(); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "public component") {
			t.Errorf("%s: %v", about, err)
		}
	}
}

func TestPublicComponentExportsOnlyThePublicKey(t *testing.T) {
	private := generated(t, "a")
	data, _ := files(t, private, "secret")
	public := mustComponent(t)(importComponent(t.Context(), "a", data, component.Options{}))
	for _, c := range []*component.Component{private, public} {
		name, exported, err := c.ExportPublic("")
		if err != nil || name != "a"+PublicSuffix || !bytes.Contains(exported, []byte("BEGIN PGP PUBLIC KEY BLOCK")) || bytes.Contains(exported, []byte("PRIVATE")) {
			t.Errorf("%s: %v", name, err)
		}
		if keys := mustParse(t, exported).Keys(); len(keys) != 1 || keys[0].IsPrivate() || keys[0].Fingerprint() != c.Fingerprint() {
			t.Errorf("%v", keys)
		}
	}
}

// TestPartnerEncryptsToTheExportedKey: the public key is all that a partner needs.
func TestPartnerEncryptsToTheExportedKey(t *testing.T) {
	c := generated(t, "a")
	data, _ := files(t, c, "secret")
	partners := mustComponent(t)(importComponent(t.Context(), "copy", data, component.Options{}))
	message := encrypted(t, Encryption{To: []*Key{KeyOf(partners)}}, []byte("an order"))
	open, err := KeyOf(c).Unlock(pw("secret"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var content bytes.Buffer
	if _, err := (Decryption{Keys: []*Key{open}}).Decrypt(&content, bytes.NewReader(message)); err != nil || content.String() != "an order" {
		t.Errorf("%q, %v", content.String(), err)
	}
}

func TestExportedPrivateKeyHasThePasswordOfTheCallersChoice(t *testing.T) {
	c := generated(t, "a")
	name, data, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("chosen"), component.ExportOptions{Rand: quick.Rand})
	if err != nil || name != "a"+PrivateSuffix {
		t.Fatalf("%s: %v", name, err)
	}
	exported := mustComponent(t)(importComponent(t.Context(), "b", data, under("chosen")))
	unlocks(t, exported, "chosen")
	if _, err := importComponent(t.Context(), "b", data, component.Options{NewPassword: trustkeep.Password("new")}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("a new passphrase without the current one: %v", err)
	}
	if _, err := KeyOf(exported).Unlock(pw("secret"), Options{}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	unlocks(t, c, "secret") // which has not changed
}

// TestReplacingAnExpiredKeyKeepsReferencesValid: the ID that others refer to leads to the
// new key.
func TestReplacingAnExpiredKeyKeepsReferencesValid(t *testing.T) {
	o := under("secret")
	c := mustComponent(t)(component.Create(t.Context(), "a", GenerateOptions{UserIDs: []string{"A <a@example.com>"}, Expires: componentStart.AddDate(1, 0, 0)}, o))
	later := componentStart.AddDate(1, 0, 1)
	o.Clock = func() time.Time { return later }
	r := mustComponent(t)(c.Renew(t.Context(), GenerateOptions{Expires: later.AddDate(1, 0, 0)}, o))
	if r.ID() != c.ID() || !r.NotAfter().After(later) || c.NotAfter().After(later) || r.Versions()[1].Replaced != later {
		t.Errorf("%v until %s", r, r.NotAfter())
	}
	if err := KeyOf(r).CanEncrypt(Options{Clock: o.Clock}); err != nil {
		t.Error(err)
	}
}

func TestCloseDemandsToSaveAChangedPassphrase(t *testing.T) {
	var stored *component.Component
	draft := component.NewDraft(generated(t, "a"), func(c *component.Component) error { stored = c; return nil })
	if err := draft.Change(func(c *component.Component) (*component.Component, error) {
		return c.ChangePassword(trustkeep.Password("secret"), trustkeep.Password("new"), component.Options{Rand: quick.Rand})
	}); err != nil {
		t.Fatal(err)
	}
	if err := draft.Close(); !errors.Is(err, trustkeep.ErrUnsaved) || !strings.Contains(err.Error(), `"a"`) {
		t.Errorf("%v", err)
	}
	if err := draft.Save(); err != nil {
		t.Fatal(err)
	}
	if err := draft.Close(); err != nil {
		t.Error(err)
	}
	unlocks(t, stored, "new")
}

func TestRestoreRefusesContradictions(t *testing.T) {
	private := mustComponent(t)(generated(t, "a").Renew(t.Context(), GenerateOptions{}, under("secret")))
	open := newKey(t, GenerateOptions{}, Options{})
	public := open.Public().Marshal()
	tests := map[string]func(*component.State){
		"no ID":                   func(s *component.State) { s.ID = "" },
		"no name":                 func(s *component.State) { s.Name = "" },
		"name of two lines":       func(s *component.State) { s.Name = "a\nb" },
		"no versions":             func(s *component.State) { s.Versions = nil },
		"version 0":               func(s *component.State) { s.Versions[0].Number = 0 },
		"last of all versions":    func(s *component.State) { s.Versions[1].Number = 1<<63 - 1 },
		"one version twice":       func(s *component.State) { s.Versions[1].Number = 1 },
		"no key":                  func(s *component.State) { s.Versions[1].Data = nil },
		"garbage":                 func(s *component.State) { s.Versions[1].Data = []byte("garbage") },
		"two keys":                func(s *component.State) { s.Versions[1].Data = append(s.Versions[1].Data, s.Versions[0].Data...) },
		"private and then public": func(s *component.State) { s.Versions[1].Data = public },
		"public and then private": func(s *component.State) { s.Versions[0].Data = public },
		"key without passphrase":  func(s *component.State) { s.Versions[1].Data = grammar.Join(open.state().packets) },
	}
	for about, change := range tests {
		t.Run(about, func(t *testing.T) {
			s := private.State()
			change(&s)
			if c, err := component.Restore(s, ComponentKind()); !errors.Is(err, trustkeep.ErrCorrupt) || c != nil {
				t.Errorf("%v, %v", c, err)
			}
		})
	}
}

func TestComponentsDoNotPrintSecrets(t *testing.T) {
	const canary = "canary-passphrase"
	c := mustComponent(t)(component.Create(t.Context(), "a", GenerateOptions{UserIDs: []string{"A <a@example.com>"}}, under(canary)))
	o := under(canary)
	var all strings.Builder
	for _, v := range []any{c, c, []*component.Component{c}, o, &o, component.NewDraft(c, nil), c.Versions()} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&all, verb+"\n", v)
		}
		if text, err := json.Marshal(v); err == nil {
			all.Write(text)
		}
	}
	for _, secret := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprint([]byte(canary)), "packets:"} {
		if strings.Contains(all.String(), secret) {
			t.Errorf("printed %q", secret)
		}
	}
	if got := fmt.Sprintf("%#v", c); got != c.String() || !strings.Contains(got, c.Fingerprint()) {
		t.Errorf("printed %s", got)
	}
}

// TestInteropGPGComponents: gpg takes what components export, and the other way round.
func TestInteropGPGComponents(t *testing.T) {
	theirs := newGPG(t)
	ours := newGPG(t)
	c := generated(t, "ACME orders")
	public, _ := files(t, c, "secret")
	_, private, err := c.ExportPrivate(trustkeep.Password("secret"), trustkeep.Password("chosen"), component.ExportOptions{}) // as production locks it
	if err != nil {
		t.Fatal(err)
	}
	theirs.run(public, "--import")
	message := theirs.run([]byte("an order"), "--armor", "-r", c.Fingerprint(), "--encrypt")
	ours.run(private, "--passphrase", "chosen", "--import")
	if _, stderr, err := ours.try([]byte(message), "--passphrase", "secret", "--decrypt"); err == nil {
		t.Errorf("gpg decrypts with another passphrase than the chosen one: %s", stderr)
	}
	if got := ours.run([]byte(message), "--passphrase", "chosen", "--decrypt"); got != "an order" {
		t.Errorf("gpg decrypts %q", got)
	}
	t.Log("gpg encrypts to _pub.asc, imports _priv.asc and decrypts with the passphrase of choice")

	spec := gpgKeySpecs()["rsa"]
	exported := ours.generate("made", spec, "Expire-Date: 2y\n", "gpg's own")
	fromGPG := mustComponent(t)(importComponent(t.Context(), "from gpg", exported, component.Options{Password: trustkeep.Password("gpg's own")}))
	keys, _ := ours.list(fromGPG.Fingerprint())
	if len(keys) == 0 || fromGPG.Visibility() != trustkeep.Private || fromGPG.NotAfter().IsZero() {
		t.Errorf("%v: gpg lists %v", fromGPG, keys)
	}
	unlocks(t, fromGPG, "gpg's own")
	partner := mustComponent(t)(importComponent(t.Context(), "partner", []byte(ours.run(nil, "--armor", "--export", "made@example.com")), component.Options{}))
	if partner.Visibility() != trustkeep.Public || partner.Fingerprint() != fromGPG.Fingerprint() {
		t.Errorf("%v", partner)
	}
	t.Log("what gpg exports becomes a private and a public component of the fingerprint that gpg lists")
}

// TestLimitsOfTheKindCount for what unlocking costs, since components keep the protection
// that a file came with.
func TestLimitsOfTheKindCount(t *testing.T) {
	c := mustComponent(t)(component.Create(t.Context(), "a", GenerateOptions{Preset: PresetRFC9580, UserIDs: []string{"a"}}, under("secret")))
	low := Options{Limits: trustkeep.Limits{MaxKDFMemory: 1}}.ComponentKind()
	r := mustComponent(t)(component.Restore(c.State(), low))
	if err := r.CheckPassword(trustkeep.Password("secret")); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
	if _, err := r.ChangePassword(trustkeep.Password("secret"), trustkeep.Password("x"), component.Options{}); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
	small := Options{Limits: trustkeep.Limits{MaxSize: 10}}.ComponentKind()
	if _, err := component.Restore(c.State(), small); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%v", err)
	}
}

// TestKeyIsChosenByFingerprint in a file of several; a name that it does not have is not
// ignored.
func TestKeyIsChosenByFingerprint(t *testing.T) {
	a, b := newKey(t, GenerateOptions{}, Options{}).Public(), newKey(t, GenerateOptions{}, Options{}).Public()
	file := append(a.Marshal(), b.Marshal()...)
	o := component.Options{Kinds: []component.Kind{ComponentKind()}}
	if _, err := component.Import(t.Context(), "two", file, o); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	o.Alias = strings.ToUpper(b.Fingerprint())
	if c, err := component.Import(t.Context(), "two", file, o); err != nil || c.Fingerprint() != b.Fingerprint() {
		t.Errorf("%v, %v", c, err)
	}
	if _, err := component.Import(t.Context(), "one", a.Marshal(), o); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if KeyOf(nil) != nil || KeyOf((*component.Component)(nil)) != nil {
		t.Error("a key of nothing")
	}
	for about, none := range map[string]*Key{"nil": nil, "zero": {}} {
		if _, err := component.Create(t.Context(), "a", none, under("secret")); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", about, err)
		}
	}
}
