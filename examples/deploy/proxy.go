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
	open map[net.Conn]net.Conn // to the atom and to NATS
}

func newProxy(target string) (*proxy, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: listener, target: target, open: make(map[net.Conn]net.Conn)}
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

// cutOff ends all connections and lets none come up. It returns how many there were.
func (p *proxy) cutOff() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = true
	n := len(p.open)
	for atom, nats := range p.open {
		atom.Close()
		nats.Close()
	}
	return n
}

// mend lets connections come up again.
func (p *proxy) mend() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = false
}

func (p *proxy) stop() error {
	err := p.listener.Close()
	p.cutOff()
	p.running.Wait()
	return err
}

// carry copies both ways until one side has ended.
func (p *proxy) carry(atom net.Conn) {
	defer atom.Close()
	nats, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer nats.Close()
	if !p.admit(atom, nats) {
		return
	}
	defer p.forget(atom)
	var both sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{atom: nats, nats: atom} {
		both.Go(func() {
			defer to.Close()
			io.Copy(to, from)
		})
	}
	both.Wait()
}

func (p *proxy) admit(atom, nats net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.cut {
		p.open[atom] = nats
	}
	return !p.cut
}

func (p *proxy) forget(atom net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.open, atom)
}
