package trustkeep

// Limits bounds the work that an operation on hostile input may cause; exceeding a bound is
// ErrLimit, whose text names the field. Zero fields mean the defaults, so Limits{} is what every
// loader uses. Raise a field for input that you know; no value means "unlimited".
//
// Operations are: reading an input, with what it unlocks; unlocking one key later, once for each
// call; unlocking all keys of a store. Each has the limits to itself.
type Limits struct {
	// MaxSize of an input in bytes. Default 128 MiB.
	MaxSize int64
	// MaxDepth of nested ASN.1 structures and containers. Default 32.
	MaxDepth int
	// MaxEntries is the number of keys, certificates and other entries in one input. Default
	// 200,000.
	MaxEntries int
	// MaxIterations bounds the computing time of one operation. It counts iterations of
	// PBKDF2-HMAC-SHA-256 with an output of 32 bytes, each some 0.2 µs, and takes other work at
	// its own cost: HMAC-SHA-512 as 3, HMAC-SHA3 as 5, the derivation of RFC 7292 for a key of
	// 3DES as 1, an iteration of JCEKS as 2, a round of OpenSSH's as 30,000, scrypt as 4Nrp, the
	// check of an RSA key of n bits as 50(n/1024)³. Default 5,000,000, about a second: a hundred
	// keys as JDK 8 wrote them (50,000 iterations each), twelve of JCEKS. To unlock a thousand
	// keys at once, raise it to 50,000 for each.
	MaxIterations int
	// MaxKDFMemory is the memory in bytes for a memory-hard key derivation (scrypt, Argon2).
	// One operation makes no two of them at a time. Default 64 MiB: the second setting of RFC
	// 9106 for Argon2.
	MaxKDFMemory int64
	// MaxKeyBits is the size of an asymmetric key, and of each number in a private key, beyond
	// which nothing is computed with it. Default 16,384. Certificates are verified up to the
	// default.
	MaxKeyBits int
}

// WithDefaults returns l with every zero field replaced by its default.
func (l Limits) WithDefaults() Limits {
	if l.MaxSize == 0 {
		l.MaxSize = 128 << 20
	}
	if l.MaxDepth == 0 {
		l.MaxDepth = 32
	}
	if l.MaxEntries == 0 {
		l.MaxEntries = 200_000
	}
	if l.MaxIterations == 0 {
		l.MaxIterations = 5_000_000
	}
	if l.MaxKDFMemory == 0 {
		l.MaxKDFMemory = 64 << 20
	}
	if l.MaxKeyBits == 0 {
		l.MaxKeyBits = 16_384
	}
	return l
}
