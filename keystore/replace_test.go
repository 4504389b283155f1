package keystore_test

import (
	"bytes"
	"crypto/x509"
	"encoding/asn1"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/keystore"
)

func mustEntry(t testing.TB, ks *keystore.Keystore, alias string) keystore.Entry {
	t.Helper()
	e, err := ks.Entry(alias)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// again writes a store in a format and reads it.
func again(t testing.TB, ks *keystore.Keystore, f trustkeep.Format, o keystore.Options) *keystore.Keystore {
	t.Helper()
	data, err := ks.Encode(trustkeep.SaveOptions{Rand: quickkdf.Rand(), Format: f, Password: first})
	if err != nil {
		t.Fatal(err)
	}
	loaded, err := o.Parse(data, first)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// withKeyPassword is a store read from a file, whose key "server" has the password
// second and whose key "other" has that of the store, which is first.
func withKeyPassword(t testing.TB, pki *testpki.PKI, f trustkeep.Format, o keystore.Options) *keystore.Keystore {
	t.Helper()
	ks := keystore.New()
	for _, alias := range []string{"Server", "other"} {
		if err := ks.SetIdentity(alias, newIdentity(t, pki.Server(alias))); err != nil {
			t.Fatal(err)
		}
	}
	ks = again(t, ks, f, keystore.Options{})
	if err := ks.ChangeKeyPassword("server", first, second); err != nil {
		t.Fatal(err)
	}
	return again(t, ks, f, o)
}

var knowing = keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{"server": second}}

// opensWith checks that a password opens a key of a store that is written and read
// again, and that the store's does not.
func opensWith(t *testing.T, ks *keystore.Keystore, f trustkeep.Format, alias string, want *x509.Certificate) {
	t.Helper()
	loaded := again(t, ks, f, keystore.Options{})
	_, err := loaded.Identity(alias)
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	if id, err := loaded.IdentityWithPassword(alias, second); err != nil || !id.Leaf().Equal(want) {
		t.Errorf("with its own password: %v, %v", id, err)
	}
}

func TestReplaceKeepsKeyPassword(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, f := range []trustkeep.Format{trustkeep.JKS, trustkeep.JCEKS, trustkeep.BKS, trustkeep.PEM} {
		t.Run(string(f), func(t *testing.T) {
			t.Run("new key", func(t *testing.T) {
				ks := withKeyPassword(t, pki, f, knowing)
				next := pki.Server("next")
				id, err := ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Key: next.Key, Chain: next.Chain})
				if err != nil {
					t.Fatal(err)
				}
				if !id.Leaf().Equal(next.Cert) || !strings.EqualFold(id.Alias(), "server") {
					t.Errorf("identity %v", id)
				}
				opensWith(t, ks, f, "server", next.Cert)
			})
			t.Run("new chain", func(t *testing.T) {
				ks := withKeyPassword(t, pki, f, knowing)
				old, err := ks.Identity("server")
				if err != nil {
					t.Fatal(err)
				}
				renewed := pki.Issue(testpki.Request{CommonName: "renewed", KeyOf: &testpki.Identity{Key: reveal(old)}})
				id, err := ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Chain: renewed.Chain})
				if err != nil || !id.Leaf().Equal(renewed.Cert) {
					t.Fatal(id, err)
				}
				opensWith(t, ks, f, "server", renewed.Cert)
			})
			t.Run("unknown", func(t *testing.T) {
				ks := withKeyPassword(t, pki, f, keystore.Options{})
				next := pki.Server("next")
				_, err := ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Key: next.Key, Chain: next.Chain})
				wantError(t, err, trustkeep.ErrIncorrectPassword, "KeyPasswords")
				if _, err := ks.IdentityWithPassword("server", second); err != nil {
					t.Error(err)
				}
				// A key that shares the store's password is no such case.
				if _, err := ks.Replace(mustEntry(t, ks, "other"), keystore.Replacement{Key: next.Key, Chain: next.Chain}); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A chain for a locked key does not unlock it, and needs no password.
func TestReplaceLeavesKeyLocked(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := withKeyPassword(t, pki, trustkeep.JKS, keystore.Options{})
	key, err := ks.IdentityWithPassword("server", second)
	if err != nil {
		t.Fatal(err)
	}
	renewed := pki.Issue(testpki.Request{CommonName: "renewed", KeyOf: &testpki.Identity{Key: reveal(key)}})
	ks = again(t, ks, trustkeep.JKS, keystore.Options{})
	id, err := ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Chain: renewed.Chain})
	if err != nil || id != nil {
		t.Fatal(id, err)
	}
	if e := mustEntry(t, ks, "server"); !e.Encrypted || !e.Chain[0].Equal(renewed.Cert) {
		t.Errorf("entry %+v", e)
	}
	opensWith(t, ks, trustkeep.JKS, "server", renewed.Cert)

	// One that does not fit what the entry says is compared with the key.
	stranger := pki.Server("stranger")
	_, err = ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Chain: stranger.Chain})
	wantError(t, err, trustkeep.ErrIncorrectPassword)
	_, err = ks.Replace(mustEntry(t, ks, "other"), keystore.Replacement{Chain: stranger.Chain})
	wantError(t, err, trustkeep.ErrKeyMismatch)
}

