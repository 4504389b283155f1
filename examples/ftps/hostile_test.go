package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

// hostile is an FTP server that goes wrong at one point.
type hostile struct {
	config *tls.Config
	// Called with the control connection in the place of what would be said there; it is closed then.
	greeting, auth, handshake, login func(net.Conn)
	// data serves a data connection, in the place of the handshake and the content.
	data func(net.Conn)
	// after is called in the place of the reply after the content.
	after func(net.Conn)
}

func garbage(c net.Conn) { c.Write(bytes.Repeat([]byte{0xff, 'x', 0}, 100)) }
func silence(c net.Conn) { io.Copy(io.Discard, c) }
func hangUp(net.Conn)    {}

func (h hostile) serve(t *testing.T) string {
	return testnet.Serve(t, func(raw net.Conn) {
		conn := raw
		goneWrong := func(f func(net.Conn)) bool {
			if f != nil {
				f(conn)
			}
			return f != nil
		}
		if goneWrong(h.greeting) {
			return
		}
		fmt.Fprint(conn, "220 hello\r\n")
		in := bufio.NewReader(conn)
		var data net.Listener
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				return
			}
			switch verb, _, _ := strings.Cut(strings.TrimSpace(line), " "); verb {
			case "AUTH":
				if goneWrong(h.auth) {
					return
				}
				fmt.Fprint(conn, "234 go on\r\n")
				if goneWrong(h.handshake) {
					return
				}
				conn = tls.Server(raw, h.config)
				in = bufio.NewReader(conn)
			case "USER":
				if goneWrong(h.login) {
					return
				}
				fmt.Fprint(conn, "230 come in\r\n")
			case "EPSV":
				if data, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
					return
				}
				defer data.Close()
				fmt.Fprintf(conn, "229 ok (|||%d|)\r\n", data.Addr().(*net.TCPAddr).Port)
			case "STOR", "RETR":
				fmt.Fprint(conn, "150 begin\r\n")
				one, err := data.Accept()
				if err != nil {
					return
				}
				one.SetDeadline(time.Now().Add(10 * time.Second))
				h.data(one)
				one.Close()
				if goneWrong(h.after) {
					return
				}
				fmt.Fprint(conn, "226 done\r\n")
			case "QUIT":
				return
			case "FEAT":
				fmt.Fprint(conn, "211 none\r\n")
			default:
				fmt.Fprint(conn, "200 ok\r\n")
			}
		}
	})
}

