package bridge

import (
	"crypto"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// FromPKCS12 makes an identity from the results of go-pkcs12's DecodeChain. That function
// takes the first certificate of the file for the key's own; FromPKCS12 orders the
// certificates by the key.
//
// Errors wrap trustkeep.ErrInvalid for a nil key or certificate, ErrUnsupported for a key that
// does not sign, and ErrKeyMismatch if no certificate belongs to the key.
func FromPKCS12(key any, certificate *x509.Certificate, caCerts []*x509.Certificate) (*keystore.Identity, error) {
	const op = "bridge: from go-pkcs12"
	if key == nil || certificate == nil || slices.Contains(caCerts, nil) {
		return nil, &trustkeep.Error{Op: op, Err: fmt.Errorf("nil key or certificate: %w", trustkeep.ErrInvalid)}
	}
	signer, ok := key.(crypto.Signer)
	if !ok {
		return nil, &trustkeep.Error{Op: op, Err: fmt.Errorf("%T cannot sign: %w", key, trustkeep.ErrUnsupported)}
	}
	return keystore.NewIdentity(signer, append([]*x509.Certificate{certificate}, caCerts...)...)
}

// ToPKCS12 returns an identity as the arguments of go-pkcs12's Encoder.Encode. The private key
// is in the clear and prints: do not log it. Of an issuer that crypto/x509 refuses, only Raw is
// set. The error wraps trustkeep.ErrInvalid for a nil identity, and ErrUnsupported for a key
// that cannot leave its hardware.
func ToPKCS12(id *keystore.Identity) (key any, certificate *x509.Certificate, caCerts []*x509.Certificate, err error) {
	const op = "bridge: to go-pkcs12"
	if id == nil {
		return nil, nil, nil, &trustkeep.Error{Op: op, Err: fmt.Errorf("nil identity: %w", trustkeep.ErrInvalid)}
	}
	key = id.Signer()
	if r, ok := key.(interface{ Reveal() crypto.Signer }); ok {
		key = r.Reveal()
	}
	if _, err := x509.MarshalPKCS8PrivateKey(key); err != nil {
		return nil, nil, nil, &trustkeep.Error{Op: op, Alias: id.Alias(), Err: fmt.Errorf("%w: %v", trustkeep.ErrUnsupported, err),
			Hint: "a key that stays in hardware cannot be passed on"}
	}
	cert, err := id.TLSCertificate()
	if err != nil {
		return nil, nil, nil, err
	}
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			c = &x509.Certificate{Raw: der} // which is what the Encoder takes
		}
		caCerts = append(caCerts, c)
	}
	return key, id.Leaf(), caCerts, nil
}

// FromTrustStoreEntries makes a truststore from go-pkcs12's entries. The alias of an entry
// without FriendlyName comes from its subject. Errors wrap trustkeep.ErrInvalid for an entry
// without a certificate, and ErrExists for two names that differ at most in case.
func FromTrustStoreEntries(entries []pkcs12.TrustStoreEntry) (*truststore.Truststore, error) {
	store := truststore.New()
	for i, e := range entries {
		if e.Cert == nil {
			return nil, &trustkeep.Error{Op: "bridge: from go-pkcs12", Alias: e.FriendlyName,
				Err: fmt.Errorf("entry %d has no certificate: %w", i, trustkeep.ErrInvalid)}
		}
		if err := store.Add(e.FriendlyName, e.Cert); err != nil {
			return nil, err
		}
	}
	return store, nil
}

// ToTrustStoreEntries returns the trusted certificates as the argument of go-pkcs12's
// Encoder.EncodeTrustStoreEntries; nil for a nil store.
func ToTrustStoreEntries(store *truststore.Truststore) []pkcs12.TrustStoreEntry {
	if store == nil {
		return nil
	}
	var out []pkcs12.TrustStoreEntry
	for _, e := range store.Entries() {
		out = append(out, pkcs12.TrustStoreEntry{Cert: e.Certificate, FriendlyName: e.Alias})
	}
	return out
}

