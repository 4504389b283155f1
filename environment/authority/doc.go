// Package authority signs and verifies what a registry keeps in a storage that nobody has to
// trust. It holds the documents, the signatures and the rules; package environment stores them.
//
// An Authority says whose signatures count: a Document of public keys, with grants by
// environment and kind of change. A program is given one beside its configuration and follows
// its successors from there. There are four statements:
//
//   - a Document, signed by the root keys that its predecessor names and by its own;
//   - a Record, one version of what is under one key, signed by whoever changed it;
//   - an Index, which lists the records that count in one environment by digest, signed by
//     the environment's release keys;
//   - a Date, which says that an index still is the current one, signed by the dating key.
//
// Records are tied to their registry, their key, a number of their own and the digest of
// their predecessor, so that whoever owns the storage can withhold them, and can neither
// forge, swap nor roll them back unnoticed. An index vouches for records by digest: removing
// an administrator invalidates nothing that an index lists.
//
// The roles are those of The Update Framework (TUF), of which this is a small part: root,
// targets, snapshot and timestamp are Document, Record, Index and Date.
//
// # Form
//
// A signed statement is JSON: its type, its signatures, and the statement as the bytes that
// were signed. Its digest is the SHA-256 of "trustkeep ", the type, " 1", a zero byte and these
// bytes. A signature is over "trustkeep signature 1", a zero byte and the digest, and so never
// one over anything else: by Ed25519 (RFC 8032), or ECDSA (FIPS 186-5) with SHA-256 for P-256
// and SHA-384 for P-384. There is one spelling of each statement; others are refused.
package authority
