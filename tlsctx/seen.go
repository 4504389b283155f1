package tlsctx

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/truststore"
)

// Seen remembers the peers that were accepted of late, to find out what a change of
// trust would do to them before it is made. It is safe for concurrent use. One may serve
// many Builders; since Plan asks about all of its peers alike, those had better have the
// same trust and policy.
type Seen struct {
	limit int

	mu    sync.Mutex
	peers map[seenKey]*SeenPeer
}

type seenKey struct {
	purpose truststore.Purpose
	name    string
	chain   [sha256.Size]byte
}

// SeenPeer is a peer that was accepted.
type SeenPeer struct {
	// Name that it was accepted under; empty for clients.
	Name string
	// Purpose is truststore.Server for servers, truststore.Client for clients.
	Purpose truststore.Purpose
	// Chain is what it sent, its own certificate first.
	Chain []*x509.Certificate
	// Count of handshakes, the first and the last time of them.
	Count       uint64
	First, Last time.Time
}

// defaultSeen is what NewSeen remembers by default.
const defaultSeen = 10_000

// NewSeen returns a Seen for at most limit peers, which differ in name or
// certificates; zero stands for 10,000. Beyond it, those are forgotten that were last
// seen the longest ago.
func NewSeen(limit int) *Seen {
	if limit <= 0 {
		limit = defaultSeen
	}
	return &Seen{limit: limit, peers: make(map[seenKey]*SeenPeer)}
}

// note remembers a peer.
func (s *Seen) note(purpose truststore.Purpose, name string, chain []*x509.Certificate, now time.Time) {
	h := sha256.New()
	for _, c := range chain {
		h.Write(c.Raw)
	}
	key := seenKey{purpose: purpose, name: name}
	h.Sum(key.chain[:0])
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[key]
	if p == nil {
		if len(s.peers) >= s.limit {
			s.forget()
		}
		p = &SeenPeer{Name: name, Purpose: purpose, Chain: slices.Clone(chain), First: now}
		s.peers[key] = p
	}
	p.Count++
	p.Last = now
}

// forget drops the tenth that was last seen the longest ago.
func (s *Seen) forget() {
	type aged struct {
		key  seenKey
		last time.Time
	}
	var all []aged
	for k, p := range s.peers {
		all = append(all, aged{k, p.Last})
	}
	slices.SortFunc(all, func(a, b aged) int { return a.last.Compare(b.last) })
	for _, a := range all[:max(1, len(all)/10)] {
		delete(s.peers, a.key)
	}
}

// Peers returns the peers, by name, the last seen first among those of one name.
func (s *Seen) Peers() []SeenPeer {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]SeenPeer, 0, len(s.peers))
	for _, p := range s.peers {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b SeenPeer) int {
		if c := strings.Compare(a.Name, b.Name); c != 0 {
			return c
		}
		return b.Last.Compare(a.Last)
	})
	return out
}

// Plan is what a change of trust would do.
type Plan struct {
	// Checked is how many peers were replayed.
	Checked int
	// Failing are those that would no longer be accepted.
	Failing []PlanFailure
	// Store describes the trust that was asked, Generation which of it.
	Store      string
	Generation uint64
}

// PlanFailure is a peer that would no longer be accepted, and why.
type PlanFailure struct {
	Peer SeenPeer
	Err  *truststore.VerifyError
}

// Plan replays the peers that were seen against other trust, under the Builder's
// policy otherwise (Allow and Pins; Revocation and Authorize are not asked), at its
// clock. Nothing changes by it.
//
// The error is that of the source, or trustkeep.ErrEmpty where Builder.Seen is nil.
func (b Builder) Plan(next truststore.Source) (*Plan, error) {
	if b.Seen == nil {
		return nil, &trustkeep.Error{Op: "tlsctx: plan", Err: trustkeep.ErrEmpty, Hint: "set Builder.Seen on those whose peers are to be remembered"}
	}
	trust, err := rawSnapshot(next)
	if err != nil {
		return nil, fmt.Errorf("tlsctx: plan: %w", err)
	}
	plan := &Plan{Store: trust.String(), Generation: trust.Generation()}
	for _, p := range b.Seen.Peers() {
		plan.Checked++
		_, err := trust.Verify(p.Chain, truststore.VerifyOptions{Purpose: p.Purpose, Name: p.Name, Time: b.now(), Allow: b.Allow, Pins: b.Pins})
		var refused *truststore.VerifyError
		if errors.As(err, &refused) {
			plan.Failing = append(plan.Failing, PlanFailure{p, refused})
		}
	}
	return plan, nil
}

// String lists who would fail and why.
func (p *Plan) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%d of %d peers seen would be refused by %s\n", len(p.Failing), p.Checked, p.Store)
	for _, f := range p.Failing {
		who := f.Peer.Purpose.String()
		if f.Peer.Name != "" {
			who += " " + trustkeep.Printable(f.Peer.Name)
		}
		fmt.Fprintf(&out, "%s, seen %d times, last on %s: %s: %s\n", who, f.Peer.Count, f.Peer.Last.UTC().Format(time.DateTime), f.Err.Code, f.Err.Sentence())
	}
	return out.String()
}

// MarshalJSON yields {"checked","store","generation","failing":[{"name","purpose",
// "count","last","error"}]}.
func (p *Plan) MarshalJSON() ([]byte, error) {
	type failing struct {
		Name    string                  `json:"name"`
		Purpose truststore.Purpose      `json:"purpose"`
		Count   uint64                  `json:"count"`
		Last    time.Time               `json:"last"`
		Err     *truststore.VerifyError `json:"error"`
	}
	out := struct {
		Checked    int       `json:"checked"`
		Store      string    `json:"store"`
		Generation uint64    `json:"generation"`
		Failing    []failing `json:"failing"`
	}{p.Checked, p.Store, p.Generation, []failing{}}
	for _, f := range p.Failing {
		out.Failing = append(out.Failing, failing{trustkeep.Printable(f.Peer.Name), f.Peer.Purpose, f.Peer.Count, f.Peer.Last, f.Err})
	}
	return json.Marshal(out)
}

// noting wraps the last decision about a peer: what passes it is remembered.
func (b Builder) noting(purpose truststore.Purpose, name string, decide func(tls.ConnectionState) error) func(tls.ConnectionState) error {
	if b.Seen == nil {
		return decide
	}
	return func(s tls.ConnectionState) error {
		if decide != nil {
			if err := decide(s); err != nil {
				return err
			}
		}
		if len(s.PeerCertificates) > 0 {
			n := name
			if n == "" && purpose == truststore.Server {
				n = s.ServerName
			}
			b.Seen.note(purpose, n, s.PeerCertificates, b.now())
		}
		return nil
	}
}
