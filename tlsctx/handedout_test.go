package tlsctx_test

import (
	"crypto/tls"
	"testing"

	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// Whoever wraps GetConfigForClient, and changes for one client what it returns, changes nothing for
// the others.
func TestConfigOfOneClientIsNotThatOfOthers(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	b := tlsctx.Builder{Identity: identity(pki.Server(host)), Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth, Clock: pki.Now}
	for name, one := range map[string]tlsctx.Builder{
		"verified by crypto/tls": b,
		"concealed":              func() tlsctx.Builder { b := b; b.ConcealCAs = true; return b }(),
	} {
		server, err := one.Server()
		must(t, err)
		for _, cfg := range []*tls.Config{server, server.Clone()} {
			mine, err := cfg.GetConfigForClient(&tls.ClientHelloInfo{ServerName: host})
			must(t, err)
			mine.ClientAuth, mine.VerifyConnection, mine.ClientCAs, mine.MinVersion = tls.NoClientCert, nil, nil, tls.VersionTLS10
			client := mustClient(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now})
			if connect(t, client, server).serverErr == nil {
				t.Errorf("%s: a client without a certificate was accepted", name)
			}
		}
	}
}
