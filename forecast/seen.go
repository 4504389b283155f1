package forecast

import (
	"crypto/sha256"
	"crypto/x509"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Seen records peers that were accepted recently and have proved to have their keys. Set
// Builder.Accepted to its method Note. The
// zero Seen is ready for use; do not copy it. It is safe for concurrent use.
//
// Plan replays all peers of a Seen in the same way, so share one only among Builders with the
// same trust and policy.
type Seen struct {
	// Limit is the number of peers kept; they differ in name or certificates. If zero, 10,000.
	// The least recently seen are dropped first. Set it before the first call of Note.
	Limit int
	// Clock tells when a peer was seen. If nil, time.Now.
	Clock func() time.Time

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
	// Name under which it was accepted; empty for clients.
	Name string
	// Purpose is truststore.Server for servers, truststore.Client for clients.
	Purpose truststore.Purpose
	// Chain that it sent, its own certificate first.
	Chain []*x509.Certificate
	// Count of handshakes, and the times of the first and the last one.
	Count       uint64
	First, Last time.Time
}

// defaultLimit is what a Seen remembers by default.
const defaultLimit = 10_000

// Note records a peer that sent certificates. Set Builder.Accepted to it.
func (s *Seen) Note(peer tlsctx.Peer) {
	if len(peer.Certificates) == 0 {
		return
	}
	now := time.Now
	if s.Clock != nil {
		now = s.Clock
	}
	at := now()
	key := seenKey{purpose: peer.Purpose}
	if peer.Purpose == truststore.Server {
		key.name = peer.ServerName
	}
	h := sha256.New()
	for _, c := range peer.Certificates {
		h.Write(c.Raw)
	}
	h.Sum(key.chain[:0])
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.peers[key]
	if p == nil {
		if s.peers == nil {
			s.peers = make(map[seenKey]*SeenPeer)
		}
		s.makeRoom()
		p = &SeenPeer{Name: key.name, Purpose: key.purpose, Chain: slices.Clone(peer.Certificates), First: at}
		s.peers[key] = p
	}
	p.Count++
	p.Last = at
}

// makeRoom drops the least recently seen tenth if the limit is reached.
func (s *Seen) makeRoom() {
	limit := s.Limit
	if limit <= 0 {
		limit = defaultLimit
	}
	if len(s.peers) < limit {
		return
	}
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

// Peers returns the peers sorted by name; those of the same name, last seen first.
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
