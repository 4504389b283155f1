package sshctx

import (
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/given"
)

// Builder describes one side of SSH connections. Changing it has no effect on what was built from
// it. It is safe for concurrent use as long as nobody assigns to its fields.
type Builder struct {
	// Global is what the environment knows about hosts. It is ignored if Trusted is set.
	Global HostSource
	// Trusted is what this connection knows about its host, and replaces Global. If nil, Global
	// counts; if both are nil, a client cannot be built. A nil pointer in it is an error.
	Trusted HostSource

	// User is the name to log in as. Clients need it.
	User string
	// Identities are the keys to log in with, tried in this order; servers disconnect after a
	// few that they do not know, often six. For a server, they are its host keys.
	Identities []Identity
	// Password to log in with where the server accepts none of the keys, by the methods
	// "password" and "keyboard-interactive" (one hidden question). If nil, none is sent. It is
	// asked for only when it is needed, after the host has been verified.
	Password trustkeep.PasswordSource

	// Authorized is who may log in at a server. Servers need it.
	Authorized AuthorizedSource
	// ForcesCommands says that the server runs Permissions.CriticalOptions["force-command"] in
	// place of what clients ask for. If false, keys and certificates that are bound to a command
	// are refused.
	ForcesCommands bool

	// Legacy are names of algorithms with known weaknesses that are offered after the others,
	// for a peer that cannot do better: those of ssh.InsecureAlgorithms, such as "ssh-rsa" or
	// "diffie-hellman-group14-sha1". If nil, none is. Others are an error.
	Legacy []string
	// MinRSABits is the smallest RSA key that is accepted from the peer. If zero, 2,048.
	MinRSABits int

	// Accepted, if set, is called when a Dialer has logged in at a host: its key is trusted, and
	// it has proved to have it. It must not block, and several goroutines call it at once.
	Accepted func(Host)

	// Timeout bounds a connection from dialling until the login. If zero, 30 seconds. Client
	// sets it as the time for dialling alone, which is all that package ssh has a bound for.
	Timeout time.Duration
	// Clock is the time by which certificates are judged. If nil, time.Now.
	Clock func() time.Time
	// Rand is the source of randomness, for tests. If nil, crypto/rand.
	Rand io.Reader

	follows *following // see Follow; nil for nothing
}

// Host is a host that was accepted.
type Host struct {
	// Address is "host:port", as dialled.
	Address string
	// Key is the key, or certificate, that it has shown.
	Key ssh.PublicKey
}

const defaultTimeout = 30 * time.Second

func (b Builder) timeout() time.Duration {
	if b.Timeout == 0 {
		return defaultTimeout
	}
	return b.Timeout
}

func (b Builder) now() time.Time {
	if b.Clock != nil {
		return b.Clock()
	}
	return time.Now()
}

// String names the user and what is trusted, without secrets.
func (b Builder) String() string {
	b = b.orAsItWas()
	trust := "nothing"
	switch {
	case b.Trusted != nil:
		trust = "the connection's own hosts"
	case b.Global != nil:
		trust = "the environment's hosts"
	}
	return fmt.Sprintf("sshctx.Builder{user %q, trusts %s, %d identities}", trustkeep.Printable(b.User), trust, len(b.Identities))
}

// Format prints String under every verb, so that no secret of a field is printed.
func (b Builder) Format(f fmt.State, _ rune) { io.WriteString(f, b.String()) }

// MarshalText yields String.
func (b Builder) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// MarshalBinary yields String, for gob.
func (b Builder) MarshalBinary() ([]byte, error) { return []byte(b.String()), nil }

// LogValue implements slog.LogValuer through String.
func (b Builder) LogValue() slog.Value { return slog.StringValue(b.String()) }

// trust returns the host keys that count: Trusted if it is set, else Global.
func (b Builder) trust() (HostSource, error) {
	source := b.Trusted
	if source == nil {
		source = b.Global
	}
	if source == nil {
		return nil, &trustkeep.Error{Op: "sshctx: trust", Err: trustkeep.ErrInvalid,
			Hint: "set Global or Trusted: known hosts, or sshctx.Pinned; FetchHostKeys shows a server's fingerprints for comparing"}
	}
	if given.IsNil(source) {
		return nil, &trustkeep.Error{Op: "sshctx: trust", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer; was the error of loading it checked?"}
	}
	return source, nil
}

// algorithms returns what is offered: all that package ssh has, weak ones only by name.
func (b Builder) algorithms() (ssh.Algorithms, error) {
	all, weak := ssh.SupportedAlgorithms(), ssh.InsecureAlgorithms()
	// golang.org/x/crypto/ssh chooses the IVs of AES-GCM itself, and panics there.
	if err := fips.Refuse("SSH"); err != nil {
		return all, err
	}
	for _, name := range b.Legacy {
		found := false
		for _, each := range []struct{ to, from *[]string }{
			{&all.KeyExchanges, &weak.KeyExchanges}, {&all.Ciphers, &weak.Ciphers}, {&all.MACs, &weak.MACs},
			{&all.HostKeys, &weak.HostKeys}, {&all.PublicKeyAuths, &weak.PublicKeyAuths},
		} {
			if slices.Contains(*each.from, name) {
				*each.to = append(*each.to, name)
				found = true
			}
		}
		if !found {
			return all, &trustkeep.Error{Op: `sshctx: Legacy "` + trustkeep.Printable(name) + `"`, Err: trustkeep.ErrInvalid, Hint: "ssh.InsecureAlgorithms lists what can be added; all others are offered anyway"}
		}
	}
	return all, nil
}

func (b Builder) config(a ssh.Algorithms) ssh.Config {
	return ssh.Config{Rand: b.Rand, KeyExchanges: a.KeyExchanges, Ciphers: a.Ciphers, MACs: a.MACs}
}

// checkUser refuses a name that cannot be meant.
func (b Builder) checkUser() error {
	if b.User == "" || strings.ContainsAny(b.User, "\x00\r\n") {
		return &trustkeep.Error{Op: "sshctx: User", Err: trustkeep.ErrInvalid, Hint: "a client needs the name to log in as"}
	}
	return nil
}
