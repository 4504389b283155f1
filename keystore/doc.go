// Package keystore reads, edits and writes stores of identities: private keys with their
// certificate chains, several to a store, protected by passwords.
//
// Most programs need five names: [Load], [Keystore.Identity], [Keystore.SetIdentity],
// [Keystore.Save] and [Watch].
//
//	ks, err := keystore.Load("partner.p12", trustkeep.PasswordFromEnv("P12_PASSWORD"))
//	id, err := ks.Identity("as2-client")   // decrypts the key; tlsctx and crypto/tls take it
//	err = ks.SetIdentity("as2-client", next)
//	err = ks.Save("partner.p12", trustkeep.SaveOptions{})
//	live, err := keystore.Watch("partner.p12", password, trustkeep.WatchOptions{})
//
// # Rules
//
//   - Load, Read and Parse detect the format from the bytes. They check the integrity of the
//     store and decrypt its certificates. A private key is decrypted when its identity is
//     requested.
//   - A Keystore is safe for concurrent use. Readers do not wait. Writers take turns, and a
//     save writes exactly one state.
//   - Every password that a caller passes is checked, also for a key that is unlocked already.
//   - Aliases keep their spelling. Lookups ignore case, as in Java, and two aliases that differ
//     only in case cannot be in one store.
//   - A keystore grants no trust: the certificates of a key's chain are sent, not believed. To
//     trust certificates of a keystore, copy them with truststore.FromKeystore.
//
// # Corners
//
// Package issue makes and renews certificates. It replaces entries through
// [Keystore.Replace], which fails if the entry has changed since it was read.
//
// [NewIdentity] makes an identity from any crypto.Signer, so that keys in hardware or a key
// management service can be used too. [LoadPair] reads a certificate and a key in two PEM
// files.
package keystore
