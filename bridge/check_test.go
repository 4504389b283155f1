package bridge_test

import (
	"bytes"
	"crypto/x509"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/bridge"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/formats"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/truststore"
)

// encoded is what a save hands to Check.
func encoded(t *testing.T, k *keystore.Keystore, o trustkeep.SaveOptions) trustkeep.Encoded {
	t.Helper()
	data, err := k.Encode(o)
	if err != nil {
		t.Fatal(err)
	}
	e := trustkeep.Encoded{Container: o.Format, Data: data, Password: o.Password}
	for _, entry := range k.Entries() {
		w := trustkeep.EncodedEntry{Alias: entry.Alias, Kind: entry.Kind.String(), Chain: entry.RawChain}
		if entry.Kind == keystore.KeyEntry {
			id, err := k.Identity(entry.Alias)
			if err != nil {
				t.Fatal(err)
			}
			w.PublicKey = id.Signer().Public()
		}
		e.Entries = append(e.Entries, w)
	}
	return e
}

func storeOf(t *testing.T, keys map[string]*keystore.Identity, trusted map[string]*x509.Certificate) *keystore.Keystore {
	t.Helper()
	k := keystore.New()
	for alias, id := range keys {
		if err := k.SetIdentity(alias, id); err != nil {
			t.Fatal(err)
		}
	}
	for alias, cert := range trusted {
		if err := k.SetTrusted(alias, cert); err != nil {
			t.Fatal(err)
		}
	}
	return k
}

func TestPeersAgreeOnWhatIsWritten(t *testing.T) {
	pki := pkitest.New(t)
	one := storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, nil)
	many := storeOf(t, map[string]*keystore.Identity{"Server": pki.Server, "client": pki.Client}, map[string]*x509.Certificate{"root ä": pki.CA.Leaf()})
	trust := storeOf(t, nil, map[string]*x509.Certificate{"root": pki.CA.Leaf(), "other": pki.Intermediate.Leaf()})
	secret := trustkeep.Password("sécret")
	for about, test := range map[string]struct {
		store *keystore.Keystore
		o     trustkeep.SaveOptions
	}{
		"JKS, one key":               {one, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret}},
		"JKS, keys and trust":        {many, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret}},
		"JKS, trust":                 {trust, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret}},
		"PKCS#12, one key":           {one, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: secret}},
		"PKCS#12, trust":             {trust, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: secret}},
		"PKCS#12, trust, none":       {trust, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.Passwordless}},
		"PKCS#12, Java 8":            {one, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.Java8, Password: secret}},
		"PKCS#12, Java 17":           {one, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.Java17, Password: secret}},
		"PKCS#12, OpenSSL 1.1":       {one, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.OpenSSL11, Password: secret}},
		"PKCS#12, Windows 2016":      {one, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.Windows2016, Password: secret}},
		"PKCS#12, PBMAC1 (RFC 9579)": {one, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Profile: trustkeep.Modern2026, Password: secret}},
	} {
		t.Run(about, func(t *testing.T) {
			e := encoded(t, test.store, test.o)
			if o := bridge.Ask(e); o.Outcome != bridge.Agreed || o.Reason != "" {
				t.Errorf("%v", o)
			}
			if err := bridge.Check(e); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestPeersDisagree(t *testing.T) {
	pki := pkitest.New(t)
	k := storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, nil)
	trust := storeOf(t, nil, map[string]*x509.Certificate{"root": pki.CA.Leaf()})
	secret := trustkeep.Password("secret")
	changes := map[string]func(*trustkeep.Encoded){
		"a certificate less":    func(e *trustkeep.Encoded) { e.Entries[0].Chain = e.Entries[0].Chain[:len(e.Entries[0].Chain)-1] },
		"a certificate more":    func(e *trustkeep.Encoded) { e.Entries[0].Chain = append(e.Entries[0].Chain, pki.Client.Leaf().Raw) },
		"another certificate":   func(e *trustkeep.Encoded) { e.Entries[0].Chain[0] = pki.Client.Leaf().Raw },
		"another order":         func(e *trustkeep.Encoded) { slices.Reverse(e.Entries[0].Chain) },
		"a cut file":            func(e *trustkeep.Encoded) { e.Data = e.Data[:len(e.Data)-1] },
		"a flipped bit":         func(e *trustkeep.Encoded) { e.Data = bytes.Clone(e.Data); e.Data[len(e.Data)/2] ^= 1 },
		"no content":            func(e *trustkeep.Encoded) { e.Data = nil },
		"another password":      func(e *trustkeep.Encoded) { e.Password = trustkeep.Password("other") },
		"another kind of entry": func(e *trustkeep.Encoded) { e.Entries[0].Kind = "trusted"; e.Entries[0].Chain = e.Entries[0].Chain[:1] },
	}
	keyOnly := map[string]func(*trustkeep.Encoded){
		"another key": func(e *trustkeep.Encoded) { e.Entries[0].PublicKey = pki.Client.Signer().Public() },
	}
	for about, test := range map[string]struct {
		format  trustkeep.Format
		store   *keystore.Keystore
		changes map[string]func(*trustkeep.Encoded)
	}{
		"JKS key":       {trustkeep.JKS, k, changes},
		"JKS key alone": {trustkeep.JKS, k, keyOnly},
		"P12 key":       {trustkeep.PKCS12, k, changes},
		"P12 key alone": {trustkeep.PKCS12, k, keyOnly},
	} {
		for change, apply := range test.changes {
			t.Run(about+"/"+change, func(t *testing.T) {
				e := encoded(t, test.store, trustkeep.SaveOptions{Format: test.format, Password: secret})
				apply(&e)
				if o := bridge.Ask(e); o.Outcome != bridge.Disagreed || o.Reason == "" {
					t.Errorf("%v", o)
				}
				wantError(t, bridge.Check(e), trustkeep.ErrRejected)
				wantError(t, bridge.CheckIfExpressible(e), trustkeep.ErrRejected)
			})
		}
	}
	t.Run("JKS/another alias", func(t *testing.T) {
		e := encoded(t, trust, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret})
		e.Entries[0].Alias = "branch"
		wantError(t, bridge.Check(e), trustkeep.ErrRejected)
	})
	t.Run("JKS/an entry less", func(t *testing.T) {
		e := encoded(t, trust, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret})
		e.Entries = nil
		wantError(t, bridge.Check(e), trustkeep.ErrRejected)
	})
	t.Run("JKS/trusted and not a key", func(t *testing.T) {
		e := encoded(t, trust, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret})
		e.Entries[0].Kind = "key"
		wantError(t, bridge.Check(e), trustkeep.ErrRejected)
	})
	t.Run("JKS/the wrong password of a key", func(t *testing.T) {
		e := encoded(t, k, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret})
		e.Entries[0].Password = trustkeep.Password("other")
		wantError(t, bridge.Check(e), trustkeep.ErrRejected)
	})
	t.Run("P12/another trusted certificate", func(t *testing.T) {
		e := encoded(t, trust, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: secret})
		e.Entries[0].Chain[0] = pki.Client.Leaf().Raw
		wantError(t, bridge.Check(e), trustkeep.ErrRejected)
	})
}

