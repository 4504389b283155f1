// Package pgp encrypts, decrypts, signs and verifies messages with OpenPGP keys,
// and makes and manages those keys.
//
// Most programs need five names, in this order: [Load] or [Generate] for keys,
// [Encryption] and [Decryption] for secret messages, and [Signing] and
// [Verification] for messages that are only signed. To exchange messages with a
// partner:
//
//	own, err := pgp.Load("own_priv.asc")
//	theirs, err := pgp.Load("partner_pub.asc")
//	us, err := own.Keys()[0].Unlock(trustkeep.PasswordFromEnv("PGP_PASSPHRASE"), pgp.Options{})
//
//	err = pgp.Encryption{To: theirs.Keys(), Signers: []*pgp.Key{us}}.Encrypt(out, in)
//	res, err := pgp.Decryption{Keys: []*pgp.Key{us}, Signers: theirs.Keys()}.Decrypt(out, in)
//
// The first example below runs this.
//
// # Rules
//
// Nothing is handed out before it is authenticated. The integrity code and the
// signature of a message stand at its end, so [Decryption.Decrypt],
// [Decryption.DecryptFile] and their counterparts in [Verification] write
// nothing before the whole message has been checked.
//
// A signature counts only if an expected signer made it. List the expected
// signers in Signers: an empty list accepts nothing. AlsoSignedBy, Notations and MaxAge
// demand more. Only [SignatureValid] means valid; the zero
// [SignatureState] does not.
//
// Weak algorithms are refused. [Options].Allow accepts them one by one, for the
// one partner who needs them; see [Relaxations].
//
// A [Key] never changes. [Key.SetExpiry], [Key.AddSubkey], [Key.Revoke] and the
// other methods that modify a key return a new one.
//
// Passwords are trustkeep.PasswordSource. They are asked for when they are
// needed and overwritten after use. No type of this package prints a password
// or a private key, by whatever verb of fmt, in JSON, XML, gob or slog.
//
// [Options] is passed by value: as the last argument, as a field, or as the
// receiver of Load, Read and Parse. Its zero value is ready to use.
//
// # Errors
//
// Errors wrap the sentinels of package trustkeep. ErrInvalid means that the call
// is wrong: a nil key, an empty password, nobody to encrypt to. A
// [*SignatureError] comes with the [Result] that explains it; [*WeaknessError]
// names the relaxation that would accept the key or message;
// [*KeyExpiredError] and [*KeyRevokedError] name the key.
//
// # Corners
//
// A file of keys that can be read only in part yields the keys that can;
// [Keyring.Skipped] lists the rest, and [Keyring.Marshal] keeps it.
//
// Private keys may be elsewhere, on a card or in a KMS: see [Key.WithPrivate].
//
// [Decryption.UnverifiedReader] streams content before it is authenticated. Do
// not act upon its bytes before it returns io.EOF.
//
// The package follows RFC 9580 (and RFC 4880 before it), RFC 9980 for the
// post-quantum algorithms, and GnuPG 2.2 where they leave room. Primitives and
// key material are those of github.com/ProtonMail/go-crypto.
package pgp
