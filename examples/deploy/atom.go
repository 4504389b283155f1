package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// atomVariable in the environment makes this program an atom. It reads its settings and
// then questions from its input, a line of JSON each, and answers them.
const atomVariable = "TRUSTKEEP_DEPLOY_ATOM"

// atomSettings is all that an atom is given. It has no key of the registry, so it could not
// read the private keys there.
type atomSettings struct {
	Name       string    `json:"name"`
	NATS       string    `json:"nats"`
	Keystore   string    `json:"keystore"`
	Truststore string    `json:"truststore"`
	Password   string    `json:"password"` // of both
	Now        time.Time `json:"now"`
}

// runAtom is the program as an atom, until its input ends.
func runAtom(stdin io.Reader, stdout, stderr io.Writer) int {
	if err := answerAll(json.NewDecoder(stdin), json.NewEncoder(stdout)); err != nil {
		fmt.Fprintln(stderr, "atom:", err)
		return 1
	}
	return 0
}

func answerAll(in *json.Decoder, out *json.Encoder) (err error) {
	var settings atomSettings
	if err := in.Decode(&settings); err != nil {
		return err
	}
	// The end of the input ends whatever is still waited for.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	p, stop, err := settings.attach(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := out.Encode(answer{Outcome: ok}); err != nil {
		return err
	}
	questions := make(chan question)
	go func() {
		defer cancel()
		for {
			var q question
			if in.Decode(&q) != nil {
				return
			}
			select {
			case questions <- q:
			case <-ctx.Done():
				return
			}
		}
	}()
	for {
		select {
		case q := <-questions:
			a, err := p.ask(ctx, q)
			if err != nil {
				return nil // the input has ended
			}
			if err := out.Encode(a); err != nil {
				return err
			}
		case <-ctx.Done():
			return nil
		}
	}
}

// attach connects to NATS and attaches to the test environment.
func (s atomSettings) attach(ctx context.Context) (_ *program, stop func() error, err error) {
	password := trustkeep.Password(s.Password)
	keys, err := keystore.Load(s.Keystore, password)
	if err != nil {
		return nil, nil, err
	}
	identity, err := keys.Identity(s.Name)
	if err != nil {
		return nil, nil, err
	}
	trust, err := truststore.Load(s.Truststore, password)
	if err != nil {
		return nil, nil, err
	}
	storage, err := connectNATS(ctx, s.NATS, tlsctx.Builder{Trusted: trust, Identity: identity})
	if err != nil {
		return nil, nil, err
	}
	clock := newClock(s.Now)
	registry, err := environment.Open(ctx, storage, environment.Options{Clock: clock.Now})
	if err != nil {
		return nil, nil, errors.Join(err, storage.Close())
	}
	test, err := registry.Environment(ctx, "test")
	if err != nil {
		return nil, nil, errors.Join(err, storage.Close())
	}
	p, err := attach(environment.WithActor(ctx, s.Name), test, s.Name, clock)
	if err != nil {
		return nil, nil, errors.Join(err, storage.Close())
	}
	return p, func() error { return errors.Join(p.close(), storage.Close()) }, nil
}

// process is an atom in a process of its own.
type process struct {
	id     string
	cmd    *exec.Cmd
	in     io.Closer
	asking *json.Encoder
	saying *json.Decoder
}

// startProcess starts this program once more and returns when it is attached. When the
// context ends, the process is killed.
func startProcess(ctx context.Context, settings atomSettings) (*process, error) {
	path, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, path)
	cmd.Env = append(os.Environ(), atomVariable+"=1")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &process{settings.Name, cmd, in, json.NewEncoder(in), json.NewDecoder(out)}
	if err = p.asking.Encode(settings); err == nil {
		_, err = p.answer()
	}
	if err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *process) name() string { return p.id }

// ask passes the question on. The process answers within patience.
func (p *process) ask(_ context.Context, q question) (answer, error) {
	if err := p.asking.Encode(q); err != nil {
		return answer{}, fmt.Errorf("atom %s: %w", p.id, err)
	}
	return p.answer()
}

func (p *process) answer() (a answer, err error) {
	if err = p.saying.Decode(&a); err != nil {
		err = fmt.Errorf("atom %s: %w", p.id, err)
	}
	return a, err
}

// close ends the process and waits until it has ended.
func (p *process) close() error {
	p.in.Close()
	return p.cmd.Wait()
}
