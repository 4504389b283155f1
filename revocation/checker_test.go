package revocation

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestStapledResponses(t *testing.T) {
	w := newWorld(t)
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other", Now: w.now})
	good := w.responder(x509.ExtKeyUsageOCSPSigning)
	for name, c := range map[string]struct {
		staple []byte
		want   string
	}{
		"none":                             {nil, "unknown"},
		"garbage":                          {[]byte("garbage"), "unknown"},
		"an error response":                {ocsp.TryLaterErrorResponse, "unknown"},
		"too long":                         {make([]byte, maxResponse+1), "unknown"},
		"good, by the issuer":              {w.response(ocsp.Good, nil, nil), "good"},
		"revoked, by the issuer":           {w.response(ocsp.Revoked, nil, nil), "revoked"},
		"unknown to the responder":         {w.response(ocsp.Unknown, nil, nil), "unknown"},
		"good, issuer enclosed":            {w.response(ocsp.Good, w.pki.Intermediate, nil), "good"},
		"good, by a delegate":              {w.response(ocsp.Good, good, nil), "good"},
		"revoked, by a delegate":           {w.response(ocsp.Revoked, good, nil), "revoked"},
		"by a certificate of no such use":  {w.response(ocsp.Good, w.responder(x509.ExtKeyUsageServerAuth), nil), "unknown"},
		"by the leaf about itself":         {w.response(ocsp.Good, w.leaf, nil), "unknown"},
		"by somebody else":                 {w.response(ocsp.Good, other.Intermediate, nil), "unknown"},
		"revoked, by somebody else":        {w.response(ocsp.Revoked, other.Intermediate, nil), "unknown"},
		"about another certificate":        {w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.SerialNumber = big.NewInt(4711) }), "unknown"},
		"stale":                            {w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.NextUpdate = w.now.Add(-10 * time.Minute) }), "unknown"},
		"stale within the skew":            {w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.NextUpdate = w.now.Add(-time.Minute) }), "good"},
		"of the future":                    {w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.ThisUpdate = w.now.Add(10 * time.Minute) }), "unknown"},
		"without end, of today":            {w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.NextUpdate = time.Time{} }), "good"},
		"without end, of the day before":   {w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.ThisUpdate, r.NextUpdate = w.now.Add(-25*time.Hour), time.Time{} }), "unknown"},
		"by a delegate that has run out":   {w.response(ocsp.Good, w.pki.Issue(testpki.Request{CommonName: "old", Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageOCSPSigning}, NotAfter: w.now.Add(-time.Minute), NotBefore: w.now.Add(-time.Hour)}), nil), "unknown"},
		"good, with SHA-256 of the issuer": {w.response(ocsp.Good, nil, func(r *ocsp.Response) { r.IssuerHash = 5 }), "good"},
	} {
		for _, mode := range []Mode{HardFail, SoftFail} {
			ch := w.checker(Options{Mode: mode, Coverage: LeafOnly})
			want := c.want
			if mode == SoftFail && want == "unknown" {
				want = "good"
			}
			err := ch.check(context.Background(), w.chain(), c.staple, w.now)
			if got := outcome(err); got != want {
				t.Errorf("%s, %v: %s, want %s: %v", name, mode, got, want, err)
			}
		}
	}
}

// A responder that speaks for two authorities with one key signs for both; what
// it says about number 1 of the one must not count for number 1 of the other.
func TestResponseOfAnotherIssuerWithTheSameSerial(t *testing.T) {
	w := newWorld(t)
	twin := w.pki.Issue(testpki.Request{CommonName: "Twin CA", CA: true, KeyOf: w.pki.Intermediate, Issuer: w.pki.Root})
	r := ocsp.Response{Status: ocsp.Good, IssuerHash: crypto.SHA256, SerialNumber: w.leaf.Cert.SerialNumber, ThisUpdate: w.now, NextUpdate: w.now.Add(time.Hour)}
	der, err := ocsp.CreateResponse(twin.Cert, twin.Cert, r, twin.Key)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.checker(Options{Coverage: LeafOnly}).check(context.Background(), w.chain(), der, w.now); outcome(err) != "unknown" || !strings.Contains(err.Error(), "another issuer") {
		t.Errorf("%v", err)
	}
}

