// Package issue makes, requests, signs and renews X.509 certificates.
//
// Most users need five names. [New] makes a key and its certificate. [Request] asks a CA
// for another certificate, [Sign] is that CA's side, and [Install] puts its reply into a
// keystore. [Renew] does all of it in one step:
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
//   - The zero value of every option is the choice of somebody careful: an EC key, 397 days,
//     the purposes that the names suggest.
//   - Issuers are a [trustkeep.Identity], so the key of a CA may stay in hardware. Nothing is
//     signed that the issuer may not sign (RFC 5280 sections 4.2.1 and 6.1).
//   - Install and Renew change nothing before the new chain is complete and checked. They
//     replace what they have read in one step, and fail with ErrConflict if somebody else
//     changed it meanwhile; the key keeps its password, see keystore.Keystore.Replace. They do
//     not save the store: call them within keystore.Update for that.
//   - Wrong options are ErrInvalid. Bad requests and replies, which come from elsewhere, are
//     ErrCorrupt, ErrUnsupported and so on.
//
// # Corners
//
// A key that waits for its certificate, such as one that a store holds alone: [RequestForKey]
// with Keystore.Signer, then Install. A new key beside the old one, while a CA takes days:
// InstallOptions.As. A certificate like another: [Like]. Components: [Options]
// and [RenewOptions] are sources for component.Create and component.Component.Renew.
//
// All functions are safe for concurrent use, as far as the hooks and identities that they are
// given are.
package issue
