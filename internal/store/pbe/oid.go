package pbe

import (
	"crypto"
	"encoding/asn1"
)

// pkcs5 and pkcs12PBE are the arcs of the encryption schemes: RFC 8018
// appendix C and RFC 7292 appendix C.
var (
	oidPBKDF2 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 12}
	oidPBES2  = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 13}
	oidPBMAC1 = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 14}
	oidScrypt = asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 11591, 4, 11} // RFC 7914 section 7
)

// pbes1Schemes have key derivation, hash and cipher in one identifier.
var pbes1Schemes = []struct {
	oid    asn1.ObjectIdentifier
	kdf    KDF
	hash   crypto.Hash
	cipher Cipher
}{
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 1}, PKCS12, crypto.SHA1, RC4128},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 2}, PKCS12, crypto.SHA1, RC440},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 3}, PKCS12, crypto.SHA1, TripleDES},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 4}, PKCS12, crypto.SHA1, TripleDES2Key},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 5}, PKCS12, crypto.SHA1, RC2128},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 12, 1, 6}, PKCS12, crypto.SHA1, RC240},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 3}, PBKDF1, crypto.MD5, DES},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 6}, PBKDF1, crypto.MD5, RC264},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 10}, PBKDF1, crypto.SHA1, DES},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 5, 11}, PBKDF1, crypto.SHA1, RC264},
}

// pbes2Ciphers are the encryption schemes of PBES2: RFC 8018 appendix B.2, RFC
// 3565, RFC 5084, RFC 3657 (Camellia), RFC 4010 (SEED) and the Korean arc of RFC 5794 (ARIA).
var pbes2Ciphers = []struct {
	oid    asn1.ObjectIdentifier
	cipher Cipher
}{
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 2}, AES128CBC},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 22}, AES192CBC},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 42}, AES256CBC},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 6}, AES128GCM},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 26}, AES192GCM},
	{asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 1, 46}, AES256GCM},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 7}, TripleDES},
	{asn1.ObjectIdentifier{1, 3, 14, 3, 2, 7}, DES},
	{asn1.ObjectIdentifier{1, 2, 840, 113549, 3, 2}, RC2},
	{asn1.ObjectIdentifier{1, 2, 392, 200011, 61, 1, 1, 1, 2}, Camellia128CBC},
	{asn1.ObjectIdentifier{1, 2, 392, 200011, 61, 1, 1, 1, 3}, Camellia192CBC},
	{asn1.ObjectIdentifier{1, 2, 392, 200011, 61, 1, 1, 1, 4}, Camellia256CBC},
	{asn1.ObjectIdentifier{1, 2, 410, 200046, 1, 1, 2}, ARIA128CBC},
	{asn1.ObjectIdentifier{1, 2, 410, 200046, 1, 1, 7}, ARIA192CBC},
	{asn1.ObjectIdentifier{1, 2, 410, 200046, 1, 1, 12}, ARIA256CBC},
	{asn1.ObjectIdentifier{1, 2, 410, 200004, 1, 4}, SEEDCBC},
}

// hashes: the digest (RFC 8017 appendix A.2.4) and the HMAC (RFC 8018 appendix
// B.1) of each.
var hashes = []struct {
	hash         crypto.Hash
	digest, hmac asn1.ObjectIdentifier
}{
	{crypto.SHA1, asn1.ObjectIdentifier{1, 3, 14, 3, 2, 26}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 7}},
	{crypto.SHA224, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 4}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 8}},
	{crypto.SHA256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 1}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 9}},
	{crypto.SHA384, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 2}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 10}},
	{crypto.SHA512, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 3}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 11}},
	{crypto.SHA512_224, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 5}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 12}},
	{crypto.SHA512_256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 6}, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 13}},
}

// macHashes are those of PKCS#12's MAC alone: what old and new writers take. SHA-3 is
// of FIPS 202, with the identifiers of NIST's arc of hashes.
var macHashes = []struct {
	hash   crypto.Hash
	digest asn1.ObjectIdentifier
}{
	{crypto.MD5, asn1.ObjectIdentifier{1, 2, 840, 113549, 2, 5}},
	{crypto.SHA3_224, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 7}},
	{crypto.SHA3_256, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 8}},
	{crypto.SHA3_384, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 9}},
	{crypto.SHA3_512, asn1.ObjectIdentifier{2, 16, 840, 1, 101, 3, 4, 2, 10}},
}

// macName names hashes of MACs that are not read: those of Russian products (RFC 9548), which
// derive the MAC's key in a way of their own.
func macName(oid asn1.ObjectIdentifier) string {
	switch s := oid.String(); s {
	case "1.2.643.2.2.9":
		return "GOST R 34.11-94 (" + s + ")"
	case "1.2.643.7.1.1.2.2":
		return "GOST R 34.11-2012 of 256 bits (" + s + ")"
	case "1.2.643.7.1.1.2.3":
		return "GOST R 34.11-2012 of 512 bits (" + s + ")"
	default:
		return s
	}
}

func hashOfHMAC(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	for _, h := range hashes {
		if h.hmac.Equal(oid) {
			return h.hash, true
		}
	}
	return 0, false
}

func hashOfDigest(oid asn1.ObjectIdentifier) (crypto.Hash, bool) {
	for _, h := range hashes {
		if h.digest.Equal(oid) {
			return h.hash, true
		}
	}
	for _, h := range macHashes {
		if h.digest.Equal(oid) {
			return h.hash, true
		}
	}
	return 0, false
}

func digestAndHMAC(hash crypto.Hash) (digest, hmac asn1.ObjectIdentifier) {
	for _, h := range hashes {
		if h.hash == hash {
			return h.digest, h.hmac
		}
	}
	for _, h := range macHashes {
		if h.hash == hash {
			return h.digest, nil
		}
	}
	return nil, nil
}
