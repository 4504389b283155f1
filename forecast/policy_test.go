package forecast_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/forecast"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// asksNobody is a checker that must not be asked.
type asksNobody struct{ t *testing.T }

func (a asksNobody) CheckRevocation(context.Context, truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	a.t.Error("Plan asks Revocation")
	return nil, errors.New("asked")
}

// TestPlanWithPolicy: a plan refuses whom a handshake under the same policy refuses, for the
// same reason, and asks neither Revocation nor Authorize.
func TestPlanWithPolicy(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	const name = "one.example"
	good, expired, commonName := pki.Server(name), pki.Expired(name), pki.CommonNameOnly(name)
	onlyClients := pki.Issue(testpki.Request{Names: []string{name}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
	scoped := func(scope truststore.Scope) truststore.Source {
		s := store(pki.Root)
		check(t, s.SetScope(s.Aliases()[0], scope))
		return s
	}
	for what, c := range map[string]struct {
		peer *testpki.Identity
		next truststore.Source
		more func(*tlsctx.Builder)
		want trustkeep.Code // empty if it passes
	}{
		"no policy":             {good, store(pki.Root), func(*tlsctx.Builder) {}, ""},
		"pin that fits":         {good, store(pki.Root), func(b *tlsctx.Builder) { b.Pins = []truststore.Pin{truststore.PinKey(good.Cert)} }, ""},
		"another pin":           {good, store(pki.Root), func(b *tlsctx.Builder) { b.Pins = []truststore.Pin{truststore.PinKey(expired.Cert)} }, truststore.CodePinMismatch},
		"pin of an issuer":      {good, store(pki.Root), func(b *tlsctx.Builder) { b.Pins = []truststore.Pin{truststore.PinKey(pki.Root.Cert)} }, truststore.CodePinMismatch},
		"expired":               {expired, store(expired), func(*tlsctx.Builder) {}, truststore.CodeExpired},
		"expired, allowed":      {expired, store(expired), func(b *tlsctx.Builder) { b.Allow = []truststore.Relaxation{truststore.AllowExpired} }, ""},
		"expired, other leave":  {expired, store(expired), func(b *tlsctx.Builder) { b.Allow = []truststore.Relaxation{truststore.AllowCommonName} }, truststore.CodeExpired},
		"common name":           {commonName, store(commonName), func(b *tlsctx.Builder) { b.Allow = []truststore.Relaxation{truststore.AllowCommonName} }, ""},
		"common name, by chain": {commonName, store(pki.Root), func(b *tlsctx.Builder) { b.Allow = []truststore.Relaxation{truststore.AllowCommonName} }, truststore.CodeCommonNameOnly},
		"later": {good, store(pki.Root), func(b *tlsctx.Builder) {
			b.Clock = func() time.Time { return pki.Now().Add(48 * time.Hour) }
		}, truststore.CodeExpired},
		"strict":                    {good, store(pki.Root), func(b *tlsctx.Builder) { b.Policy = truststore.Strict() }, ""},
		"strict, a CA as server":    {pki.CALeaf(name), store(pki.Root), func(b *tlsctx.Builder) { b.Policy = truststore.Strict() }, truststore.CodePeerIsAuthority},
		"scope":                     {good, scoped(truststore.Scope{Names: []string{name}}), func(*tlsctx.Builder) {}, ""},
		"scope of others":           {good, scoped(truststore.Scope{Names: []string{"two.example"}}), func(*tlsctx.Builder) {}, truststore.CodeOutOfScope},
		"scope of clients":          {good, scoped(truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}}), func(*tlsctx.Builder) {}, truststore.CodeOutOfScope},
		"usage of clients":          {onlyClients, store(pki.Root), func(*tlsctx.Builder) {}, truststore.CodeWrongUsage},
		"not trusted, whatever pin": {good, store(other.Root), func(b *tlsctx.Builder) { b.Pins = []truststore.Pin{truststore.PinKey(good.Cert)} }, truststore.CodeUnknownIssuer},
	} {
		b := tlsctx.Builder{Clock: pki.Now}
		c.more(&b)
		chain := []*x509.Certificate{c.peer.Cert, pki.Intermediate.Cert}
		seen := &forecast.Seen{Clock: pki.Now}
		seen.Note(tlsctx.Peer{Purpose: truststore.Server, ServerName: name, Certificates: chain})
		asking := b
		asking.Revocation, asking.Authorize = asksNobody{t}, func(context.Context, tlsctx.Peer) error {
			t.Error("Plan asks Authorize")
			return errors.New("asked")
		}
		plan := must(seen.Plan(asking, c.next))(t)
		got := trustkeep.Code("")
		if len(plan.Failing) > 0 {
			got = codeOf(plan.Failing[0].Err)
		}
		if plan.Checked != 1 || (len(plan.Failing) > 0) != (c.want != "") || got != c.want {
			t.Errorf("%s: %q, want %q: %v", what, got, c.want, plan)
		}

		b.Trusted = c.next
		server := &tls.Config{Certificates: []tls.Certificate{c.peer.TLSCertificate()}, Time: pki.Now}
		err := dial(t, server, must(b.Dialer())(t), name+":443")
		code := trustkeep.Code("")
		if e, ok := errors.AsType[*tlsctx.HandshakeError](err); ok {
			code = e.Code
		}
		if (err != nil) != (c.want != "") || code != c.want {
			t.Errorf("%s: a handshake says %q: %v", what, code, err)
		}
	}

	// Clients have no name, and their own usage counts.
	for what, c := range map[string]struct {
		peer *testpki.Identity
		want trustkeep.Code
	}{"client": {pki.Client("me"), ""}, "server": {good, truststore.CodeWrongUsage}} {
		seen := &forecast.Seen{Clock: pki.Now}
		seen.Note(tlsctx.Peer{Purpose: truststore.Client, ServerName: name, Certificates: []*x509.Certificate{c.peer.Cert, pki.Intermediate.Cert}})
		plan := must(seen.Plan(tlsctx.Builder{Clock: pki.Now}, store(pki.Root)))(t)
		if (len(plan.Failing) > 0) != (c.want != "") || c.want != "" && codeOf(plan.Failing[0].Err) != c.want {
			t.Errorf("%s as a client: %v", what, plan)
		}
	}
}