// A PKCS#12 file can have a key with a password of its own, and this library does not
// write one: it would go over to the store's in silence.
func TestReplaceOfKeyPasswordThatTheFormatLacks(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks, err := keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{"server": second}}.
		Parse(pkcs12WithKeyPassword(t, pki), first)
	if err != nil {
		t.Fatal(err)
	}
	next := pki.Server("next")
	_, err = ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Key: next.Key, Chain: next.Chain})
	wantError(t, err, trustkeep.ErrUnsupported, "ChangeKeyPassword")
}

// pkcs12WithKeyPassword makes a store under the first password whose key "server" has the
// second one.
func pkcs12WithKeyPassword(t *testing.T, pki *testpki.PKI) []byte {
	t.Helper()
	id := pki.Server("server")
	e := &entry.Entry{Alias: "server", Kind: entry.Key, Key: new(entry.PrivateKey)}
	for _, der := range id.DERChain() {
		e.Chain = append(e.Chain, entry.NewCertificate(der))
	}
	data, err := formats.Encode(&entry.Store{Format: trustkeep.PKCS12, Entries: []*entry.Entry{e}}, "", entry.WriteOptions{
		Password: revealed(t, first),
		Key:      func(*entry.Entry) (plain, password []byte, err error) { return id.PKCS8(), revealed(t, second), nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// A key password that does not open the key is not given to its successor.
func TestReplaceByWrongKeyPassword(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	next := pki.Server("next")
	for _, f := range []trustkeep.Format{trustkeep.JKS, trustkeep.PEM} {
		ks := withKeyPassword(t, pki, f, keystore.Options{KeyPasswords: map[string]trustkeep.PasswordSource{"server": third}})
		old := mustEntry(t, ks, "server")
		_, err := ks.Replace(old, keystore.Replacement{Key: next.Key, Chain: next.Chain})
		wantError(t, err, trustkeep.ErrIncorrectPassword, "Options.KeyPasswords")
		if now := mustEntry(t, ks, "server"); !now.Chain[0].Equal(old.Chain[0]) {
			t.Error("the entry changed")
		}
	}
}

func TestReplaceRefused(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks, other := keystore.New(), keystore.New()
	server, next := pki.Server("server"), pki.Server("next")
	for _, s := range []*keystore.Keystore{ks, other} {
		if err := s.SetIdentity("server", newIdentity(t, server)); err != nil {
			t.Fatal(err)
		}
		if err := s.SetTrusted("ca", pki.Root.Cert); err != nil {
			t.Fatal(err)
		}
	}
	chain := keystore.Replacement{Chain: server.Chain}
	tests := []struct {
		name string
		old  keystore.Entry
		r    keystore.Replacement
		want error
	}{
		{"zero entry", keystore.Entry{Alias: "server"}, chain, trustkeep.ErrInvalid},
		{"entry of another store", mustEntry(t, other, "server"), chain, trustkeep.ErrInvalid},
		{"entry without a key", mustEntry(t, ks, "ca"), chain, trustkeep.ErrInvalid},
		{"no chain", mustEntry(t, ks, "server"), keystore.Replacement{Key: next.Key}, trustkeep.ErrInvalid},
		{"nil in the chain", mustEntry(t, ks, "server"), keystore.Replacement{Chain: []*x509.Certificate{server.Cert, nil}}, trustkeep.ErrInvalid},
		{"certificate of another key", mustEntry(t, ks, "server"), keystore.Replacement{Chain: next.Chain}, trustkeep.ErrKeyMismatch},
		{"key of another certificate", mustEntry(t, ks, "server"), keystore.Replacement{Key: next.Key, Chain: server.Chain}, trustkeep.ErrKeyMismatch},
		{"leaf not first", mustEntry(t, ks, "server"), keystore.Replacement{Chain: server.Chain[1:]}, trustkeep.ErrKeyMismatch},
		{"nothing to replace", mustEntry(t, ks, "server"), keystore.Replacement{Chain: server.Chain, As: "none"}, trustkeep.ErrNotFound},
		{"kept under a taken alias", mustEntry(t, ks, "server"), keystore.Replacement{Chain: server.Chain, KeepAs: "CA"}, trustkeep.ErrExists},
		{"kept under its own alias", mustEntry(t, ks, "server"), keystore.Replacement{Chain: server.Chain, KeepAs: "SERVER"}, trustkeep.ErrExists},
	}
	before := mustEntry(t, ks, "server")
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ks.Replace(test.old, test.r)
			wantError(t, err, test.want, "keystore: replace")
		})
	}
	if _, err := ks.Replace(before, chain); err != nil {
		t.Errorf("the store changed: %v", err)
	}
}

func TestReplaceConflict(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	changes := map[string]func(ks *keystore.Keystore, server *testpki.Identity) error{
		"replaced": func(ks *keystore.Keystore, server *testpki.Identity) error {
			_, err := ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Chain: server.Chain[:1]})
			return err
		},
		"set": func(ks *keystore.Keystore, server *testpki.Identity) error {
			return ks.SetIdentity("server", newIdentity(t, server))
		},
		"renamed": func(ks *keystore.Keystore, _ *testpki.Identity) error { return ks.Rename("server", "else") },
		"deleted": func(ks *keystore.Keystore, _ *testpki.Identity) error { return ks.Delete("server") },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			ks, server := keystore.New(), pki.Server("server")
			if err := ks.SetIdentity("server", newIdentity(t, server)); err != nil {
				t.Fatal(err)
			}
			ks = again(t, ks, trustkeep.JKS, keystore.Options{})
			old := mustEntry(t, ks, "server")
			if err := change(ks, server); err != nil {
				t.Fatal(err)
			}
			before := ks.Entries()
			next := pki.Server("next")
			_, err := ks.Replace(old, keystore.Replacement{Key: next.Key, Chain: next.Chain, KeepAs: "kept"})
			wantError(t, err, trustkeep.ErrConflict)
			if after := ks.Entries(); len(after) != len(before) {
				t.Errorf("%d entries, were %d", len(after), len(before))
			}
		})
	}
}

