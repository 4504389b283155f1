package tlsctx

import (
	"github.com/trustkeep/trustkeep/truststore"
)

// VerifyOptions returns the question that a handshake asks about a peer: purpose is
// truststore.Server on a client, truststore.Client on a server, and name what was dialled, which
// is empty for clients. With ServerURI or TrustDomain, a server needs that name only if it was
// set as ServerName. Context and Staple are left to the caller.
func (b Builder) VerifyOptions(purpose truststore.Purpose, name string) truststore.VerifyOptions {
	b = b.orAsItWas()
	o := truststore.VerifyOptions{
		Purpose: purpose, Name: name, Time: b.now(), Allow: b.Allow, Policy: b.Policy, Pins: b.Pins,
		Revocation: b.Revocation, RevocationExempt: b.RevocationExempt,
	}
	switch purpose {
	case truststore.Server:
		if b.byURI() {
			o.Name = b.ownName()
		}
		o.URI, o.TrustDomain = b.ServerURI, b.TrustDomain
	case truststore.Client:
		o.URI, o.TrustDomain = b.ClientURI, b.TrustDomain
	}
	return o
}

// byURI reports whether a server is known by its URI and not by the name that was dialled.
func (b Builder) byURI() bool { return b.ServerURI != "" || b.TrustDomain != "" }

// ownName is the ServerName that was set and not taken from an address.
func (b Builder) ownName() string {
	if b.ServerName == b.at.name {
		return ""
	}
	return b.ServerName
}

// wrongURIs finds URIs and trust domains that no certificate can have.
func (b Builder) wrongURIs() error {
	for _, o := range []truststore.VerifyOptions{{URI: b.ServerURI, TrustDomain: b.TrustDomain}, {URI: b.ClientURI}} {
		if err := o.Validate(); err != nil {
			return err
		}
	}
	return nil
}