// TestAPanicOfAPeerIsADisagreement: keystore-go panics on keys shorter than their salt.
func TestAPanicOfAPeerIsADisagreement(t *testing.T) {
	pki := pkitest.New(t)
	data := shortKeyJKS(t, "secret")
	e := trustkeep.Encoded{Container: trustkeep.JKS, Data: data, Password: trustkeep.Password("secret"),
		Entries: []trustkeep.EncodedEntry{{Alias: "k", Kind: "key", PublicKey: pki.Server.Signer().Public()}}}
	// The chain as the peer reads it.
	k, err := keystore.Parse(data, trustkeep.Password("secret"))
	if err != nil {
		t.Fatal(err)
	}
	entry, err := k.Entry("k")
	if err != nil {
		t.Fatal(err)
	}
	e.Entries[0].Chain = entry.RawChain
	if o := bridge.Ask(e); o.Outcome != bridge.Disagreed || !strings.Contains(o.Reason, "panic") {
		t.Errorf("%v", o)
	}
	wantError(t, bridge.Check(e), trustkeep.ErrRejected)
}

func TestWhatPeersCannotBeAsked(t *testing.T) {
	pki := pkitest.New(t)
	secret := trustkeep.Password("secret")
	one := storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, nil)
	two := storeOf(t, map[string]*keystore.Identity{"server": pki.Server, "client": pki.Client}, nil)
	mixed := storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, map[string]*x509.Certificate{"root": pki.CA.Leaf()})
	unreadable, err := pkitest.New(t).NegativeSerial("a.example").TLSCertificate()
	if err != nil {
		t.Fatal(err)
	}
	broken := unreadable.Certificate[0]
	if _, err := x509.ParseCertificate(broken); err == nil {
		t.Fatal("crypto/x509 reads it")
	}
	for about, test := range map[string]struct {
		e      func() trustkeep.Encoded
		reason string
	}{
		"PEM": {func() trustkeep.Encoded {
			return encoded(t, one, trustkeep.SaveOptions{Format: trustkeep.PEM, Password: secret})
		}, "no second implementation of pem"},
		"JCEKS": {func() trustkeep.Encoded {
			return encoded(t, one, trustkeep.SaveOptions{Format: trustkeep.JCEKS, Password: secret})
		}, "no second implementation of jceks"},
		"P12 of two keys": {func() trustkeep.Encoded {
			return encoded(t, two, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: secret})
		}, "2 entries"},
		"P12 of a key and trust": {func() trustkeep.Encoded {
			return encoded(t, mixed, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: secret})
		}, "2 entries"},
		"P12 without entries": {func() trustkeep.Encoded {
			return trustkeep.Encoded{Container: trustkeep.PKCS12, Password: secret}
		}, "empty"},
		"P12 that crypto/x509 refuses": {func() trustkeep.Encoded {
			return trustkeep.Encoded{Container: trustkeep.PKCS12, Password: secret, Entries: []trustkeep.EncodedEntry{{Kind: "trusted", Chain: [][]byte{broken}}}}
		}, "crypto/x509"},
		"P12 with a secret key": {func() trustkeep.Encoded {
			return trustkeep.Encoded{Container: trustkeep.PKCS12, Password: secret, Entries: []trustkeep.EncodedEntry{{Kind: "secret"}}}
		}, "kind secret"},
		"P12 with a locked key": {func() trustkeep.Encoded {
			e := encoded(t, one, trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: secret})
			e.Entries[0].PublicKey = nil
			e.Data = underAnotherPassword(t, e.Data, "secret", "store")
			e.Password = trustkeep.Password("store")
			return e
		}, "locked"},
		"JKS with a secret key": {func() trustkeep.Encoded {
			return trustkeep.Encoded{Container: trustkeep.JKS, Password: secret, Entries: []trustkeep.EncodedEntry{{Kind: "secret", Alias: "s"}}}
		}, "kind secret"},
		"JKS under a password beyond Latin-1": {func() trustkeep.Encoded {
			return encoded(t, one, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("日本")})
		}, "Latin-1"},
		"JKS with an alias beyond the BMP": {func() trustkeep.Encoded {
			return encoded(t, storeOf(t, nil, map[string]*x509.Certificate{"🔑": pki.CA.Leaf()}), trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret})
		}, "alias"},
		"a password that cannot be had": {func() trustkeep.Encoded {
			e := encoded(t, one, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: secret})
			e.Password = trustkeep.PasswordFunc(func() ([]byte, error) { return nil, errors.New("vault is sealed") })
			return e
		}, "vault is sealed"},
	} {
		t.Run(about, func(t *testing.T) {
			e := test.e()
			if o := bridge.Ask(e); o.Outcome != bridge.NotAsked || !strings.Contains(o.Reason, test.reason) {
				t.Errorf("%v", o)
			}
			wantError(t, bridge.Check(e), trustkeep.ErrUnsupported)
			if err := bridge.CheckIfExpressible(e); err != nil {
				t.Error(err)
			}
		})
	}
}