func TestLists(t *testing.T) {
	w := newWorld(t)
	serial := w.leaf.Cert.SerialNumber
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other", Now: w.now})
	impostor := other.Issue(testpki.Request{CA: true, Edit: func(c *x509.Certificate) { c.Subject = w.pki.Intermediate.Cert.Subject }})
	scoped := func(value ...byte) func(*x509.RevocationList) {
		return func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{extension(oidDistribution, true, value...)}
		}
	}
	point := func(url string) func(*x509.RevocationList) {
		n := byte(len(url))
		return scoped(append([]byte{0x30, n + 6, 0xa0, n + 4, 0xa0, n + 2, 0x86, n}, url...)...)
	}
	for name, c := range map[string]struct {
		list []byte
		want string
	}{
		"clean":                  {w.list(w.pki.Intermediate, nil), "good"},
		"revoked":                {w.list(w.pki.Intermediate, nil, serial), "revoked"},
		"others revoked":         {w.list(w.pki.Intermediate, nil, big.NewInt(1), big.NewInt(2)), "good"},
		"of another issuer":      {w.list(other.Intermediate, nil, serial), "unknown"},
		"of an impostor":         {w.list(impostor, nil), "unknown"},
		"revoked by an impostor": {w.list(impostor, nil, serial), "unknown"},
		"stale":                  {w.list(w.pki.Intermediate, func(l *x509.RevocationList) { l.NextUpdate = w.now.Add(-10 * time.Minute) }), "unknown"},
		"stale, but revoked":     {w.list(w.pki.Intermediate, func(l *x509.RevocationList) { l.NextUpdate = w.now.Add(-10 * time.Minute) }, serial), "revoked"},
		"on hold":                {w.list(w.pki.Intermediate, func(l *x509.RevocationList) { l.RevokedCertificateEntries[0].ReasonCode = 6 }, serial), "revoked"},
		"of the future":          {w.list(w.pki.Intermediate, func(l *x509.RevocationList) { l.ThisUpdate = w.now.Add(10 * time.Minute) }), "unknown"},
		"delta":                  {w.list(w.pki.Intermediate, func(l *x509.RevocationList) { l.ExtraExtensions = []pkix.Extension{extension(oidDelta, true, 2, 1, 1)} }), "unknown"},
		"critical extension": {w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
			l.ExtraExtensions = []pkix.Extension{extension([]int{1, 2, 3}, true, 5, 0)}
		}), "unknown"},
		"for users only":         {w.list(w.pki.Intermediate, scoped(0x30, 3, 0x81, 1, 0xff)), "good"},
		"for authorities only":   {w.list(w.pki.Intermediate, scoped(0x30, 3, 0x82, 1, 0xff)), "unknown"},
		"for some reasons":       {w.list(w.pki.Intermediate, scoped(0x30, 4, 0x83, 2, 6, 0x40)), "unknown"},
		"revoked, some reasons":  {w.list(w.pki.Intermediate, scoped(0x30, 4, 0x83, 2, 6, 0x40), serial), "revoked"},
		"indirect":               {w.list(w.pki.Intermediate, scoped(0x30, 3, 0x84, 1, 0xff)), "unknown"},
		"malformed scope":        {w.list(w.pki.Intermediate, scoped(0x30, 9, 0x84)), "unknown"},
		"its distribution point": {w.list(w.pki.Intermediate, point(crlURL)), "good"},
		"another point":          {w.list(w.pki.Intermediate, point("http://crl.example/two")), "unknown"},
		"entry of another issuer": {w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
			l.RevokedCertificateEntries[0].ExtraExtensions = []pkix.Extension{extension([]int{2, 5, 29, 29}, true, 0x30, 0)}
		}, big.NewInt(1)), "unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			supplied := w.checker(Options{CRLs: []*CRL{w.rootList(), w.parsed(c.list)}})
			if err := supplied.check(context.Background(), w.chain(), nil, w.now); outcome(err) != c.want {
				t.Errorf("at hand: %v, want %s", err, c.want)
			}
			f := &fetcher{data: c.list}
			fetched := w.checker(Options{CRLs: []*CRL{w.rootList()}, FetchCRL: f.crl})
			for range 3 {
				if err := fetched.check(context.Background(), w.chain(), nil, w.now); outcome(err) != c.want {
					t.Errorf("fetched: %v, want %s", err, c.want)
				}
			}
			if f.n.Load() != 1 {
				t.Errorf("%d fetches", f.n.Load())
			}
		})
	}
}

