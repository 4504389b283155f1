package revocation

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testpki"
)

// listSpec describes a list of the intermediate authority for the tables below.
type listSpec struct {
	number  int64         // of the list; 0 for none
	age     time.Duration // since thisUpdate
	valid   time.Duration // from thisUpdate to nextUpdate
	reasons []int         // of the entries for the leaf
	scope   []byte        // value of the issuing distribution point
	more    []pkix.Extension
}

func (w *world) listOf(s listSpec) []byte {
	return w.list(w.pki.Intermediate, func(l *x509.RevocationList) {
		l.Number = big.NewInt(s.number)
		l.ThisUpdate = w.now.Add(-s.age)
		l.NextUpdate = l.ThisUpdate.Add(s.valid)
		for _, reason := range s.reasons {
			l.RevokedCertificateEntries = append(l.RevokedCertificateEntries, x509.RevocationListEntry{
				SerialNumber: w.leaf.Cert.SerialNumber, RevocationTime: w.now.Add(-100 * time.Hour), ReasonCode: reason,
			})
		}
		if s.scope != nil {
			l.ExtraExtensions = append(l.ExtraExtensions, extension(oidDistribution, true, s.scope...))
		}
		l.ExtraExtensions = append(l.ExtraExtensions, s.more...)
	})
}

// permutations yields every order.
func permutations[T any](s []T, yield func([]T)) {
	var rec func(done, left []T)
	rec = func(done, left []T) {
		if len(left) == 0 {
			yield(done)
		}
		for i := range left {
			rec(append(slices.Clone(done), left[i]), slices.Delete(slices.Clone(left), i, i+1))
		}
	}
	rec(nil, s)
}

