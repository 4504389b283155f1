package tlsctx_test

import (
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestMayBeEmpty: what is built before anything is trusted refuses everybody, system
// roots or not, and accepts as soon as something is.
func TestMayBeEmpty(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	serverID := identity(pki.Server("localhost"))
	server := mustServer(t, tlsctx.Builder{Identity: serverID})
	for name, set := range map[string]func(*tlsctx.Builder, *truststore.Truststore){
		"global":  func(b *tlsctx.Builder, s *truststore.Truststore) { b.Global = s },
		"trusted": func(b *tlsctx.Builder, s *truststore.Truststore) { b.Trusted, b.Global = s, store(pki.Root) },
	} {
		t.Run(name, func(t *testing.T) {
			trust := truststore.New()
			b := tlsctx.Builder{ServerName: "localhost", MayBeEmpty: true}
			set(&b, trust)
			if e := b.Explain(); len(e.Errors) > 0 || e.Trust.Anchors != 0 {
				t.Errorf("%+v", e)
			}
			live, err := b.LiveClient()
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.Transport(nil); err != nil {
				t.Error(err)
			}
			o := refuse(t, live, server)
			if e := explained(t, b.ExplainError(o.clientErr)); e.Code != truststore.CodeEmptyStore {
				t.Errorf("%s: %v", e.Code, e)
			}
			refuse(t, mustClient(t, b), server)
			if err := trust.Add("", pki.Root.Cert); err != nil {
				t.Fatal(err)
			}
			accept(t, live, server, false)
			accept(t, mustClient(t, b), server, false)
		})
	}
	t.Run("server", func(t *testing.T) {
		trust := truststore.New()
		server := mustServer(t, tlsctx.Builder{Identity: serverID, Global: trust, ClientAuth: tlsctx.RequireClientAuth, MayBeEmpty: true})
		client := mustClient(t, tlsctx.Builder{Global: store(pki.Root), ServerName: "localhost", Identity: identity(pki.Client("c"))})
		refuse(t, client, server)
		if err := trust.Add("", pki.Root.Cert); err != nil {
			t.Fatal(err)
		}
		accept(t, client, server, false)
	})
	t.Run("a missing store is an error all the same", func(t *testing.T) {
		var none *truststore.Truststore
		for _, b := range []tlsctx.Builder{{Global: none, MayBeEmpty: true}, {Trusted: none, MayBeEmpty: true}} {
			if _, err := b.Client(); !errors.Is(err, trustkeep.ErrInvalid) {
				t.Errorf("%v", err)
			}
		}
	})
}
