package environment_test

import (
	"bytes"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/environment/dirstore"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func requestFor(name string) issue.RequestOptions {
	return issue.RequestOptions{Certificate: issue.Options{Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"}}}
}

// request makes a component that waits for its first certificate.
func (w *world) request(id string) []byte {
	w.t.Helper()
	c, csr, err := w.CreateRequest(w.t.Context(), id, requestFor(id), environment.ComponentOptions{ID: id, Password: trustkeep.Password("secret-" + id)})
	if err != nil {
		w.t.Fatal(err)
	}
	if c.Version() != 0 || len(c.Pending()) != 1 {
		w.t.Errorf("%v", c)
	}
	return csr
}

// answer is the reply of a CA.
func (ca *countingCA) answer(t *testing.T, csr []byte) []byte {
	t.Helper()
	return check(ca.Sign(t.Context(), csr))(t)
}

// A request leaves one program, and the reply comes to another one, days later.
func TestRequestAndReplyDaysLater(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ca := newCountingCA(t, w)
	csr := w.request("server")
	// Until then it counts for nothing.
	for about, refused := range map[string]error{
		"deploy":     w.test.Deploy(t.Context(), "server"),
		"role":       w.test.SetRole(t.Context(), "server", "server"),
		"connection": w.SetConnection(t.Context(), environment.Connection{ID: "c", Identity: "server"}),
		"trusted":    w.SetConnection(t.Context(), environment.Connection{ID: "c", Trusted: []string{"server"}}),
		"process":    w.SetProcess(t.Context(), environment.Process{ID: "p", Components: []string{"server"}}),
	} {
		if !errors.Is(refused, trustkeep.ErrEmpty) {
			t.Errorf("%s: %v", about, refused)
		}
	}
	if _, err := w.test.DryRun(t.Context(), environment.Proposal{Connections: []environment.Connection{{ID: "c", Identity: "server"}}}); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("dry run: %v", err)
	}
	w.request("second")
	if same := check(w.ByFingerprint(t.Context(), ""))(t); len(same) != 0 {
		t.Errorf("requests are the same: %v", same)
	}
	a := w.attach("one", environment.AtomOptions{})
	if _, err := a.Identity("server"); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("identity: %v", err)
	}
	w.clock.Advance(5 * 24 * time.Hour)
	c := check(w.Install(t.Context(), "server", ca.answer(t, csr), issue.InstallOptions{Trust: truststore.New(ca.Leaf())}, environment.ComponentOptions{}))(t)
	if c.Version() != 1 || len(c.Pending()) != 0 || len(c.Describe()) != 2 {
		t.Errorf("%v", c)
	}
	settled(t, a, version("server", 1))
	address := serve(t, a, "server")
	must(t, dial(t, address, tlsctx.Builder{Global: truststore.New(ca.Leaf())}))

	// A year later: one request with the same key, one with a new one, and a re-import.
	same := check(w.Request(t.Context(), "server", issue.RequestOptions{}, environment.ComponentOptions{}))(t)
	renewed := check(w.Request(t.Context(), "server", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{NewPassword: trustkeep.Password("another")}))(t)
	must(t, dial(t, address, tlsctx.Builder{Global: truststore.New(ca.Leaf())}))
	w.clock.Advance(2 * 24 * time.Hour)
	check(w.Renew(t.Context(), "server", issue.RenewOptions{NewKey: true, Sign: ca.Sign}, environment.ComponentOptions{}))(t)
	check(w.Rollback(t.Context(), "server", 1))(t)
	former := check(keystore.CertificateOf(c))(t)
	c = check(w.Install(t.Context(), "server", ca.answer(t, renewed), nil, environment.ComponentOptions{}))(t)
	if p := check(check(w.Password(t.Context(), "server"))(t).Reveal())(t); string(p) != "another" || c.Version() != 4 {
		t.Errorf("%v under %q", c, p)
	}
	if now := check(keystore.CertificateOf(c))(t); bytes.Equal(now.RawSubjectPublicKeyInfo, former.RawSubjectPublicKeyInfo) {
		t.Error("not the new key")
	}
	c = check(w.Install(t.Context(), "server", ca.answer(t, same), nil, environment.ComponentOptions{}))(t)
	now := check(keystore.CertificateOf(c))(t)
	if !bytes.Equal(now.RawSubjectPublicKeyInfo, former.RawSubjectPublicKeyInfo) || now.Equal(former) || len(c.Pending()) != 0 {
		t.Errorf("%v", c)
	}
	settled(t, a, version("server", 5))
	must(t, dial(t, address, tlsctx.Builder{Global: truststore.New(ca.Leaf())}))
	var said []string
	for _, h := range check(w.History(t.Context(), "server"))(t) {
		said = append(said, h.State)
	}
	if text := strings.Join(said, "\n"); !strings.HasPrefix(text, `private X.509 "server", request 1 of 2026-03-01 waits`) || !strings.Contains(text, "request 2 of 2026-03-06 waits, request 3 of 2026-03-06 waits") {
		t.Errorf("history:\n%s", text)
	}
}

