package environment_test

import (
	"bytes"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
)

// TestFilesOfSealedComponents: neither the files that a directory shows, nor anything else in it,
// opens with the password of the file that was imported; nor does the log, an event or an error
// have a sealed password.
func TestFilesOfSealedComponents(t *testing.T) {
	ctx := t.Context()
	path := t.TempDir()
	d := check(dirstore.Open(path, dirstore.Options{Clock: newClock().Now}))(t)
	defer d.Close()
	root := newKey(t)
	var told bytes.Buffer
	o := environment.Options{OpeningKey: root, Clock: newClock().Now, Rand: quickkdf.Rand(), Logger: slog.New(slog.NewJSONHandler(&told, nil)),
		OnEvent: func(e environment.Event) { fmt.Fprintf(&told, "%+v %s\n", e, e) }}
	r := check(environment.Open(ctx, d, o))(t)
	test := check(r.CreateEnvironment(ctx, "test"))(t)
	check(r.Seal(ctx, recipient("root", root)))(t)
	weak := trustkeep.Password("changeit")
	check(r.Create(ctx, "x", issue.Options{DNSNames: []string{"localhost"}}, environment.ComponentOptions{ID: "x", Password: weak}))(t)
	must(t, test.SetRole(ctx, environment.RoleTLS, "x"))
	must(t, test.SetRole(ctx, environment.RoleTLS, ""))
	fmt.Fprintln(&told, check(test.History(ctx))(t), check(r.Exposed(ctx))(t))
	p := check(r.Password(ctx, "x"))(t)
	fmt.Fprintf(&told, "%v %+v %#v", p, p, r)
	stores := 0
	opens := func(data []byte, with trustkeep.PasswordSource) bool {
		c, err := component.Import(ctx, "x", data, component.Options{Kinds: []component.Kind{keystore.ComponentKind()}, Password: with})
		return err == nil && c.Visibility() == trustkeep.Private
	}
	must(t, filepath.WalkDir(path, func(name string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data := check(os.ReadFile(name))(t)
		parts := [][]byte{data}
		var v any
		if json.Unmarshal(data, &v) == nil {
			parts = append(parts, blobs(v)...)
		}
		for _, part := range parts {
			if opens(part, weak) {
				t.Errorf("%s opens with the password of the import", name)
			}
			if opens(part, p) {
				stores++
			}
		}
		return nil
	}))
	if stores < 2 { // the record and the file
		t.Errorf("%d stores open with the sealed password", stores)
	}
	secret := string(check(p.Reveal())(t))
	for _, text := range []string{secret, "changeit"} {
		if strings.Contains(told.String(), text) {
			t.Errorf("a password was told: %s", told.String())
		}
	}
}

// TestRecipientsOfStrangeKeys: keys that agree on nothing are refused, and nothing is written.
func TestRecipientsOfStrangeKeys(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	x25519 := hpke.DHKEM(ecdh.X25519())
	for name, raw := range map[string][]byte{"zero": make([]byte, 32), "one": append([]byte{1}, make([]byte, 31)...)} {
		key, err := environment.ParseSealingKey(fmt.Sprintf("trustkeep-sealing-key:%04x:%s", x25519.ID(), base64.RawURLEncoding.EncodeToString(raw)))
		if err == nil {
			err = s.test.AddRecipient(ctx, environment.Recipient{Name: name, Key: key})
		}
		if err == nil {
			t.Errorf("%s: a key of low order is a recipient", name)
		}
		if len(check(s.test.Recipients(ctx))(t)) != 2 {
			t.Errorf("%s: it was written", name)
		}
	}
	p256 := make([]byte, 65)
	p256[0] = 4
	p256[64] = 5
	for _, raw := range [][]byte{p256, {0}, nil, make([]byte, 64)} {
		if _, err := environment.ParseSealingKey("trustkeep-sealing-key:0010:" + base64.RawURLEncoding.EncodeToString(raw)); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("a point off the curve: %v", err)
		}
	}
	// Two spellings of a key are one recipient.
	text := newKey(t).SealingKey().String()
	for _, other := range []string{text + "=", strings.ToUpper(text), " " + text, text + "\n" + text} {
		if k, err := environment.ParseSealingKey(other); err == nil && k.String() != text {
			t.Errorf("another spelling is another key")
		}
	}
}

