package natskv

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// TestMain makes the test binary a server, for tests that kill it.
func TestMain(m *testing.M) {
	if dir := os.Getenv("NATSKV_TEST_STORE"); dir != "" {
		os.Exit(serve(dir, os.Getenv("NATSKV_TEST_PORT")))
	}
	os.Exit(m.Run())
}

// broker is a NATS server in this process, on a port of its own.
type broker struct {
	t       testing.TB
	options server.Options
	*server.Server
}

func newBroker(t testing.TB, edit func(*server.Options)) *broker {
	t.Helper()
	b := &broker{t: t, options: server.Options{
		Host: "127.0.0.1", Port: -1, JetStream: true, StoreDir: t.TempDir(), NoSigs: true, NoLog: true,
	}}
	if edit != nil {
		edit(&b.options)
	}
	b.start()
	b.options.Port = b.Addr().(*net.TCPAddr).Port
	t.Cleanup(func() { b.stop() })
	return b
}

func (b *broker) start() {
	b.t.Helper()
	o := b.options
	s, err := server.NewServer(&o)
	if err != nil {
		b.t.Fatal(err)
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		b.t.Fatal("the NATS server does not start")
	}
	b.Server = s
}

func (b *broker) stop() {
	b.Shutdown()
	b.WaitForShutdown()
}

// restart stops the server and starts it on the same files.
func (b *broker) restart() {
	b.t.Helper()
	b.stop()
	b.start()
}

// serve is a NATS server that says where it is and lives until its input ends.
func serve(dir, port string) int {
	n, err := strconv.Atoi(port)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: n, JetStream: true, StoreDir: dir, NoSigs: true, NoLog: true})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s.Start()
	if !s.ReadyForConnections(20 * time.Second) {
		fmt.Fprintln(os.Stderr, "not ready")
		return 1
	}
	fmt.Println(s.Addr().(*net.TCPAddr).Port)
	io.Copy(io.Discard, os.Stdin)
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}

// process is a NATS server in a process of its own.
type process struct {
	t    testing.TB
	dir  string
	port string
	cmd  *exec.Cmd
	in   io.Closer
}

func newProcess(t testing.TB) *process {
	t.Helper()
	p := &process{t: t, dir: t.TempDir(), port: "-1"}
	p.start()
	t.Cleanup(p.kill)
	return p
}

func (p *process) address() string { return net.JoinHostPort("127.0.0.1", p.port) }

func (p *process) start() {
	p.t.Helper()
	p.cmd = exec.Command(os.Args[0])
	p.cmd.Env = append(os.Environ(), "NATSKV_TEST_STORE="+p.dir, "NATSKV_TEST_PORT="+p.port)
	p.cmd.Stderr = os.Stderr
	in, err := p.cmd.StdinPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		p.t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		p.t.Fatalf("the server does not start: %v", err)
	}
	p.in, p.port = in, strings.TrimSpace(line)
}

// stop ends the server in peace, kill does not.
func (p *process) stop() { p.in.Close(); p.cmd.Wait() }
func (p *process) kill() { p.cmd.Process.Kill(); p.cmd.Wait() }

// proxy stands between clients and a server, and cuts them off.
type proxy struct {
	listener net.Listener
	target   string

	mu    sync.Mutex
	cut   bool
	muted bool          // nothing comes back
	still chan struct{} // closed while data may pass
	open  map[net.Conn]bool
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, still: make(chan struct{}), open: make(map[net.Conn]bool)}
	close(p.still)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { p.serve(conn) })
		}
	})
	t.Cleanup(func() { l.Close(); p.freeze(false); p.partition(true); wg.Wait() })
	return p
}

func (p *proxy) url() string { return "nats://" + p.listener.Addr().String() }

func (p *proxy) serve(client net.Conn) {
	defer client.Close()
	if !p.register(client, true) {
		return
	}
	defer p.register(client, false)
	server, err := net.Dial("tcp", p.target)
	if err != nil {
		return
	}
	defer server.Close()
	if !p.register(server, true) {
		return
	}
	defer p.register(server, false)
	var wg sync.WaitGroup
	for from, to := range map[net.Conn]net.Conn{client: server, server: client} {
		wg.Go(func() {
			defer from.Close()
			defer to.Close()
			buffer := make([]byte, 16<<10)
			for {
				n, err := from.Read(buffer)
				p.mu.Lock()
				still, muted := p.still, p.muted && from == server
				p.mu.Unlock()
				<-still
				if err != nil {
					return
				}
				if muted {
					continue
				}
				if _, err := to.Write(buffer[:n]); err != nil {
					return
				}
			}
		})
	}
	wg.Wait()
}

func (p *proxy) register(conn net.Conn, add bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !add {
		delete(p.open, conn)
		return true
	}
	if p.cut {
		return false
	}
	p.open[conn] = true
	return true
}

// partition cuts all connections and takes no more, or lets them come again.
func (p *proxy) partition(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = on
	for conn := range p.open {
		conn.Close()
	}
}

// mute drops what the server says. The connection is good for nothing after that.
func (p *proxy) mute(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.muted = on
}

// freeze holds all data back, or lets it go on.
func (p *proxy) freeze(on bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	frozen := true
	select {
	case <-p.still:
		frozen = false
	default:
	}
	switch {
	case on && !frozen:
		p.still = make(chan struct{})
	case !on && frozen:
		close(p.still)
	}
}

func connectTo(t testing.TB, url string, o Options) *Storage {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	s, err := Connect(ctx, Server{URLs: []string{url}, NATS: []nats.Option{
		nats.ReconnectWait(5 * time.Millisecond), nats.ReconnectJitter(5*time.Millisecond, 5*time.Millisecond),
	}}, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