func TestOCSPByHook(t *testing.T) {
	w := newWorld(t)
	for _, c := range []struct {
		status int
		want   string
	}{{ocsp.Good, "good"}, {ocsp.Revoked, "revoked"}, {ocsp.Unknown, "unknown"}} {
		var url string
		n := 0
		now := w.now
		ch := w.checker(Options{Coverage: LeafOnly, Clock: func() time.Time { return now }, FetchOCSP: func(_ context.Context, u string, request []byte) ([]byte, error) {
			n++
			url = u
			r, err := ocsp.ParseRequest(request)
			if err != nil || r.SerialNumber.Cmp(w.leaf.Cert.SerialNumber) != 0 {
				t.Errorf("request: %v, %v", r, err)
			}
			return w.response(c.status, nil, nil), nil
		}})
		for range 2 {
			if err := ch.check(context.Background(), w.chain(), nil, w.now); outcome(err) != c.want || url != ocspURL {
				t.Errorf("%d: %v, want %s; asked %q", c.status, err, c.want, url)
			}
		}
		if n != 1 {
			t.Errorf("asked %d times while the answer was valid", n)
		}
		now = now.Add(2 * time.Hour)
		ch.check(context.Background(), w.chain(), nil, now)
		// A revocation is final, and nothing is left to ask.
		if want := 2; n != want && !(c.want == "revoked" && n == 1) {
			t.Errorf("asked %d times after the answer had run out", n)
		}
	}
}

func TestFailedFetchIsNotRepeatedAtOnce(t *testing.T) {
	w := newWorld(t)
	now := w.now
	down := &fetcher{err: errors.New("down")}
	ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: down.crl, FetchOCSP: down.ocsp, Clock: func() time.Time { return now }})
	for range 5 {
		if err := ch.check(context.Background(), w.chain(), nil, w.now); outcome(err) != "unknown" || !strings.Contains(err.Error(), "down") {
			t.Errorf("%v", err)
		}
	}
	if down.n.Load() != 2 {
		t.Errorf("%d fetches", down.n.Load())
	}
	now = now.Add(time.Minute)
	down.data, down.err = w.list(w.pki.Intermediate, nil), nil
	if err := ch.check(context.Background(), w.chain(), nil, w.now); err != nil {
		t.Error(err)
	}
}

func TestAnswerOfOneSourceIsEnough(t *testing.T) {
	w := newWorld(t)
	serial := w.leaf.Cert.SerialNumber
	down := &fetcher{err: errors.New("down")}
	list := &fetcher{data: w.list(w.pki.Intermediate, nil)}
	if err := w.checker(Options{Coverage: LeafOnly, FetchOCSP: down.ocsp, FetchCRL: list.crl}).check(context.Background(), w.chain(), nil, w.now); err != nil {
		t.Error(err)
	}
	// What is stapled is chosen by the peer: a list at hand overrules it.
	ch := w.checker(Options{Coverage: LeafOnly, CRLs: []*CRL{w.parsed(w.list(w.pki.Intermediate, nil, serial))}})
	if err := ch.check(context.Background(), w.chain(), w.response(ocsp.Good, nil, nil), w.now); outcome(err) != "revoked" {
		t.Errorf("%v", err)
	}
}

func TestRequiredStaple(t *testing.T) {
	w := newWorld(t)
	list := w.parsed(w.list(w.pki.Intermediate, nil))
	plain := w.leaf
	must := w.pki.Issue(testpki.Request{Names: []string{"must.example"}, Edit: func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, extension(tlsFeature, false, 0x30, 3, 2, 1, 5))
	}})
	for _, c := range []struct {
		name    string
		leaf    *testpki.Identity
		require bool
		want    string
	}{
		{"not required", plain, false, "good"},
		{"required", plain, true, "unknown"},
		{"promised by the certificate", must, false, "unknown"},
	} {
		for _, mode := range []Mode{HardFail, SoftFail} {
			w.leaf = c.leaf
			ch := w.checker(Options{Mode: mode, Coverage: LeafOnly, CRLs: []*CRL{list}, RequireStaple: c.require})
			if err := ch.check(context.Background(), w.chain(), nil, w.now); outcome(err) != c.want {
				t.Errorf("%s, %v, without: %v", c.name, mode, err)
			}
			if err := ch.check(context.Background(), w.chain(), w.response(ocsp.Good, nil, nil), w.now); err != nil {
				t.Errorf("%s, %v, with: %v", c.name, mode, err)
			}
		}
	}
}

