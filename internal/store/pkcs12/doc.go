// Package pkcs12 reads and writes PKCS#12 files (RFC 7292, RFC 9579): DER as
// keytool and OpenSSL write it and BER as NSS and BouncyCastle do, with any
// number of safes, keys and certificates.
//
// # Authentication
//
// The MAC covers the content octets of the AuthenticatedSafe as they stand in
// the file. Nothing behind it is decrypted, and nothing of it parsed but the
// algorithms of the encrypted safes, before the MAC is verified. What the MAC
// cannot cover is the frame: version, MacData itself, and how the outer octet
// string is cut into pieces.
//
// A file without MAC is read without a password, as the JDK's password-less
// cacerts is; with one it is an error unless the caller allows it, since
// somebody who gives a password expects it to have been checked.
//
// # No password and the empty password
//
// The key derivation of RFC 7292 takes the empty password as two zero octets
// and no password as none, and writers disagree which of them "empty" is.
// Where one of the two is given both are tried, the given one first, as
// OpenSSL does: the MAC decides. So a nil password does open a file whose MAC
// was made with it, and never skips a MAC as the JDK does.
//
// A password outside ASCII is tried as UTF-8 first and then with each octet as
// a character, which is how OpenSSL before 1.1.0 encoded it.
//
// # Names
//
// A key, secret key or marked certificate without friendlyName is called "1",
// "2" and so on in file order, as the JDK calls it; other certificates by their
// subject. Java's local key IDs ("Time" and milliseconds) are read and written
// as creation times.
package pkcs12
