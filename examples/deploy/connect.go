package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/tlsctx"
)

// getHTTPS asks a server for its only page over a connection of its own.
func getHTTPS(ctx context.Context, d *tlsctx.Dialer, host, address string) error {
	transport := &http.Transport{
		DisableKeepAlives: true,
		// Instead of a name service: every name is the server at hand.
		DialTLSContext: func(ctx context.Context, network, name string) (net.Conn, error) {
			raw, err := new(net.Dialer).DialContext(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return d.Handshake(ctx, raw, name)
		},
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", nil)
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if err == nil && string(body) != host {
		err = fmt.Errorf("odd answer %q", body)
	}
	return err
}

// talkFTPS turns an FTP connection to TLS and sees that it works.
func talkFTPS(ctx context.Context, d *tlsctx.Dialer, host, address string) error {
	raw, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()
	if deadline, ok := ctx.Deadline(); ok {
		raw.SetDeadline(deadline)
	}
	plain := bufio.NewReader(raw)
	if err := reply(plain, "220"); err != nil {
		return err
	}
	fmt.Fprint(raw, "AUTH TLS\r\n")
	if err := reply(plain, "234"); err != nil {
		return err
	}
	if plain.Buffered() > 0 {
		return errors.New("the server said more before TLS") // or somebody in between
	}
	conn, err := d.Handshake(ctx, raw, net.JoinHostPort(host, "21"))
	if err != nil {
		return err
	}
	defer conn.Close()
	fmt.Fprint(conn, "NOOP\r\n")
	return reply(bufio.NewReader(conn), "200")
}

func reply(r *bufio.Reader, code string) error {
	line, err := r.ReadString('\n')
	if err == nil && !strings.HasPrefix(line, code+" ") {
		err = fmt.Errorf("%q is no reply %s", line, code)
	}
	return err
}

// outcome names the end of a connection, and says more about it where it was refused.
func outcome(err error) answer {
	var refused *tlsctx.HandshakeError
	switch {
	case err == nil:
		return answer{Outcome: ok}
	case errors.As(err, &refused):
		return answer{Outcome: refusedFor(string(refused.Code)), Detail: refused.Error() + rules(refused)}
	case errors.Is(err, trustkeep.ErrNotFound):
		return answer{Outcome: notFound, Detail: err.Error()}
	case errors.Is(err, trustkeep.ErrExpired): // and it is no certificate that is
		return answer{Outcome: tooOld, Detail: err.Error()}
	default:
		return answer{Outcome: "error", Detail: err.Error()}
	}
}

// rules lists the rules of trust that were tried, and trust that did not count.
func rules(e *tlsctx.HandshakeError) string {
	var b strings.Builder
	if e.Verify != nil {
		for _, tried := range e.Verify.Rules {
			fmt.Fprintf(&b, "\nrule %s: %s, %s", tried.Rule, tried.Code, tried.Text)
		}
	}
	for _, ignored := range e.Ignored {
		fmt.Fprintf(&b, "\nignored %s trust: %s; would accept the server: %t", ignored.Origin, ignored.Why, ignored.WouldAccept)
	}
	return b.String()
}