// TestEnvironmentsOfPrefixNames: what is sealed for "prod" does not open as that of "prod-2", nor
// the other way round, and component and environment do not run into each other.
func TestEnvironmentsOfPrefixNames(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	s.identity("x")
	s.identity("x-2")
	for _, env := range []string{"prod", "prod-2"} {
		e := check(s.CreateEnvironment(ctx, env))(t)
		must(t, e.SetRole(ctx, environment.RoleTLS, "x"))
		must(t, e.SetRole(ctx, environment.RolePrimary, "x-2"))
	}
	key := newKey(t)
	must(t, check(s.Environment(ctx, "prod"))(t).AddRecipient(ctx, recipient("atom", key)))
	for password, at := range environment.Openings(key, s.everything()) {
		if !strings.HasPrefix(at, "prod:") {
			t.Errorf("the key of an atom of prod opens %s of %d letters", at, len(password))
		}
	}
	s.edit("environments/prod-2/secrets", func(d map[string]any) {
		for k, v := range s.document("environments/prod/secrets") {
			d[k] = v
		}
	})
	if _, err := s.as(key).Password(ctx, "x"); err != nil {
		t.Error(err) // of prod
	}
	if err := check(s.Environment(ctx, "prod-2"))(t).SetRole(ctx, "third", "x"); err == nil {
		if found := environment.Openings(key, s.everything()); len(found) > 2 {
			t.Errorf("%d passwords", len(found))
		}
	}
	// Deleted and imported under the same ID.
	e := check(s.Environment(ctx, "prod"))(t)
	for range 2 {
		s.identity("again")
		must(t, e.SetRole(ctx, "again", "again"))
		check(s.as(key).Password(ctx, "again"))(t)
		must(t, e.SetRole(ctx, "again", ""))
		must(t, s.Delete(ctx, "again"))
	}
}

// TestAtomKeysTryVerbsOfAdministrators: the key of an atom changes no recipients and promotes
// nothing.
func TestAtomKeysTryVerbsOfAdministrators(t *testing.T) {
	s := newSealedWorld(t)
	ctx := t.Context()
	s.identity("x")
	must(t, s.test.SetRole(ctx, environment.RoleTLS, "x"))
	r := s.as(s.atoms["test"])
	mallory := newKey(t)
	production := check(r.Environment(ctx, "production"))(t)
	before := s.sealedFor()
	for name, err := range map[string]error{
		"administrator":   r.AddAdministrator(ctx, recipient("mallory", mallory)),
		"recipient":       production.AddRecipient(ctx, recipient("mallory", mallory)),
		"removal":         second2(production.RemoveRecipient(ctx, "root")),
		"administrator's": second2(r.RemoveAdministrator(ctx, "root")),
		"seal":            second2(r.Seal(ctx, recipient("mallory", s.atoms["test"]))),
		"role elsewhere":  production.SetRole(ctx, environment.RoleTLS, "x"),
		"environment":     second2(r.CreateEnvironment(ctx, "theirs")),
		"promotion":       production.Promote(ctx, environment.Promotion{From: "test"}),
	} {
		if err == nil {
			t.Errorf("%s: it can", name)
		}
	}
	if now := s.sealedFor(); now != before {
		t.Errorf("sealed for %q, before %q", now, before)
	}
	for _, env := range []string{"test", "production"} {
		for _, p := range check(check(s.Environment(ctx, env))(t).Recipients(ctx))(t) {
			if p.Name == "mallory" {
				t.Errorf("mallory is a recipient of %s", env)
			}
		}
	}
}