// underAnotherPassword writes a PKCS#12 store anew whose key keeps its password.
func underAnotherPassword(t *testing.T, data []byte, key, store string) []byte {
	t.Helper()
	read, err := formats.Parse(data, entry.ReadOptions{Password: []byte(key), Budget: limits.New(trustkeep.Limits{})})
	if err != nil {
		t.Fatal(err)
	}
	out, err := formats.Encode(read, "", entry.WriteOptions{Password: []byte(store), Keep: func(*entry.Entry) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// TestDamageIsNotMistakenForALockedKey: a store that go-pkcs12 cannot read is refused,
// whether or not the key in it could be opened.
func TestDamageIsNotMistakenForALockedKey(t *testing.T) {
	pki := pkitest.New(t)
	e := encoded(t, storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, nil), trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: trustkeep.Password("secret")})
	e.Entries[0].PublicKey = nil
	for name, data := range map[string][]byte{"cut": e.Data[:len(e.Data)-1], "empty": nil} {
		e.Data = data
		if o := bridge.Ask(e); o.Outcome != bridge.Disagreed {
			t.Errorf("%s: %v", name, o)
		}
	}
}

// TestEveryDamageIsADisagreement flips bits: no peer is asked for more memory than there
// is, and no damage looks like something that a peer does not know.
func TestEveryDamageIsADisagreement(t *testing.T) {
	pki := pkitest.New(t)
	k := storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, nil)
	for _, format := range []trustkeep.Format{trustkeep.JKS, trustkeep.PKCS12} {
		e := encoded(t, k, trustkeep.SaveOptions{Format: format, Rand: quickkdf.Rand(), Password: trustkeep.Password("secret")})
		if err := bridge.Check(e); err != nil {
			t.Fatal(err)
		}
		data := e.Data
		for at := range data {
			if at > 100 && at < len(data)-100 && at%16 != 0 {
				continue // within names, keys and certificates
			}
			e.Data = bytes.Clone(data)
			e.Data[at] ^= 1 << (at % 8)
			if o := bridge.Ask(e); o.Outcome == bridge.NotAsked {
				t.Errorf("%s, byte %d of %d: %v", format, at, len(data), o)
			}
		}
		e.Data = append(bytes.Clone(data), 0)
		want := bridge.Disagreed
		if format == trustkeep.JKS { // neither the JDK nor keystore-go reads what follows the digest
			want = bridge.Agreed
		}
		if o := bridge.Ask(e); o.Outcome != want {
			t.Errorf("%s, a byte more: %v", format, o)
		}
	}
}

