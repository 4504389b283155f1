package tlsctx

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

const keptHost = "server.example"

// A verdict that is kept stands in for a decision only where the decision would be the
// same. Each case changes one thing after a handshake that was accepted, and the resumed
// one must be refused for it.
func TestKeptVerdictsCoverWhatDecides(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	forger := testpki.New(t, testpki.Options{}) // whose authorities have the same names
	start := pki.Now()
	year := start.AddDate(1, 0, 0)
	long := func(issuer *testpki.Identity) *testpki.Identity {
		return pki.Issue(testpki.Request{Names: []string{keptHost}, Issuer: issuer, NotBefore: start.AddDate(-1, 0, 0), NotAfter: year})
	}
	shortCA := pki.Issue(testpki.Request{CommonName: "Short CA", CA: true, Issuer: pki.Root, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Hour)})
	shortRoot := pki.Issue(testpki.Request{CommonName: "Short root", CA: true, SelfSigned: true, NotBefore: start.Add(-time.Hour), NotAfter: start.Add(time.Hour)})
	leaf, underShortCA, underShortRoot := pki.Server(keptHost), long(shortCA), long(shortRoot)
	commonName := pki.CommonNameOnly(keptHost)
	serverOnly := pki.Server(keptHost)
	trustIn := func(ids ...*testpki.Identity) *truststore.Snapshot {
		var certs []*x509.Certificate
		for _, id := range ids {
			certs = append(certs, id.Cert)
		}
		s, err := truststore.New(certs...).Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	scoped := truststore.New(pki.Root.Cert)
	if err := scoped.SetScope(scoped.Aliases()[0], truststore.Scope{Until: start.Add(time.Hour)}); err != nil {
		t.Fatal(err)
	}
	untilSoon, err := scoped.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	sent := func(id *testpki.Identity) []*x509.Certificate { return id.Chain[:max(1, len(id.Chain)-1)] }

	// question is all that a decision depends on.
	type question struct {
		b       Builder
		trust   *truststore.Snapshot
		purpose truststore.Purpose
		name    string
		chain   []*x509.Certificate
		at      time.Time
	}
	plain := question{trust: trustIn(pki.Root), name: keptHost, chain: sent(leaf), at: start}
	denied := errors.New("denied")
	for _, c := range []struct {
		name   string
		first  func(*question)
		change func(*question)
		fresh  bool // by another decider: what is changed does not change within one
		code   trustkeep.Code
	}{
		{name: "name", change: func(q *question) { q.name = "other.example" }, code: truststore.CodeNameMismatch},
		{name: "no name", change: func(q *question) { q.name = "" }, code: truststore.CodeNoName},
		{name: "certificate", change: func(q *question) { q.chain = sent(other.Server(keptHost)) }, code: truststore.CodeUnknownIssuer},
		{name: "certificate alone", change: func(q *question) { q.chain = []*x509.Certificate{forger.Server(keptHost).Cert, q.chain[1]} }, code: truststore.CodeUnknownIssuer},
		{name: "issuer left out", change: func(q *question) { q.chain = q.chain[:1] }, code: truststore.CodeIncompleteChain},
		{name: "issuer exchanged", change: func(q *question) { q.chain = []*x509.Certificate{leaf.Cert, other.Intermediate.Cert} }, code: truststore.CodeUnknownIssuer},
		{name: "end of the certificate", change: func(q *question) { q.at = leaf.Cert.NotAfter.Add(time.Second) }, code: truststore.CodeExpired},
		{name: "before the certificate", change: func(q *question) { q.at = leaf.Cert.NotBefore.Add(-time.Second) }, code: truststore.CodeNotYetValid},
		{name: "end of the issuer", first: func(q *question) { q.chain = sent(underShortCA) },
			change: func(q *question) { q.at = start.Add(2 * time.Hour) }, code: truststore.CodeExpired},
		{name: "before the issuer", first: func(q *question) { q.chain = sent(underShortCA) },
			change: func(q *question) { q.at = start.Add(-2 * time.Hour) }, code: truststore.CodeNotYetValid},
		{name: "end of the anchor", first: func(q *question) { q.chain, q.trust = sent(underShortRoot), trustIn(shortRoot) },
			change: func(q *question) { q.at = start.Add(2 * time.Hour) }, code: truststore.CodeExpired},
		{name: "end of what is relaxed in its name", first: func(q *question) {
			q.chain, q.trust, q.b.Allow = sent(commonName), trustIn(commonName), []truststore.Relaxation{truststore.AllowCommonName}
		}, change: func(q *question) { q.at = commonName.Cert.NotAfter.Add(time.Second) }, code: truststore.CodeExpired},
		{name: "end of the scope", first: func(q *question) { q.trust = untilSoon },
			change: func(q *question) { q.at = start.Add(2 * time.Hour) }, code: truststore.CodeOutOfScope},
		{name: "trust", change: func(q *question) { q.trust = trustIn(other.Root) }, fresh: true, code: truststore.CodeUnknownIssuer},
		{name: "purpose", first: func(q *question) { q.chain = sent(serverOnly) },
			change: func(q *question) { q.purpose, q.name = truststore.Client, "" }, fresh: true, code: truststore.CodeWrongUsage},
		{name: "pins", change: func(q *question) { q.b.Pins = []truststore.Pin{truststore.PinKey(other.Root.Cert)} }, fresh: true, code: truststore.CodePinMismatch},
		{name: "relaxations", first: func(q *question) {
			q.chain, q.trust, q.b.Allow = sent(commonName), trustIn(commonName), []truststore.Relaxation{truststore.AllowCommonName}
		}, change: func(q *question) { q.b.Allow = nil }, fresh: true, code: truststore.CodeCommonNameOnly},
	} {
		t.Run(c.name, func(t *testing.T) {
			var now time.Time
			make := func(q question) *decider {
				q.b.Clock = func() time.Time { return now }
				return q.b.decider(q.trust, q.purpose)
			}
			ask := func(d *decider, q question, resumed bool) error {
				now = q.at
				return d.decide(context.Background(), q.name, tls.ConnectionState{PeerCertificates: q.chain, DidResume: resumed, ServerName: q.name})
			}
			q := plain
			if c.first != nil {
				c.first(&q)
			}
			d := make(q)
			for _, resumed := range []bool{false, true} {
				if err := ask(d, q, resumed); err != nil {
					t.Fatalf("resumed %v: %v", resumed, err)
				}
			}
			c.change(&q)
			if c.fresh {
				d = make(q)
			}
			for _, resumed := range []bool{true, false} {
				refused, ok := errors.AsType[*truststore.VerifyError](ask(d, q, resumed))
				if !ok {
					t.Errorf("resumed %v: accepted", resumed)
				} else if refused.Code != c.code {
					t.Errorf("resumed %v: %s, want %s: %v", resumed, refused.Code, c.code, refused)
				}
			}
		})
	}

	// What is asked each time, although a verdict is kept.
	var revoked, unauthorized bool
	var verdicts []*truststore.Verdict
	b := Builder{Clock: pki.Now, Allow: []truststore.Relaxation{truststore.AllowCommonName},
		Revocation: checker(func() error {
			if revoked {
				return trustkeep.ErrRevoked
			}
			return nil
		}),
		Authorize: func(_ context.Context, p Peer) error {
			verdicts = append(verdicts, p.Verdict)
			if unauthorized {
				return denied
			}
			return nil
		}}
	d := b.decider(trustIn(commonName), truststore.Server)
	resume := func() error {
		return d.decide(context.Background(), keptHost, tls.ConnectionState{PeerCertificates: sent(commonName), DidResume: true})
	}
	if err := errors.Join(resume(), resume()); err != nil {
		t.Fatal(err)
	}
	if len(verdicts) != 2 || verdicts[0] != verdicts[1] || !slices.Equal(verdicts[1].Relaxations, b.Allow) {
		t.Errorf("no verdict was kept: %v", verdicts)
	}
	if unauthorized = true; !errors.Is(resume(), denied) {
		t.Error("Authorize was not asked")
	}
	if unauthorized, revoked = false, true; !errors.Is(resume(), trustkeep.ErrRevoked) {
		t.Error("Revocation was not asked")
	}
}

