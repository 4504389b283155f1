package tlsctx

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"slices"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep/truststore"
)

// keptVerdicts spares resumed handshakes the work of deciding again about the same
// certificates under the same name. All else that decides is that of one decider, which
// has them; they count while every certificate of the path is valid.
type keptVerdicts struct {
	mu sync.RWMutex
	of map[verdictKey]keptVerdict
}

// verdictKey is what a verdict was asked about: the whole of what the peer presented,
// since another chain may lead the same certificate elsewhere or nowhere.
type verdictKey struct {
	name  string
	chain [sha256.Size]byte
}

type keptVerdict struct {
	verdict             *truststore.Verdict
	notBefore, notAfter time.Time
}

// maxKept bounds the verdicts of one generation.
const maxKept = 1024

func keyOf(name string, chain []*x509.Certificate) verdictKey {
	h := sha256.New()
	for _, c := range chain {
		h.Write(c.Raw)
	}
	k := verdictKey{name: name}
	h.Sum(k.chain[:0])
	return k
}

// judgement is a verdict on what crypto/tls has verified. Certificates are compared by their
// addresses, which are the same within a session.
type judgement struct {
	name     string
	sent     []*x509.Certificate
	verified [][]*x509.Certificate
	keptVerdict
}

// about reports whether the verdict is about the very same question and still counts.
func (j *judgement) about(name string, s tls.ConnectionState, now time.Time) bool {
	return j.name == name && j.valid(now) && slices.Equal(j.sent, s.PeerCertificates) &&
		slices.EqualFunc(j.verified, s.VerifiedChains, slices.Equal)
}

// find returns a verdict that still counts, nil for none.
func (k *keptVerdicts) find(key verdictKey, now time.Time) *truststore.Verdict {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v, ok := k.of[key]
	if !ok || !v.valid(now) {
		return nil
	}
	return v.verdict
}

func (v keptVerdict) valid(now time.Time) bool {
	return !now.Before(v.notBefore) && !now.After(v.notAfter)
}

// keepable is a verdict with the time in which every certificate of its path is valid. One about
// a certificate that has ended, which a relaxation can accept, is never valid again.
func keepable(v *truststore.Verdict) keptVerdict {
	kept := keptVerdict{verdict: v, notBefore: v.Chain[0].NotBefore, notAfter: v.Chain[0].NotAfter}
	for _, c := range v.Chain[1:] {
		if c.NotBefore.After(kept.notBefore) {
			kept.notBefore = c.NotBefore
		}
		if c.NotAfter.Before(kept.notAfter) {
			kept.notAfter = c.NotAfter
		}
	}
	return kept
}

// keep remembers a verdict.
func (k *keptVerdicts) keep(key verdictKey, v *truststore.Verdict) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.of == nil || len(k.of) >= maxKept {
		k.of = make(map[verdictKey]keptVerdict)
	}
	k.of[key] = keepable(v)
}
