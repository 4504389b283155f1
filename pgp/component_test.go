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

func importComponent(ctx context.Context, name string, data []byte, o component.Options) (*component.Component, error) {
	o.Kinds = []component.Kind{ComponentKind()}
	return component.Import(ctx, name, data, o)
}

func TestComponentPrivate(t *testing.T) {
	ctx := context.Background()
	start := time.Date(2025, 5, 1, 12, 0, 0, 0, time.UTC)
	o := component.Options{Rand: quick.Rand, Clock: func() time.Time { return start }, Password: trustkeep.Password("one")}
	c, err := component.Create(ctx, "ACME / orders", GenerateOptions{UserIDs: []string{"ACME <acme@example.com>"}, Expires: start.AddDate(1, 0, 0)}, o)
	if err != nil {
		t.Fatal(err)
	}
	if c.Kind() != trustkeep.PGP || c.Visibility() != trustkeep.Private || c.Version() != 1 || len(c.ID()) != 32 ||
		!c.NotBefore().Equal(start) || !c.NotAfter().Equal(start.AddDate(1, 0, 0)) || !KeyOf(c).IsLocked() {
		t.Errorf("%s: %v", c.Name(), KeyOf(c).Info(Options{Clock: o.Clock}))
	}
	// Export, both parts.
	name, public, err := c.ExportPublic("")
	if err != nil || name != "ACME___orders_pub.asc" || mustParse(t, public).Keys()[0].IsPrivate() {
		t.Errorf("%s: %v", name, err)
	}
	name, private, err := c.ExportPrivate(trustkeep.Password("one"), trustkeep.Password("export"), component.ExportOptions{})
	if err != nil || name != "ACME___orders_priv.asc" {
		t.Fatalf("%s: %v", name, err)
	}
	if _, err := mustParse(t, private).Keys()[0].Unlock(pw("export"), Options{}); err != nil {
		t.Errorf("%v", err)
	}
	for _, pw := range []trustkeep.PasswordSource{nil, trustkeep.Password("")} {
		if _, _, err := c.ExportPrivate(trustkeep.Password("one"), pw, component.ExportOptions{}); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("exported without passphrase: %v", err)
		}
	}
	if _, _, err := c.ExportPrivate(trustkeep.Password("wrong"), trustkeep.Password("x"), component.ExportOptions{Rand: quick.Rand}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	// Regenerate in place.
	r, err := c.Renew(ctx, GenerateOptions{}, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.ID() != c.ID() || r.Version() != 2 || r.Fingerprint() == c.Fingerprint() || KeyOf(r).Info(Options{Clock: o.Clock}).UserIDs[0].ID != "ACME <acme@example.com>" || c.Version() != 1 {
		t.Errorf("%s version %d", r.ID(), r.Version())
	}
	// Change the passphrase, rename, roll back.
	p, err := r.ChangePassword(trustkeep.Password("one"), trustkeep.Password("two"), component.Options{})
	if err != nil || p.Version() != 3 {
		t.Fatalf("%v", err)
	}
	if _, err := KeyOf(p).Unlock(pw("two"), Options{}); err != nil {
		t.Error(err)
	}
	n, err := p.Rename("new")
	if err != nil || n.Name() != "new" || n.Version() != 3 || n.ID() != c.ID() {
		t.Errorf("%v", err)
	}
	back, err := n.Rollback(1, component.Options{})
	if err != nil || back.Version() != 4 || back.Fingerprint() != c.Fingerprint() || len(back.Versions()) != 4 {
		t.Errorf("%v", err)
	}
	if _, err := n.Rollback(9, component.Options{}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	// Store and restore.
	state := back.State()
	stored, err := json.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	var again component.State
	if err := json.Unmarshal(stored, &again); err != nil {
		t.Fatal(err)
	}
	restored, err := component.Restore(again, ComponentKind())
	if err != nil || restored.Fingerprint() != back.Fingerprint() || restored.Version() != 4 || restored.Visibility() != trustkeep.Private {
		t.Errorf("%v", err)
	}
	// Import, with the chain of checks.
	if _, err := importComponent(ctx, "x", private, component.Options{Password: trustkeep.Password("wrong")}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	imported, err := importComponent(ctx, "x", private, component.Options{ID: "given", Password: trustkeep.Password("export")})
	if err != nil || imported.ID() != "given" || imported.Visibility() != trustkeep.Private {
		t.Errorf("%v", err)
	}
	if _, err := imported.Reimport(ctx, public, component.Options{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("public key into a private component: %v", err)
	}
}

func TestComponentPublic(t *testing.T) {
	ctx := context.Background()
	partner := newKey(t, GenerateOptions{Expires: time.Now().Add(time.Hour)}, Options{})
	c, err := importComponent(ctx, "partner", mustArmor(t, partner), component.Options{})
	if err != nil || c.Visibility() != trustkeep.Public {
		t.Fatalf("%v", err)
	}
	if _, err := c.Renew(ctx, GenerateOptions{}, component.Options{Password: trustkeep.Password("x")}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("regenerated a public component: %v", err)
	}
	if _, _, err := c.ExportPrivate(nil, nil, component.ExportOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if _, err := c.ChangePassword(trustkeep.Password("a"), trustkeep.Password("b"), component.Options{Rand: quick.Rand}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	// The partner extends the expiry: importing the copy again is enough.
	later := time.Now().Add(100 * time.Hour).Truncate(time.Second)
	extended, err := partner.SetExpiry(later, Options{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := c.Reimport(ctx, mustArmor(t, extended), component.Options{})
	if err != nil || !r.NotAfter().Equal(later) || r.Version() != 2 {
		t.Errorf("%v, %s", err, r.NotAfter())
	}
	if stale, err := r.Reimport(ctx, mustArmor(t, partner), component.Options{}); err != nil || !stale.NotAfter().Equal(later) {
		t.Errorf("an old copy takes the extension back: %v", err)
	}
	// The scanner refuses before anything parses.
	refusing := trustkeep.ScannerFunc(func(context.Context, string, []byte) error { return fmt.Errorf("eicar: %w", trustkeep.ErrRejected) })
	if _, err := importComponent(ctx, "x", []byte("not a key"), component.Options{Scanner: refusing}); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("%v", err)
	}
	two := append(mustArmor(t, partner), mustArmor(t, newKey(t, GenerateOptions{}, Options{}))...)
	if _, err := importComponent(ctx, "x", two, component.Options{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("two keys: %v", err)
	}
}

// TestComponentLocksWhatComesOpen: gpg exports keys without passphrase.
func TestComponentLocksWhatComesOpen(t *testing.T) {
	k := newKey(t, GenerateOptions{}, Options{})
	open := grammar.Join(k.state().packets)
	if _, err := importComponent(context.Background(), "x", open, component.Options{}); !errors.Is(err, trustkeep.ErrRejected) {
		t.Errorf("%v", err)
	}
	c, err := importComponent(context.Background(), "x", open, component.Options{Password: trustkeep.Password("pw")})
	if err != nil || !KeyOf(c).IsLocked() {
		t.Fatalf("%v", err)
	}
	state := c.State()
	secret := k.state().packets[0].Body
	if bytes.Contains(state.Versions[0].Data, secret[len(secret)-30:]) {
		t.Error("the private part is stored in the clear")
	}
}

// TestComponentGetsANewPassphraseWithItsImport: a file's passphrase need not be that of
// the component.
func TestComponentGetsANewPassphraseWithItsImport(t *testing.T) {
	k := newKey(t, GenerateOptions{Passphrase: trustkeep.Password("of the file")}, Options{})
	armored, err := k.ArmorPrivate()
	if err != nil {
		t.Fatal(err)
	}
	c, err := importComponent(context.Background(), "x", armored, component.Options{
		Rand:     quick.Rand,
		Password: trustkeep.Password("of the file"), NewPassword: trustkeep.Password("next"),
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := KeyOf(c).Unlock(pw("next"), Options{}); err != nil {
		t.Error(err)
	}
	if _, err := KeyOf(c).Unlock(pw("of the file"), Options{}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("the passphrase of the file opens the component: %v", err)
	}
	_, err = importComponent(context.Background(), "x", armored, component.Options{
		Rand:     quick.Rand,
		Password: trustkeep.Password("wrong"), NewPassword: trustkeep.Password("next"),
	})
	if !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
}

// TestNothingPrintsPrivateKeys prints keys in every way and looks for their
// private parts.
func TestNothingPrintsPrivateKeys(t *testing.T) {
	k := newKey(t, GenerateOptions{Passphrase: trustkeep.Password("canary-passphrase")}, Options{})
	var all strings.Builder
	for _, v := range []any{k, *k, &Keyring{keys: []*Key{k}}, k.Info(Options{}), &Decryption{Keys: []*Key{k}}, Encryption{Signers: []*Key{k}}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
			fmt.Fprintf(&all, verb, v)
		}
	}
	if got, err := json.Marshal(k); err != nil || string(got) != `"`+k.Fingerprint()+`"` {
		t.Errorf("%s, %v", got, err)
	}
	if all.Len() > 60_000 {
		t.Errorf("%d bytes printed: does it print packets?", all.Len())
	}
	for _, forbidden := range []string{"canary", "PrivateKey:", "packets:"} {
		if strings.Contains(all.String(), forbidden) {
			t.Errorf("printed %q", forbidden)
		}
	}
}
