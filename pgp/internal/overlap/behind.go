package overlap

import (
	"io"
)

// Behind writes what it has collected while more is collected. The caller
// of Flush owns the goroutine: it has ended when Flush returns, and Flush must
// be called on every path.
type Behind struct {
	W    io.Writer
	bufs [2][]byte
	cur  int
	busy chan error // nil when nothing is being written
	err  error
}

func (b *Behind) Write(p []byte) (n int, err error) {
	n = len(p)
	for len(p) > 0 && b.err == nil {
		buf := &b.bufs[b.cur]
		m := min(len(p), WorkSize-len(*buf))
		*buf = append(*buf, p[:m]...)
		p = p[m:]
		if len(*buf) == WorkSize {
			b.wait()
			if b.err != nil {
				break
			}
			full := *buf
			b.busy = make(chan error, 1)
			go func(done chan<- error) {
				_, err := b.W.Write(full)
				done <- err
			}(b.busy)
			b.cur = 1 - b.cur
			b.bufs[b.cur] = b.bufs[b.cur][:0]
		}
	}
	return n - len(p), b.err
}

func (b *Behind) wait() {
	if b.busy != nil {
		if err := <-b.busy; b.err == nil {
			b.err = err
		}
		b.busy = nil
	}
}

// Flush writes the rest and waits for all of it.
func (b *Behind) Flush() error {
	b.wait()
	if b.err == nil {
		_, b.err = b.W.Write(b.bufs[b.cur])
		b.bufs[b.cur] = b.bufs[b.cur][:0]
	}
	return b.err
}
