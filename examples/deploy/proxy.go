package main

import (
	"io"
	"net"
	"sync"
)

// proxy stands between an atom and NATS, and can cut it off.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu   sync.Mutex
	cut  bool
	open map[net.Conn]bool
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, open: make(map[net.Conn]bool)}
	p.running.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return // stopped
			}
			p.running.Go(func() { p.carry(conn) })
		}
	})
	return p, nil
}

func (p *proxy) address() string { return p.listener.Addr().String() }

// cutOff ends all connections and lets none come up, or lets them come up again.
func (p *proxy) cutOff(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = on
	if on {
		for conn := range p.open {
			conn.Close()
		}
	}
}

func (p *proxy) stop() error {
	err := p.listener.Close()
	p.cutOff(true)
	p.running.Wait()
	return err
}

// carry copies both ways until one side has ended.
func (p *proxy) carry(atom net.Conn) {
	defer atom.Close()
	if !p.admit(atom) {
		return
	}
	defer p.forget(atom)
	nats, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer nats.Close()
	if !p.admit(nats) {
		return
	}
	defer p.forget(nats)
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{atom: nats, nats: atom} {
		both.Go(func() {
			defer to.Close()
			io.Copy(to, from)
		})
	}
	both.Wait()
}

func (p *proxy) admit(conn net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cut {
		p.open[conn] = true
	}
	return !p.cut
}

func (p *proxy) forget(conn net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, conn)
}