// A server that goes wrong at any point is an error within the bounds: nothing is lost in silence,
// and no goroutine stays.
func TestHostileServers(t *testing.T) {
	for _, version := range versions {
		pki, other := pkitest.Options{Now: time.Now()}.New(t), pkitest.Options{Now: time.Now()}.New(t)
		server := func(p *pkitest.PKI) *tls.Config {
			cfg, err := tlsctx.Builder{Identity: p.NewServer("127.0.0.1"), MaxVersion: version}.Server()
			if err != nil {
				t.Fatal(err)
			}
			return cfg
		}
		cfg, changed := server(pki), server(other)
		over := func(cfg *tls.Config, do func(net.Conn)) func(net.Conn) {
			return func(raw net.Conn) {
				c := tls.Server(raw, cfg)
				if c.Handshake() == nil {
					do(c)
				}
			}
		}
		var ended chan struct{}
		take := over(cfg, func(c net.Conn) { io.Copy(io.Discard, c); c.Close() })
		give := over(cfg, func(c net.Conn) { c.Write(make([]byte, 1000)); c.Close() })
		for name, c := range map[string]struct {
			hostile
			command string
			late    bool // the error comes by a bound
		}{
			"never greets":             {hostile{greeting: silence}, "", true},
			"closes for a greeting":    {hostile{greeting: hangUp}, "", false},
			"greets with garbage":      {hostile{greeting: garbage}, "", false},
			"never answers AUTH":       {hostile{auth: silence}, "", true},
			"closes for AUTH":          {hostile{auth: hangUp}, "", false},
			"never shakes hands":       {hostile{handshake: silence}, "", true},
			"closes in the handshake":  {hostile{handshake: hangUp}, "", false},
			"garbage in the handshake": {hostile{handshake: garbage}, "", false},
			"never answers USER":       {hostile{login: silence}, "", true},
			"closes for USER":          {hostile{login: hangUp}, "", false},
			"garbage for USER":         {hostile{login: garbage}, "", false},

			"upload: never shakes hands":       {hostile{data: silence}, "STOR", true},
			"upload: closes in the handshake":  {hostile{data: hangUp}, "STOR", false},
			"upload: garbage in the handshake": {hostile{data: garbage}, "STOR", false},
			"upload: another certificate":      {hostile{data: over(changed, silence)}, "STOR", false},
			"upload: stalls":                   {hostile{data: over(cfg, func(c net.Conn) { c.Read(make([]byte, 1)); <-ended })}, "STOR", true},
			"upload: closes half-way":          {hostile{data: over(cfg, func(c net.Conn) { io.ReadFull(c, make([]byte, 1000)) }), after: hangUp}, "STOR", false},
			"upload: garbage in the middle": {hostile{data: func(raw net.Conn) {
				over(cfg, func(c net.Conn) { garbage(raw); io.ReadFull(c, make([]byte, 1000)) })(raw)
			}, after: hangUp}, "STOR", false},
			"upload: no reply":                   {hostile{data: take, after: silence}, "STOR", true},
			"upload: closes for a reply":         {hostile{data: take, after: hangUp}, "STOR", false},
			"download: never shakes hands":       {hostile{data: silence}, "RETR", true},
			"download: closes in the handshake":  {hostile{data: hangUp}, "RETR", false},
			"download: garbage in the handshake": {hostile{data: garbage}, "RETR", false},
			"download: another certificate":      {hostile{data: over(changed, silence)}, "RETR", false},
			"download: stalls":                   {hostile{data: over(cfg, func(c net.Conn) { c.Write(make([]byte, 1000)); silence(c) })}, "RETR", true},
			"download: closes half-way":          {hostile{data: func(raw net.Conn) { over(cfg, func(c net.Conn) { c.Write(make([]byte, 1000)) })(raw) }}, "RETR", false},
			"download: garbage in the middle":    {hostile{data: func(raw net.Conn) { over(cfg, func(c net.Conn) { c.Write(make([]byte, 1000)); garbage(raw) })(raw) }}, "RETR", false},
			"download: no reply":                 {hostile{data: give, after: silence}, "RETR", true},
			"download: closes for a reply":       {hostile{data: give, after: hangUp}, "RETR", false},
		} {
			t.Run(strings.ReplaceAll(tls.VersionName(version), " ", "")+" "+name, func(t *testing.T) {
				c.config, ended = cfg, make(chan struct{})
				address := c.serve(t)
				before := runtime.NumGoroutine()
				bound := 10 * time.Second
				if c.late {
					bound = 100 * time.Millisecond
				}
				err := func() error {
					client, _, err := connect(t.Context(), tlsctx.Builder{Trusted: pki.Trust(), MaxVersion: version}, address, ftps.Options{Timeout: bound, IdleTimeout: bound + bound/2, DrainTimeout: bound})
					if err != nil {
						return err
					}
					defer client.Quit()
					if err := client.Login("u", "p"); err != nil {
						return err
					}
					if c.command == "STOR" {
						return client.Stor("x", struct{ io.Reader }{io.LimitReader(zeros{}, 32<<20)})
					}
					r, err := client.Retr("x")
					if err != nil {
						return err
					}
					_, err = io.Copy(io.Discard, r)
					return errors.Join(err, r.Close())
				}()
				close(ended)
				if err == nil || c.late != (errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, context.DeadlineExceeded)) {
					t.Errorf("%v", err)
				}
				testnet.Goroutines(t, before)
			})
		}
	}
}

// zeros is content without an end.
type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }
