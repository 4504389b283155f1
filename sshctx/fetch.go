package sshctx

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
)

// HostKeys are the keys that a host has shown to somebody who trusted none. They are not to be
// believed before a person has compared a fingerprint with the host's operator.
type HostKeys struct {
	// Address is the host, as known_hosts spells it.
	Address string
	// Keys are the plain keys, one of each type; those of certificates are among them.
	Keys []ssh.PublicKey
	// Authorities are the keys that have signed the host's certificates.
	Authorities []ssh.PublicKey
}

// FetchOptions configures FetchHostKeys. The zero value is ready.
type FetchOptions struct {
	// Dial makes the connections. If nil, it is that of net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Timeout bounds it all. If zero, 30 seconds.
	Timeout time.Duration
	// Legacy also asks for keys by these algorithms, as in Builder.
	Legacy []string
}

// FetchHostKeys asks a host for its keys, one connection for each type, and logs in nowhere.
// What it returns is not trusted: show the fingerprints to a person, and call Accept with the one
// that was compared. The error is that of the context, of dialling, or a *HandshakeError.
func FetchHostKeys(ctx context.Context, address string, o FetchOptions) (*HostKeys, error) {
	at, err := parseHost(address)
	if err != nil {
		return nil, err
	}
	b := Builder{Timeout: o.Timeout, Legacy: o.Legacy}
	algorithms, err := b.algorithms()
	if err != nil {
		return nil, err
	}
	dial := o.Dial
	if dial == nil {
		dial = new(net.Dialer).DialContext
	}
	ctx, cancel := context.WithTimeout(ctx, b.timeout())
	defer cancel()
	out := &HostKeys{Address: at.String()}
	remaining := algorithms.HostKeys
	for len(remaining) > 0 {
		key, err := fetchOne(ctx, at, dial, b.config(algorithms), remaining)
		if key == nil {
			var none *ssh.AlgorithmNegotiationError
			if len(out.Keys) > 0 && errors.As(err, &none) {
				return out, nil // it has no more
			}
			return nil, b.explain(ctx, at, nil, err)
		}
		out.add(key)
		shown, before := key.Type(), len(remaining)
		remaining = slices.DeleteFunc(remaining, func(a string) bool { return algorithmKey(a) == shown })
		if len(remaining) == before { // a plain key in place of a certificate
			remaining = slices.DeleteFunc(remaining, func(a string) bool {
				return isCertificateAlgorithm(a) && typeOf(strings.TrimSuffix(a, certificateSuffix)) == shown
			})
		}
		if len(remaining) == before {
			return out, nil // it has shown another type than was asked for
		}
	}
	return out, nil
}

// algorithmKey returns the type that keys have that an algorithm is for, certificates included.
func algorithmKey(algorithm string) string {
	if name, ok := strings.CutSuffix(algorithm, certificateSuffix); ok {
		return typeOf(name) + certificateSuffix
	}
	return typeOf(algorithm)
}

const certificateSuffix = "-cert-v01@openssh.com"

// errSeen ends a handshake that was made to see the key.
var errSeen = errors.New("seen")

func fetchOne(ctx context.Context, at host, dial func(context.Context, string, string) (net.Conn, error), config ssh.Config, algorithms []string) (key ssh.PublicKey, err error) {
	raw, err := dial(ctx, "tcp", at.dialled())
	if err != nil {
		return nil, &dialError{err}
	}
	defer raw.Close()
	stop := context.AfterFunc(ctx, func() { raw.Close() })
	defer stop()
	_, _, _, err = ssh.NewClientConn(raw, at.dialled(), &ssh.ClientConfig{
		Config: config, HostKeyAlgorithms: algorithms, User: "none",
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error {
			key = k
			return errSeen
		},
	})
	return key, err
}

func (h *HostKeys) add(key ssh.PublicKey) {
	if c, ok := key.(*ssh.Certificate); ok && !slices.ContainsFunc(h.Authorities, func(k ssh.PublicKey) bool { return samePublicKey(k, c.SignatureKey) }) {
		h.Authorities = append(h.Authorities, c.SignatureKey)
	}
	if plain := bare(key); !slices.ContainsFunc(h.Keys, func(k ssh.PublicKey) bool { return samePublicKey(k, plain) }) {
		h.Keys = append(h.Keys, plain)
	}
}

// String lists the fingerprints, one a line, for a person to compare.
func (h *HostKeys) String() string {
	var b strings.Builder
	for _, k := range h.Keys {
		b.WriteString(trustkeep.Printable(h.Address) + " " + describe(k) + "\n")
	}
	for _, k := range h.Authorities {
		b.WriteString(trustkeep.Printable(h.Address) + " authority " + describe(k) + "\n")
	}
	return b.String()
}

// Accept returns the key with the fingerprint that a person has compared, as ParsePin reads it:
// give it to KnownHosts.Add, or to PinKey. The other keys are not returned, since nobody has
// vouched for them. Authorities are found too, for KnownHosts.AddAuthority. The error wraps
// trustkeep.ErrInvalid for what is no fingerprint, and trustkeep.ErrNotFound.
func (h *HostKeys) Accept(fingerprint string) (ssh.PublicKey, error) {
	pin, err := ParsePin(fingerprint)
	if err != nil {
		return nil, err
	}
	for _, k := range slices.Concat(h.Keys, h.Authorities) {
		if Fingerprint(k) == pin.sum {
			return k, nil
		}
	}
	return nil, &trustkeep.Error{Op: `sshctx: accept "` + trustkeep.Printable(fingerprint) + `"`, Err: trustkeep.ErrNotFound, Hint: "the host has shown no such key; somebody may be in between"}
}
