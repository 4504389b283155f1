package trustkeep

// Profile names how a store is written: which algorithms, iteration counts and
// layout. docs/formats.md lists what reads each of them. The empty profile
// stands for the algorithms that a store was read with, and Modern for a new
// one.
type Profile string

// The profiles.
const (
	// Modern is what current OpenSSL and JDK releases write themselves:
	// PKCS#12 with AES-256, PBKDF2-HMAC-SHA256 and an HMAC-SHA256 MAC of
	// 10,000 iterations each.
	Modern Profile = "modern"
	// Legacy is what every consumer of the last twenty years reads:
	// PKCS#12 with SHA-1, 3DES and RC2. For consumers that need it.
	Legacy Profile = "legacy"
	// Passwordless is a trust store without encryption and MAC, like the
	// cacerts file of current JDK releases. It cannot hold keys.
	Passwordless Profile = "passwordless"
)
