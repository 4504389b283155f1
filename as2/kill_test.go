package as2_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/as2"
	"github.com/trustkeep/trustkeep/internal/testpki"
)

// The steps of receiving, after each of which the child is killed.
var killSteps = []string{"begun", "half of the content", "content", "stored", "delivering", "delivered", "receipt stored", "sent", "never"}

// killJournal ends the process by SIGKILL at a step.
type killJournal struct {
	as2.Journal
	step func(string)
}

type killEntry struct {
	as2.Entry
	step func(string)
}

func (j killJournal) Store(ctx context.Context, key as2.Key, write func(io.Writer) (as2.Record, error)) (as2.Entry, error) {
	j.step("begun")
	e, err := j.Journal.Store(ctx, key, func(w io.Writer) (as2.Record, error) {
		r, err := write(halfway{w, j.step})
		if err == nil {
			j.step("content")
		}
		return r, err
	})
	if err != nil {
		return nil, err
	}
	j.step("stored")
	return killEntry{e, j.step}, nil
}

func (j killJournal) Open(ctx context.Context, key as2.Key) (as2.Entry, error) {
	e, err := j.Journal.Open(ctx, key)
	if err != nil {
		return nil, err
	}
	return killEntry{e, j.step}, nil
}

type halfway struct {
	io.Writer
	step func(string)
}

func (h halfway) Write(p []byte) (int, error) {
	n, err := h.Writer.Write(p)
	h.step("half of the content")
	return n, err
}

func (e killEntry) SetReceipt(b []byte) error {
	e.step("delivered")
	err := e.Entry.SetReceipt(b)
	e.step("receipt stored")
	return err
}

// killPeople are the same in parent and child.
func killPeople(t *testing.T) (us, them person) {
	pki := testpki.New(t, testpki.Options{Seed: "kill"})
	return newPerson(pki, "us.example"), newPerson(pki, "them.example")
}

// The child: a receiver with a journal, that notes deliveries in a file.
func TestKilledReceiver(t *testing.T) {
	dir, at := os.Getenv("AS2_KILL_DIR"), os.Getenv("AS2_KILL_STEP")
	if dir == "" {
		t.Skip("a child of TestKill")
	}
	us, them := killPeople(t)
	journal, err := as2.OpenJournal(filepath.Join(dir, "journal"), as2.JournalOptions{})
	if err != nil {
		t.Fatal(err)
	}
	step := func(s string) {
		if s == at {
			p, err := os.FindProcess(os.Getpid())
			if err == nil {
				err = p.Kill()
			}
			t.Error(err)
			select {}
		}
	}
	h := as2.Handler{
		Journal: killJournal{journal, step},
		Partners: func(context.Context, string, string) (as2.Inbound, error) {
			return as2.Inbound{Identities: []trustkeep.Identity{them}, Trust: us.trust(), Signer: them}, nil
		},
		Deliver: func(_ context.Context, r *as2.Received) error {
			step("delivering")
			f, err := r.Open()
			if err != nil {
				return err
			}
			defer f.Close()
			body, err := io.ReadAll(f)
			if err != nil {
				return err
			}
			return note(dir, fmt.Sprintf("%s %v %d\n", r.ID, r.Repeated, len(body)))
		},
	}
	if os.Getenv("AS2_RECOVER") != "" {
		if err := h.Recover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		http.NewResponseController(w).Flush()
		step("sent")
	}))
	fmt.Printf("\nlistening at %s\n", s)
	io.Copy(io.Discard, os.Stdin) // until the parent closes it
}

func note(dir, line string) error {
	f, err := os.OpenFile(filepath.Join(dir, "delivered"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteString(line)
	return err
}

// A receiver that is killed at any step loses no message and delivers none twice, but for one
// whose delivery was not yet recorded, which it marks.
func TestKill(t *testing.T) {
	us, them := killPeople(t)
	for _, step := range killSteps {
		for _, recovering := range []bool{false, true} {
			name := step
			if recovering {
				name += ", recovered"
			}
			t.Run(name, func(t *testing.T) {
				dir := t.TempDir()
				send := func(step string) (*as2.Receipt, error) {
					url, stop := startChild(t, dir, step, recovering && step == "never")
					defer stop()
					o := as2.Partner{From: "us", To: "them", URL: url, Identity: us, Recipient: them.recipient, Trust: them.trust()}
					m := message(strings.Repeat("x", 100_000))
					m.ID = "<1@us>"
					return o.Send(t.Context(), m)
				}
				first, err := send(step)
				if killed := step != "never" && step != "sent"; killed != (err != nil) {
					t.Fatal(err)
				}
				again, err := send("never")
				if err != nil {
					t.Fatal(err)
				}
				if first.Raw != nil && string(first.Raw) != string(again.Raw) {
					t.Error("another receipt")
				}
				data, err := os.ReadFile(filepath.Join(dir, "delivered"))
				if err != nil {
					t.Fatal(err)
				}
				want := "<1@us> false 100000\n"
				switch step {
				case "stored", "delivering":
					want = "<1@us> true 100000\n"
				case "delivered":
					want += "<1@us> true 100000\n"
				}
				if string(data) != want {
					t.Errorf("delivered %q, want %q", data, want)
				}
				// Nothing is left of what was not stored.
				files, err := filepath.Glob(filepath.Join(dir, "journal", "*", "*"))
				if err != nil || len(files) != 3 {
					t.Errorf("files %q", files)
				}
			})
		}
	}
}

func startChild(t *testing.T, dir, step string, recovering bool) (url string, stop func()) {
	t.Helper()
	c := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledReceiver$", "-test.v")
	c.Env = append(os.Environ(), "AS2_KILL_DIR="+dir, "AS2_KILL_STEP="+step)
	if recovering {
		c.Env = append(c.Env, "AS2_RECOVER=1")
	}
	in, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	url = readLine(t, out, "listening at ")
	return url, func() {
		in.Close()
		io.Copy(io.Discard, out)
		c.Wait()
	}
}
