package sshctx

import (
	"errors"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips/fipstest"
)

// Where FIPS is enforced, there is an error and no panic.
func TestFIPSOnly(t *testing.T) {
	if !fipstest.Only(t) {
		return
	}
	pub := public(t, newEd25519(t))
	b := Builder{Trusted: Pinned(PinKey(pub)), User: "u", Authorized: new(AuthorizedKeys), Identities: []Identity{FromSigner(newEd25519(t))}}
	for _, err := range []error{
		second(b.Client("a")), second(b.Dialer()), second(b.Server()), second(FetchHostKeys(t.Context(), "127.0.0.1", FetchOptions{})),
	} {
		if !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Error(err)
		}
	}
	k, err := ParseKnownHosts([]byte("|1|AAAAAAAAAAAAAAAAAAAAAAAAAAA=|AAAAAAAAAAAAAAAAAAAAAAAAAAA= " + keyText(pub) + "\n" + keyLine("a", pub)))
	if err != nil {
		t.Fatal(err)
	}
	if f := k.Findings(); len(f) != 1 {
		t.Error(f)
	}
	if err := second(k.current().hosts.Verify("a", pub, VerifyOptions{})); err != nil {
		t.Error(err)
	}
	k.o.HashNames = true
	if err := k.Add("b", pub); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Error(err)
	}
}