// TestLockedKeys: the peer opens those that have the store's password, or says that it
// did not.
func TestLockedKeys(t *testing.T) {
	pki := pkitest.New(t)
	k := storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, nil)
	for _, format := range []trustkeep.Format{trustkeep.JKS, trustkeep.PKCS12} {
		e := encoded(t, k, trustkeep.SaveOptions{Format: format, Password: trustkeep.Password("secret")})
		e.Entries[0].PublicKey = nil
		o := bridge.Ask(e)
		if o.Outcome != bridge.Agreed || (o.Reason == "") != (format == trustkeep.PKCS12) {
			t.Errorf("%s: %v", format, o)
		}
	}
}

// TestSavingAsksThePeer: agreement saves, everything else leaves the file as it was.
func TestSavingAsksThePeer(t *testing.T) {
	pki := pkitest.New(t)
	password := trustkeep.Password("secret")
	for _, format := range []trustkeep.Format{trustkeep.JKS, trustkeep.PKCS12} {
		t.Run(string(format), func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "store")
			first := storeOf(t, map[string]*keystore.Identity{"server": pki.Server}, nil)
			if err := first.Save(path, trustkeep.SaveOptions{Format: format, Password: password, Check: bridge.Check}); err != nil {
				t.Fatal(err)
			}
			// Loaded again, its key stays locked.
			k, err := keystore.Load(path, password)
			if err != nil {
				t.Fatal(err)
			}
			if err := k.Rename("server", "renamed"); err != nil {
				t.Fatal(err)
			}
			if err := k.Save(path, trustkeep.SaveOptions{Check: bridge.Check}); err != nil {
				t.Fatal(err)
			}
			before, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			secret, err := keystore.NewSecretKey("AES", make([]byte, 16))
			if err != nil {
				t.Fatal(err)
			}
			refusals := map[string]struct {
				check func(trustkeep.Encoded) error
				want  error
			}{
				"disagreed": {func(e trustkeep.Encoded) error {
					e.Data = e.Data[:len(e.Data)-1]
					return bridge.Check(e)
				}, trustkeep.ErrRejected},
				"not asked": {func(e trustkeep.Encoded) error {
					e.Entries = append(e.Entries, trustkeep.EncodedEntry{Alias: "s", Kind: "secret"})
					return bridge.Check(e)
				}, trustkeep.ErrUnsupported},
			}
			for about, test := range refusals {
				err := keystore.Update(path, password, trustkeep.SaveOptions{Check: test.check}, func(k *keystore.Keystore) error {
					return k.Rename("renamed", "again")
				})
				wantError(t, err, test.want)
				if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
					t.Errorf("%s: the file was changed: %v", about, err)
				}
			}
			if format == trustkeep.PKCS12 {
				// go-pkcs12 does not read it, which is no reason to save it unseen.
				if err := k.SetSecretKey("secret", secret); err != nil {
					t.Fatal(err)
				}
				wantError(t, k.Save(path, trustkeep.SaveOptions{Check: bridge.Check}), trustkeep.ErrUnsupported)
				if err := k.Save(path, trustkeep.SaveOptions{Check: bridge.CheckIfExpressible}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	t.Run("truststore", func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "trust.jks")
		if err := truststore.New(pki.CA.Leaf()).Save(path, trustkeep.SaveOptions{Format: trustkeep.JKS, Password: password, Check: bridge.Check}); err != nil {
			t.Error(err)
		}
	})
}
