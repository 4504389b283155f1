package tlsctx

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"fmt"
	"io"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/truststore"
)

// Server returns a configuration for accepting clients. It follows its stores: every handshake
// uses the current identity and trust, in a configuration made for it. Fields that
// are set on the result, such as VerifyConnection or NextProtos, therefore have no effect on
// handshakes; set them in the Builder.
//
// If ClientAuth asks for client certificates, crypto/tls verifies them against Trusted, or else
// Global. One of them must be set: the system's roots never count for clients. When trust or
// identity changes, older sessions can no longer be resumed. A store that becomes empty refuses
// every client certificate; a source that fails refuses every handshake.
//
// The names of all trusted authorities are sent to clients, unless ConcealCAs is set
// or they take more than the 64 KiB that TLS has room for. Pins, Policy, Revocation, Authorize and
// scopes are decided on top of crypto/tls, in VerifyConnection of what GetConfigForClient returns,
// on resumed handshakes too. Without the names, with Allow and with trust that is pinned or holds the
// platform's roots, truststore.Snapshot.Verify decides there instead of crypto/tls, and
// ConnectionState.VerifiedChains is empty; PeerCertificates are there only if they are trusted.
//
// Errors wrap trustkeep.ErrInvalid for a missing identity, for client authentication without
// explicit trust, for Accepted without AcceptedBestEffort, and for fields that are wrong or
// contradict each other. They wrap trustkeep.ErrEmpty for trust or an identity without content,
// and trustkeep.ErrKeyMismatch for an identity whose key does not fit.
func (b Builder) Server() (*tls.Config, error) {
	if err := b.bare(); err != nil {
		return nil, fmt.Errorf("tlsctx: server: %w", err)
	}
	cfg, _, err := b.server()
	return cfg, err
}

func (b Builder) server() (*tls.Config, *live, error) {
	l, err := b.live(false, nil)
	if err != nil {
		return nil, nil, fmt.Errorf("tlsctx: server: %w", err)
	}
	s, err := l.now()
	if err != nil {
		return nil, nil, fmt.Errorf("tlsctx: server: %w", err)
	}
	first, outer, err := s.serve()
	if err != nil {
		return nil, nil, fmt.Errorf("tlsctx: server: %w", err)
	}
	followed := &followedServer{live: l}
	followed.served.Store(first)
	outer.GetConfigForClient = followed.config
	return outer, l, nil
}

// followedServer is the server of a Builder that may follow a definition.
type followedServer struct {
	live   *live
	mu     sync.Mutex // held while the next servers are made
	served atomic.Pointer[served]
}

// served are the servers of one state of the Builder, one for each identity.
type served struct {
	state  uint64      // see state.server
	one    *server     // nil if Routes alone have identities
	nobody *tls.Config // then: it answers unrecognized_name (RFC 6066 section 3), having no certificate
	routed routedServers
}

// serve makes the servers of a state, and a configuration for those who look at it, such as
// http.Server.
func (s *state) serve() (*served, *tls.Config, error) {
	out := &served{state: s.server, routed: routedServers{b: s.b}}
	if s.b.Identity == nil && s.b.Routes != nil {
		outer, err := s.b.routedServer()
		if err != nil {
			return nil, nil, err
		}
		out.nobody = outer.Clone()
		return out, outer, nil
	}
	out.one = &server{b: s.b}
	first, err := out.one.renew(true)
	if err != nil {
		return nil, nil, err
	}
	outer := first.config.Clone()
	if outer.ClientCAs != nil {
		outer.ClientCAs = outer.ClientCAs.Clone() // what is added to it has no effect either
	}
	return out, outer, nil
}

// config is GetConfigForClient.
func (f *followedServer) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	var visitor *openPeer
	for range mostChanges {
		v, err := f.now()
		if err == nil && f.live.follows() && visitor == nil {
			visitor, err = f.live.visitor()
		}
		if err != nil {
			return nil, &setupError{fmt.Errorf("tlsctx: server: %w", err)}
		}
		cfg, err := v.config(hello)
		if err == nil && f.live.follows() {
			// The trust of the configuration belongs to these settings, if they are still those of now.
			if s, err := f.live.now(); err != nil || s.server != v.state {
				continue
			}
			if cfg != v.nobody {
				visitor.decides(hello.Context(), cfg)
			}
		}
		return cfg, err
	}
	return nil, &setupError{fmt.Errorf("tlsctx: server: %w", f.live.outdated("again and again"))}
}

func (v *served) config(hello *tls.ClientHelloInfo) (*tls.Config, error) {
	chosen, err := v.routed.find(hello.ServerName)
	switch {
	case err != nil:
		return nil, &setupError{fmt.Errorf("tlsctx: server: %w", err)}
	case chosen == nil:
		chosen = v.one
	}
	if chosen == nil {
		return v.nobody, nil
	}
	return chosen.current(hello.Context())
}

