// Package bridge connects this module with the two libraries that Go programs hold their
// stores in today, github.com/pavlo-v-chernykh/keystore-go/v4 (JKS) and
// software.sslmate.com/src/go-pkcs12, so that a program can move over function by
// function, and so that either can check what is saved.
//
// Most programs need five names: [FromKeystoreGo] and [ToKeystoreGo] convert keystore-go's
// KeyStore, [FromPKCS12] and [ToPKCS12] the key, certificate and chain that go-pkcs12 decodes
// and encodes, and [Check] lets an independent implementation read the new bytes before they
// replace a store:
//
//	ks, err := bridge.FromKeystoreGo(old, password)
//	err = ks.Save("server.jks", trustkeep.SaveOptions{Check: bridge.Check})
//
// # Second opinions
//
// Check lets keystore-go read a JKS store and go-pkcs12 a PKCS#12 store, and compares the
// result with the store that is being saved: kinds of entries, aliases (JKS), whole chains, and
// the public keys of unlocked private keys. If they differ, or the peer panics, saving fails
// and the old store stays. This module reads the bytes first, so the peers see no damaged store.
//
// The peers do not know everything. What they cannot be asked is an error as well, since a
// check that did not happen must not look like one that passed. [CheckIfExpressible]
// accepts it, and [Ask] returns the reason.
//
// Only this package links the two modules.
package bridge
