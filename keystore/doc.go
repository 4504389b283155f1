// Package keystore reads, edits and writes stores of identities: private keys,
// each with its certificate chain, several to a store, protected by passwords.
//
// Most programs need five names: [Load], [Keystore.Identity], [Keystore.SetIdentity],
// [Keystore.Save] and [Watch].
//
// Load, Read and Parse detect the format from the bytes. Opening checks the
// store's integrity and decrypts its certificates; a private key is decrypted
// when its identity is asked for:
//
//	ks, err := keystore.Load("partner.p12", trustkeep.PasswordFromEnv("P12_PASSWORD"))
//	...
//	id, err := ks.Identity("as2-client")
//
// An Identity is what package tlsctx, crypto/tls and the signing packages
// take. It can also be made around any crypto.Signer, so that keys in hardware
// or a key management service take part.
//
// A Keystore is safe for concurrent use. Readers do not wait; writers take turns, and a
// save is one step with the state that it saves. A password that is given is checked in
// every case.
//
// A keystore stores. Package issue makes certificates and renews them; whatever takes the
// place of an entry that was read goes through Keystore.Replace.
//
// A keystore never grants trust: the certificates of a key's chain are there
// to be sent, not to be believed. To build trust from the certificates of a
// keystore, copy them on purpose with truststore.FromKeystore.
//
// Aliases keep their spelling. They are looked up as Java does, without regard
// to case, and two aliases that differ only in case cannot be in one store.
package keystore
