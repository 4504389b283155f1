package environment_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// stepped is the storage of a program that goes on when it is told to, until it is killed.
type stepped struct {
	environment.Storage
	tokens, ended chan struct{}
	done          chan bool // whether it was one that others see, or that sees others
	dead          bool
}

// started runs a program up to its first call.
func started(storage environment.Storage, o environment.Options, do func(ctx context.Context, r *environment.Registry) error) *stepped {
	p := &stepped{Storage: storage, tokens: make(chan struct{}), done: make(chan bool), ended: make(chan struct{})}
	go func() {
		defer close(p.ended)
		if r, err := environment.Open(context.Background(), p, o); err == nil {
			do(context.Background(), r)
		}
	}()
	return p
}

// step lets calls happen up to the next write or look at all records, and tells whether there was
// one.
func (p *stepped) step() bool {
	for {
		select {
		case p.tokens <- struct{}{}:
			if <-p.done {
				return true
			}
		case <-p.ended:
			return false
		}
	}
}

// kill makes all calls fail from now on, and waits for the end.
func (p *stepped) kill() {
	p.dead = true // seen after the next token
	for p.step() {
	}
}

func (p *stepped) call(point bool, do func() error) error {
	<-p.tokens
	defer func() { p.done <- point }()
	if p.dead {
		return errKilled
	}
	return do()
}

func (p *stepped) Get(ctx context.Context, key string) (r environment.Record, err error) {
	err = p.call(false, func() (err error) { r, err = p.Storage.Get(ctx, key); return err })
	return r, err
}

func (p *stepped) List(ctx context.Context, prefix string) (r []environment.Record, err error) {
	err = p.call(prefix == "", func() (err error) { r, err = p.Storage.List(ctx, prefix); return err })
	return r, err
}

func (p *stepped) Versions(ctx context.Context, key string) (r []environment.Record, err error) {
	err = p.call(false, func() (err error) { r, err = p.Storage.Versions(ctx, key); return err })
	return r, err
}

func (p *stepped) Put(ctx context.Context, key string, value []byte, expected uint64) (n uint64, err error) {
	err = p.call(true, func() (err error) { n, err = p.Storage.Put(ctx, key, value, expected); return err })
	return n, err
}

func (p *stepped) Delete(ctx context.Context, key string, expected uint64) error {
	return p.call(true, func() error { return p.Storage.Delete(ctx, key, expected) })
}

// TestWriterAndRemoverInterleaved: one program ends the last reference to a component while
// another begins to refer to it. At whatever calls they take turns, and wherever either or both
// are killed then, the password is not lost, and the next change leaves it sealed where it counts.
func TestWriterAndRemoverInterleaved(t *testing.T) {
	type R = *environment.Registry
	role := func(name, component string) func(context.Context, R) error {
		return func(ctx context.Context, r R) error {
			e, err := r.Environment(ctx, "test")
			if err != nil {
				return err
			}
			return e.SetRole(ctx, name, component)
		}
	}
	s := newSealedWorld(t)
	s.identity("x")
	must(t, s.test.SetRole(t.Context(), environment.RoleTLS, "x"))
	o := environment.Options{OpeningKey: s.root, Clock: s.clock.Now, Rand: quickkdf.Rand()}
	writers := map[string]func(context.Context, R) error{
		"connection": func(ctx context.Context, r R) error {
			return r.SetConnection(ctx, environment.Connection{ID: "new", Identity: "x", Environments: []string{"test"}})
		},
		"role": role(environment.RolePrimary, "x"),
	}
	runs := 0
	for name, write := range writers {
		// Each bit of an order says whose turn it is; both are killed after it.
		try := func(order string) (more [2]bool) {
			runs++
			m := s.copyOf()
			both := [2]*stepped{started(m, o, role(environment.RoleTLS, "")), started(m, o, write)}
			more = [2]bool{true, true}
			for _, turn := range order {
				more[turn-'0'] = both[turn-'0'].step()
			}
			both[0].kill()
			both[1].kill()
			again := check(environment.Open(t.Context(), m, o))(t)
			where := name + ": order " + order
			nextChange(t, again)
			sealedWell(t, again, where)
			if _, err := again.Password(t.Context(), "x"); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			return more
		}
		var from func(order string, live [2]bool)
		from = func(order string, live [2]bool) {
			for i, turn := range []string{"0", "1"} {
				if !live[i] || t.Failed() {
					continue
				}
				next := try(order + turn)
				if !next[i] {
					live[i] = false // it had ended
					continue
				}
				from(order+turn, live)
			}
		}
		if testtool.Cases(0, 1) == 1 {
			from("", [2]bool{true, true})
			continue
		}
		for _, order := range []string{"00011011001", "0001101100111", "1110001100110"} {
			try(order)
		}
		for i := range uint64(80) {
			random, order := rand.New(rand.NewPCG(1, i)), ""
			for range 4 + random.IntN(14) {
				order += strconv.Itoa(random.IntN(2))
			}
			try(order)
		}
	}
	t.Logf("%d runs", runs)
}
