package tlsctx_test

import (
	"path/filepath"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// TestKeystoreIdentity: a keystore's identity is presented, makes nobody trusted
// by itself, and does once its certificates are copied.
func TestKeystoreIdentity(t *testing.T) {
	changeit := trustkeep.Password("changeit")
	path := filepath.Join("..", "truststore", "testdata", "keys.p12")
	ks, err := keystore.Load(path, changeit)
	must(t, err)
	id, err := ks.Identity("server")
	must(t, err)
	server := mustServer(t, tlsctx.Builder{Identity: id})

	if trust, err := truststore.Load(path, changeit); err == nil {
		t.Fatalf("a keystore was read as trust: %v", trust)
	}
	trust, err := truststore.FromKeystore(ks)
	must(t, err)
	if trust.Len() != 3 {
		t.Errorf("copied %q", trust.Aliases())
	}
	client := mustClient(t, tlsctx.Builder{Trusted: trust, ServerName: host})
	accept(t, client, server, false)
	accept(t, client, server, true)
}