// A reply for another key changes nothing, whoever sends it.
func TestReplyForAnotherKeyIsRefused(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ca := newCountingCA(t, w)
	csr := w.request("server")
	other := ca.answer(t, w.request("other"))
	if _, err := w.Install(t.Context(), "server", other, nil, environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrKeyMismatch) {
		t.Errorf("%v", err)
	}
	if _, err := w.Install(t.Context(), "server", ca.answer(t, csr), nil, environment.ComponentOptions{Password: trustkeep.Password("wrong")}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
	if _, err := w.Install(t.Context(), "server", ca.answer(t, csr), (*issue.InstallOptions)(nil), environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := w.Install(t.Context(), "none", other, nil, environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	check(w.Install(t.Context(), "server", ca.answer(t, csr), nil, environment.ComponentOptions{}))(t)
}

// Nothing takes a certificate away.
func TestCertificateIsNotReplacedByARequest(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.identity("server")
	_, err := w.Update(t.Context(), "server", trustkeep.Password("x"), func(*component.Component) (*component.Component, error) {
		c, _, err := component.CreateRequest(t.Context(), "server", requestFor("server"), component.Options{ID: "server", Password: trustkeep.Password("x")})
		return c, err
	})
	if !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

func TestRequestsAreCancelledAndDeleted(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.identity("server")
	check(w.Request(t.Context(), "server", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	c := check(w.CancelRequest(t.Context(), "server", 1))(t)
	if len(c.Pending()) != 0 || c.Version() != 1 {
		t.Errorf("%v", c)
	}
	if _, err := w.CancelRequest(t.Context(), "server", 1); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	w.request("waits")
	if _, err := w.CancelRequest(t.Context(), "waits", 1); !errors.Is(err, trustkeep.ErrInUse) {
		t.Errorf("%v", err)
	}
	must(t, w.Delete(t.Context(), "waits"))
	// The key that waited is gone, and so is its password.
	record := check(w.storage.Get(t.Context(), "components/server"))(t)
	if bytes.Contains(record.Value, []byte(`"-1"`)) || bytes.Contains(record.Value, []byte("Pending")) {
		t.Errorf("%s", record.Value)
	}
}

// Passwords of keys that wait are kept like others, follow changes of the password, and are
// nowhere in the clear.
func TestPasswordsOfRequests(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ca := newCountingCA(t, w)
	csr := w.request("server")
	if p := check(check(w.Password(t.Context(), "server"))(t).Reveal())(t); string(p) != "secret-server" {
		t.Errorf("%q", p)
	}
	check(w.ChangePassword(t.Context(), "server", trustkeep.Password("secret-server"), trustkeep.Password("next")))(t)
	check(w.Rename(t.Context(), "server", "renamed"))(t)
	check(w.Install(t.Context(), "server", ca.answer(t, csr), nil, environment.ComponentOptions{}))(t)
	own := check(w.Request(t.Context(), "server", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{NewPassword: trustkeep.Password("its own")}))(t)
	kept := check(w.Request(t.Context(), "server", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	check(w.ChangePassword(t.Context(), "server", trustkeep.Password("next"), trustkeep.Password("last")))(t)
	for i, want := range []string{"its own", "last"} {
		c := check(w.Component(t.Context(), "server"))(t)
		must(t, c.Pending()[i].CheckPassword(trustkeep.Password(want)))
	}
	for csr, want := range map[string]string{string(own): "its own", string(kept): "last"} {
		check(w.Install(t.Context(), "server", ca.answer(t, []byte(csr)), nil, environment.ComponentOptions{}))(t)
		if p := check(check(w.Password(t.Context(), "server"))(t).Reveal())(t); string(p) != want {
			t.Errorf("%q, want %q", p, want)
		}
	}
	for _, r := range check(w.storage.List(t.Context(), ""))(t) {
		for _, secret := range []string{"secret-server", "its own", "PRIVATE KEY"} {
			if bytes.Contains(r.Value, []byte(secret)) {
				t.Errorf("%s has %q", r.Key, secret)
			}
		}
	}
}

// Without a Sealer, the caller gives the passwords.
func TestRequestsWithoutKeptPasswords(t *testing.T) {
	clock := newClock()
	storage := check(dirstore.Open(t.TempDir(), dirstore.Options{Clock: clock.Now}))(t)
	defer storage.Close()
	r := check(environment.Open(t.Context(), storage, environment.Options{Clock: clock.Now}))(t)
	w := newWorld(t, environment.Options{}) // for its clock
	ca := newCountingCA(t, w)
	secret := environment.ComponentOptions{ID: "server", Password: trustkeep.Password("secret")}
	_, csr, err := r.CreateRequest(t.Context(), "server", requestFor("server"), secret)
	must(t, err)
	if _, err := r.Install(t.Context(), "server", ca.answer(t, csr), nil, environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("without its password: %v", err)
	}
	check(r.Install(t.Context(), "server", ca.answer(t, csr), nil, secret))(t)
	csr = check(r.Request(t.Context(), "server", issue.RequestOptions{}, secret))(t)
	check(r.Install(t.Context(), "server", ca.answer(t, csr), nil, secret))(t)
	if _, err := r.Request(t.Context(), "server", issue.RequestOptions{}, environment.ComponentOptions{Password: trustkeep.Password("wrong")}); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("%v", err)
	}
}

// A process is frozen without the requests of its components.
func TestFrozenCopiesHaveNoRequests(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.identity("server")
	check(w.Request(t.Context(), "server", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{}))(t)
	must(t, w.SetProcess(t.Context(), environment.Process{ID: "p", Components: []string{"server"}}))
	must(t, w.test.DeployProcess(t.Context(), "p"))
	record := check(w.storage.Get(t.Context(), "environments/test/processes/p"))(t)
	if bytes.Contains(record.Value, []byte("Pending")) || bytes.Contains(record.Value, []byte("LastRequest")) {
		t.Errorf("%s", record.Value)
	}
	if stale := check(w.test.Stale(t.Context()))(t); len(stale) != 0 {
		t.Errorf("a request made the copy stale: %v", stale)
	}
}

// Two programs request at once; both requests wait.
func TestRequestsAtTheSameTime(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.identity("server")
	const n = 4
	errs := make(chan error, n)
	for range n {
		go func() {
			_, err := w.Request(t.Context(), "server", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{})
			errs <- err
		}()
	}
	for range n {
		must(t, <-errs)
	}
	c := check(w.Component(t.Context(), "server"))(t)
	seen := make(map[string]bool)
	for _, p := range c.Pending() {
		seen[fmt.Sprint(p.Number, string(p.Request))] = true
	}
	if len(seen) != n {
		t.Errorf("%d of %d requests", len(seen), n)
	}
}

// A storage shows requests as files.
func TestRequestsAsFiles(t *testing.T) {
	folder, clock := t.TempDir(), newClock()
	storage := check(dirstore.Open(folder, dirstore.Options{Clock: clock.Now}))(t)
	defer storage.Close()
	r := check(environment.Open(t.Context(), storage, environment.Options{Clock: clock.Now}))(t)
	_, csr, err := r.CreateRequest(t.Context(), "Web server", requestFor("server"), environment.ComponentOptions{ID: "server", Password: trustkeep.Password("secret")})
	must(t, err)
	if got := check(os.ReadFile(filepath.Join(folder, "components", "server", "Web_server-1.csr")))(t); !bytes.Equal(got, csr) {
		t.Errorf("%s", got)
	}
}

// A PGP component has no requests; what others have certified is installed.
func TestInstallOfACertifiedPGPKey(t *testing.T) {
	w := newWorld(t, environment.Options{})
	c := w.pgpKey("p")
	if _, err := w.Request(t.Context(), "p", issue.RequestOptions{}, environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "OpenPGP") {
		t.Errorf("%v", err)
	}
	_, public, err := c.ExportPublic("")
	must(t, err)
	after := check(w.Install(t.Context(), "p", public, nil, environment.ComponentOptions{}))(t)
	if after.Visibility() != trustkeep.Private || after.Fingerprint() != c.Fingerprint() {
		t.Errorf("%v", after)
	}
	check(w.Password(t.Context(), "p"))(t)
}

// In a sealed registry, keys that wait are under random passwords like all others, an
// administrator installs the reply, and requests of before are sealed with the rest.
func TestRequestsInASealedRegistry(t *testing.T) {
	s := newSealedWorld(t)
	ca := newCountingCA(t, s.world)
	csr := s.request("server")
	s.identity("other")
	c := check(s.Component(t.Context(), "server"))(t)
	if err := c.Pending()[0].CheckPassword(trustkeep.Password("secret-server")); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
		t.Errorf("under its own password: %v", err)
	}
	if _, err := s.as(s.atoms["test"]).Install(t.Context(), "server", ca.answer(t, csr), nil, environment.ComponentOptions{}); err == nil {
		t.Error("installed by an atom, for which nothing is sealed")
	}
	c = check(s.Install(t.Context(), "server", ca.answer(t, csr), nil, environment.ComponentOptions{}))(t)
	must(t, s.SetConnection(t.Context(), environment.Connection{ID: "c", Identity: "server"}))
	same := check(s.Request(t.Context(), "server", issue.RequestOptions{}, environment.ComponentOptions{}))(t)
	renewed := check(s.Request(t.Context(), "server", issue.RequestOptions{NewKey: true}, environment.ComponentOptions{NewPassword: trustkeep.Password("own")}))(t)
	for _, csr := range [][]byte{same, renewed} {
		c = check(s.Install(t.Context(), "server", ca.answer(t, csr), nil, environment.ComponentOptions{}))(t)
	}
	a := s.atom("test")
	settled(t, a, version("server", 3))
	if cert := check(check(a.Identity("server"))(t).TLSCertificate())(t); cert.Leaf.NotAfter != c.NotAfter() {
		t.Errorf("%v", cert.Leaf.NotAfter)
	}

	w := newWorld(t, environment.Options{})
	before := w.request("server")
	w.identity("both")
	second := check(w.Request(t.Context(), "both", issue.RequestOptions{}, environment.ComponentOptions{}))(t)
	root := newKey(t)
	path := t.TempDir() + "/key"
	must(t, environment.NewKeyFile(path))
	must(t, w.AddSealer(t.Context(), environment.FileSealer(path)))
	r := check(environment.Open(t.Context(), w.storage, environment.Options{Sealer: environment.FileSealer(path), OpeningKey: root, Clock: w.clock.Now}))(t)
	if left := check(r.Seal(t.Context(), recipient("root", root)))(t); len(left) > 0 {
		t.Fatalf("left: %v", left)
	}
	r = check(environment.Open(t.Context(), w.storage, environment.Options{OpeningKey: root, Clock: w.clock.Now}))(t)
	for id, csr := range map[string][]byte{"server": before, "both": second} {
		c := check(r.Component(t.Context(), id))(t)
		if err := c.Pending()[0].CheckPassword(trustkeep.Password("secret-" + id)); !errors.Is(err, trustkeep.ErrIncorrectPassword) {
			t.Errorf("%s is under its own password: %v", id, err)
		}
		check(r.Install(t.Context(), id, ca.answer(t, csr), nil, environment.ComponentOptions{}))(t)
	}
}