// now returns the servers of now. Sessions of before a change end with it.
func (f *followedServer) now() (*served, error) {
	s, err := f.live.now()
	if err != nil {
		return nil, err
	}
	if v := f.served.Load(); v.state == s.server {
		return v, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if s, err = f.live.now(); err != nil {
		return nil, err
	}
	if v := f.served.Load(); v.state == s.server {
		return v, nil
	}
	next, _, err := s.serve()
	if err != nil {
		return nil, err
	}
	f.served.Store(next)
	return next, nil
}

// server keeps the configuration that handshakes use, for as long as nothing
// that it was made of changes.
type server struct {
	b     Builder
	mu    sync.Mutex // held while a generation is made
	state atomic.Pointer[generation]
}

// generation is a configuration and what it was made of.
type generation struct {
	trust  *truststore.Snapshot // nil where clients are not asked
	certs  []*tls.Certificate
	keys   []ticketKey // newest first
	config *tls.Config
	// decide is set where our own verification has the decision.
	decide func(context.Context, tls.ConnectionState) error
}

// ticketKey protects session tickets. Keys are managed here and not by
// crypto/tls, because a change of trust or identity must end the sessions of
// before: on resumption, crypto/tls looks only at the root of the chain it once
// verified.
type ticketKey struct {
	made time.Time
	key  [32]byte
}

// The lifetimes are those of crypto/tls.
const (
	ticketKeyRotation = 24 * time.Hour
	ticketKeyLifetime = 7 * 24 * time.Hour
)

// current returns the configuration of now. Nothing in it is proportional to
// the size of the store, unless something changed. The context is that of the handshake.
func (s *server) current(ctx context.Context) (*tls.Config, error) {
	g := s.state.Load()
	trust, certs, err := s.sources()
	if err == nil && !(g.trust == trust && sameIdentities(g.certs, certs) && g.fresh(s.b.now())) {
		g, err = s.renew(false)
	}
	if err != nil {
		return nil, &setupError{fmt.Errorf("tlsctx: server: %w", err)}
	}
	cfg := g.config.Clone() // it is handed out, and may be changed for this one client
	if s.b.Revocation == nil && s.b.Authorize == nil || g.decide == nil {
		return cfg, nil
	}
	// What waits ends with the handshake.
	cfg.VerifyConnection = func(state tls.ConnectionState) error { return g.decide(ctx, state) }
	return cfg, nil
}

// sources asks for trust and identity.
func (s *server) sources() (trust *truststore.Snapshot, certs []*tls.Certificate, err error) {
	if s.b.Identity == nil {
		return nil, nil, &trustkeep.Error{Op: "identity", Err: trustkeep.ErrInvalid, Hint: "a server needs one: set Builder.Identity"}
	}
	if certs, err = presented(s.b.Identity); err != nil {
		return nil, nil, err
	}
	if s.b.ClientAuth != NoClientAuth {
		if trust, err = given.Snapshot(s.b.source()); err != nil {
			return nil, nil, fmt.Errorf("%s trust: %w", s.b.origin(), err)
		}
	}
	return trust, certs, nil
}

// fresh reports whether the newest ticket key is of today.
func (g *generation) fresh(now time.Time) bool {
	age := now.Sub(g.keys[0].made)
	return 0 <= age && age < ticketKeyRotation
}

// renew makes the next generation, unless another handshake just did.
func (s *server) renew(first bool) (*generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if first && s.b.ClientAuth != NoClientAuth && s.b.source() == nil {
		return nil, &trustkeep.Error{
			Op: "client authentication", Err: trustkeep.ErrInvalid,
			Hint: "say whose certificates to accept: set Builder.Trusted or Builder.Global",
		}
	}
	old := s.state.Load()
	// Asked again under the lock, so that generations only go forward.
	trust, certs, err := s.sources()
	if err != nil {
		return nil, err
	}
	now := s.b.now()
	if old != nil && old.trust == trust && sameIdentities(old.certs, certs) && old.fresh(now) {
		return old, nil
	}
	if first && trust != nil && trust.Empty() && !s.b.MayBeEmpty {
		return nil, &trustkeep.Error{
			Op: string(s.b.origin()) + " trust", Err: trustkeep.ErrEmpty,
			Hint: "the store has no certificate and would trust no client",
		}
	}
	g := &generation{trust: trust, certs: certs}
	if g.keys, err = s.ticketKeys(old, g, now); err != nil {
		return nil, err
	}
	if g.config, err = s.b.serverConfig(g); err != nil {
		return nil, err
	}
	s.state.Store(g)
	return g, nil
}

// ticketKeys returns the keys of a generation: a single new one where sessions
// of before must end, else those of before with the new one of the day.
func (s *server) ticketKeys(old, g *generation, now time.Time) ([]ticketKey, error) {
	var keys []ticketKey
	if old != nil && old.trust == g.trust && sameChains(old.certs, g.certs) {
		if old.fresh(now) {
			return old.keys, nil
		}
		for _, k := range old.keys {
			if age := now.Sub(k.made); 0 <= age && age < ticketKeyLifetime {
				keys = append(keys, k)
			}
		}
	}
	if s.b.TicketSecret != nil {
		return s.b.sharedKeys(g, now)
	}
	k := ticketKey{made: now}
	random := s.b.Rand
	if random == nil {
		random = rand.Reader
	}
	if _, err := io.ReadFull(random, k.key[:]); err != nil {
		return nil, fmt.Errorf("session ticket key: %w", err)
	}
	return slices.Insert(keys, 0, k), nil
}

// serverConfig makes the configuration of one generation.
func (b Builder) serverConfig(g *generation) (*tls.Config, error) {
	cfg, err := b.base()
	if err != nil {
		return nil, err
	}
	var certs []tls.Certificate
	for _, c := range g.certs {
		leaf, err := checkPair(c)
		if err != nil {
			return nil, fmt.Errorf("identity: %w", err)
		}
		cert := *concealed(c)
		cert.Leaf = leaf // spares crypto/tls parsing it in each handshake
		certs = append(certs, cert)
	}
	presentToClients(cfg, certs)
	switch b.ClientAuth {
	case NoClientAuth:
		if b.ClientURI != "" {
			return nil, &trustkeep.Error{Op: "ClientURI", Err: trustkeep.ErrInvalid, Hint: "clients are asked for no certificate: set ClientAuth"}
		}
		if b.Authorize != nil {
			g.decide = func(ctx context.Context, s tls.ConnectionState) error {
				return b.authorize(ctx, truststore.Client, "", s, nil)
			}
			cfg.VerifyConnection = func(s tls.ConnectionState) error { return g.decide(context.Background(), s) }
		}
	case RequestClientAuth, RequireClientAuth:
		b.askForCertificate(cfg, g)
	default:
		return nil, fmt.Errorf("ClientAuth %d: %w", b.ClientAuth, trustkeep.ErrInvalid)
	}
	b.sealTickets(cfg, g.keys)
	return cfg, nil
}

// sealTickets protects session tickets. The configuration seals and opens them by functions,
// since the keys would print with it, and whoever has them reads sessions of TLS 1.2.
func (b Builder) sealTickets(cfg *tls.Config, made []ticketKey) {
	keys := make([][32]byte, len(made))
	for i, k := range made {
		keys[i] = k.key
	}
	sealer := &tls.Config{Time: b.Clock, Rand: b.Rand}
	sealer.SetSessionTicketKeys(keys)
	cfg.WrapSession, cfg.UnwrapSession = sealer.EncryptTicket, sealer.DecryptTicket
	// crypto/tls wants keys all the same. It would make some and panic if it could not.
	var unused [32]byte
	rand.Read(unused[:]) // never fails
	cfg.SetSessionTicketKeys([][32]byte{unused})
}

// maxNames is what the list of acceptable authorities may take on the wire.
// TLS gives the list and the message or extension block around it 2 octets of
// length each (RFC 8446 section 4.3.2, RFC 5246 section 7.4.4); the rest is for
// the signature algorithms beside it.
const maxNames = 1<<16 - 1 - 512

// namesFit reports whether the list of authorities can be sent.
func namesFit(trust *truststore.Snapshot) bool {
	n := 0
	for c := range trust.All() {
		if n += 2 + len(c.RawSubject); n > maxNames {
			return false
		}
	}
	return true
}

// askForCertificate makes the server ask, and decide about what it gets.
func (b Builder) askForCertificate(cfg *tls.Config, g *generation) {
	trust := g.trust
	required := b.ClientAuth == RequireClientAuth
	if !b.ConcealCAs && namesFit(trust) {
		cfg.ClientCAs = trust.Pool() // to be sent, too
	}
	d := b.decider(trust, truststore.Client)
	// crypto/tls sends the names of all authorities that it verifies with.
	switch takenOver := b.takenOver(trust) || cfg.ClientCAs == nil || trust.Platform(); {
	case takenOver && required:
		cfg.ClientAuth = tls.RequireAnyClientCert
	case takenOver:
		cfg.ClientAuth = tls.RequestClientCert
	case required:
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	default:
		cfg.ClientAuth = tls.VerifyClientCertIfGiven
	}
	if cfg.ClientAuth >= tls.VerifyClientCertIfGiven {
		if !b.narrowed(trust) {
			return
		}
		d = b.narrower(trust, truststore.Client)
	}
	g.decide = func(ctx context.Context, s tls.ConnectionState) error {
		if len(s.PeerCertificates) == 0 && !required {
			return b.authorize(ctx, truststore.Client, "", s, nil)
		}
		return d.decide(ctx, "", s)
	}
	cfg.VerifyConnection = func(s tls.ConnectionState) error { return g.decide(context.Background(), s) }
}
