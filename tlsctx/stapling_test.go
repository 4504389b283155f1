package tlsctx_test

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// withResponder issues a server's certificate that names a responder and, if it promises a
// staple, has the extension of RFC 7633.
func withResponder(pki *testpki.PKI, promises bool) *testpki.Identity {
	return pki.Issue(testpki.Request{Names: []string{host}, Edit: func(c *x509.Certificate) {
		c.OCSPServer = []string{"http://ocsp.example/"}
		if promises {
			c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 1, 24}, Value: []byte{0x30, 3, 2, 1, 5}})
		}
	}})
}

// respond signs a response of now, which is good for two hours.
func respond(pki *testpki.PKI, id *testpki.Identity, status int, now time.Time) ([]byte, error) {
	return ocsp.CreateResponse(pki.Intermediate.Cert, pki.Intermediate.Cert, ocsp.Response{
		Status: status, SerialNumber: id.Cert.SerialNumber, IssuerHash: crypto.SHA256,
		ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(2 * time.Hour), RevokedAt: now.Add(-time.Minute),
	}, pki.Intermediate.Key)
}

// A server staples its own response and refreshes it. None that is out of date or not good
// leaves it, and a certificate that promises a staple is not presented without one.
func TestServerStaplesItsOwnResponse(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, version := range versions {
		for kind, promises := range map[string]bool{"plain": false, "must-staple": true} {
			now := &clock{now: pki.Now()}
			id := withResponder(pki, promises)
			var status atomic.Int64
			var down atomic.Bool
			stapled, err := revocation.NewStapled(t.Context(), identity(id), revocation.StapleOptions{
				Clock: now.Now, RetryAfter: 24 * time.Hour,
				FetchOCSP: func(context.Context, string, []byte) ([]byte, error) {
					if down.Load() {
						return nil, errors.New("down")
					}
					return respond(pki, id, int(status.Load()), now.Now())
				},
			})
			if err != nil {
				t.Fatal(err)
			}
			checker, err := revocation.New(revocation.Options{Mode: revocation.SoftFail, RequireStaple: true, Coverage: revocation.LeafOnly, Clock: now.Now})
			if err != nil {
				t.Fatal(err)
			}
			server := mustServer(t, tlsctx.Builder{Identity: stapled, Clock: now.Now})
			b := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: now.Now, MaxVersion: version}
			indifferent := func() *tls.Config { return mustClient(t, b) }
			strict := func() *tls.Config { b := b; b.Revocation = checker; return mustClient(t, b) }
			without := func(what string) {
				t.Helper()
				refuse(t, strict(), server)
				if promises {
					if o := refuse(t, indifferent(), server); o.serverErr == nil {
						t.Errorf("%s, %s: the server does not know why", kind, what)
					}
				} else if o := accept(t, indifferent(), server, false); len(o.client.OCSPResponse) > 0 {
					t.Errorf("%s, %s: something is stapled", kind, what)
				}
			}
			if o := accept(t, strict(), server, false); len(o.client.OCSPResponse) == 0 {
				t.Errorf("%s: nothing is stapled", kind)
			}
			down.Store(true)
			now.advance(3 * time.Hour)
			if err := stapled.Refresh(t.Context()); err == nil {
				t.Errorf("%s: no error", kind)
			}
			without("out of date")

			down.Store(false)
			if err := stapled.Refresh(t.Context()); err != nil {
				t.Error(err)
			}
			accept(t, strict(), server, false)

			status.Store(ocsp.Revoked)
			if err := stapled.Refresh(t.Context()); !errors.Is(err, trustkeep.ErrRevoked) {
				t.Errorf("%s: %v", kind, err)
			}
			without("revoked")
			if err := stapled.Close(); err != nil {
				t.Error(err)
			}
		}
	}
}

// A certificate that promises a staple is held to it where it is trusted for itself, by
// every kind of client, in full and resumed handshakes.
func TestExactTrustKeepsMustStaple(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	now := &clock{now: pki.Now()}
	checker, err := revocation.New(revocation.Options{Mode: revocation.SoftFail, Clock: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	id := withResponder(pki, true)
	good, err := respond(pki, id, ocsp.Good, pki.Now())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		staple []byte
		alone  bool // no issuer is sent
		known  bool // but the client has it
		code   trustkeep.Code
	}{
		{"stapled", good, false, false, ""},
		{"stapled, issuer in the store", good, true, true, ""},
		{"stapled, issuer nowhere", good, true, false, truststore.CodeRevocationNoIssuer},
		{"not stapled", nil, false, false, truststore.CodeRevocationUnknown},
		{"not stapled, issuer nowhere", nil, true, false, truststore.CodeRevocationNoIssuer},
	} {
		cert := id.TLSCertificate()
		cert.OCSPStaple = c.staple
		if c.alone {
			cert.Certificate = cert.Certificate[:1]
		}
		server := mustServer(t, tlsctx.Builder{Identity: tlsctx.StaticIdentity(cert), Clock: now.Now})
		trusted := truststore.New(id.Cert)
		if c.known {
			trusted = truststore.New(id.Cert, pki.Intermediate.Cert)
		}
		for _, version := range versions {
			b := tlsctx.Builder{Trusted: trusted, ServerName: host, Clock: now.Now, MaxVersion: version, Revocation: checker}
			live, err := b.LiveClient()
			if err != nil {
				t.Fatal(err)
			}
			client := mustClient(t, b)
			exempt := b
			exempt.RevocationExempt = []*x509.Certificate{id.Cert}
			accept(t, mustClient(t, exempt), server, false)
			if c.code != "" {
				for _, cfg := range []*tls.Config{client, live} {
					if e := explained(t, b.ExplainError(refuse(t, cfg, server).clientErr)); e.Code != c.code {
						t.Errorf("%s: %v", c.name, e)
					}
				}
				continue
			}
			accept(t, live, server, false)
			accept(t, client, server, false)
			accept(t, client, server, true)
			now.advance(3 * time.Hour) // the response has run out
			refuse(t, client, server)
			now.advance(-3 * time.Hour)
		}
	}
}