type checker func() error

func (c checker) CheckRevocation(context.Context, truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	return nil, c()
}

// The same on top of crypto/tls: a judgement counts again for the session that it was about and
// no other.
func TestJudgementsCoverWhatDecides(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	leaf, stranger := pki.Server(keptHost), other.Server(keptHost)
	snapshot, err := truststore.New(pki.Root.Cert).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	now := pki.Now()
	var revoked error
	var verdicts []*truststore.Verdict
	var b Builder
	b.Clock = func() time.Time { return now }
	b.Pins = []truststore.Pin{truststore.PinKey(leaf.Cert).For(keptHost), truststore.PinKey(stranger.Cert)}
	b.Authorize = func(_ context.Context, p Peer) error { verdicts = append(verdicts, p.Verdict); return nil }
	state := func(id *testpki.Identity) tls.ConnectionState {
		return tls.ConnectionState{PeerCertificates: id.Chain[:2], VerifiedChains: [][]*x509.Certificate{id.Chain}, DidResume: true}
	}
	good := state(leaf)
	foreign := good
	foreign.VerifiedChains = [][]*x509.Certificate{stranger.Chain}
	for name, c := range map[string]struct {
		change func()
		name   string
		s      tls.ConnectionState
	}{
		"name":            {func() {}, "other.example", good},
		"certificate":     {func() {}, keptHost, state(stranger)},
		"verified chains": {func() {}, "other.example", foreign},
		"time":            {func() { now = leaf.Cert.NotAfter.Add(time.Second) }, keptHost, good},
		"before":          {func() { now = leaf.Cert.NotBefore.Add(-time.Second) }, keptHost, good},
		"revocation":      {func() { revoked = trustkeep.ErrRevoked }, keptHost, good},
	} {
		for _, asks := range []bool{false, true} {
			if name == "revocation" && !asks {
				continue
			}
			now, revoked, verdicts = pki.Now(), nil, nil
			b.Revocation = nil
			if asks {
				b.Revocation = checker(func() error { return revoked })
			}
			d := b.narrower(snapshot, truststore.Server)
			for range 2 {
				if err := d.decide(t.Context(), keptHost, good); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
			}
			if len(verdicts) != 2 || !asks && verdicts[0] != verdicts[1] {
				t.Errorf("%s: judged anew: %v", name, verdicts)
			}
			c.change()
			if err := d.decide(t.Context(), c.name, c.s); err == nil {
				t.Errorf("%s, revocation %v: the judgement is about something else", name, asks)
			}
		}
	}
}

// The memory for verdicts is bounded.
func TestKeptVerdictsAreBounded(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	v := &truststore.Verdict{Chain: pki.Server(keptHost).Chain}
	var k keptVerdicts
	for i := range 3 * maxKept {
		k.keep(verdictKey{name: string(rune('a' + i))}, v)
	}
	if len(k.of) > maxKept {
		t.Errorf("%d verdicts are kept", len(k.of))
	}
}
