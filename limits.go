package trustkeep

// Limits bounds what one input may cost before it is refused with ErrLimit.
// The zero value of each field stands for the default named beside it, so
// Limits{} is what every loader uses unless told otherwise. Raise a field for
// input that you know; there is no value for "unlimited".
type Limits struct {
	// MaxSize is the largest input in bytes. Default 128 MiB.
	MaxSize int64
	// MaxDepth is how deep ASN.1 structures and containers may nest.
	// Default 32.
	MaxDepth int
	// MaxEntries is how many keys, certificates and other entries one input
	// may hold together. Default 200,000.
	MaxEntries int
	// MaxIterations is what all key derivations of one file may cost
	// together, counted in iterations times output blocks of the underlying
	// hash. Default 5,000,000. Each private key found adds
	// 150,000 to what unlocking may spend, so that a store of a thousand
	// honest keys can be unlocked whole.
	MaxIterations int
	// MaxKDFMemory is what one memory-hard key derivation (scrypt, Argon2)
	// may allocate, in bytes. Default 32 MiB.
	MaxKDFMemory int64
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
		l.MaxKDFMemory = 32 << 20
	}
	return l
}
