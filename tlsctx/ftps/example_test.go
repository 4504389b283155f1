package ftps_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/tlsctx/ftps"
)

// exampleTB lets examples, which have no testing.TB, use pkitest.
type exampleTB struct{ testing.TB }

func (exampleTB) Helper()                      {}
func (exampleTB) Fatalf(f string, args ...any) { log.Fatalf(f, args...) }

// An upload. The data connection resumes the session of the control connection.
func Example() {
	pki := pkitest.Options{Now: time.Now()}.New(exampleTB{})
	cfg, err := tlsctx.Builder{Identity: pki.NewServer("ftp.partner.example")}.Server()
	if err != nil {
		log.Fatal(err)
	}
	// connect stands for net.Dial and the FTP commands around it.
	uploads := make(chan string, 1)
	connect := func(serve func(*tls.Conn)) net.Conn {
		near, far := net.Pipe()
		go func() {
			conn := tls.Server(far, cfg)
			defer conn.Close()
			serve(conn)
		}()
		return near
	}

	ctx := context.Background()
	session, err := ftps.New(tlsctx.Builder{Trusted: pki.Trust()}, "ftp.partner.example:21")
	if err != nil {
		log.Fatal(err)
	}
	control, err := session.Control(ctx, connect(func(c *tls.Conn) { io.WriteString(c, "230 welcome\r\n"); io.Copy(io.Discard, c) }))
	if err != nil {
		log.Fatal(err)
	}
	defer control.Close()
	answer := make([]byte, 11)
	if _, err := io.ReadFull(control, answer); err != nil {
		log.Fatal(err)
	}
	data := session.Data(ctx, connect(func(c *tls.Conn) { content, _ := io.ReadAll(c); uploads <- string(content) }))
	if _, err := io.WriteString(data, "order 4711"); err != nil {
		log.Fatal(err)
	}
	if err := data.Close(); err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(answer), <-uploads, data.ConnectionState().DidResume)
	// Output: 230 welcome order 4711 true
}
