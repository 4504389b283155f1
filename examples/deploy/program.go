package main

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/tlsctx"
)

const (
	// patience is how long the effect of a change is waited for.
	patience = 20 * time.Second
	// oneTry bounds a connection.
	oneTry = 10 * time.Second
)

// The kinds of question.
const (
	askHTTPS  = "https"
	askFTPS   = "ftps"
	askPGP    = "pgp"    // encrypt a message to a component
	askReport = "report" // store which peers were accepted
	askOpen   = "open"   // make a connection and keep it open
	askOpened = "opened" // wait for the end of that
)

// The outcomes.
const (
	ok            = "ok"
	notFound      = "not found"
	tooOld        = "too old"
	nobodyTrusted = "refused: empty-store"
)

func refusedFor(code string) string { return "refused: " + code }

// question is what a program is to try.
type question struct {
	Kind string `json:"kind"`
	// Host is the name of the server, Address where it is.
	Host    string `json:"host,omitempty"`
	Address string `json:"address,omitempty"`
	// Connection to make, or a Component to use; that of a Process if there is one.
	// Without any, the connection is one without settings.
	Process    string `json:"process,omitempty"`
	Connection string `json:"connection,omitempty"`
	Component  string `json:"component,omitempty"`
	// Want is the outcome to wait for. Empty takes whatever comes.
	Want string `json:"want,omitempty"`
	// Now is the time by the clock of the story.
	Now time.Time `json:"now"`
}

type answer struct {
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
}

// client is a program that is attached to an environment, here or in a process of its own.
// It answers one question at a time.
type client interface {
	name() string
	ask(ctx context.Context, q question) (answer, error)
	close() error
}

// clock is one that is moved by hand: a certificate's life is long.
type clock struct{ now atomic.Pointer[time.Time] }

func newClock(t time.Time) *clock {
	c := new(clock)
	c.set(t)
	return c
}

func (c *clock) Now() time.Time  { return *c.now.Load() }
func (c *clock) set(t time.Time) { c.now.Store(&t) }

// program makes connections with what an atom gives it, and asks the atom only once for
// each: what it was given then has to follow all changes.
type program struct {
	atom    *environment.Atom
	clock   *clock
	dialers map[[2]string]*tlsctx.Dialer // by process and connection
	open    net.Conn                     // nil for none
}

func attach(ctx context.Context, e *environment.Environment, name string, c *clock) (*program, error) {
	atom, err := e.Attach(ctx, name, environment.AtomOptions{})
	if err != nil {
		return nil, err
	}
	return &program{atom: atom, clock: c, dialers: make(map[[2]string]*tlsctx.Dialer)}, nil
}

func (p *program) name() string { return p.atom.ID() }
func (p *program) close() error { return p.atom.Close() }

// ask tries what the question says: once, or after each change until the outcome is the
// wanted one.
func (p *program) ask(ctx context.Context, q question) (a answer, err error) {
	p.clock.set(q.Now)
	if q.Want == "" {
		return p.try(ctx, q), ctx.Err()
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	p.atom.Wait(waiting, func(*environment.Atom) bool {
		a = p.try(ctx, q)
		return a.Outcome == q.Want
	}) // when that takes too long, the outcome is the last one
	return a, ctx.Err()
}

func (p *program) try(ctx context.Context, q question) answer {
	ctx, cancel := context.WithTimeout(ctx, oneTry)
	defer cancel()
	switch q.Kind {
	case askPGP:
		return p.encrypt(ctx, q)
	case askReport:
		return outcome(p.atom.Report(ctx))
	case askOpen:
		return p.keepOpen(ctx, q)
	case askOpened:
		return p.opened(ctx)
	}
	d, err := p.dialer(q)
	if err != nil {
		return outcome(err)
	}
	if q.Kind == askFTPS {
		return outcome(talkFTPS(ctx, d, q.Host, q.Address))
	}
	return outcome(getHTTPS(ctx, d, q.Host, q.Address))
}

// dialer returns that of a connection, the same one each time.
func (p *program) dialer(q question) (*tlsctx.Dialer, error) {
	key := [2]string{q.Process, q.Connection}
	if d := p.dialers[key]; d != nil {
		return d, nil
	}
	b, err := p.builder(q)
	if err != nil {
		return nil, err
	}
	d, err := b.Dialer()
	if err == nil {
		p.dialers[key] = d
	}
	return d, err
}

func (p *program) builder(q question) (tlsctx.Builder, error) {
	switch {
	case q.Connection == "":
		return p.atom.Implicit(), nil
	case q.Process == "":
		return p.atom.Connection(q.Connection)
	}
	process, err := p.atom.Process(q.Process)
	if err != nil {
		return tlsctx.Builder{}, err
	}
	return process.Connection(q.Connection)
}

// secret is what is sent to partners.
const secret = "500 pieces, by Friday"

// encrypt names the key that the environment has for a component, and gives a message that
// was encrypted to it.
func (p *program) encrypt(ctx context.Context, q question) answer {
	key, err := p.atom.PGP(ctx, q.Component)
	if err != nil {
		return outcome(err)
	}
	options := pgp.Options{Clock: p.clock.Now}
	var message bytes.Buffer
	if err := (pgp.Encryption{Options: options, To: []*pgp.Key{key}, Armor: true}).Encrypt(&message, strings.NewReader(secret)); err != nil {
		return outcome(err)
	}
	return answer{Outcome: trustkeep.Printable(key.Info(options).UserIDs[0].ID), Detail: message.String()}
}
