package tlsctx_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Every rule that refuses full handshakes refuses resumed ones. A session of a policy
// that accepts the server is offered under one that does not, as only somebody who shares
// the caches on purpose could do.
func TestEveryRuleRefusesResumedSessions(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	good, commonName, wrongName := pki.Server(host), pki.CommonNameOnly(host), pki.WrongName()
	anyone := func(_ context.Context, _ tlsctx.Peer) error { return nil }
	scoped := func(s truststore.Scope) *truststore.Truststore {
		trust := store(pki.Root)
		must(t, trust.SetScope(trust.Aliases()[0], s))
		return trust
	}
	for _, c := range []struct {
		name            string
		server          *testpki.Identity
		accepts, denies tlsctx.Builder
	}{
		{"chain", good, tlsctx.Builder{Trusted: store(pki.Root), Authorize: anyone}, tlsctx.Builder{Trusted: store(other.Root), Authorize: anyone}},
		{"exact", good, tlsctx.Builder{Trusted: store(good), Authorize: anyone}, tlsctx.Builder{Trusted: store(wrongName), Authorize: anyone}},
		{"pins", good, tlsctx.Builder{Trusted: store(pki.Root), Authorize: anyone}, tlsctx.Builder{Trusted: store(pki.Root), Pins: []truststore.Pin{truststore.PinKey(pki.Intermediate.Cert)}}},
		{"pins alone", good, tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinKey(good.Cert))}, tlsctx.Builder{Trusted: truststore.Pinned(truststore.PinKey(other.Root.Cert))}},
		{"common name", commonName, tlsctx.Builder{Trusted: store(commonName), Allow: truststore.JavaHTTPS()}, tlsctx.Builder{Trusted: store(commonName), Allow: []truststore.Relaxation{truststore.AllowExpired}}},
		{"any name", wrongName, tlsctx.Builder{Trusted: store(wrongName), Allow: truststore.Relaxations()}, tlsctx.Builder{Trusted: store(wrongName), Allow: truststore.JavaHTTPS()}},
		{"scope of names", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Names: []string{host}})}, tlsctx.Builder{Trusted: scoped(truststore.Scope{Names: []string{"other.example"}})}},
		{"scope of purposes", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Purposes: []truststore.Purpose{truststore.Server}})}, tlsctx.Builder{Trusted: scoped(truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}})}},
		{"scope of time", good, tlsctx.Builder{Trusted: scoped(truststore.Scope{Until: pki.Now().Add(time.Minute)})}, tlsctx.Builder{Trusted: scoped(truststore.Scope{Until: pki.Now().Add(-time.Minute)})}},
		{"revocation", good, tlsctx.Builder{Trusted: store(pki.Root), Authorize: anyone}, tlsctx.Builder{Trusted: store(pki.Root), Revocation: revokes(func(*x509.Certificate) bool { return true })}},
		{"authorization", good, tlsctx.Builder{Trusted: store(pki.Root), Authorize: anyone}, tlsctx.Builder{Trusted: store(pki.Root), Authorize: func(_ context.Context, _ tlsctx.Peer) error { return errors.New("no") }}},
	} {
		for _, version := range versions {
			t.Run(c.name+"/"+tls.VersionName(version), func(t *testing.T) {
				server := mustServer(t, tlsctx.Builder{Identity: identity(c.server), Clock: pki.Now, MaxVersion: version})
				client := func(b tlsctx.Builder) *tls.Config {
					b.ServerName, b.Clock = host, pki.Now
					return mustClient(t, b)
				}
				accepts := client(c.accepts)
				accept(t, accepts, server, false)
				accept(t, accepts, server, true)
				denies, again := client(c.denies), client(c.accepts)
				denies.ClientSessionCache, again.ClientSessionCache = accepts.ClientSessionCache, accepts.ClientSessionCache
				accept(t, again, server, true) // the cache is shared indeed
				refuse(t, denies, server)
				refuse(t, client(c.denies), server) // in a full handshake
			})
		}
	}
}

// On servers, whom clients resume with, Authorize and Revocation are asked each time, and
// with the certificate of the session.
func TestServerDecidesOnResumption(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	me := pki.Client("me")
	for _, version := range versions {
		for _, auth := range []tlsctx.ClientAuth{tlsctx.RequestClientAuth, tlsctx.RequireClientAuth} {
			var refusing, revoked atomic.Bool
			var last atomic.Pointer[tlsctx.Peer]
			server := mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(host)), Trusted: store(pki.Root), ClientAuth: auth, Clock: pki.Now, MaxVersion: version,
				Revocation: revokes(func(*x509.Certificate) bool { return revoked.Load() }),
				Authorize: func(_ context.Context, p tlsctx.Peer) error {
					last.Store(&p)
					if refusing.Load() {
						return errors.New("no longer")
					}
					return nil
				}})
			client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), Identity: identity(me), ServerName: host, Clock: pki.Now})
			for _, resumed := range []bool{false, true} {
				accept(t, client, server, resumed)
				if p := last.Load(); p == nil || p.Resumed != resumed || len(p.Certificates) != 2 || !p.Certificates[0].Equal(me.Cert) || p.Verdict == nil || p.ServerName != host {
					t.Errorf("resumed %v: %+v", resumed, p)
				}
			}
			refusing.Store(true)
			if o := connect(t, client, server); o.serverErr == nil || !last.Load().Resumed {
				t.Errorf("%v, %s: resumed although no longer authorized", auth, tls.VersionName(version))
			}
			refusing.Store(false)
			if o := connect(t, client, server); !o.ok() {
				t.Errorf("%v, %s: authorized again: %v", auth, tls.VersionName(version), o.serverErr)
			}
			revoked.Store(true)
			if o := connect(t, client, server); o.serverErr == nil {
				t.Errorf("%v, %s: resumed although revoked", auth, tls.VersionName(version))
			}
		}
	}
}

// What was built from a Builder stays, whatever becomes of the Builder's slices.
func TestBuilderIsCopied(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	good := pki.Server(host)
	server := mustServer(t, tlsctx.Builder{Identity: identity(good), Clock: pki.Now})
	for kind, client := range asLive {
		pins := []truststore.Pin{truststore.PinKey(other.Root.Cert)}
		cfg := client(t, tlsctx.Builder{Trusted: store(pki.Root), Pins: pins, ServerName: host, Clock: pki.Now})
		pins[0] = truststore.PinKey(good.Cert)
		if o := connect(t, cfg, server); o.clientErr == nil {
			t.Errorf("%s: a pin was exchanged from outside", kind)
		}
	}
	pins := []truststore.Pin{truststore.PinKey(other.Root.Cert)}
	d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Pins: pins, Clock: pki.Now})
	pins[0] = truststore.PinKey(good.Cert)
	if _, err := newEcho(t, server).dial(t, d, host+":443"); err == nil {
		t.Error("Dialer: a pin was exchanged from outside")
	}
}
