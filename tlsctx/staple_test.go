package tlsctx_test

import (
	"errors"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// What a server staples reaches the checker, in full and resumed handshakes, and is
// judged by signature and date each time.
func TestStapledAnswers(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	now := &clock{now: pki.Now()}
	checker, err := revocation.New(revocation.Options{RequireStaple: true, Coverage: revocation.LeafOnly, Clock: now.Now})
	if err != nil {
		t.Fatal(err)
	}
	id := pki.Server(host)
	staple := func(status int) []byte {
		t.Helper()
		r := ocsp.Response{Status: status, SerialNumber: id.Cert.SerialNumber, ThisUpdate: pki.Now().Add(-time.Minute), NextUpdate: pki.Now().Add(time.Hour), RevokedAt: pki.Now().Add(-time.Minute)}
		der, err := ocsp.CreateResponse(pki.Intermediate.Cert, pki.Intermediate.Cert, r, pki.Intermediate.Key)
		if err != nil {
			t.Fatal(err)
		}
		return der
	}
	for _, version := range versions {
		for name, c := range map[string]struct {
			staple []byte
			code   trustkeep.Code
		}{"good": {staple(ocsp.Good), ""}, "revoked": {staple(ocsp.Revoked), "revoked"}, "none": {nil, "revocation-unknown"}, "garbage": {[]byte("garbage"), "revocation-unknown"}} {
			cert := id.TLSCertificate()
			cert.OCSPStaple = c.staple
			server := mustServer(t, tlsctx.Builder{Identity: tlsctx.StaticIdentity(cert), Clock: now.Now})
			b := tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: now.Now, MaxVersion: version, Revocation: checker}
			client := mustClient(t, b)
			if c.code != "" {
				err := b.ExplainError(refuse(t, client, server).clientErr)
				if e := explained(t, err); e.Code != c.code || errors.Is(err, trustkeep.ErrRevoked) != (name == "revoked") {
					t.Errorf("%s: %v", name, e)
				}
				continue
			}
			accept(t, client, server, false)
			accept(t, client, server, true)
			now.advance(2 * time.Hour) // the answer has run out
			refuse(t, client, server)
			now.advance(-2 * time.Hour)
		}
	}
}
