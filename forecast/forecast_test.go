package forecast_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/forecast"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestPlan(t *testing.T) {
	one, two := testpki.New(t, testpki.Options{Name: "One"}), testpki.New(t, testpki.Options{Name: "Two"})
	now := testtool.NewClock(one.Now())
	seen := &forecast.Seen{Clock: now.Now}
	trust := store(one.Root, two.Root)
	b := tlsctx.Builder{Trusted: trust, Clock: now.Now, Accepted: seen.Note}
	d := must(b.Dialer())(t)
	servers := map[string]*tls.Config{}
	for name, pki := range map[string]*testpki.PKI{"one.example": one, "two.example": two} {
		e := must(tlsctx.Builder{Identity: identity(pki.Server(name)), Clock: now.Now}.Server())(t)
		servers[name] = e
		for range 3 {
			if err := dial(t, e, d, name+":443"); err != nil {
				t.Fatal(err)
			}
			now.Advance(time.Second)
		}
		if err := dial(t, e, d, "wrong.example:443"); err == nil {
			t.Fatal("accepted")
		}
	}
	peers := seen.Peers()
	if len(peers) != 2 || peers[0].Name != "one.example" || peers[0].Count != 3 || !peers[0].Last.After(peers[0].First) {
		t.Fatalf("%+v", peers)
	}
	plan, err := seen.Plan(b, store(two.Root))
	if err != nil || plan.Checked != 2 || len(plan.Failing) != 1 || plan.Failing[0].Peer.Name != "one.example" || codeOf(plan.Failing[0].Err) != truststore.CodeIncompleteChain && codeOf(plan.Failing[0].Err) != truststore.CodeUnknownIssuer {
		t.Fatalf("%v, %v", plan, err)
	}
	if text := plan.String(); !strings.Contains(text, "1 of 2 peers") || !strings.Contains(text, "one.example, seen 3 times") {
		t.Errorf("%s", text)
	}
	data, err := json.Marshal(plan)
	if err != nil || !strings.Contains(string(data), `"failing":[{"name":"one.example"`) {
		t.Errorf("%s, %v", data, err)
	}
	// Planned, put in force although it fails somebody, and rolled back.
	before := trust.Generation()
	check(t, trust.Set(two.Root.Cert))
	if plan, err := seen.Plan(b, trust); err != nil || len(plan.Failing) != 1 {
		t.Errorf("%v, %v", plan, err)
	}
	for name, ok := range map[string]bool{"one.example": false, "two.example": true} {
		if err := dial(t, servers[name], d, name+":443"); (err == nil) != ok {
			t.Errorf("%s: in force: %v", name, err)
		}
	}
	check(t, trust.Activate(before))
	if plan, err := seen.Plan(b, trust); err != nil || len(plan.Failing) != 0 {
		t.Errorf("%v, %v", plan, err)
	}
	for name, e := range servers {
		if err := dial(t, e, d, name+":443"); err != nil {
			t.Errorf("%s: rolled back: %v", name, err)
		}
	}
	if plan, err := new(forecast.Seen).Plan(b, trust); err != nil || plan.Checked != 0 {
		t.Errorf("nobody seen: %v, %v", plan, err)
	}
	if _, err := seen.Plan(b, nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, err := seen.Plan(b, (*truststore.Truststore)(nil)); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("planned with a nil store: %v", err)
	}
}

func TestSeenIsBounded(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	now := testtool.NewClock(pki.Now())
	seen := &forecast.Seen{Limit: 20, Clock: now.Now}
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("h%02d.example", i))
	}
	e := must(tlsctx.Builder{Identity: identity(pki.Server(names...)), Clock: now.Now}.Server())(t)
	d := must(tlsctx.Builder{Trusted: store(pki.Root), Clock: now.Now, Accepted: seen.Note}.Dialer())(t)
	for _, name := range names {
		if err := dial(t, e, d, name+":443"); err != nil {
			t.Fatal(err)
		}
		now.Advance(time.Second)
	}
	peers := seen.Peers()
	if len(peers) > 20 || peers[len(peers)-1].Name != "h49.example" {
		t.Errorf("%d peers, the last %s", len(peers), peers[len(peers)-1].Name)
	}
}

// A server is told apart from a client, and a client is remembered without a name.
func TestNote(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	seen := new(forecast.Seen)
	server := pki.Server("a.example").Cert
	for range 2 {
		seen.Note(tlsctx.Peer{Purpose: truststore.Server, ServerName: "a.example", Certificates: []*x509.Certificate{server}})
		seen.Note(tlsctx.Peer{Purpose: truststore.Client, ServerName: "a.example", Certificates: []*x509.Certificate{pki.Root.Cert}})
		seen.Note(tlsctx.Peer{Purpose: truststore.Client})
	}
	if p := seen.Peers(); len(p) != 2 || p[0].Name != "" || p[0].Purpose != truststore.Client || p[0].Count != 2 || p[1].Name != "a.example" || p[1].Purpose != truststore.Server {
		t.Errorf("%+v", p)
	}
}

func codeOf(err error) trustkeep.Code {
	refused, _ := errors.AsType[*truststore.VerifyError](err)
	if refused == nil {
		return ""
	}
	return refused.Code
}

func identity(id *testpki.Identity) trustkeep.Identity {
	return tlsctx.StaticIdentity(id.TLSCertificate())
}

func store(ids ...*testpki.Identity) *truststore.Truststore {
	var certs []*x509.Certificate
	for _, id := range ids {
		certs = append(certs, id.Cert)
	}
	return truststore.New(certs...)
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](v T, err error) func(*testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		check(t, err)
		return v
	}
}

// dial connects to a server of the configuration, and waits for the octet that it says.
func dial(t *testing.T, server *tls.Config, d *tlsctx.Dialer, address string) error {
	t.Helper()
	d.Dial = func(context.Context, string, string) (net.Conn, error) {
		near, far := net.Pipe()
		go func() {
			defer far.Close()
			if conn := tls.Server(far, server); conn.Handshake() == nil {
				conn.Write([]byte{'!'})
				io.Copy(io.Discard, far)
			}
		}()
		return near, nil
	}
	conn, err := d.DialContext(t.Context(), "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = io.ReadFull(conn, make([]byte, 1))
	return err
}

// noSource is somebody else's trust, who does not look whether it is nil.
type noSource struct{ s *truststore.Snapshot }

func (n *noSource) Snapshot() (*truststore.Snapshot, error) { return n.s, nil }

func TestPlanForNilTrust(t *testing.T) {
	for _, next := range []truststore.Source{nil, (*truststore.Truststore)(nil), (*noSource)(nil), &noSource{}} {
		if _, err := new(forecast.Seen).Plan(tlsctx.Builder{}, next); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%T: %v", next, err)
		}
	}
}