func TestIntermediates(t *testing.T) {
	w := newWorld(t)
	clean := w.parsed(w.list(w.pki.Intermediate, nil))
	revoked := w.parsed(w.list(w.pki.Root, nil, w.pki.Intermediate.Cert.SerialNumber))
	for _, c := range []struct {
		name  string
		scope Coverage
		lists []*CRL
		want  string
	}{
		{"revoked", WholeChain, []*CRL{clean, revoked}, "revoked"},
		{"revoked, leaf only", LeafOnly, []*CRL{clean, revoked}, "good"},
		{"silent", WholeChain, []*CRL{clean}, "unknown"},
		{"clean", WholeChain, []*CRL{clean, w.rootList()}, "good"},
	} {
		if err := w.checker(Options{Coverage: c.scope, CRLs: c.lists}).check(context.Background(), w.chain(), nil, w.now); outcome(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// Exact trust says who it is, and not whether it was revoked.
func TestExactlyTrusted(t *testing.T) {
	w := newWorld(t)
	self := w.pki.SelfSigned("self.example")
	must := w.pki.Issue(testpki.Request{Names: []string{"must.example"}, Edit: func(c *x509.Certificate) {
		c.ExtraExtensions = append(c.ExtraExtensions, extension(tlsFeature, false, 0x30, 3, 2, 1, 5))
	}})
	issuer := w.pki.Intermediate.Cert
	revoking := []*CRL{w.parsed(w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber))}
	clean := []*CRL{w.parsed(w.list(w.pki.Intermediate, nil))}
	const unknown, good, selfSigned, exempt = truststore.RevocationUnknown, truststore.RevocationGood, truststore.RevocationSelfSigned, truststore.RevocationExempted
	for _, c := range []struct {
		name         string
		cert, issuer *x509.Certificate
		o            Options
		want         string
		status       truststore.RevocationStatus
	}{
		{"no issuer", w.leaf.Cert, nil, Options{}, "unknown", ""},
		{"no issuer, soft", w.leaf.Cert, nil, Options{Mode: SoftFail}, "good", unknown},
		{"no issuer, staple required", w.leaf.Cert, nil, Options{Mode: SoftFail, RequireStaple: true}, "unknown", ""},
		{"no issuer, staple promised", must.Cert, nil, Options{Mode: SoftFail}, "unknown", ""},
		{"no issuer, listed", w.leaf.Cert, nil, Options{Mode: SoftFail, CRLs: revoking}, "revoked", ""},
		{"silence", w.leaf.Cert, issuer, Options{}, "unknown", ""},
		{"silence, soft", w.leaf.Cert, issuer, Options{Mode: SoftFail}, "good", unknown},
		{"staple required", w.leaf.Cert, issuer, Options{Mode: SoftFail, RequireStaple: true}, "unknown", ""},
		{"staple promised", must.Cert, issuer, Options{Mode: SoftFail}, "unknown", ""},
		{"listed", w.leaf.Cert, issuer, Options{CRLs: revoking}, "revoked", ""},
		{"clean", w.leaf.Cert, issuer, Options{CRLs: clean}, "good", good},
		{"self-signed", self.Cert, self.Cert, Options{RequireStaple: true}, "good", selfSigned},
		{"exempt", w.leaf.Cert, nil, Options{RequireStaple: true}, "good", exempt},
	} {
		ch := w.checker(c.o)
		q := truststore.RevocationQuestion{Chain: []*x509.Certificate{c.cert}, Issuer: c.issuer, At: w.now}
		if c.name == "exempt" {
			q.Exempt = q.Chain
		}
		results, err := ch.CheckRevocation(t.Context(), q)
		if outcome(err) != c.want {
			t.Errorf("%s: %v", c.name, err)
		}
		if err == nil && (len(results) != 1 || results[0].Status != c.status || (results[0].Reason != nil) != (c.status == unknown)) {
			t.Errorf("%s: %v", c.name, results)
		}
	}
}

// The results say what was found out about each certificate.
func TestResults(t *testing.T) {
	w := newWorld(t)
	const good, unknown, anchor = truststore.RevocationGood, truststore.RevocationUnknown, truststore.RevocationAnchor
	clean := []*CRL{w.parsed(w.list(w.pki.Intermediate, nil))}
	for _, c := range []struct {
		o      Options
		exempt []*x509.Certificate
		want   []truststore.RevocationStatus
	}{
		{Options{CRLs: append(clean, w.rootList())}, nil, []truststore.RevocationStatus{good, good, anchor}},
		{Options{CRLs: clean, Mode: SoftFail}, nil, []truststore.RevocationStatus{good, unknown, anchor}},
		{Options{CRLs: clean, Coverage: LeafOnly}, nil, []truststore.RevocationStatus{good, truststore.RevocationSkipped, anchor}},
		{Options{CRLs: clean}, []*x509.Certificate{w.pki.Intermediate.Cert}, []truststore.RevocationStatus{good, truststore.RevocationExempted, anchor}},
	} {
		results, err := w.checker(c.o).CheckRevocation(t.Context(), truststore.RevocationQuestion{Chain: w.chain(), Exempt: c.exempt, At: w.now})
		if err != nil {
			t.Error(err)
		}
		var got []truststore.RevocationStatus
		for i, r := range results {
			if got = append(got, r.Status); r.Certificate != w.chain()[i] {
				t.Errorf("result %d is about another certificate", i)
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%v, want %v", got, c.want)
		}
	}
}

func TestSoftFailReports(t *testing.T) {
	w := newWorld(t)
	var told []string
	ch := w.checker(Options{Mode: SoftFail, OnUnknown: func(c *x509.Certificate, err error) {
		told = append(told, c.Subject.CommonName+": "+err.Error())
	}})
	if err := ch.check(context.Background(), w.chain(), nil, w.now); err != nil {
		t.Fatal(err)
	}
	if len(told) != 2 || !strings.HasPrefix(told[1], "peer.example: no list") {
		t.Errorf("%q", told)
	}
}

func TestManyAskOnce(t *testing.T) {
	w := newWorld(t)
	release := make(chan struct{})
	f := &fetcher{data: w.list(w.pki.Intermediate, nil)}
	ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: func(ctx context.Context, url string) ([]byte, error) {
		<-release
		return f.crl(ctx, url)
	}})
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			if err := ch.check(context.Background(), w.chain(), nil, w.now); err != nil {
				t.Error(err)
			}
		})
	}
	close(release)
	wg.Wait()
	if f.n.Load() != 1 {
		t.Errorf("%d fetches", f.n.Load())
	}
}

