package environment_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/storagetest"
	"github.com/trustkeep/trustkeep/internal/quickkdf"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/pgp"
	"github.com/trustkeep/trustkeep/pkitest"
	"github.com/trustkeep/trustkeep/tlsctx"
)

func newClock() *testtool.Clock {
	return testtool.NewClock(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))
}

// world is a registry with an environment "test" and what tests need to ask it.
type world struct {
	*environment.Registry
	t       *testing.T
	clock   *testtool.Clock
	storage environment.Storage
	test    *environment.Environment

	mu     sync.Mutex
	events []environment.Event
}

func newWorld(t *testing.T, o environment.Options) *world {
	t.Helper()
	w := &world{t: t, clock: newClock()}
	w.storage = storagetest.NewMemory(w.clock.Now)
	o.Clock = w.clock.Now
	if o.Rand == nil {
		o.Rand = quickkdf.Rand() // passphrases of PGP keys are not what is tested here
	}
	o.OnEvent = func(e environment.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}
	if o.Sealer == nil {
		path := t.TempDir() + "/key"
		must(t, environment.NewKeyFile(path))
		o.Sealer = environment.FileSealer(path)
	}
	w.Registry = check(environment.Open(t.Context(), w.storage, o))(t)
	w.test = check(w.CreateEnvironment(t.Context(), "test"))(t)
	return w
}

func (w *world) attach(atom string, o environment.AtomOptions) *environment.Atom {
	w.t.Helper()
	a := check(w.test.Attach(w.t.Context(), atom, o))(w.t)
	w.t.Cleanup(func() { a.Close() })
	return a
}

// identity is a private component for localhost, self-signed and valid for a year.
func (w *world) identity(name string) *component.Component {
	w.t.Helper()
	return check(w.Create(w.t.Context(), name, issue.Options{
		Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
		NotBefore: w.clock.Now(), Validity: 365 * 24 * time.Hour,
	}, environment.ComponentOptions{Password: trustkeep.Password("secret-" + name), ID: name}))(w.t)
}

// public is the public component of a private one, as a partner would import it.
func (w *world) public(of *component.Component, id string) *component.Component {
	w.t.Helper()
	_, data, err := of.ExportPublic("")
	must(w.t, err)
	return check(w.Import(w.t.Context(), id, data, environment.ComponentOptions{ID: id}))(w.t)
}

func (w *world) pgpKey(id string) *component.Component {
	w.t.Helper()
	return check(w.Create(w.t.Context(), id, pgp.GenerateOptions{UserIDs: []string{id + " <" + id + "@example.com>"}},
		environment.ComponentOptions{Password: trustkeep.Password("secret-" + id), ID: id}))(w.t)
}

func (w *world) actions() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []string
	for _, e := range w.events {
		out = append(out, e.Action)
	}
	return out
}

// serve runs a server that presents the identity of a component, as it is at each
// handshake, and returns its address.
func serve(t *testing.T, a *environment.Atom, component string) string {
	t.Helper()
	id := check(a.Identity(component))(t)
	return serveWith(t, tlsctx.Builder{Identity: id})
}

func serveWith(t *testing.T, b tlsctx.Builder) string {
	t.Helper()
	config := check(b.Server())(t)
	return testnet.Serve(t, func(c net.Conn) { tls.Server(c, config).Handshake() })
}

// dial makes a handshake as a connection would.
func dial(t *testing.T, address string, b tlsctx.Builder) error {
	t.Helper()
	if b.ServerName == "" {
		b.ServerName = "localhost"
	}
	d, err := b.Dialer()
	if err != nil {
		return err
	}
	c, err := d.DialContext(t.Context(), "tcp", address)
	if err == nil {
		c.Close()
	}
	return err
}

// settled waits until the atom has seen what the registry has now.
func settled(t *testing.T, a *environment.Atom, condition func(*environment.Atom) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must(t, a.Wait(ctx, condition))
}

func version(id string, n int) func(*environment.Atom) bool {
	return func(a *environment.Atom) bool {
		c, err := a.Component(id)
		return err == nil && c.Version() == n
	}
}

func trusts(n int) func(*environment.Atom) bool {
	return func(a *environment.Atom) bool {
		all, err := a.Certificates()
		return err == nil && len(all) == n
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func check[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func inPEM(certs ...*x509.Certificate) []byte {
	var out []byte
	for _, c := range certs {
		out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})...)
	}
	return out
}

func newPKI(t *testing.T, w *world) *pkitest.PKI {
	return pkitest.Options{Now: w.clock.Now()}.New(t)
}

func contains[T comparable](all []T, one T) bool { return slices.Contains(all, one) }
