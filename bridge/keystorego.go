package bridge

import (
	"bytes"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	keystorego "github.com/pavlo-v-chernykh/keystore-go/v4"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/keystore"
)

// FromKeystoreGo converts a KeyStore of keystore-go. The password becomes the store password
// of the result. Keys stay locked under the passwords that they have in the KeyStore; unlock
// them with Identity, or with IdentityWithPassword if their password is another. The entries
// are in the order of KeyStore.Aliases.
//
// keystore-go takes each byte of a password as a character. So a password that it was given in
// UTF-8 beyond ASCII is, for this module, the text of those bytes in Latin-1.
//
// Errors wrap trustkeep.ErrInvalid for a nil password or one that KeyStore.Store refuses,
// ErrUnsupported for a password beyond Latin-1, and ErrCorrupt for entries that cannot be
// written.
func FromKeystoreGo(ks keystorego.KeyStore, password trustkeep.PasswordSource) (*keystore.Keystore, error) {
	const op = "bridge: from keystore-go"
	fail := func(err error) (*keystore.Keystore, error) { return nil, &trustkeep.Error{Op: op, Err: err} }
	if err := fips.Refuse("JKS, which keystore-go writes,"); err != nil {
		return fail(err)
	}
	latin1, err := latin1Password(password)
	if err != nil {
		return fail(err)
	}
	defer clear(latin1)
	var encoded bytes.Buffer
	if err := storeKeystoreGo(ks, &encoded, latin1); err != nil {
		return fail(err)
	}
	return keystore.Read(&encoded, password)
}

func storeKeystoreGo(ks keystorego.KeyStore, w *bytes.Buffer, password []byte) (err error) {
	defer recoverAs(&err)
	switch err := ks.Store(w, password); {
	case errors.Is(err, keystorego.ErrShortPassword):
		return fmt.Errorf("%w: %v", trustkeep.ErrInvalid, err)
	case err != nil:
		return fmt.Errorf("%w: %v", trustkeep.ErrCorrupt, err)
	}
	return nil
}

// ToKeystoreGo converts to a KeyStore of keystore-go, made with the options. The password
// protects keys without their own; the others keep theirs. The Keystore does not change.
// keystore-go lowers the case of aliases unless an option prevents that.
//
// Errors are those of Keystore.Encode for JKS, such as for a secret key or a key locked by an
// unknown password in another format, and those of FromKeystoreGo about the password.
func ToKeystoreGo(k *keystore.Keystore, password trustkeep.PasswordSource, options ...keystorego.Option) (keystorego.KeyStore, error) {
	const op = "bridge: to keystore-go"
	fail := func(err error) (keystorego.KeyStore, error) {
		return keystorego.KeyStore{}, &trustkeep.Error{Op: op, Err: err}
	}
	if k == nil {
		return fail(fmt.Errorf("nil keystore: %w", trustkeep.ErrInvalid))
	}
	latin1, err := latin1Password(password)
	if err != nil {
		return fail(err)
	}
	defer clear(latin1)
	encoded, err := k.Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: password})
	if err != nil {
		return fail(err)
	}
	ks := keystorego.New(options...)
	if err := loadKeystoreGo(ks, encoded, latin1); err != nil {
		return fail(fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err))
	}
	return ks, nil
}

func loadKeystoreGo(ks keystorego.KeyStore, data, password []byte) (err error) {
	defer recoverAs(&err)
	return ks.Load(bytes.NewReader(data), password)
}

func recoverAs(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("panic of keystore-go: %v: %w", r, trustkeep.ErrCorrupt)
	}
}

// latin1Password returns a password as keystore-go takes it: a byte for each character.
func latin1Password(p trustkeep.PasswordSource) ([]byte, error) {
	if p == nil {
		return nil, fmt.Errorf("no password for a JKS store: %w", trustkeep.ErrInvalid)
	}
	utf, err := p.Reveal()
	if err != nil {
		return nil, err
	}
	defer clear(utf)
	latin1, ok := latin1(utf)
	if !ok {
		return nil, fmt.Errorf("keystore-go takes passwords in Latin-1 only: %w", trustkeep.ErrUnsupported)
	}
	return latin1, nil
}

func latin1(utf []byte) ([]byte, bool) {
	out := make([]byte, 0, len(utf))
	for rest := utf; len(rest) > 0; {
		r, size := utf8.DecodeRune(rest)
		if r > 0xff || r == utf8.RuneError {
			clear(out)
			return nil, false
		}
		out = append(out, byte(r))
		rest = rest[size:]
	}
	return out, true
}