// What several lists say together does not depend on their order, nor on whether they are at
// hand, were fetched, or are kept from before.
func TestSeveralLists(t *testing.T) {
	w := newWorld(t)
	const h = time.Hour
	users, authorities := []byte{0x30, 3, 0x81, 1, 0xff}, []byte{0x30, 3, 0x82, 1, 0xff}
	attributes, indirect := []byte{0x30, 3, 0x85, 1, 0xff}, []byte{0x30, 3, 0x84, 1, 0xff}
	someReasons := []byte{0x30, 4, 0x83, 2, 6, 0x40}
	delta := []pkix.Extension{extension(oidDelta, true, 2, 1, 1)}
	for name, c := range map[string]struct {
		lists []listSpec
		want  string
	}{
		"newer revokes":                         {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 1 * h, 24 * h, []int{1}, nil, nil}}, "revoked"},
		"older revokes":                         {[]listSpec{{1, 9 * h, 24 * h, []int{1}, nil, nil}, {2, 1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"expired one revokes":                   {[]listSpec{{1, 90 * h, 24 * h, []int{4}, nil, nil}, {2, 1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"without a reason":                      {[]listSpec{{1, 90 * h, 24 * h, []int{0}, nil, nil}, {2, 1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"one for authorities revokes":           {[]listSpec{{1, 9 * h, 24 * h, []int{1}, authorities, nil}, {2, 1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"a delta revokes":                       {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 1 * h, 24 * h, []int{1}, nil, delta}}, "revoked"},
		"an indirect one revokes":               {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 1 * h, 24 * h, []int{1}, indirect, nil}}, "revoked"},
		"one for some reasons revokes":          {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 1 * h, 24 * h, []int{1}, someReasons, nil}}, "revoked"},
		"one not yet valid revokes":             {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, -1 * h, 24 * h, []int{1}, nil, nil}}, "revoked"},
		"attribute certificates are others":     {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 1 * h, 24 * h, []int{1}, attributes, nil}}, "good"},
		"hold":                                  {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 1 * h, 24 * h, []int{6}, nil, nil}}, "revoked"},
		"hold ended":                            {[]listSpec{{1, 9 * h, 24 * h, []int{6}, nil, nil}, {2, 1 * h, 24 * h, nil, nil, nil}}, "good"},
		"hold ended, thrice":                    {[]listSpec{{1, 9 * h, 24 * h, []int{6}, nil, nil}, {3, 1 * h, 24 * h, nil, nil, nil}, {2, 5 * h, 24 * h, []int{6}, nil, nil}}, "good"},
		"hold of an expired newest":             {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 5 * h, 1 * h, []int{6}, nil, nil}}, "revoked"},
		"hold ended by an expired one":          {[]listSpec{{1, 9 * h, 24 * h, []int{6}, nil, nil}, {2, 5 * h, 1 * h, nil, nil, nil}}, "unknown"},
		"hold ended by one not yet valid":       {[]listSpec{{1, 9 * h, 24 * h, []int{6}, nil, nil}, {2, -1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"hold ended elsewhere":                  {[]listSpec{{1, 9 * h, 24 * h, []int{6}, nil, nil}, {2, 1 * h, 24 * h, nil, authorities, nil}}, "revoked"},
		"hold ended by a delta alone":           {[]listSpec{{1, 9 * h, 24 * h, []int{6}, nil, nil}, {2, 1 * h, 24 * h, []int{8}, nil, delta}}, "revoked"},
		"hold by a delta":                       {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 1 * h, 24 * h, []int{6}, nil, delta}}, "revoked"},
		"hold by a delta, then ended":           {[]listSpec{{1, 9 * h, 24 * h, []int{6}, nil, delta}, {2, 1 * h, 24 * h, nil, nil, nil}}, "good"},
		"the number counts before the date":     {[]listSpec{{2, 9 * h, 24 * h, []int{6}, nil, nil}, {1, 1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"the number counts, clean":              {[]listSpec{{2, 9 * h, 24 * h, nil, nil, nil}, {1, 1 * h, 24 * h, []int{6}, nil, nil}}, "good"},
		"numbers of two scopes":                 {[]listSpec{{9, 9 * h, 24 * h, []int{6}, nil, nil}, {1, 1 * h, 24 * h, nil, users, nil}}, "good"},
		"numbers of two scopes, hold":           {[]listSpec{{9, 9 * h, 24 * h, nil, nil, nil}, {1, 1 * h, 24 * h, []int{6}, users, nil}}, "revoked"},
		"same number and date":                  {[]listSpec{{1, 1 * h, 24 * h, []int{6}, nil, nil}, {1, 1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"expired alone":                         {[]listSpec{{1, 9 * h, 1 * h, nil, nil, nil}}, "unknown"},
		"expired newest, current older":         {[]listSpec{{1, 9 * h, 24 * h, nil, nil, nil}, {2, 5 * h, 1 * h, nil, nil, nil}}, "good"},
		"delta alone":                           {[]listSpec{{1, 1 * h, 24 * h, nil, nil, delta}}, "unknown"},
		"serial twice, final first":             {[]listSpec{{1, 1 * h, 24 * h, []int{1, 8}, nil, nil}}, "revoked"},
		"serial twice, final last":              {[]listSpec{{1, 1 * h, 24 * h, []int{8, 1}, nil, nil}}, "revoked"},
		"serial twice, hold and final, expired": {[]listSpec{{1, 90 * h, 24 * h, []int{1, 6}, nil, nil}, {2, 1 * h, 24 * h, nil, nil, nil}}, "revoked"},
		"removed":                               {[]listSpec{{1, 1 * h, 24 * h, []int{8}, nil, nil}}, "good"},
	} {
		ders := make([][]byte, len(c.lists))
		for i, s := range c.lists {
			ders[i] = w.listOf(s)
		}
		permutations(ders, func(order [][]byte) {
			held := []*CRL{}
			for _, der := range order {
				held = append(held, w.parsed(der))
			}
			ch := w.checker(Options{Coverage: LeafOnly, CRLs: held})
			if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want {
				t.Errorf("%s, at hand: %v", name, err)
			}
			// Each under a URL of its own; those that are fetched are kept for the next.
			leaf := w.pki.Issue(testpki.Request{Names: []string{"peer.example"}, Edit: func(l *x509.Certificate) {
				l.SerialNumber = w.leaf.Cert.SerialNumber
				for i := range order {
					l.CRLDistributionPoints = append(l.CRLDistributionPoints, "http://crl.example/"+string(rune('a'+i)))
				}
			}})
			fetch := func(_ context.Context, url string) ([]byte, error) { return order[url[len(url)-1]-'a'], nil }
			// A list at hand that is current spares the fetching.
			first := outcome(w.checker(Options{Coverage: LeafOnly, CRLs: held[:1]}).check(t.Context(), w.chain(), nil, w.now))
			for _, o := range []Options{{FetchCRL: fetch}, {FetchCRL: fetch, CRLs: held[:1]}} {
				o.Coverage = LeafOnly
				ch = w.checker(o)
				for i := range 2 {
					err := ch.check(t.Context(), leaf.Chain, nil, w.now)
					if got := outcome(err); got != c.want && !(o.CRLs != nil && first != "unknown" && got == first) {
						t.Errorf("%s, fetched, %d: %v", name, i, err)
					}
				}
			}
		})
	}
}

// A list that another has signed in the issuer's name neither clears nor revokes.
func TestUnauthenticListsDecideNothing(t *testing.T) {
	w := newWorld(t)
	other := testpki.New(t, testpki.Options{Name: "Other", Seed: "other", Now: w.now})
	impostor := other.Issue(testpki.Request{CA: true, Edit: func(c *x509.Certificate) { c.Subject = w.pki.Intermediate.Cert.Subject }})
	newest := func(l *x509.RevocationList) { l.Number, l.ThisUpdate = big.NewInt(99), w.now }
	hold := w.listOf(listSpec{1, time.Hour, 24 * time.Hour, []int{6}, nil, nil})
	clean := w.listOf(listSpec{1, time.Hour, 24 * time.Hour, nil, nil, nil})
	for name, c := range map[string]struct {
		lists [][]byte
		want  string
	}{
		"clears":  {[][]byte{hold, w.list(impostor, newest)}, "revoked"},
		"revokes": {[][]byte{clean, w.list(impostor, newest, w.leaf.Cert.SerialNumber)}, "good"},
	} {
		permutations(c.lists, func(order [][]byte) {
			ch := w.checker(Options{Coverage: LeafOnly, CRLs: []*CRL{w.parsed(order[0]), w.parsed(order[1])}})
			if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != c.want {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
}

// A decision for a time that has passed does not keep the list from later ones, and the
// other way round.
func TestPastDecisionPoisonsNothing(t *testing.T) {
	w := newWorld(t)
	list := w.list(w.pki.Intermediate, nil, w.leaf.Cert.SerialNumber)
	response := w.response(1, nil, nil)
	past := w.now.Add(-30 * 24 * time.Hour)
	for name, o := range map[string]Options{
		"list": {FetchCRL: func(context.Context, string) ([]byte, error) { return list, nil }},
		"OCSP": {FetchOCSP: func(context.Context, string, []byte) ([]byte, error) { return response, nil }},
	} {
		o.Coverage, o.Mode = LeafOnly, SoftFail
		ch := w.checker(o)
		if err := ch.check(t.Context(), w.chain(), nil, past); err != nil {
			t.Errorf("%s, before it was revoked: %v", name, err)
		}
		for range 2 {
			if err := ch.check(t.Context(), w.chain(), nil, w.now); outcome(err) != "revoked" {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Lists that were fetched count for every certificate of their issuer, whatever URL it names.
func TestKeptListCountsForTheIssuer(t *testing.T) {
	w := newWorld(t)
	silent := w.pki.Issue(testpki.Request{Names: []string{"silent.example"}, Edit: func(c *x509.Certificate) { c.CRLDistributionPoints = []string{"http://down.example/"} }})
	list := w.list(w.pki.Intermediate, nil, silent.Cert.SerialNumber)
	ch := w.checker(Options{Mode: SoftFail, Coverage: LeafOnly, FetchCRL: func(_ context.Context, url string) ([]byte, error) {
		if url == crlURL {
			return list, nil
		}
		return nil, errors.New("down")
	}})
	if err := ch.check(t.Context(), w.chain(), nil, w.now); err != nil {
		t.Error(err)
	}
	if err := ch.check(t.Context(), silent.Chain, nil, w.now); outcome(err) != "revoked" {
		t.Error(err)
	}
}
