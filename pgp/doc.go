// Package pgp reads, makes and manages OpenPGP keys, and encrypts, decrypts,
// signs and verifies with them.
//
// A [Key] is one OpenPGP key with its user IDs and subkeys, public or private;
// a [Keyring] is what a file held: keys, and a report of what could not be
// read. [Generate] makes keys by [Preset]. The methods of Key change a key's
// life: [Key.SetExpiry], [Key.AddSubkey], [Key.Revoke] and the rest return a
// new Key and leave the old one as it was.
//
// Messages are handled by structs that are filled in and then asked to work,
// like tls.Config: [Encryption], [Signing], [Decryption] and [Verification].
// All of them stream in constant memory.
//
// # What comes out is whole
//
// An OpenPGP message can be read long before it is known to be good: the
// integrity code and the signature stand at its end. [Decryption.Decrypt] and
// [Decryption.DecryptFile] therefore hand out nothing before the message is
// authenticated to its last byte, and the signature found good when one was
// asked for. [Decryption.UnverifiedReader] streams; its bytes must not be acted
// upon before it returns io.EOF.
//
// # Signatures
//
// A signature counts only if it was made by an expected signer. [Result] holds
// one [SignatureState] for the message; only [SignatureValid] means valid, and
// the zero value does not.
//
// # Standards
//
// RFC 9580 (and RFC 4880, which it replaces), RFC 9980 for the post-quantum
// algorithms, and what GnuPG 2.2 does where the standards leave room. The
// primitives and the packet formats are those of
// github.com/ProtonMail/go-crypto.
package pgp
