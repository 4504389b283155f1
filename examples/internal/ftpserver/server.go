// Package ftpserver is an FTPS server (RFC 4217) for examples and tests: in this process, in
// memory, on loopback. Like vsftpd and proftpd it answers the TLS handshake of a data connection
// only after the command that wants it, and only if it resumes the session of the control
// connection.
package ftpserver

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Server is a server. Set its fields before Listen.
type Server struct {
	// TLS is the configuration of all connections.
	TLS *tls.Config
	// Implicit makes TLS at once on control connections.
	Implicit bool
	// AnyData also serves data connections that resume no session.
	AnyData bool
	// User and Password are who may log in.
	User, Password string

	mu       sync.Mutex
	files    map[string][]byte
	commands []string
	open     map[net.Conn]bool
	listener net.Listener
	closed   bool
	serving  sync.WaitGroup
}

// Listen begins to serve at a free port of loopback and returns the address.
func (s *Server) Listen() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	s.files, s.open, s.listener = make(map[string][]byte), make(map[net.Conn]bool), l
	s.serving.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			if !s.track(raw) {
				return
			}
			s.serving.Go(func() {
				defer s.forget(raw)
				c := &session{s: s, raw: raw, conn: raw}
				c.serve()
			})
		}
	})
	return l.Addr().String(), nil
}

// Close ends the server and all its connections.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	for c := range s.open {
		c.Close()
	}
	s.mu.Unlock()
	err := s.listener.Close()
	s.serving.Wait()
	return err
}

func (s *Server) track(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		c.Close()
		return false
	}
	s.open[c] = true
	return true
}

func (s *Server) forget(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, c)
}

// File returns the content of a file.
func (s *Server) File(name string) (content []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	content, ok = s.files[strings.TrimPrefix(name, "/")]
	return content, ok
}

// Put makes a file.
func (s *Server) Put(name string, content []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[strings.TrimPrefix(name, "/")] = content
}

// Commands returns what clients have sent so far, without arguments of PASS.
func (s *Server) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// session is one control connection.
type session struct {
	s         *Server
	raw, conn net.Conn
	in        *bufio.Reader
	user      string
	loggedIn  bool
	protected bool // PROT P
	passive   net.Listener
}

func (c *session) reply(code int, text string) error {
	_, err := fmt.Fprintf(c.conn, "%d %s\r\n", code, text)
	return err
}

func (c *session) serve() {
	defer func() {
		if c.passive != nil {
			c.passive.Close()
		}
	}()
	if c.s.Implicit {
		c.conn = tls.Server(c.raw, c.s.TLS)
	}
	c.in = bufio.NewReader(c.conn)
	c.reply(220, "ready")
	for {
		line, err := c.in.ReadString('\n')
		if err != nil {
			return
		}
		verb, argument, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		verb = strings.ToUpper(verb)
		noted := verb + " " + argument
		if verb == "PASS" {
			noted = verb
		}
		c.s.mu.Lock()
		c.s.commands = append(c.s.commands, strings.TrimSpace(noted))
		c.s.mu.Unlock()
		if verb == "QUIT" {
			c.reply(221, "bye")
			return
		}
		if err := c.do(verb, argument); err != nil {
			return
		}
	}
}

