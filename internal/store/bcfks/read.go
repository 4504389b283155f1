package bcfks

import (
	"bytes"
	"encoding/asn1"
	"fmt"
	"time"
	"unicode/utf8"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// Types of ObjectData. The protected ones hold keys that the application
// handed over encrypted, in the same form.
const (
	typeCertificate      = 0
	typePrivateKey       = 1
	typeSecretKey        = 2
	typeProtectedPrivate = 3
	typeProtectedSecret  = 4
)

// minObject is how many bytes an ObjectData takes at least: its header and, with
// theirs, type, alias, two times and octets.
const minObject = 2 + 3 + 2 + 2*17 + 2

func readStoreData(der, macAlgorithm []byte, budget *limits.Budget) ([]*entry.Entry, error) {
	input := cryptobyte.String(der)
	var seq, algorithm, objects cryptobyte.String
	var version int64
	var created, modified time.Time
	if !input.ReadASN1(&seq, cbasn1.SEQUENCE) || !input.Empty() ||
		!seq.ReadASN1Integer(&version) ||
		!seq.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!seq.ReadASN1GeneralizedTime(&created) ||
		!seq.ReadASN1GeneralizedTime(&modified) ||
		!seq.ReadASN1(&objects, cbasn1.SEQUENCE) {
		return nil, corrupt("store data")
	}
	if version != 1 {
		return nil, fmt.Errorf("version %d: %w", version, trustkeep.ErrUnsupported)
	}
	if !bytes.Equal(algorithm, macAlgorithm) {
		// What is inside says by which algorithm it is protected outside.
		return nil, corrupt("MAC algorithm inside the store differs")
	}
	aliases := make(map[string]struct{})
	entries := make([]*entry.Entry, 0, len(objects)/minObject)
	for !objects.Empty() {
		if err := budget.Entries(1); err != nil {
			return nil, err
		}
		e, err := readObject(&objects, budget)
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", len(entries)+1, err)
		}
		if _, taken := aliases[e.Alias]; taken {
			return nil, fmt.Errorf("alias %q: %w: %w", trustkeep.Printable(e.Alias), trustkeep.ErrExists, trustkeep.ErrCorrupt)
		}
		aliases[e.Alias] = struct{}{}
		entries = append(entries, e)
	}
	return entries, nil
}

// readObject reads an ObjectData. What it holds is looked at one by one, so that
// a rotten one is kept beside the rest.
func readObject(objects *cryptobyte.String, budget *limits.Budget) (*entry.Entry, error) {
	var element, seq, alias, data cryptobyte.String
	var kind int64
	var modified time.Time
	e := new(entry.Entry)
	if !objects.ReadASN1Element(&element, cbasn1.SEQUENCE) {
		return nil, corrupt("object")
	}
	raw := element
	if !element.ReadASN1(&seq, cbasn1.SEQUENCE) ||
		!seq.ReadASN1Integer(&kind) ||
		!seq.ReadASN1(&alias, cbasn1.UTF8String) || !utf8.Valid(alias) ||
		!seq.ReadASN1GeneralizedTime(&e.Created) ||
		!seq.ReadASN1GeneralizedTime(&modified) ||
		!seq.ReadASN1(&data, cbasn1.OCTET_STRING) {
		return nil, corrupt("object")
	}
	e.Alias = string(alias)
	e.Created = e.Created.UTC()
	if !seq.Empty() {
		e.Attributes = []entry.Attribute{entry.Attribute(seq)} // the comment
	}
	var err error
	switch kind {
	case typeCertificate:
		e.Kind = entry.Trusted
		e.Marked = true
		e.Chain = []*entry.Certificate{entry.NewCertificate(data)}
	case typePrivateKey, typeProtectedPrivate:
		err = readPrivateKey(e, data, budget)
	case typeSecretKey, typeProtectedSecret:
		err = readSecretKey(e, data, budget)
	default:
		err = fmt.Errorf("object of type %d: %w", kind, trustkeep.ErrUnsupported)
	}
	if err != nil {
		return &entry.Entry{Alias: e.Alias, Created: e.Created, Kind: entry.Opaque, Raw: raw, Err: fmt.Errorf("bcfks: %w", err)}, nil
	}
	return e, nil
}

