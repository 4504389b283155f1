// Package bcfks reads and writes BCFKS, the key store format that BouncyCastle
// made for its FIPS modules.
//
// There is no specification but the ASN.1 in the documentation of
// org.bouncycastle.asn1.bc and the implementation, BcFKSKeyStoreSpi:
//
//	ObjectStore            ::= SEQUENCE { CHOICE { EncryptedObjectStoreData, ObjectStoreData },
//	                           CHOICE { PbkdMacIntegrityCheck, [0] SignatureCheck } }
//	EncryptedObjectStoreData ::= SEQUENCE { AlgorithmIdentifier, OCTET STRING }
//	PbkdMacIntegrityCheck  ::= SEQUENCE { mac AlgorithmIdentifier, kdf AlgorithmIdentifier, OCTET STRING }
//	ObjectStoreData        ::= SEQUENCE { version INTEGER, mac AlgorithmIdentifier, created GeneralizedTime,
//	                           modified GeneralizedTime, SEQUENCE OF ObjectData, comment UTF8String OPTIONAL }
//	ObjectData             ::= SEQUENCE { type INTEGER, alias UTF8String, created GeneralizedTime,
//	                           modified GeneralizedTime, OCTET STRING, comment UTF8String OPTIONAL }
//
// The octets of an ObjectData hold, by type, a certificate (0), an
// EncryptedPrivateKeyInfo with its chain (1, 3), or an encrypted secret key (2,
// 4). Encryption is PBES2 with AES-256-CCM or AES-256 key wrap (RFC 5649) and
// PBKDF2 or scrypt, each use with a password of its own (see kdf).
package bcfks

import (
	"crypto/hmac"
	"encoding/asn1"
	"fmt"

	"golang.org/x/crypto/cryptobyte"
	cbasn1 "golang.org/x/crypto/cryptobyte/asn1"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/store/entry"
)

// Parse reads a BCFKS. The MAC is verified before anything is decrypted. The
// format makes no difference between no password and the empty one. No key is
// opened unless opts.Unlock says so. An entry of an unknown type, or one whose
// value makes no sense, is kept as entry.Opaque with Err set.
//
// Errors wrap trustkeep.ErrCorrupt, ErrUnsupported (a store authenticated by a
// signature instead of a MAC, an unknown algorithm), ErrLimit, or
// ErrIncorrectPassword, which cannot be told from an altered file. An alias
// that occurs twice is ErrCorrupt and ErrExists; BouncyCastle tells aliases
// apart by case.
func Parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	s, err := parse(data, opts)
	if err != nil {
		return nil, fmt.Errorf("bcfks: %w", err)
	}
	if opts.Unlock {
		entry.UnlockAll(s.Entries, opts.Password, opts.Budget)
	}
	return s, nil
}

func corrupt(what string) error { return fmt.Errorf("%s: %w", what, trustkeep.ErrCorrupt) }

func parse(data []byte, opts entry.ReadOptions) (*entry.Store, error) {
	if err := opts.Budget.Size(int64(len(data))); err != nil {
		return nil, err
	}
	input := cryptobyte.String(data)
	var store, content, check cryptobyte.String
	if !input.ReadASN1(&store, cbasn1.SEQUENCE) || !input.Empty() ||
		!store.ReadASN1Element(&content, cbasn1.SEQUENCE) {
		return nil, corrupt("object store")
	}
	if store.PeekASN1Tag(cbasn1.Tag(0).ContextSpecific().Constructed()) {
		return nil, fmt.Errorf("store authenticated by a signature: %w", trustkeep.ErrUnsupported)
	}
	if !store.ReadASN1(&check, cbasn1.SEQUENCE) || !store.Empty() {
		return nil, corrupt("integrity check")
	}
	mac, err := parseMAC(check)
	if err != nil {
		return nil, err
	}
	encryption, ciphertext, err := splitContent(content)
	if err != nil {
		return nil, err
	}
	plain, err := authenticate(content, mac, encryption, ciphertext, opts)
	if err != nil {
		return nil, err
	}
	entries, err := readStoreData(plain, mac.algorithm, opts.Budget)
	if err != nil {
		return nil, err
	}
	return &entry.Store{Format: entry.BCFKS, Entries: entries}, nil
}

// splitContent takes EncryptedObjectStoreData apart. For ObjectStoreData, which
// starts with its version, encryption is nil.
func splitContent(element cryptobyte.String) (encryption *encryption, ciphertext []byte, err error) {
	var seq, algorithm, octets cryptobyte.String
	if !element.ReadASN1(&seq, cbasn1.SEQUENCE) {
		return nil, nil, corrupt("store data")
	}
	if seq.PeekASN1Tag(cbasn1.INTEGER) {
		return nil, nil, nil
	}
	if !seq.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) || !seq.ReadASN1(&octets, cbasn1.OCTET_STRING) || !seq.Empty() {
		return nil, nil, corrupt("encrypted store data")
	}
	encryption, err = parseEncryption(algorithm)
	return encryption, octets, err
}

