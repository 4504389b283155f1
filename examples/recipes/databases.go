package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"database/sql"
	"encoding/binary"
	"errors"
	"io"
	"net"

	"github.com/alicebob/miniredis/v2"
	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/redis/go-redis/v9"

	"github.com/trustkeep/trustkeep/tlsctx"
)

// sslRequest is what a client of PostgreSQL sends before TLS.
var sslRequest = []byte{0, 0, 0, 8, 4, 210, 22, 47}

var overPostgres = recipe{
	library: "pgx", form: "Dialer", hook: "AfterNetConnect",
	serve: func(s *site) (string, error) {
		return s.handle(func(raw net.Conn) {
			asks := make([]byte, len(sslRequest))
			if _, err := io.ReadFull(raw, asks); err != nil || !bytes.Equal(asks, sslRequest) {
				return
			}
			raw.Write([]byte{'S'})
			conn := tls.Server(raw, s.tls)
			server := pgproto3.NewBackend(conn, conn)
			if _, err := server.ReceiveStartupMessage(); err != nil {
				return
			}
			server.Send(new(pgproto3.AuthenticationOk))
			server.Send(&pgproto3.BackendKeyData{ProcessID: 1, SecretKey: []byte{1, 2, 3, 4}})
			for {
				server.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
				if server.Flush() != nil {
					return
				}
				if m, err := server.Receive(); err != nil {
					return
				} else if _, ok := m.(*pgproto3.Query); !ok {
					return
				}
				server.Send(new(pgproto3.EmptyQueryResponse))
			}
		})
	},
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		d, err := tracking(b)
		if err != nil {
			return nil, err
		}
		cfg, err := pgx.ParseConfig("postgres://me@" + address + "/orders?sslmode=disable") // TLS is ours
		if err != nil {
			return nil, err
		}
		cfg.AfterNetConnect = func(ctx context.Context, _ *pgconn.Config, raw net.Conn) (net.Conn, error) {
			answer := make([]byte, 1)
			if _, err := raw.Write(sslRequest); err != nil {
				return raw, err
			}
			if _, err := io.ReadFull(raw, answer); err != nil || answer[0] != 'S' {
				return raw, errors.Join(errors.New("the server has no TLS"), err)
			}
			conn, err := d.Handshake(ctx, raw, address)
			if err != nil {
				return raw, err
			}
			return conn, nil
		}
		c, err := pgx.ConnectConfig(ctx, cfg)
		if err != nil {
			return nil, err
		}
		return &session{use: func() error { return c.Ping(ctx) }, close: func() { c.Close(ctx) }, recheck: d.Recheck}, nil
	},
}

// overMySQL takes a tls.Config and nothing else: the server greets in clear.
var overMySQL = recipe{
	library: "go-sql-driver/mysql", form: "LiveClient", hook: "Config.TLS", serve: serveMySQL,
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		cfg := mysql.NewConfig()
		cfg.Net, cfg.Addr, cfg.User = "tcp", address, "me"
		cfg.Logger = new(mysql.NopLogger)
		var err error
		if cfg.TLS, err = b.For(address).LiveClient(); err != nil {
			return nil, err
		}
		connector, err := mysql.NewConnector(cfg)
		if err != nil {
			return nil, err
		}
		db := sql.OpenDB(connector)
		return &session{
			use: func() error { return db.PingContext(ctx) }, close: func() { db.Close() },
			forget: func() { db.Close(); db = sql.OpenDB(connector) },
		}, nil
	},
}

// serveMySQL knows the handshake and COM_PING.
func serveMySQL(s *site) (string, error) {
	return s.handle(func(conn net.Conn) {
		sequence := byte(0)
		write := func(payload []byte) {
			head := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
			head[3] = sequence
			sequence++
			conn.Write(append(head, payload...))
		}
		read := func() []byte {
			head := make([]byte, 4)
			if _, err := io.ReadFull(conn, head); err != nil {
				return nil
			}
			sequence = head[3] + 1
			payload := make([]byte, int(head[0])|int(head[1])<<8|int(head[2])<<16)
			io.ReadFull(conn, payload)
			return payload
		}
		const capabilities = 1 | 0x200 | 0x800 | 0x8000 | 0x80000 // LONG_PASSWORD, PROTOCOL_41, SSL, SECURE_CONNECTION, PLUGIN_AUTH
		greeting := append([]byte{10}, "8.0.0\x00\x01\x00\x00\x00"...)
		greeting = append(greeting, "12345678\x00"...)
		greeting = binary.LittleEndian.AppendUint16(greeting, capabilities&0xffff)
		greeting = append(greeting, 45, 2, 0)
		greeting = binary.LittleEndian.AppendUint16(greeting, capabilities>>16)
		greeting = append(greeting, 21)
		greeting = append(greeting, make([]byte, 10)...)
		greeting = append(greeting, "123456789012\x00mysql_native_password\x00"...)
		write(greeting)
		if len(read()) != 32 { // the request for TLS
			return
		}
		conn = tls.Server(conn, s.tls)
		ok := []byte{0, 0, 0, 2, 0, 0, 0}
		for read() != nil { // who it is, then COM_PING
			write(ok)
		}
	})
}

var overRedis = recipe{
	library: "go-redis", form: "Dialer", hook: "Options.Dialer",
	serve: func(s *site) (string, error) {
		server, err := miniredis.RunTLS(s.tls)
		if err != nil {
			return "", err
		}
		s.onClose(server.Close)
		redis.SetLogger(quiet{})
		return server.Addr(), nil
	},
	open: func(ctx context.Context, b tlsctx.Builder, address string) (*session, error) {
		d, err := tracking(b)
		if err != nil {
			return nil, err
		}
		c := redis.NewClient(&redis.Options{Addr: address, Dialer: d.DialContext, MaxRetries: -1, DialerRetries: 1}) // no TLSConfig
		return &session{use: func() error { return c.Ping(ctx).Err() }, close: func() { c.Close() }, recheck: d.Recheck}, nil
	},
}

// quiet is a log of go-redis that nobody reads.
type quiet struct{}

func (quiet) Printf(context.Context, string, ...any) {}
