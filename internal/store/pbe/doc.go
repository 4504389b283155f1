// Package pbe is password-based cryptography as key containers use it:
// encryption by PBES1 and PBES2 (RFC 8018) and by the PKCS#12 algorithms (RFC
// 7292 appendix C), and the integrity protection of PKCS#12 files (RFC 7292
// section 4, RFC 9579).
//
// Reading is split in two, so that independent key derivations, which is where
// the time goes, can run beside each other: Scheme.Derive turns the password
// into key material and Scheme.Open decrypts with it. The cost of a derivation
// is charged to a limits.Spender before it is spent.
//
// Passwords are UTF-8. A nil password is "none" and an empty one is empty;
// only the PKCS#12 key derivation can tell the two apart.
package pbe