// askKeystoreGo lets keystore-go read a JKS store.
func askKeystoreGo(e trustkeep.Encoded, password []byte) (Outcome, string) {
	narrow, ok := latin1(password)
	if !ok {
		return NotAsked, "keystore-go takes passwords in Latin-1 only"
	}
	defer clear(narrow)
	if err := fips.Refuse("JKS"); err != nil {
		return NotAsked, err.Error()
	}
	wanted := make(map[string]trustkeep.EncodedEntry, len(e.Entries))
	for _, w := range e.Entries {
		if strings.ContainsFunc(w.Alias, func(r rune) bool { return r == 0 || r > 0xffff }) {
			// JKS writes them in modified UTF-8, keystore-go reads UTF-8.
			return NotAsked, fmt.Sprintf("keystore-go does not read the characters of alias %q", w.Alias)
		}
		if w.Kind != kindKey && w.Kind != kindTrusted {
			return NotAsked, fmt.Sprintf("keystore-go does not know entries of kind %s", w.Kind)
		}
		wanted[entry.Fold(w.Alias)] = w
	}
	if len(wanted) != len(e.Entries) {
		return NotAsked, "two aliases differ in case only"
	}
	return readable(e, password, func() (Outcome, string) { return compareKeystoreGo(e, wanted, narrow) })
}

// compareKeystoreGo takes the entries by their folded aliases.
func compareKeystoreGo(e trustkeep.Encoded, wanted map[string]trustkeep.EncodedEntry, narrow []byte) (Outcome, string) {
	ks := keystorego.New(keystorego.WithCaseExactAliases())
	if err := ks.Load(bytes.NewReader(e.Data), narrow); err != nil {
		return Disagreed, err.Error()
	}
	aliases := ks.Aliases()
	if len(aliases) != len(e.Entries) {
		return Disagreed, fmt.Sprintf("%d entries and not %d", len(aliases), len(e.Entries))
	}
	locked := 0
	for _, alias := range aliases {
		w, ok := wanted[entry.Fold(alias)]
		if !ok {
			return Disagreed, fmt.Sprintf("an entry %q", alias)
		}
		var reason string
		switch {
		case ks.IsPrivateKeyEntry(alias) != (w.Kind == kindKey):
			reason = "it is of another kind"
		case w.Kind == kindTrusted:
			c, err := ks.GetTrustedCertificateEntry(alias)
			if err != nil {
				return Disagreed, err.Error()
			}
			reason = equalChains(w.Chain, [][]byte{c.Certificate.Content})
		default:
			var isLocked bool
			if reason, isLocked = judgeKey(ks, alias, w, narrow); isLocked {
				locked++
			}
		}
		if reason != "" {
			return Disagreed, fmt.Sprintf("entry %q: %s", alias, reason)
		}
	}
	if locked > 0 {
		return Agreed, fmt.Sprintf("%d keys are locked and were not opened", locked)
	}
	return Agreed, ""
}

// judgeKey compares a private key and its chain. The reason is empty if they are equal.
func judgeKey(ks keystorego.KeyStore, alias string, w trustkeep.EncodedEntry, password []byte) (reason string, locked bool) {
	chain, err := ks.GetPrivateKeyEntryCertificateChain(alias)
	if err != nil {
		return err.Error(), false
	}
	have := make([][]byte, len(chain))
	for i, c := range chain {
		have[i] = c.Content
	}
	if reason := equalChains(w.Chain, have); reason != "" {
		return reason, false
	}
	if w.PublicKey == nil {
		return "", true
	}
	if w.Password != nil {
		if password, err = latin1Password(w.Password); errors.Is(err, trustkeep.ErrUnsupported) {
			return "", true // keystore-go has no way to open it
		} else if err != nil {
			return err.Error(), false
		}
		defer clear(password)
	}
	opened, err := ks.GetPrivateKeyEntry(alias, password)
	if err != nil {
		return err.Error(), false
	}
	defer clear(opened.PrivateKey)
	key, err := x509.ParsePKCS8PrivateKey(opened.PrivateKey)
	if err != nil {
		return err.Error(), false
	}
	if !equalKeys(w.PublicKey, key) {
		return "the private key is another", false
	}
	return "", false
}
