package trustkeep

// Format names a container format. What is read is detected from the bytes,
// never from a file name.
type Format string

// The formats.
const (
	PKCS12  Format = "pkcs12"  // RFC 7292
	JKS     Format = "jks"     // Java's own, JDK 1.2 to today
	JCEKS   Format = "jceks"   // JKS with secret keys and 3DES keys
	BKS     Format = "bks"     // BouncyCastle
	BCFKS   Format = "bcfks"   // BouncyCastle FIPS
	UBER    Format = "uber"    // BouncyCastle, encrypted as a whole
	PEM     Format = "pem"     // RFC 7468 and its older spellings
	DER     Format = "der"     // one certificate, key or revocation list
	PKCS7   Format = "pkcs7"   // certificates only, RFC 5652 section 5
	PKCS8   Format = "pkcs8"   // one private key, RFC 5958
	OpenSSH Format = "openssh" // openssh-key-v1
)