func (c *session) do(verb, argument string) error {
	switch verb {
	case "AUTH":
		if c.conn != c.raw {
			return c.reply(503, "TLS already")
		}
		if err := c.reply(234, "go on"); err != nil {
			return err
		}
		c.conn = tls.Server(c.raw, c.s.TLS)
		c.in = bufio.NewReader(c.conn)
		return nil
	case "FEAT":
		_, err := io.WriteString(c.conn, "211-Features\r\n EPSV\r\n UTF8\r\n SIZE\r\n211 End\r\n")
		return err
	}
	if c.conn == c.raw {
		return c.reply(530, "TLS first")
	}
	switch verb {
	case "USER":
		c.user = argument
		return c.reply(331, "password")
	case "PASS":
		if c.loggedIn = c.user == c.s.User && argument == c.s.Password; !c.loggedIn {
			return c.reply(530, "no")
		}
		return c.reply(230, "welcome")
	case "PBSZ", "TYPE", "OPTS", "NOOP", "MODE", "STRU":
		return c.reply(200, "fine")
	case "PROT":
		c.protected = argument == "P"
		return c.reply(200, "fine")
	}
	if !c.loggedIn {
		return c.reply(530, "log in first")
	}
	name := strings.TrimPrefix(argument, "/")
	switch verb {
	case "PWD":
		return c.reply(257, `"/"`)
	case "CWD":
		return c.reply(250, "fine")
	case "SIZE":
		content, ok := c.s.File(name)
		if !ok {
			return c.reply(550, "no such file")
		}
		return c.reply(213, strconv.Itoa(len(content)))
	case "DELE":
		c.s.mu.Lock()
		delete(c.s.files, name)
		c.s.mu.Unlock()
		return c.reply(250, "gone")
	case "EPSV", "PASV":
		return c.listen(verb)
	case "STOR":
		if strings.HasPrefix(name, "forbidden/") {
			c.endPassive()
			return c.reply(553, "may not")
		}
		return c.transfer(func(data *tls.Conn) error {
			content, err := io.ReadAll(data)
			if err == nil {
				c.s.Put(name, content)
			}
			return err
		})
	case "RETR":
		content, ok := c.s.File(name)
		if !ok {
			c.endPassive()
			return c.reply(550, "no such file")
		}
		return c.transfer(func(data *tls.Conn) error {
			_, err := data.Write(content)
			return err
		})
	case "NLST", "LIST", "MLSD":
		return c.transfer(func(data *tls.Conn) error {
			c.s.mu.Lock()
			names := slices.Sorted(maps.Keys(c.s.files))
			c.s.mu.Unlock()
			for _, n := range names {
				if _, err := io.WriteString(data, n+"\r\n"); err != nil {
					return err
				}
			}
			return nil
		})
	}
	return c.reply(502, "not here")
}

func (c *session) listen(verb string) error {
	c.endPassive()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return c.reply(425, "no port")
	}
	c.passive = l
	port := l.Addr().(*net.TCPAddr).Port
	if verb == "EPSV" {
		return c.reply(229, fmt.Sprintf("Extended passive mode (|||%d|)", port))
	}
	return c.reply(227, fmt.Sprintf("Passive mode (127,0,0,1,%d,%d)", port>>8, port&255))
}

func (c *session) endPassive() {
	if c.passive != nil {
		c.passive.Close()
		c.passive = nil
	}
}

// transfer serves one data connection.
func (c *session) transfer(serve func(*tls.Conn) error) error {
	if !c.protected {
		return c.reply(521, "PROT P first")
	}
	if c.passive == nil {
		return c.reply(425, "PASV first")
	}
	defer c.endPassive()
	c.passive.(*net.TCPListener).SetDeadline(time.Now().Add(10 * time.Second))
	raw, err := c.passive.Accept()
	if err != nil {
		return c.reply(425, "nobody has come")
	}
	if !c.s.track(raw) {
		return net.ErrClosed
	}
	defer c.s.forget(raw)
	if err := c.reply(150, "here it is"); err != nil {
		return err
	}
	data := tls.Server(raw, c.s.TLS)
	if err := data.Handshake(); err != nil {
		return c.reply(425, "no TLS")
	}
	if !data.ConnectionState().DidResume && !c.s.AnyData {
		return c.reply(522, "SSL connection failed: session reuse required")
	}
	if err := serve(data); err != nil {
		return c.reply(426, "Failure reading or writing network stream")
	}
	if err := data.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		return c.reply(426, "Failure ending the network stream")
	}
	return c.reply(226, "Transfer complete")
}
