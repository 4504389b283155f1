// Package sshctx makes SSH configurations, for SFTP above all, out of host keys and identities,
// with the precedence that package tlsctx has for TLS: the trust of a connection (Trusted)
// replaces the trust of the environment (Global), and no trust is an error. There is no way to
// accept a server whose key nobody has vouched for.
//
//	global, err := sshctx.LoadKnownHosts("known_hosts")
//	ks, err := keystore.Load("partner.p12", trustkeep.PasswordFromEnv("P12_PASSWORD"))
//	id, err := ks.Identity("sftp-client")
//	config, err := sshctx.Builder{
//		Global: global, User: "partner", Identities: []sshctx.Identity{sshctx.FromIdentity(id)},
//	}.Client("sftp.example.com:22")
//
// What is known about hosts comes from known_hosts files (LoadKnownHosts, WatchKnownHosts), from
// keys and fingerprints (Pinned), or from several of them (Union). FetchHostKeys asks a server
// that is met for the first time for its keys, so that a person can compare their fingerprints.
//
// The keys of identities come from X.509 stores (FromIdentity), from any crypto.Signer, such as
// keystore.Keystore.Signer for OpenSSH keys without a certificate (FromSigner), or from an agent
// (FromAgent). AuthorizedLines has the line that a server's administrator needs for each.
//
// A Dialer makes connections that follow trust and identities, and ends those that would no
// longer be accepted. Every refusal is a HandshakeError, which says what was presented, which
// line of which file spoke against it, and what would help.
package sshctx
