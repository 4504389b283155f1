package pbe

import (
	"crypto"
	_ "crypto/md5"    // for crypto.Hash
	_ "crypto/sha1"   // for crypto.Hash
	_ "crypto/sha256" // for crypto.Hash
	_ "crypto/sha3"   // for crypto.Hash
	_ "crypto/sha512" // for crypto.Hash
	"fmt"
	"strings"
)

// KDF is a function that turns a password into a key.
type KDF uint8

// The key derivation functions. The zero KDF is invalid.
const (
	PKCS12 KDF = iota + 1 // RFC 7292 appendix B
	PBKDF1                // RFC 8018 section 5.1
	PBKDF2                // RFC 8018 section 5.2
	Scrypt                // RFC 7914
)

// Cipher is an encryption algorithm with its mode.
type Cipher uint8

// The ciphers. The zero Cipher is invalid.
const (
	AES128CBC Cipher = iota + 1
	AES192CBC
	AES256CBC
	AES128GCM
	AES192GCM
	AES256GCM
	TripleDES     // three keys, CBC
	TripleDES2Key // two keys, CBC
	DES           // CBC
	RC2           // CBC, Params.KeyLength bytes and Params.RC2Bits effective bits
	RC240         // RC2 of 40 bits, CBC
	RC264         // RC2 of 64 bits, CBC
	RC2128        // RC2 of 128 bits, CBC
	RC440         // RC4 of 40 bits
	RC4128        // RC4 of 128 bits
	Camellia128CBC
	Camellia192CBC
	Camellia256CBC
	ARIA128CBC
	ARIA192CBC
	ARIA256CBC
	SEEDCBC
)

// cipherInfo is what the code needs to know of a Cipher.
type cipherInfo struct {
	name   string
	key    int // bytes
	iv     int // bytes; the block size, 0 for a stream cipher
	rc2    int // effective bits
	stream bool
	gcm    bool
}

var ciphers = [...]cipherInfo{
	AES128CBC:     {name: "AES-128-CBC", key: 16, iv: 16},
	AES192CBC:     {name: "AES-192-CBC", key: 24, iv: 16},
	AES256CBC:     {name: "AES-256-CBC", key: 32, iv: 16},
	AES128GCM:     {name: "AES-128-GCM", key: 16, iv: 12, gcm: true},
	AES192GCM:     {name: "AES-192-GCM", key: 24, iv: 12, gcm: true},
	AES256GCM:     {name: "AES-256-GCM", key: 32, iv: 12, gcm: true},
	TripleDES:     {name: "3DES-CBC", key: 24, iv: 8},
	TripleDES2Key: {name: "2-key-3DES-CBC", key: 16, iv: 8},
	DES:           {name: "DES-CBC", key: 8, iv: 8},
	RC2:           {name: "RC2-CBC", key: 16, iv: 8, rc2: 128},
	RC240:         {name: "RC2-40-CBC", key: 5, iv: 8, rc2: 40},
	RC264:         {name: "RC2-64-CBC", key: 8, iv: 8, rc2: 64},
	RC2128:        {name: "RC2-128-CBC", key: 16, iv: 8, rc2: 128},
	RC440:         {name: "RC4-40", key: 5, stream: true},
	RC4128:        {name: "RC4-128", key: 16, stream: true},

	Camellia128CBC: {name: "Camellia-128-CBC", key: 16, iv: 16},
	Camellia192CBC: {name: "Camellia-192-CBC", key: 24, iv: 16},
	Camellia256CBC: {name: "Camellia-256-CBC", key: 32, iv: 16},
	ARIA128CBC:     {name: "ARIA-128-CBC", key: 16, iv: 16},
	ARIA192CBC:     {name: "ARIA-192-CBC", key: 24, iv: 16},
	ARIA256CBC:     {name: "ARIA-256-CBC", key: 32, iv: 16},
	SEEDCBC:        {name: "SEED-CBC", key: 16, iv: 16},
}

