package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"strconv"
	"strings"

	ber "github.com/go-asn1-ber/asn1-ber"
	"github.com/go-ldap/ldap/v3"
	"github.com/wneessen/go-mail"

	"github.com/trustkeep/trustkeep/tlsctx"
)

// serveSMTP returns a server that knows as much SMTP as the clients here say, over TLS at once or
// after STARTTLS (RFC 3207).
func serveSMTP(implicit bool) func(*site) (string, error) {
	return func(s *site) (string, error) {
		return s.handle(func(conn net.Conn) {
			secure := implicit
			if implicit {
				conn = tls.Server(conn, s.tls)
			}
			in := bufio.NewReader(conn)
			fmt.Fprint(conn, "220 mail.example ESMTP\r\n")
			for {
				line, err := in.ReadString('\n')
				if err != nil {
					return
				}
				switch verb, _, _ := strings.Cut(strings.ToUpper(strings.TrimSpace(line)), " "); {
				case verb == "EHLO" && !secure:
					fmt.Fprint(conn, "250-mail.example\r\n250 STARTTLS\r\n")
				case verb == "STARTTLS" && !secure:
					fmt.Fprint(conn, "220 go on\r\n")
					conn, secure = tls.Server(conn, s.tls), true
					in = bufio.NewReader(conn)
				case verb == "QUIT":
					fmt.Fprint(conn, "221 bye\r\n")
					return
				default:
					fmt.Fprint(conn, "250 mail.example\r\n")
				}
			}
		})
	}
}

// overSMTP asks for TLS by STARTTLS, to which net/smtp takes a tls.Config and nothing else. The
// connection is for one mail, so the configuration is that of the moment.
var overSMTP = recipe{
	library: "net/smtp, STARTTLS", form: "Client", hook: "Client.StartTLS", serve: serveSMTP(false),
	open: func(_ context.Context, b tlsctx.Builder, address string) (*session, error) {
		var c *smtp.Client
		connect := func() error {
			cfg, err := b.For(address).Client()
			if err != nil {
				return err
			}
			if c, err = smtp.Dial(address); err == nil {
				err = c.StartTLS(cfg)
			}
			return err
		}
		if err := connect(); err != nil {
			return nil, err
		}
		return &session{
			use: func() error {
				if c == nil {
					return connect()
				}
				return c.Noop()
			},
			close:  func() { c.Close() },
			forget: func() { c.Quit(); c = nil },
		}, nil
	},
}

var overGoMail = recipe{
	library: "go-mail", form: "Dialer", hook: "WithSSL, WithDialContextFunc", serve: serveSMTP(true),
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		d, err := tracking(b)
		if err != nil {
			return nil, err
		}
		host, port, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		number, err := strconv.Atoi(port)
		if err != nil {
			return nil, err
		}
		c, err := mail.NewClient(host, mail.WithPort(number), mail.WithSSL(), mail.WithDialContextFunc(d.DialContext))
		if err != nil {
			return nil, err
		}
		if err := c.DialWithContext(ctx); err != nil {
			return nil, err
		}
		return &session{use: c.Reset, close: func() { c.Close() }, recheck: d.Recheck}, nil
	},
}

var overLDAP = recipe{
	library: "go-ldap", form: "Dialer", hook: "ldap.NewConn",
	serve: func(s *site) (string, error) {
		return s.handle(func(raw net.Conn) {
			conn := tls.Server(raw, s.tls)
			for {
				request, err := ber.ReadPacket(conn)
				if err != nil || len(request.Children) < 2 || request.Children[1].Tag != ldap.ApplicationBindRequest {
					return
				}
				answer := ber.NewSequence("")
				answer.AppendChild(request.Children[0])
				bind := ber.Encode(ber.ClassApplication, ber.TypeConstructed, ldap.ApplicationBindResponse, nil, "")
				bind.AppendChild(ber.NewInteger(ber.ClassUniversal, ber.TypePrimitive, ber.TagEnumerated, 0, ""))
				bind.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
				bind.AppendChild(ber.NewString(ber.ClassUniversal, ber.TypePrimitive, ber.TagOctetString, "", ""))
				answer.AppendChild(bind)
				if _, err := conn.Write(answer.Bytes()); err != nil {
					return
				}
			}
		})
	},
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		d, err := tracking(b)
		if err != nil {
			return nil, err
		}
		conn, err := d.DialContext(ctx, "tcp", address)
		if err != nil {
			return nil, err
		}
		c := ldap.NewConn(conn, true)
		c.SetTimeout(patience)
		c.Start()
		return &session{use: func() error { return c.Bind("cn=me", "secret") }, close: func() { c.Close() }, recheck: d.Recheck}, nil
	},
}
