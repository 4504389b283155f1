package trustkeep

// Limits bounds the work that one input may cause; exceeding a bound is ErrLimit. Zero fields
// mean the defaults, so Limits{} is what every loader uses. Raise a field for input that you
// know; no value means "unlimited".
type Limits struct {
	// MaxSize of an input in bytes. Default 128 MiB.
	MaxSize int64
	// MaxDepth of nested ASN.1 structures and containers. Default 32.
	MaxDepth int
	// MaxEntries is the number of keys, certificates and other entries in one input. Default
	// 200,000.
	MaxEntries int
	// MaxIterations bounds all key derivations of one file together, in iterations times
	// output blocks of the hash. Default 5,000,000. Each private key found adds 150,000 to
	// what unlocking may use, so that a store of a thousand honest keys can be unlocked whole.
	MaxIterations int
	// MaxKDFMemory is the memory in bytes for one memory-hard key derivation (scrypt, Argon2).
	// Default 64 MiB: the second setting of RFC 9106 for Argon2.
	MaxKDFMemory int64
	// MaxKeyBits is the size of an asymmetric key that anything is computed with: the modulus
	// of RSA, the prime of DSA and Diffie-Hellman. Default 16,384.
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
