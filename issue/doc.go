// Package issue makes, requests, signs and renews X.509 certificates.
//
// Most users need five names. [New] makes a key and its certificate. [Request] asks a CA
// for another certificate, [Sign] is the CA's side, and [Install] stores the CA's reply in a
// keystore. [Renew] does all three in one step:
//
//	id, err := issue.New(issue.Options{DNSNames: []string{"web.example"}})  // self-signed
//	err = ks.AddIdentity("web", id)                                         // ks is a *keystore.Keystore
//	request, err := issue.Request(id, issue.Options{})                      // PEM, to the CA
//	reply, err := issue.Sign(ca, request, issue.Options{})                  // the CA's side
//	id, err = issue.Install(ks, "web", reply, issue.InstallOptions{Trust: roots})
//	id, err = issue.Renew(ctx, ks, "web", issue.RenewOptions{Sign: askCA, Trust: roots})
//
// # Rules
//
//   - The zero value of every option is a careful choice: an EC key, 397 days, the purposes
//     that the names suggest.
//   - An issuer is a [trustkeep.Identity], so the key of a CA may stay in hardware. A
//     certificate that the issuer may not sign is refused (RFC 5280 sections 4.2.1 and 6.1).
//   - Install and Renew change the store only after the new chain is complete and checked.
//     They fail with ErrConflict if the entry has changed meanwhile. The key keeps its
//     password, see keystore.Keystore.Replace. They do not save the store: call them within
//     keystore.Update to do so.
//   - Wrong options are ErrInvalid. Bad requests and replies, which come from outside, are
//     ErrCorrupt, ErrUnsupported and so on.
//
// # Corners
//
// For a key without a certificate, use [RequestForKey] with Keystore.Signer, then Install.
// For a new key beside the old one while a CA takes days, use InstallOptions.As. For a
// certificate like another one, use [Like]. For components, pass [Options] to
// component.Create and [RenewOptions] to component.Component.Renew, [RequestOptions] and
// [InstallOptions] to its Request and Install.
//
// All functions are safe for concurrent use if the hooks and identities passed to them are.
package issue