// askPKCS12 lets go-pkcs12 read a PKCS#12 store: one key with its chain, or trusted
// certificates alone.
func askPKCS12(e trustkeep.Encoded, password []byte) (Outcome, string) {
	// It derives keys before it looks at what is approved.
	if err := fips.Refuse("go-pkcs12"); err != nil {
		return NotAsked, err.Error()
	}
	if strings.ContainsFunc(string(password), func(r rune) bool { return r > 0xffff }) {
		return NotAsked, "go-pkcs12 takes passwords of the Basic Multilingual Plane only"
	}
	if err := refused(e); err != nil {
		return NotAsked, "crypto/x509, which go-pkcs12 parses certificates with, refuses one: " + err.Error()
	}
	kinds := kindsOf(e)
	switch {
	case slices.Equal(kinds, []string{kindTrusted}):
		return readable(e, password, func() (Outcome, string) { return askTrustStore(e, password) })
	case slices.Equal(kinds, []string{kindKey}) && len(e.Entries) == 1 && len(e.Entries[0].Chain) > 0:
		return readable(e, password, func() (Outcome, string) { return askChain(e.Entries[0], e.Data, password) })
	case slices.Contains(kinds, kindKey) && len(e.Entries) > 1:
		return NotAsked, fmt.Sprintf("go-pkcs12 reads one key with its chain, and the store has %d entries", len(e.Entries))
	case len(e.Entries) == 0:
		return NotAsked, "the store is empty"
	}
	return NotAsked, fmt.Sprintf("go-pkcs12 does not read a store with entries of kind %s", strings.Join(kinds, ", "))
}

func askTrustStore(e trustkeep.Encoded, password []byte) (Outcome, string) {
	certs, err := pkcs12.DecodeTrustStore(e.Data, string(password))
	if err != nil {
		// It takes a store of another layout for one that it does not support.
		if _, _, _, unexpected := pkcs12.DecodeChain(e.Data, string(password)); unexpected == nil {
			return Disagreed, "a private key"
		}
		return failed(err)
	}
	var want [][]byte
	for _, entry := range e.Entries {
		want = append(want, entry.Chain...)
	}
	if reason := equalChains(want, rawChain(certs...)); reason != "" {
		return Disagreed, reason
	}
	return Agreed, ""
}

func askChain(w trustkeep.EncodedEntry, data, password []byte) (Outcome, string) {
	key, leaf, issuers, err := pkcs12.DecodeChain(data, string(password))
	if err != nil {
		if w.PublicKey == nil && aboutKey(err) {
			// The key may have a password of its own, or an algorithm that nobody here
			// could open.
			return NotAsked, "the key is locked, and go-pkcs12 opens keys to read a store: " + err.Error()
		}
		return failed(err)
	}
	if reason := equalChains(w.Chain, rawChain(append([]*x509.Certificate{leaf}, issuers...)...)); reason != "" {
		return Disagreed, reason
	}
	want := w.PublicKey
	if want == nil {
		want = leaf.PublicKey
	}
	if !equalKeys(want, key) {
		return Disagreed, "the private key is another"
	}
	return Agreed, ""
}

// aboutKey reports whether go-pkcs12 has read the store and failed to open the key in it.
// It has no sentinel for that; what does not match counts against the store.
func aboutKey(err error) bool {
	return slices.ContainsFunc([]string{
		"error decrypting PKCS#8 shrouded key bag",
		"error unmarshaling decrypted private key",
		"error parsing PKCS#8 private key",
	}, func(text string) bool { return strings.HasPrefix(err.Error(), "pkcs12: "+text) })
}

// failed tells what go-pkcs12 does not know from what it takes for damaged.
func failed(err error) (Outcome, string) {
	if notImplemented := pkcs12.NotImplementedError(""); errors.As(err, &notImplemented) {
		return NotAsked, err.Error()
	}
	return Disagreed, err.Error()
}