// readPrivateKey reads EncryptedPrivateKeyData: EncryptedPrivateKeyInfo and a
// SEQUENCE OF Certificate.
func readPrivateKey(e *entry.Entry, der cryptobyte.String, budget *limits.Budget) error {
	var seq, info, chain cryptobyte.String
	if !der.ReadASN1(&seq, cbasn1.SEQUENCE) || !der.Empty() ||
		!seq.ReadASN1Element(&info, cbasn1.SEQUENCE) ||
		!seq.ReadASN1(&chain, cbasn1.SEQUENCE) || !seq.Empty() {
		return corrupt("private key")
	}
	e.Kind = entry.Key
	e.Key = newKey(info, purposePrivate, budget, func(_ *entry.PrivateKey, plain []byte) ([]byte, error) {
		if !pkcs8.IsPrivateKeyInfo(plain) {
			return nil, corrupt("private key that is no PKCS#8")
		}
		return plain, nil
	})
	for !chain.Empty() {
		if err := budget.Entries(1); err != nil {
			return err
		}
		var c cryptobyte.String
		if !chain.ReadASN1Element(&c, cbasn1.SEQUENCE) {
			return corrupt("certificate chain")
		}
		e.Chain = append(e.Chain, entry.NewCertificate(c))
	}
	return nil
}

// readSecretKey reads EncryptedSecretKeyData, which looks like an
// EncryptedPrivateKeyInfo. The plaintext is SecretKeyData: an identifier of the
// algorithm and the octets of the key.
func readSecretKey(e *entry.Entry, der cryptobyte.String, budget *limits.Budget) error {
	e.Kind = entry.Secret
	e.Key = newKey(der, purposeSecret, budget, func(k *entry.PrivateKey, plain []byte) ([]byte, error) {
		defer clear(plain)
		input := cryptobyte.String(plain)
		var seq, key cryptobyte.String
		var oid asn1.ObjectIdentifier
		if !input.ReadASN1(&seq, cbasn1.SEQUENCE) || !input.Empty() ||
			!seq.ReadASN1ObjectIdentifier(&oid) ||
			!seq.ReadASN1(&key, cbasn1.OCTET_STRING) || !seq.Empty() {
			return nil, corrupt("secret key")
		}
		k.LearnAlgorithm(secretName(oid))
		return append([]byte{}, key...), nil
	})
	return nil
}

// newKey wraps an encrypted key; finish makes of the plaintext what Open
// returns.
func newKey(der []byte, purpose string, budget *limits.Budget, finish func(*entry.PrivateKey, []byte) ([]byte, error)) *entry.PrivateKey {
	k := &entry.PrivateKey{Protected: der, Encrypted: true, Protection: "unreadable"}
	input := cryptobyte.String(der)
	var seq, algorithm, ciphertext cryptobyte.String
	var scheme *encryption
	err := corrupt("encrypted key")
	if input.ReadASN1(&seq, cbasn1.SEQUENCE) && input.Empty() &&
		seq.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) &&
		seq.ReadASN1(&ciphertext, cbasn1.OCTET_STRING) && seq.Empty() {
		scheme, err = parseEncryption(algorithm)
	}
	if err != nil {
		k.Unlock = func([]byte, limits.Spender) ([]byte, error) { return nil, fmt.Errorf("bcfks: key: %w", err) }
		return k
	}
	k.Protection = scheme.String()
	k.Unlock = func(password []byte, spend limits.Spender) ([]byte, error) {
		plain, err := scheme.open(ciphertext, password, purpose, spend)
		if err == nil {
			plain, err = finish(k, plain)
		}
		if err != nil {
			return nil, fmt.Errorf("bcfks: key: %w", err)
		}
		return plain, nil
	}
	return k
}
