package environment

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep/sshctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// seenHosts remembers the hosts that a connection of SSH has accepted, each with its key: those seen
// last, up to a number.
type seenHosts struct {
	limit int
	clock func() time.Time

	mu  sync.Mutex
	all map[string]seenPeer // by address and key
}

func (s *seenHosts) note(h sshctx.Host) {
	key := h.Key.Marshal()
	id := fmt.Sprintf("%s %x", h.Address, key)
	s.mu.Lock()
	defer s.mu.Unlock()
	p, known := s.all[id]
	if !known {
		if len(s.all) >= s.limit {
			oldest := ""
			for id, p := range s.all {
				if oldest == "" || p.Last.Before(s.all[oldest].Last) {
					oldest = id
				}
			}
			delete(s.all, oldest)
		}
		p = seenPeer{Name: h.Address, HostKey: key}
	}
	p.Count++
	p.Last = s.clock()
	s.all[id] = p
}

// notingHosts returns what remembers the hosts of a connection; nil for nothing.
func (a *Atom) notingHosts(use connectionUse) func(sshctx.Host) {
	if a.o.Seen < 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.hostsBy[use]
	if s == nil {
		s = &seenHosts{limit: a.o.Seen, clock: a.r.now, all: make(map[string]seenPeer)}
		if a.hostsBy == nil {
			a.hostsBy = make(map[connectionUse]*seenHosts)
		}
		a.hostsBy[use] = s
	}
	return s.note
}

// hostPeers are the hosts that were seen, in the form that is stored.
func (a *Atom) hostPeers() []seenPeer {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []seenPeer
	for use, s := range a.hostsBy {
		s.mu.Lock()
		for _, p := range s.all {
			p.Connection, p.Process = use.connection, use.process
			p.HostKey = slices.Clone(p.HostKey)
			out = append(out, p)
		}
		s.mu.Unlock()
	}
	return out
}

// judgeHost decides about a host of SSH by what the inventory has.
func (v *inventory) judgeHost(env string, c Connection, p seenPeer, now time.Time) *truststore.VerifyError {
	if c.SSH == nil {
		return refusal(errors.New("the connection is one of TLS"))
	}
	from, err := c.SSH.in(v, env)
	if err != nil {
		return refusal(err)
	}
	hosts, err := from.hosts()
	if err != nil {
		return refusal(err)
	}
	key, err := ssh.ParsePublicKey(p.HostKey)
	if err != nil {
		return refusal(err)
	}
	_, err = hosts.Verify(p.Name, key, sshctx.VerifyOptions{Time: now, MinRSABits: c.SSH.MinRSABits})
	return refusal(err)
}
