// Package pgptest makes throwaway OpenPGP keys for unit tests, the ugly ones included. It
// is apart from pkitest so that tests without OpenPGP do not link it.
//
// Nothing here returns an error; what goes wrong ends the test. The keys protect nothing
// and are to be used in tests alone.
package pgptest

import (
	_ "embed"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/pgp"
)

// TB is what testing.TB has and this package needs.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
}

// Keys makes keys around one moment.
type Keys struct {
	tb  TB
	now time.Time
}

// New returns a maker of keys for the test. now is the moment around which validity is
// laid; zero is the time of the call. A test that sets it gives Options to whatever judges
// the keys.
func New(tb TB, now time.Time) *Keys {
	if now.IsZero() {
		now = time.Now()
	}
	return &Keys{tb, now.Truncate(time.Second)}
}

// Options has the clock of the keys.
func (k *Keys) Options() pgp.Options { return pgp.Options{Clock: func() time.Time { return k.now }} }

// at also has what protects keys by cheap passphrases. It is not handed out: nothing outside
// this module gets cheap ones.
func (k *Keys) at(t time.Time) pgp.Options {
	return pgp.Options{Rand: quickkdf.Rand(), Clock: func() time.Time { return t }}
}

// made ten days ago, so that there is room for a past.
func (k *Keys) past() pgp.Options { return k.at(k.now.AddDate(0, 0, -10)) }

func (k *Keys) must(key *pgp.Key, err error) *pgp.Key {
	k.tb.Helper()
	if err != nil {
		k.tb.Fatalf("pgptest: %v", err)
	}
	return key
}

// Key makes a key that signs and decrypts, without a passphrase, ten days old and without
// an end. Its algorithms are those of pgp.PresetGnuPG22.
func (k *Keys) Key(userID string) *pgp.Key {
	k.tb.Helper()
	return k.generate(pgp.GenerateOptions{UserIDs: []string{userID}})
}

func (k *Keys) generate(o pgp.GenerateOptions) *pgp.Key {
	k.tb.Helper()
	o.Options = k.past()
	key, _, err := pgp.Generate(o)
	return k.must(key, err)
}

// Pair makes our own private key and a partner's, whose Public part is what we would
// have.
func (k *Keys) Pair() (own, partner *pgp.Key) {
	k.tb.Helper()
	return k.Key("Own <own@example.com>"), k.Key("Partner <partner@example.com>")
}

// Locked makes a key whose file is under a passphrase. The key that is returned is
// unlocked; MarshalPrivate and ArmorPrivate write it locked.
func (k *Keys) Locked(userID string, passphrase trustkeep.PasswordSource) *pgp.Key {
	k.tb.Helper()
	return k.generate(pgp.GenerateOptions{UserIDs: []string{userID}, Passphrase: passphrase})
}

// Expired makes a key that ended a day ago.
func (k *Keys) Expired(userID string) *pgp.Key {
	k.tb.Helper()
	return k.generate(pgp.GenerateOptions{UserIDs: []string{userID}, Expires: k.now.AddDate(0, 0, -1)})
}

// ExpiringIn makes a key with so much of its life left.
func (k *Keys) ExpiringIn(left time.Duration, userID string) *pgp.Key {
	k.tb.Helper()
	return k.generate(pgp.GenerateOptions{UserIDs: []string{userID}, Expires: k.now.Add(left)})
}

// Revoked makes a key that its owner has revoked.
func (k *Keys) Revoked(userID string) *pgp.Key {
	k.tb.Helper()
	key, err := k.Key(userID).Revoke(pgp.ReasonCompromised, "lost", k.at(k.now.AddDate(0, 0, -1)))
	return k.must(key, err)
}

// ExpiredSubkey makes a key that is valid itself, and whose only subkey for encryption
// ended a day ago: nobody can encrypt to it.
func (k *Keys) ExpiredSubkey(userID string) *pgp.Key {
	k.tb.Helper()
	key := k.Key(userID)
	for _, s := range key.Info(k.Options()).Subkeys {
		next, err := key.SetSubkeyExpiry(s.Fingerprint, k.now.AddDate(0, 0, -1), k.past())
		key = k.must(next, err)
	}
	return key
}

//go:embed testdata/sha1_pub.asc
var sha1Key []byte

// SHA1SelfSigned returns a public key whose self-signatures are made with SHA-1, as old
// releases of GnuPG made them. It needs pgp.LegacySHA1SelfSignatures. It is a file that GnuPG made, so
// it does not go by the clock of the others.
func (k *Keys) SHA1SelfSigned() *pgp.Key {
	k.tb.Helper()
	ring, err := pgp.Parse(sha1Key)
	if err != nil {
		k.tb.Fatalf("pgptest: %v", err)
	}
	return ring.Keys()[0]
}
