package tlsctx_test

import (
	"context"
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// nilChecker is somebody else's, who does not look whether it is nil.
type nilChecker struct{ err error }

func (n *nilChecker) CheckRevocation(context.Context, truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	return nil, n.err
}

// A nil pointer for a checker is refused when something is built, and panics in no handshake.
func TestNilCheckerIsInvalid(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for _, checker := range []truststore.RevocationChecker{(*revocation.Checker)(nil), (*nilChecker)(nil)} {
		b := tlsctx.Builder{Identity: identity(pki.Server(host)), Trusted: store(pki.Root), ClientAuth: tlsctx.RequireClientAuth, Clock: pki.Now, Revocation: checker}
		_, client := b.Client()
		_, live := b.LiveClient()
		_, dialer := b.Dialer()
		_, server := b.Server()
		for what, err := range map[string]error{"Client": client, "LiveClient": live, "Dialer": dialer, "Server": server} {
			if !errors.Is(err, trustkeep.ErrInvalid) {
				t.Errorf("%s with %T: %v", what, checker, err)
			}
		}
		if e := b.Explain(); len(e.Errors) != 1 {
			t.Errorf("%T: %q", checker, e.Errors)
		}
	}
}
