// Package openssh reads private keys in the format of OpenSSH,
// "openssh-key-v1" (openssh-portable, PROTOCOL.key), with and without
// passphrase.
package openssh

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
	"golang.org/x/crypto/cryptobyte/asn1"
	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/internal/store/entry"
	"github.com/trustkeep/trustkeep/internal/store/pkcs8"
)

// typeDSA is the type of DSA keys (RFC 4253 section 6.6), which package ssh
// reads no private ones of.
const typeDSA = "ssh-dss"

// Label is that of the PEM block.
const Label = "OPENSSH PRIVATE KEY"

// NewKey makes a PrivateKey of the content of a PEM block of that Label, which
// must not change afterwards. Opening it yields PKCS#8. The comment is empty
// for an encrypted key, which hides it. The budget is raised for the key and
// charged once for the derivation of Open.
//
// The error wraps trustkeep.ErrCorrupt. Keys of kinds, ciphers and derivations
// that are not supported are no error; opening them is.
func NewKey(data []byte, budget *limits.Budget) (key *entry.PrivateKey, comment string, err error) {
	f, err := parse(data)
	if err != nil {
		return nil, "", fmt.Errorf("openssh: %w", err)
	}
	public := f.publicKey()
	key = &entry.PrivateKey{Protected: data, Algorithm: f.algorithm(public), Protection: "none"}
	key.PublicKeyInfo, _ = x509.MarshalPKIXPublicKey(public) // nil for those that x509 lacks
	if f.kdf == "none" {
		p, err := f.plain()
		if err != nil {
			return nil, "", fmt.Errorf("openssh: %w", err)
		}
		key.Open = func([]byte) ([]byte, error) { return f.open(nil) }
		return key, p.comment, nil
	}
	tab := budget.Tab()
	key.Encrypted = true
	key.Protection = "OpenSSH " + f.cipher + " " + f.kdf + " " + strconv.FormatUint(uint64(f.rounds), 10)
	key.Open = func(password []byte) ([]byte, error) {
		if password == nil {
			return nil, pkcs8.ErrNoPassword
		}
		if err := fips.Refuse("bcrypt_pbkdf of OpenSSH"); err != nil {
			return nil, fmt.Errorf("openssh: %w", err)
		}
		if err := f.charge(tab); err != nil {
			return nil, fmt.Errorf("openssh: %w", err)
		}
		if len(password) == 0 { // for which bcrypt_pbkdf is not defined
			return nil, fmt.Errorf("openssh: empty passphrase: %w", trustkeep.ErrIncorrectPassword)
		}
		return f.open(password)
	}
	return key, "", nil
}

// Fingerprint returns the fingerprint of a public key as ssh-keygen prints it:
// "SHA256:" and the base64 of the SHA-256 of its SSH encoding. Keys that SSH
// does not have are trustkeep.ErrUnsupported.
func Fingerprint(public crypto.PublicKey) (string, error) {
	key, err := ssh.NewPublicKey(public)
	if err != nil {
		return "", fmt.Errorf("openssh: fingerprint: %w: %v", trustkeep.ErrUnsupported, err)
	}
	return ssh.FingerprintSHA256(key), nil
}

// costOfRound is what one round of bcrypt_pbkdf costs, in iterations of
// HMAC-SHA-256: both of its output blocks are a bcrypt of 64 passes.
const costOfRound = 30_000

// charge asks for the cost of the key derivation.
func (f *file) charge(spend limits.Spender) error {
	if f.kdf != "bcrypt" {
		return fmt.Errorf("key derivation %q: %w", trustkeep.Printable(f.kdf), trustkeep.ErrUnsupported)
	}
	if f.cipher != "aes256-ctr" && f.cipher != "aes256-cbc" {
		return fmt.Errorf("cipher %q: %w", trustkeep.Printable(f.cipher), trustkeep.ErrUnsupported)
	}
	return spend.Derive(int64(f.rounds), costOfRound)
}

// open decrypts and returns the PrivateKeyInfo.
func (f *file) open(password []byte) ([]byte, error) {
	if f.kdf == "none" && f.keyType == typeDSA {
		return f.openDSA()
	}
	var key any
	var err error
	armored := pem.EncodeToMemory(&pem.Block{Type: Label, Bytes: f.data})
	defer clear(armored)
	if f.kdf == "none" {
		key, err = ssh.ParseRawPrivateKey(armored)
	} else {
		key, err = ssh.ParseRawPrivateKeyWithPassphrase(armored, password)
	}
	switch {
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, fmt.Errorf("openssh: %w", trustkeep.ErrIncorrectPassword)
	case err != nil && !isKnownType(f.keyType):
		return nil, fmt.Errorf("openssh: key of type %q: %w", trustkeep.Printable(f.keyType), trustkeep.ErrUnsupported)
	case err != nil:
		return nil, fmt.Errorf("openssh: %w: %v", trustkeep.ErrCorrupt, err)
	}
	if ed, ok := key.(*ed25519.PrivateKey); ok {
		key = *ed
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, fmt.Errorf("openssh: %w: %v", trustkeep.ErrUnsupported, err)
	}
	return der, nil
}

// isKnownType lists what package ssh makes keys of.
func isKnownType(keyType string) bool {
	switch keyType {
	case ssh.KeyAlgoRSA, ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return true
	}
	return false
}

// openDSA puts an unencrypted DSA key, which package ssh does not read, into
// PKCS#8.
func (f *file) openDSA() ([]byte, error) {
	p, err := f.plain()
	if err != nil {
		return nil, fmt.Errorf("openssh: %w", err)
	}
	var b cryptobyte.Builder
	b.AddASN1(asn1.SEQUENCE, func(b *cryptobyte.Builder) {
		b.AddASN1Int64(0)
		for _, number := range p.fields { // p, q, g, y, x
			b.AddASN1BigInt(new(big.Int).SetBytes(number))
		}
	})
	der, err := b.Bytes()
	if err != nil {
		return nil, fmt.Errorf("openssh: DSA key: %w", trustkeep.ErrCorrupt)
	}
	defer clear(der)
	return pkcs8.Wrap(der)
}

// algorithm names the key as pkcs8.Describe does, from its public half.
func (f *file) algorithm(public crypto.PublicKey) string {
	switch k := public.(type) {
	case *rsa.PublicKey:
		return "RSA " + strconv.Itoa(k.N.BitLen())
	case *ecdsa.PublicKey:
		return "EC " + k.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	if f.keyType == typeDSA {
		blob := cryptobyte.String(f.public)
		var keyType, p []byte
		if readString(&blob, &keyType) && readString(&blob, &p) {
			return "DSA " + strconv.Itoa(new(big.Int).SetBytes(p).BitLen())
		}
	}
	return f.keyType
}
