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
	"fmt"
	"math/big"
	"strconv"

	"golang.org/x/crypto/cryptobyte"
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
// for an encrypted key, which hides it.
//
// The error wraps trustkeep.ErrCorrupt. Keys of kinds, ciphers and derivations
// that are not supported are no error; opening them is.
func NewKey(data []byte) (key *entry.PrivateKey, comment string, err error) {
	f, err := parse(data)
	if err != nil {
		return nil, "", fmt.Errorf("openssh: %w", err)
	}
	public := f.publicKey()
	key = &entry.PrivateKey{Protected: data, Algorithm: f.algorithm(public), Protection: "none"}
	key.PublicKeyInfo, _ = x509.MarshalPKIXPublicKey(public) // nil for those that x509 lacks
	if f.kdf == "none" {
		p, err := f.plain(f.private)
		if err != nil {
			return nil, "", fmt.Errorf("openssh: %w", err)
		}
		key.Unlock = func(_ []byte, spend limits.Spender) ([]byte, error) { return f.open(nil, spend) }
		return key, p.comment, nil
	}
	key.Encrypted = true
	key.Protection = "OpenSSH " + f.cipher + " " + f.kdf + " " + strconv.FormatUint(uint64(f.rounds), 10)
	key.Unlock = func(password []byte, spend limits.Spender) ([]byte, error) {
		if password == nil {
			return nil, pkcs8.ErrNoPassword
		}
		if err := fips.Refuse("bcrypt_pbkdf of OpenSSH"); err != nil {
			return nil, fmt.Errorf("openssh: %w", err)
		}
		if err := f.charge(spend); err != nil {
			return nil, fmt.Errorf("openssh: %w", err)
		}
		if len(password) == 0 { // for which bcrypt_pbkdf is not defined
			return nil, fmt.Errorf("openssh: empty passphrase: %w", trustkeep.ErrIncorrectPassword)
		}
		return f.open(password, spend)
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

// costOfRound is what one round of bcrypt_pbkdf costs for one block of output, in
// iterations of HMAC-SHA-256.
const costOfRound = 15_000

// charge asks for the cost of the key derivation.
func (f *file) charge(spend limits.Spender) error {
	if f.kdf != "bcrypt" {
		return fmt.Errorf("key derivation %q: %w", trustkeep.Printable(f.kdf), trustkeep.ErrUnsupported)
	}
	spec, ok := ciphers[f.cipher]
	if !ok {
		return fmt.Errorf("cipher %q: %w", trustkeep.Printable(f.cipher), trustkeep.ErrUnsupported)
	}
	blocks := (spec.key + spec.iv + bcryptBlock - 1) / bcryptBlock
	return spend.Derive(int64(f.rounds), blocks*costOfRound)
}

// open decrypts, with a password unless kdf is "none", and returns the
// PrivateKeyInfo.
func (f *file) open(password []byte, spend limits.Spender) ([]byte, error) {
	private := f.private
	if f.kdf != "none" {
		var err error
		if private, err = f.decrypt(password); err != nil {
			return nil, fmt.Errorf("openssh: %w", err)
		}
		defer clear(private)
	}
	p, err := f.plain(private)
	if err == nil && p.fields == nil {
		err = fmt.Errorf("key of type %q: %w", trustkeep.Printable(f.keyType), trustkeep.ErrUnsupported)
	}
	var der []byte
	if err == nil {
		der, err = p.privateKeyInfo(f.keyType, spend)
	}
	if err != nil {
		return nil, fmt.Errorf("openssh: %w", err)
	}
	return der, nil
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
