package tlsctx

import (
	"container/list"
	"context"
	"fmt"
	"sync"
	"time"
)

// pendingHandshakes are those under way, the oldest first. The zero value has none.
type pendingHandshakes struct {
	mu  sync.Mutex
	all list.List // of pendingHandshake
}

type pendingHandshake struct {
	since time.Time
	end   context.CancelCauseFunc
}

func (p *pendingHandshakes) add(end context.CancelCauseFunc) *list.Element {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.PushBack(pendingHandshake{time.Now(), end})
}

func (p *pendingHandshakes) remove(e *list.Element) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e.Value.(pendingHandshake).end(nil)
	p.all.Remove(e)
}

// oldest returns nil if there is none.
func (p *pendingHandshakes) oldest() *list.Element {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all.Front()
}

// errCrowded ends a handshake that takes long while others wait.
var errCrowded = fmt.Errorf("tlsctx: the handshake took long, and others waited: %w", context.DeadlineExceeded)

// crowdedShare is the part of the timeout that handshakes have while others wait.
const crowdedShare = 10

// crowdPause is how long a crowd lasts at least before a handshake ends for it. In that time, one that was
// ended gives back its slot, unless a hook keeps it.
const crowdPause = time.Millisecond

func (l *Listener) handshakeTimeout() time.Duration {
	if l.HandshakeTimeout > 0 {
		return l.HandshakeTimeout
	}
	return defaultHandshakeTimeout
}

// slot takes a slot, or waits until the oldest handshake is over or has taken too long for a
// crowd. It returns false after Close.
func (l *Listener) slot(slots chan<- struct{}) bool {
	for {
		select {
		case slots <- struct{}{}:
			return true
		default:
		}
		var late <-chan time.Time // never, if all wait for Accept
		oldest := l.pending.oldest()
		if oldest != nil {
			since := oldest.Value.(pendingHandshake).since
			timer := time.NewTimer(max(crowdPause, time.Until(since.Add(l.handshakeTimeout()/crowdedShare))))
			defer timer.Stop()
			late = timer.C
		}
		select {
		case slots <- struct{}{}:
			return true
		case <-l.ctx.Done():
			return false
		case <-late:
			oldest.Value.(pendingHandshake).end(errCrowded)
			l.pending.remove(oldest)
		}
	}
}
