package trustkeep

// Profile names how a PKCS#12 store is written: algorithms, iteration counts and layout. A
// released profile never changes, except that Modern and Legacy follow the times.
// docs/formats.md lists which programs read which profile. The empty profile means the
// algorithms that a store was read with or last saved with, and Modern for a new one.
//
// Other formats have one layout each and accept every profile.
type Profile string

// The profiles that follow the times.
const (
	// Modern is what current OpenSSL and JDK releases write themselves:
	// AES-256, PBKDF2-HMAC-SHA256 and an HMAC-SHA256 MAC of 10,000 iterations
	// each. Today it is the same as Java17, and under GODEBUG=fips140=only,
	// which does not approve of that MAC, as Modern2026.
	Modern Profile = "modern"
	// Legacy is what every consumer of the last twenty years reads: SHA-1 and
	// 3DES. For consumers that need it. Today it is the same as Java8.
	Legacy Profile = "legacy"
	// Passwordless is a trust store without encryption and MAC, like the
	// cacerts file of current JDK releases. It cannot hold keys.
	Passwordless Profile = "passwordless"
)

// The profiles named after who is to read the store.
const (
	// Java8 is for JDK 8 and 11 of any update, and whatever is as old: keys and
	// certificates under 3DES, 50,000 iterations of the derivation of RFC
	// 7292, and a SHA-1 MAC of 100,000, the counts of JDK 8u301 and later.
	// Unlike what those write themselves, it has no 40-bit RC2, which OpenSSL 3
	// reads with its legacy provider only.
	Java8 Profile = "java8"
	// Java17 is for JDK 8u301, 11.0.12, 17 and later, and OpenSSL 1.1.0 and
	// later: AES-256-CBC under PBKDF2-HMAC-SHA256 and a SHA-256 MAC, 10,000
	// iterations each, as JDK 17 writes.
	Java17 Profile = "java17"
	// OpenSSL11 is for OpenSSL 1.1.0 and later: the algorithms of Java17 with
	// the 2,048 iterations that openssl pkcs12 applies.
	OpenSSL11 Profile = "openssl11"
	// Windows2016 is for Windows Server 2016, Windows 10 before 1709 and
	// older, which know neither AES nor SHA-2 in PKCS#12: 3DES and a SHA-1
	// MAC of 2,000 iterations, as Windows writes.
	Windows2016 Profile = "windows2016"
	// Modern2026 is Java17 with PBMAC1 (RFC 9579) for a MAC, as FIPS 140-3
	// wants it: for OpenSSL 3.4, NSS 3.103, JDK 26 and later.
	Modern2026 Profile = "modern2026"
	// Java26 is for JDK 26 and later, which read PBMAC1. Today it is the same as Modern2026.
	Java26 Profile = "java26"
	// FIPS has approved algorithms alone, for readers in a FIPS 140-3 mode: PBES2 with
	// AES-256 and PBKDF2-HMAC-SHA256, and PBMAC1. Today it is the same as Modern2026.
	FIPS Profile = "fips"
)

// Profiles returns all profiles.
func Profiles() []Profile {
	return []Profile{Modern, Legacy, Passwordless, Java8, Java17, OpenSSL11, Windows2016, Modern2026, Java26, FIPS}
}
