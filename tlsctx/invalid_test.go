package tlsctx_test

import (
	"crypto/tls"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// What is wrong has one sentinel and no other.
func TestOneSentinelEach(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	id, trust := identity(pki.Server(host)), store(pki.Root)
	var noTrust *truststore.Truststore
	var noSnapshot *truststore.Snapshot
	other := pki.Server("other.example").TLSCertificate()
	other.PrivateKey = pki.Server(host).Key
	client := func(b tlsctx.Builder) error {
		_, err := b.Client()
		_, live := b.LiveClient()
		if (err == nil) != (live == nil) {
			t.Errorf("Client: %v, LiveClient: %v", err, live)
		}
		return err
	}
	server := func(b tlsctx.Builder) error { _, err := b.Server(); return err }
	routes := new(tlsctx.Routes)
	for name, c := range map[string]struct{ err, want error }{
		"nil trust":                      {client(tlsctx.Builder{Trusted: noTrust, Global: trust}), trustkeep.ErrInvalid},
		"nil global trust":               {client(tlsctx.Builder{Global: noTrust}), trustkeep.ErrInvalid},
		"nil snapshot":                   {client(tlsctx.Builder{Trusted: noSnapshot}), trustkeep.ErrInvalid},
		"nil in a union":                 {client(tlsctx.Builder{Trusted: truststore.Union(trust, noTrust)}), trustkeep.ErrInvalid},
		"nil identity":                   {client(tlsctx.Builder{Trusted: trust, Identity: (*nothing)(nil)}), trustkeep.ErrInvalid},
		"nil identity of a server":       {server(tlsctx.Builder{Identity: (*nothing)(nil)}), trustkeep.ErrInvalid},
		"empty trust":                    {client(tlsctx.Builder{Trusted: truststore.New(), Global: trust}), trustkeep.ErrEmpty},
		"no pins":                        {client(tlsctx.Builder{Trusted: truststore.Pinned()}), trustkeep.ErrEmpty},
		"union of nothing":               {client(tlsctx.Builder{Trusted: truststore.Union()}), trustkeep.ErrEmpty},
		"empty trust of a server":        {server(tlsctx.Builder{Identity: id, Trusted: truststore.New(), ClientAuth: tlsctx.RequestClientAuth}), trustkeep.ErrEmpty},
		"empty identity":                 {client(tlsctx.Builder{Trusted: trust, Identity: tlsctx.StaticIdentity(tls.Certificate{})}), trustkeep.ErrEmpty},
		"empty identity of a server":     {server(tlsctx.Builder{Identity: tlsctx.StaticIdentity(tls.Certificate{})}), trustkeep.ErrEmpty},
		"another key":                    {server(tlsctx.Builder{Identity: tlsctx.StaticIdentity(other)}), trustkeep.ErrKeyMismatch},
		"another key of a client":        {client(tlsctx.Builder{Trusted: trust, Identity: tlsctx.StaticIdentity(other)}), trustkeep.ErrKeyMismatch},
		"a key that does not sign":       {client(tlsctx.Builder{Trusted: trust, Identity: tlsctx.StaticIdentity(tls.Certificate{Certificate: other.Certificate, PrivateKey: []byte("key")})}), trustkeep.ErrUnsupported},
		"a certificate that is none":     {client(tlsctx.Builder{Trusted: trust, Identity: tlsctx.StaticIdentity(tls.Certificate{Certificate: [][]byte{{1}}, PrivateKey: other.PrivateKey})}), trustkeep.ErrCorrupt},
		"no identity":                    {server(tlsctx.Builder{}), trustkeep.ErrInvalid},
		"no trust for clients":           {server(tlsctx.Builder{Identity: id, ClientAuth: tlsctx.RequireClientAuth}), trustkeep.ErrInvalid},
		"no such mode":                   {server(tlsctx.Builder{Identity: id, Trusted: trust, ClientAuth: 9}), trustkeep.ErrInvalid},
		"version too low":                {client(tlsctx.Builder{Trusted: trust, MinVersion: tls.VersionTLS10}), trustkeep.ErrInvalid},
		"version too high":               {client(tlsctx.Builder{Trusted: trust, MinVersion: 0x999}), trustkeep.ErrInvalid},
		"versions the wrong way round":   {client(tlsctx.Builder{Trusted: trust, MinVersion: tls.VersionTLS13, MaxVersion: tls.VersionTLS12}), trustkeep.ErrInvalid},
		"two lowest versions":            {client(tlsctx.Builder{Trusted: trust, MinVersion: tls.VersionTLS12, LegacyMinVersion: tls.VersionTLS10}), trustkeep.ErrInvalid},
		"legacy version that is none":    {client(tlsctx.Builder{Trusted: trust, LegacyMinVersion: tls.VersionTLS12}), trustkeep.ErrInvalid},
		"routes without a name":          {client(tlsctx.Builder{Trusted: trust, Routes: routes}), trustkeep.ErrInvalid},
		"no address":                     {client(tlsctx.Builder{Trusted: trust}.For("a b")), trustkeep.ErrInvalid},
		"nil identity of a route":        {routes.Set(host, (*nothing)(nil)), trustkeep.ErrInvalid},
		"no route":                       {routes.Remove(host), trustkeep.ErrNotFound},
		"no pattern":                     {routes.Set("*", id), trustkeep.ErrInvalid},
		"no destination":                 {new(tlsctx.Destinations).Remove(host), trustkeep.ErrNotFound},
		"relaxation that does not exist": {client(tlsctx.Builder{Trusted: trust, Allow: []truststore.Relaxation{"expird"}}), trustkeep.ErrInvalid},
		"pin of nothing":                 {client(tlsctx.Builder{Trusted: trust, Pins: []truststore.Pin{truststore.PinCertificate(nil)}}), trustkeep.ErrInvalid},
	} {
		for _, sentinel := range []error{
			trustkeep.ErrInvalid, trustkeep.ErrEmpty, trustkeep.ErrCorrupt, trustkeep.ErrUnsupported, trustkeep.ErrNotFound, trustkeep.ErrKeyMismatch,
			trustkeep.ErrExists, trustkeep.ErrExpired, trustkeep.ErrIncorrectPassword, trustkeep.ErrLimit, trustkeep.ErrRejected, trustkeep.ErrConflict,
		} {
			if errors.Is(c.err, sentinel) != (sentinel == c.want) {
				t.Errorf("%s: %v: is %v: %v", name, c.err, sentinel, sentinel != c.want)
			}
		}
	}
}

// nothing is an identity that does not look whether it is nil.
type nothing struct{ cert *tls.Certificate }

func (n *nothing) TLSCertificate() (*tls.Certificate, error) { return n.cert, nil }
