// Package cms seals and opens, signs and verifies messages in the Cryptographic Message
// Syntax (RFC 5652), which S/MIME and AS2 carry and which PKCS #7 has become. Keys come from
// a keystore, trust from a truststore.
//
// Most programs need five names: [Sign], [Seal], [Open], [Verify] and, to keep something for
// oneself, [Protect].
//
//	signed, err := cms.Sign(content, id)            // id is a *keystore.Identity
//	sealed, err := cms.Seal(signed, partner)        // partner is an *x509.Certificate
//	signed, err = cms.Open(sealed, id)
//	verified, err := cms.Verify(signed, trust)      // trust is a *truststore.Truststore
//	protected, err := cms.Protect(secret, id)       // at rest; Unprotect reverses it
//
// [Compress] and [Decompress] make messages smaller before they are sealed, and
// [MarshalCertificates] and [ParseCertificates] are how partners send each other their
// certificates. What is sealed can also be for passwords and shared keys, see SealOptions.
//
// The functions take the defaults; SealOptions, OpenOptions, SignOptions and
// VerifyOptions have the same verbs as methods, and Reader and Writer for
// content of any size, which pass it on in flat memory:
//
//	sealed, err := cms.SealOptions{}.Writer(file, partner)
//	signed, err := cms.SignOptions{}.Writer(sealed, id)
//	_, err = io.Copy(signed, content)
//	err = errors.Join(signed.Close(), sealed.Close())
//
// # What it protects against, and what not
//
// A sealed message can be read by its recipients only. In CBC mode, the default
// and all that S/MIME 3 and AS2 know, it is not authenticated: it can be changed
// on the way, and anybody can seal. Sign first, then seal. Whatever opens a
// message and tells strangers whether that went well should check the signature
// before it answers, see OpenOptions.Open. The GCM ciphers authenticate the
// content against changes, not its sender.
//
// A signature counts when the content is what was signed, the key is that of the
// certificate, and truststore.Truststore.Verify trusts that certificate. There is no
// Verified without a signature that counts.
//
// The time that a signer states proves nothing, so signers are judged now: their certificates
// must still be valid. A time stamp (RFC 3161) proves that the signature is older. It counts
// under VerifyOptions.TimeStampTrust, a trust of its own, and the signer is then judged by its
// time:
//
//	signed, err := cms.SignOptions{TimeStamp: ask}.Sign(content, id) // ask sends the request
//	verified, err := cms.VerifyOptions{Trust: trust, TimeStampTrust: authorities}.Verify(signed)
//
// Content that comes out of a Reader is not yet known to be whole or genuine;
// io.EOF says that it is.
//
// # What it costs
//
// The functions on byte slices hold the message and the content in memory, twice
// the content in all, and refuse messages over Limits.MaxSize with
// trustkeep.ErrLimit. The Readers and Writers take less than 1 MiB at any size,
// but those of the GCM ciphers, whose content is held and bounded in the same
// way. The settings of a call are in its options; there is no package state.
//
// # Why not a library
//
// The parser and writer are this package's own. github.com/smallstep/pkcs7, the
// usual choice, has its algorithms in package variables (DES-CBC unless set,
// which no partner reads), so that calls for two partners race; its parser
// recurses without bound, and a message of 4 MB that is nothing but nesting ends
// the program; it holds five times the content in memory, and it lacks
// AES-192, RSA-PSS, AuthEnvelopedData, CompressedData and time stamps. It serves as a witness
// in the tests.
//
// MIME is not part of this package: what S/MIME and AS2 put around a message is for package
// smime. PEM is read.
package cms