// One caller's lost patience is not kept against the source.
func TestCancelledFetchIsRepeated(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	f := &fetcher{data: w.list(w.pki.Intermediate, nil)}
	ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: func(c context.Context, url string) ([]byte, error) {
		if ctx.Err() == nil {
			cancel()
			<-c.Done()
			return nil, c.Err()
		}
		return f.crl(c, url)
	}})
	if err := ch.check(ctx, w.chain(), nil, w.now); outcome(err) != "unknown" || !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	if err := ch.check(context.Background(), w.chain(), nil, w.now); err != nil {
		t.Errorf("%v", err)
	}
}

func TestCacheIsBounded(t *testing.T) {
	w := newWorld(t)
	list := w.list(w.pki.Intermediate, nil)
	f := &fetcher{data: list}
	limit := int64(5 * (4*len(list) + slotSize + 64))
	ch := w.checker(Options{Coverage: LeafOnly, FetchCRL: f.crl, MaxCached: limit})
	for i := range 50 {
		leaf := w.pki.Issue(testpki.Request{Names: []string{"peer.example"}, Edit: func(c *x509.Certificate) {
			c.CRLDistributionPoints = []string{"http://crl.example/" + string(rune('A'+i))}
		}})
		if err := ch.check(context.Background(), leaf.Chain, nil, w.now); err != nil {
			t.Fatal(err)
		}
		if ch.cache.size > limit || len(ch.cache.entries) > 5 {
			t.Fatalf("%d bytes in %d entries", ch.cache.size, len(ch.cache.entries))
		}
	}
	for key, s := range ch.cache.entries {
		ch.cache.remove(key, s)
	}
	if ch.cache.size != 0 {
		t.Errorf("%d bytes in no entries", ch.cache.size)
	}
}

func TestMistakes(t *testing.T) {
	for name, o := range map[string]Options{"mode": {Mode: 9}, "coverage": {Coverage: 9}, "nil list": {CRLs: []*CRL{nil}}} {
		if _, err := New(o); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	var missing *Checker
	if err := missing.check(context.Background(), nil, nil, time.Time{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}