func (c Cipher) info() cipherInfo {
	if int(c) < len(ciphers) {
		return ciphers[c]
	}
	return cipherInfo{}
}

// Params says how to encrypt: everything of an encryption scheme but salt and
// initialisation vector. It is comparable. KDF and Cipher decide the family:
// PKCS12 and PBKDF1 make a PBES1 scheme, PBKDF2 and Scrypt a PBES2 one.
type Params struct {
	KDF KDF
	// Hash is the hash of PKCS12 and PBKDF1, and of PBKDF2's HMAC.
	Hash crypto.Hash
	// Iterations counts for every KDF but Scrypt.
	Iterations int64
	// N, R and P are the cost parameters of Scrypt (RFC 7914 section 2).
	N, R, P int64
	Cipher  Cipher
	// KeyLength in bytes and RC2Bits count for cipher RC2 only; 0 is 16
	// bytes and 128 bits.
	KeyLength int
	RC2Bits   int
	// SaltLength in bytes; 0 is 16.
	SaltLength int
}

const defaultSaltLength = 16

// Modern is what current tools write: PBES2 with AES-256-CBC and
// PBKDF2-HMAC-SHA256.
func Modern(iterations int64) Params {
	return Params{KDF: PBKDF2, Hash: crypto.SHA256, Iterations: iterations, Cipher: AES256CBC, SaltLength: 16}
}

// Legacy3DES is pbeWithSHAAnd3-KeyTripleDES-CBC of RFC 7292, which every
// reader of PKCS#12 knows.
func Legacy3DES(iterations int64) Params {
	return Params{KDF: PKCS12, Hash: crypto.SHA1, Iterations: iterations, Cipher: TripleDES, SaltLength: 20}
}

// LegacyRC2 is pbewithSHAAnd40BitRC2-CBC of RFC 7292, which old writers used
// for certificates. It hides nothing from anybody who tries.
func LegacyRC2(iterations int64) Params {
	return Params{KDF: PKCS12, Hash: crypto.SHA1, Iterations: iterations, Cipher: RC240, SaltLength: 20}
}

func (p Params) keyLength() int {
	if p.Cipher == RC2 && p.KeyLength != 0 {
		return p.KeyLength
	}
	return p.Cipher.info().key
}

func (p Params) rc2Bits() int {
	if p.Cipher == RC2 && p.RC2Bits != 0 {
		return p.RC2Bits
	}
	return p.Cipher.info().rc2
}

// pbes2 reports whether the family is PBES2, where the initialisation vector
// is a parameter and not derived.
func (p Params) pbes2() bool { return p.KDF == PBKDF2 || p.KDF == Scrypt }

// String describes the parameters for people and audits, such as
// "PBES2 AES-256-CBC PBKDF2-HMAC-SHA256 10000".
func (p Params) String() string {
	name := p.Cipher.info().name
	if p.Cipher == RC2 {
		name = fmt.Sprintf("RC2-%d-CBC", p.rc2Bits())
	}
	switch p.KDF {
	case PKCS12:
		return fmt.Sprintf("PBES1 %s PKCS12-%s %d", name, hashName(p.Hash), p.Iterations)
	case PBKDF1:
		return fmt.Sprintf("PBES1 %s PBKDF1-%s %d", name, hashName(p.Hash), p.Iterations)
	case PBKDF2:
		return fmt.Sprintf("PBES2 %s PBKDF2-HMAC-%s %d", name, hashName(p.Hash), p.Iterations)
	case Scrypt:
		return fmt.Sprintf("PBES2 %s scrypt N=%d r=%d p=%d", name, p.N, p.R, p.P)
	}
	return "invalid"
}

// hashName spells a hash without a dash: SHA256, SHA512/256.
func hashName(h crypto.Hash) string { return strings.Replace(h.String(), "SHA-", "SHA", 1) }