// What changes only how a key is protected does not change the entry, and its last
// protection counts.
func TestReplaceAfterProtectionChanged(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	changes := map[string]func(ks *keystore.Keystore) error{
		"unlocked": func(ks *keystore.Keystore) error { _, err := ks.Identity("server"); return err },
		"key password": func(ks *keystore.Keystore) error {
			return ks.ChangeKeyPassword("server", second, third)
		},
		"store password": func(ks *keystore.Keystore) error { return ks.ChangePassword(first, third) },
		"saved in another format": func(ks *keystore.Keystore) error {
			return ks.Save(t.TempDir()+"/store", trustkeep.SaveOptions{Format: trustkeep.JCEKS})
		},
		"saved again": func(ks *keystore.Keystore) error { return ks.Save(t.TempDir()+"/store", trustkeep.SaveOptions{}) },
	}
	for name, change := range changes {
		t.Run(name, func(t *testing.T) {
			ks := withKeyPassword(t, pki, trustkeep.JKS, knowing)
			old := mustEntry(t, ks, "server")
			if err := change(ks); err != nil {
				t.Fatal(err)
			}
			next := pki.Server("next")
			if _, err := ks.Replace(old, keystore.Replacement{Key: next.Key, Chain: next.Chain}); err != nil {
				t.Fatal(err)
			}
			data, err := ks.Encode(trustkeep.SaveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			store, own := first, second
			switch name {
			case "key password":
				own = third
			case "store password":
				store = third
			}
			loaded, err := keystore.Parse(data, store)
			if err != nil {
				t.Fatal(err)
			}
			if id, err := loaded.IdentityWithPassword("server", own); err != nil || !id.Leaf().Equal(next.Cert) {
				t.Errorf("%v, %v", id, err)
			}
		})
	}
}

func TestReplaceAsAndKeepAs(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := keystore.New()
	old, pending := pki.Server("old"), pki.Server("pending")
	for alias, id := range map[string]*testpki.Identity{"Server": old, "Server.next": pending} {
		if err := ks.SetIdentity(alias, newIdentity(t, id)); err != nil {
			t.Fatal(err)
		}
	}
	ks = again(t, ks, trustkeep.JKS, keystore.Options{})
	renewed := pki.Issue(testpki.Request{CommonName: "renewed", KeyOf: pending})
	id, err := ks.Replace(mustEntry(t, ks, "server.next"), keystore.Replacement{Chain: renewed.Chain, As: "SERVER", KeepAs: "Server.old"})
	if err != nil || id != nil {
		t.Fatal(id, err)
	}
	if names := ks.Aliases(); len(names) != 2 {
		t.Errorf("aliases %q", names)
	}
	for alias, want := range map[string]*x509.Certificate{"server": renewed.Cert, "server.old": old.Cert} {
		if id, err := ks.Identity(alias); err != nil || !id.Leaf().Equal(want) {
			t.Errorf("%s: %v, %v", alias, id, err)
		}
	}
	// Its own alias is no move.
	if _, err := ks.Replace(mustEntry(t, ks, "server"), keystore.Replacement{Chain: renewed.Chain[:1], As: "Server"}); err != nil {
		t.Error(err)
	}
}

func attribute(t testing.TB, arc int) entry.Attribute {
	t.Helper()
	der, err := asn1.Marshal(struct {
		ID     asn1.ObjectIdentifier
		Values []string `asn1:"set"`
	}{asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 311, 17, arc}, []string{fmt.Sprint(arc)}})
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// Attributes of the key and of the certificates that stay survive, and so do names.
func TestReplaceKeepsAttributesAndNames(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	server := pki.Server("server")
	chain := make([]*entry.Certificate, len(server.Chain))
	for i, c := range server.Chain {
		chain[i] = entry.FromX509(c)
	}
	chain[1].Label, chain[1].Attributes = "the intermediate", []entry.Attribute{attribute(t, 7)}
	der, err := x509.MarshalPKCS8PrivateKey(server.Key)
	if err != nil {
		t.Fatal(err)
	}
	store := &entry.Store{Format: trustkeep.PKCS12, Entries: []*entry.Entry{{
		Alias: "server", Kind: entry.Key, Key: &entry.PrivateKey{}, Chain: chain, Attributes: []entry.Attribute{attribute(t, 1)}}}}
	data, err := formats.Encode(store, "", entry.WriteOptions{Password: revealed(t, first),
		Keep: func(*entry.Entry) bool { return false },
		Key: func(*entry.Entry) (plain, password []byte, err error) {
			return bytes.Clone(der), revealed(t, first), nil
		}})
	if err != nil {
		t.Fatal(err)
	}
	next := pki.Server("next")
	for name, r := range map[string]keystore.Replacement{
		"chain": {Chain: pki.Issue(testpki.Request{CommonName: "renewed", KeyOf: server}).Chain},
		"key":   {Key: next.Key, Chain: next.Chain},
	} {
		t.Run(name, func(t *testing.T) {
			ks, err := keystore.Parse(data, first)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := ks.Replace(mustEntry(t, ks, "server"), r); err != nil {
				t.Fatal(err)
			}
			out, err := ks.Encode(trustkeep.SaveOptions{})
			if err != nil {
				t.Fatal(err)
			}
			parsed, err := formats.Parse(out, entry.ReadOptions{Password: revealed(t, first), Budget: limits.New(trustkeep.Limits{})})
			if err != nil {
				t.Fatal(err)
			}
			e := parsed.Entries[0]
			if len(parsed.Entries) != 1 || e.Alias != "server" || len(e.Chain) != 3 || !bytes.Equal(e.Chain[0].Raw, r.Chain[0].Raw) {
				t.Fatalf("%d entries, the first %q", len(parsed.Entries), e.Alias)
			}
			if len(e.Attributes) != 1 || !bytes.Equal(e.Attributes[0], attribute(t, 1)) {
				t.Errorf("attributes of the key: %x", e.Attributes)
			}
			if c := e.Chain[1]; c.Label != "the intermediate" || len(c.Attributes) != 1 || !bytes.Equal(c.Attributes[0], attribute(t, 7)) {
				t.Errorf("intermediate %q, %x", c.Label, c.Attributes)
			}
		})
	}
}

// Writers of one entry: each replaces what it has read or is told of the conflict, and
// writers of other entries and of passwords go on beside them.
func TestReplaceBesideOtherWriters(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := withKeyPassword(t, pki, trustkeep.JKS, knowing)
	const writers, rounds = 4, 5
	next := make([]*testpki.Identity, writers)
	for i := range next {
		next[i] = pki.Server(fmt.Sprint("next ", i))
	}
	stranger := newIdentity(t, pki.Server("stranger"))
	var mu sync.Mutex
	conflicts, replaced := 0, 0
	var wg sync.WaitGroup
	for _, id := range next {
		wg.Go(func() {
			for done := 0; done < rounds; {
				e, err := ks.Entry("server")
				if err != nil {
					t.Error(err)
					return
				}
				_, err = ks.Replace(e, keystore.Replacement{Key: id.Key, Chain: id.Chain})
				mu.Lock()
				switch {
				case err == nil:
					replaced++
					done++
				case isConflict(err):
					conflicts++
				default:
					t.Error(err)
					done = rounds
				}
				mu.Unlock()
			}
		})
	}
	wg.Go(func() {
		for range rounds {
			if err := ks.SetIdentity("stranger", stranger); err != nil {
				t.Error(err)
			}
			if err := ks.ChangePassword(first, first); err != nil {
				t.Error(err)
			}
			if err := ks.Delete("stranger"); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	t.Logf("%d replaced, %d conflicts", replaced, conflicts)
	if replaced != writers*rounds || ks.Len() != 2 {
		t.Errorf("%d replaced, %d entries", replaced, ks.Len())
	}
	opensWith(t, ks, trustkeep.JKS, "server", mustEntry(t, ks, "server").Chain[0])
}

func isConflict(err error) bool { return errors.Is(err, trustkeep.ErrConflict) }

func TestAddIdentity(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	ks := keystore.New()
	id := newIdentity(t, pki.Server("a"))
	if err := ks.AddIdentity("a", id); err != nil {
		t.Fatal(err)
	}
	wantError(t, ks.AddIdentity("A", id), trustkeep.ErrExists, `"a"`)
	wantError(t, ks.AddIdentity("a", id), trustkeep.ErrExists)
	wantError(t, ks.AddIdentity("", id), trustkeep.ErrInvalid)
	wantError(t, ks.AddIdentity("b", nil), trustkeep.ErrInvalid)
	if got, err := ks.Identity("a"); err != nil || got.Alias() != "a" || ks.Len() != 1 {
		t.Errorf("%v, %v", got, err)
	}
}