// authenticate verifies the MAC and returns the ObjectStoreData. The two keys
// are derived beside each other.
func authenticate(content []byte, mac *macCheck, encryption *encryption, ciphertext []byte, opts entry.ReadOptions) ([]byte, error) {
	if err := mac.kdf.charge(mac.keyLength(), opts.Budget); err != nil {
		return nil, err
	}
	if encryption != nil {
		if err := encryption.kdf.charge(keyLength, opts.Budget); err != nil {
			return nil, err
		}
	}
	var macKey, key []byte
	var macErr, keyErr error
	deriveBoth(mac.kdf.scrypt,
		func() { macKey, macErr = mac.kdf.derive(opts.Password, purposeIntegrity, mac.keyLength(), opts.Budget) },
		func() {
			if encryption != nil {
				key, keyErr = encryption.kdf.derive(opts.Password, purposeStore, keyLength, opts.Budget)
			}
		})
	defer clear(macKey)
	defer clear(key)
	if macErr != nil {
		return nil, macErr
	}
	if keyErr != nil {
		return nil, keyErr
	}
	h := hmac.New(mac.hash, macKey)
	h.Write(content)
	if !hmac.Equal(h.Sum(nil), mac.value) {
		return nil, fmt.Errorf("MAC mismatch, wrong password or altered file: %w", trustkeep.ErrIncorrectPassword)
	}
	if encryption == nil {
		return content, nil
	}
	return encryption.decrypt(ciphertext, key)
}

// deriveBoth runs both at a time, unless each takes much memory.
func deriveBoth(hungry bool, a, b func()) {
	if hungry {
		a()
		b()
		return
	}
	entry.Parallel(2, func(i int) { []func(){a, b}[i]() })
}

// macCheck is a PbkdMacIntegrityCheck.
type macCheck struct {
	algorithm []byte // DER of the AlgorithmIdentifier
	hash      hashFunc
	kdf       *kdf
	value     []byte
}

// Bounds of the MAC key in bytes. A key of one byte would be guessed in 256
// tries, so the lower one is that of RFC 9579 section 9 for the same construction.
const (
	minMACKey     = 20
	maxMACKey     = 128
	defaultMACKey = 64
)

func (m *macCheck) keyLength() int {
	if m.kdf.keyLength == 0 {
		return defaultMACKey
	}
	return int(m.kdf.keyLength)
}

func parseMAC(check cryptobyte.String) (*macCheck, error) {
	var algorithm, derivation, value cryptobyte.String
	if !check.ReadASN1Element(&algorithm, cbasn1.SEQUENCE) ||
		!check.ReadASN1Element(&derivation, cbasn1.SEQUENCE) ||
		!check.ReadASN1(&value, cbasn1.OCTET_STRING) || !check.Empty() {
		return nil, corrupt("integrity check")
	}
	m := &macCheck{algorithm: algorithm, value: value}
	oid, params, ok := splitAlgorithm(algorithm)
	if !ok || !isNull(params) {
		return nil, corrupt("MAC algorithm")
	}
	if m.hash = hashOfHMAC(oid); m.hash == nil {
		return nil, fmt.Errorf("MAC algorithm %v: %w", oid, trustkeep.ErrUnsupported)
	}
	if len(value) != m.hash().Size() {
		return nil, corrupt(fmt.Sprintf("MAC of %d bytes", len(value)))
	}
	var err error
	if m.kdf, err = parseKDF(derivation); err != nil {
		return nil, err
	}
	if n := m.kdf.keyLength; n != 0 && n < minMACKey {
		return nil, corrupt(fmt.Sprintf("MAC with a key of %d bytes", n))
	} else if n > maxMACKey {
		return nil, fmt.Errorf("MAC with a key of %d bytes: %w", n, trustkeep.ErrUnsupported)
	}
	return m, nil
}

// splitAlgorithm takes an AlgorithmIdentifier apart; params is empty where there
// are none.
func splitAlgorithm(der []byte) (oid asn1.ObjectIdentifier, params cryptobyte.String, ok bool) {
	input := cryptobyte.String(der)
	var seq cryptobyte.String
	ok = input.ReadASN1(&seq, cbasn1.SEQUENCE) && input.Empty() && seq.ReadASN1ObjectIdentifier(&oid)
	return oid, seq, ok
}

// isNull tells whether parameters are NULL or absent.
func isNull(params cryptobyte.String) bool {
	return params.Empty() || string(params) == "\x05\x00"
}
