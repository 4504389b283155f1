// Package clamd scans imports with ClamAV's daemon. It has one name: [Scanner], a
// trustkeep.Scanner over the daemon's INSTREAM command (clamd(8)), by a Unix socket or TCP.
//
//	scanner := clamd.Scanner{Network: "unix", Address: "/run/clamav/clamd.ctl"}
//	err := scanner.Scan(ctx, "partner.p12", content)
//
// Pass it as component.Options.Scanner or environment.Options.Scanner.
//
// Content is clean only if the daemon gives its one answer for clean content. A finding, a
// limit, any other answer or no answer refuses the content.
package clamd

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
)

// Scanner is a client of the daemon. The zero value uses the Unix socket of Debian's package.
// Each scan has its own connection. It is safe for concurrent use.
type Scanner struct {
	// Network is "unix" or "tcp". If empty, "unix".
	Network string
	// Address of the daemon. If empty, /run/clamav/clamd.ctl.
	Address string
	// Timeout bounds a scan. If zero, 30 seconds. The context may end it earlier.
	Timeout time.Duration
	// MaxSize is the largest content in bytes. If zero, 25 MiB, the daemon's default for
	// StreamMaxLength.
	MaxSize int64
	// Dial opens connections. If nil, a net.Dialer does.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	defaultAddress = "/run/clamav/clamd.ctl"
	defaultSize    = 25 << 20
	chunkSize      = 64 << 10
	maxAnswer      = 4 << 10
)

// Scan implements trustkeep.Scanner.
//
// Errors wrap trustkeep.ErrRejected for a finding, with the name of the signature, and for
// content that is too long for the daemon; trustkeep.ErrLimit above MaxSize;
// trustkeep.ErrCorrupt for an unknown answer; trustkeep.ErrInvalid for fields out of range; or
// the error of the network or the context.
func (s Scanner) Scan(ctx context.Context, name string, content []byte) error {
	if err := s.scan(ctx, content); err != nil {
		return &trustkeep.Error{Op: "clamd: scan", Path: name, Err: err}
	}
	return nil
}

func (s Scanner) scan(ctx context.Context, content []byte) error {
	if s.Network != "" && s.Network != "unix" && s.Network != "tcp" || s.Timeout < 0 || s.MaxSize < 0 {
		return fmt.Errorf("network %q, timeout %s, size %d: %w", trustkeep.Printable(s.Network), s.Timeout, s.MaxSize, trustkeep.ErrInvalid)
	}
	if s.Network == "" {
		s.Network = "unix"
	}
	if s.Address == "" {
		s.Address = defaultAddress
	}
	if s.Timeout == 0 {
		s.Timeout = 30 * time.Second
	}
	if s.MaxSize == 0 {
		s.MaxSize = defaultSize
	}
	if int64(len(content)) > s.MaxSize {
		return fmt.Errorf("%d bytes: %w", len(content), trustkeep.ErrLimit)
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	dial := s.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	conn, err := dial(ctx, s.Network, s.Address)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()

	// A daemon that has had enough answers and closes while content is still being
	// sent; its answer says more than the error of sending.
	sent := send(conn, content)
	answer, err := receive(conn)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case err == nil:
		return verdict(answer)
	case sent != nil:
		return sent
	}
	return err
}

// send writes zINSTREAM: chunks behind their length in four octets, the last of length
// zero.
func send(w io.Writer, content []byte) error {
	if _, err := io.WriteString(w, "zINSTREAM\x00"); err != nil {
		return err
	}
	var length [4]byte
	for len(content) > 0 {
		chunk := content[:min(len(content), chunkSize)]
		content = content[len(chunk):]
		binary.BigEndian.PutUint32(length[:], uint32(len(chunk)))
		if _, err := w.Write(length[:]); err != nil {
			return err
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
	}
	_, err := w.Write(make([]byte, 4))
	return err
}

// receive reads the answer, which ends with a zero octet and with the connection.
func receive(r io.Reader) (string, error) {
	b := bufio.NewReader(io.LimitReader(r, maxAnswer+1))
	answer, err := b.ReadBytes(0)
	switch {
	case len(answer) > maxAnswer:
		return "", fmt.Errorf("%w: an answer of more than %d bytes", trustkeep.ErrCorrupt, maxAnswer)
	case errors.Is(err, io.EOF):
		return "", fmt.Errorf("%w: the connection ended in the middle of the answer", trustkeep.ErrCorrupt)
	case err != nil:
		return "", err
	}
	if _, err := b.ReadByte(); err == nil {
		return "", fmt.Errorf("%w: more than one answer", trustkeep.ErrCorrupt)
	}
	return string(bytes.TrimSuffix(answer, []byte{0})), nil
}

// verdict reads an answer: clean is the one that the daemon gives for it.
func verdict(answer string) error {
	if answer == "stream: OK" {
		return nil
	}
	if signature, ok := strings.CutSuffix(answer, " FOUND"); ok {
		return fmt.Errorf("%w: %s", trustkeep.ErrRejected, trustkeep.Printable(strings.TrimPrefix(signature, "stream: ")))
	}
	if strings.HasSuffix(answer, " ERROR") {
		return fmt.Errorf("%w: the daemon says %q", trustkeep.ErrRejected, trustkeep.Printable(answer))
	}
	return fmt.Errorf("%w: the daemon says %q", trustkeep.ErrCorrupt, trustkeep.Printable(answer))
}
