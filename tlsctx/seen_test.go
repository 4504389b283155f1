package tlsctx_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestPlan(t *testing.T) {
	one, two := testpki.New(t, testpki.Options{Name: "One"}), testpki.New(t, testpki.Options{Name: "Two"})
	now := &clock{now: one.Now()}
	seen := tlsctx.NewSeen(0)
	trust := store(one.Root, two.Root)
	b := tlsctx.Builder{Trusted: trust, Clock: now.Now, Seen: seen}
	d := mustDialer(t, b)
	servers := map[string]*echo{}
	for name, pki := range map[string]*testpki.PKI{"one.example": one, "two.example": two} {
		e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(name)), Clock: now.Now}))
		servers[name] = e
		for range 3 {
			if _, err := e.dial(t, d, name+":443"); err != nil {
				t.Fatal(err)
			}
			now.advance(time.Second)
		}
		if _, err := e.dial(t, d, "wrong.example:443"); err == nil {
			t.Fatal("accepted")
		}
	}
	peers := seen.Peers()
	if len(peers) != 2 || peers[0].Name != "one.example" || peers[0].Count != 3 || !peers[0].Last.After(peers[0].First) {
		t.Fatalf("%+v", peers)
	}
	plan, err := b.Plan(store(two.Root))
	if err != nil || plan.Checked != 2 || len(plan.Failing) != 1 || plan.Failing[0].Peer.Name != "one.example" || plan.Failing[0].Err.Code != truststore.CodeIncompleteChain && plan.Failing[0].Err.Code != truststore.CodeUnknownIssuer {
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
	must(t, trust.Set(two.Root.Cert))
	if plan, err := b.Plan(trust); err != nil || len(plan.Failing) != 1 {
		t.Errorf("%v, %v", plan, err)
	}
	for name, ok := range map[string]bool{"one.example": false, "two.example": true} {
		if _, err := servers[name].dial(t, d, name+":443"); (err == nil) != ok {
			t.Errorf("%s: in force: %v", name, err)
		}
	}
	must(t, trust.Activate(before))
	if plan, err := b.Plan(trust); err != nil || len(plan.Failing) != 0 {
		t.Errorf("%v, %v", plan, err)
	}
	for name, e := range servers {
		if _, err := e.dial(t, d, name+":443"); err != nil {
			t.Errorf("%s: rolled back: %v", name, err)
		}
	}
	if _, err := (tlsctx.Builder{}).Plan(trust); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("%v", err)
	}
	if _, err := b.Plan((*truststore.Truststore)(nil)); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
}

// Servers see their clients, and every kind of configuration its peers.
func TestSeenByAll(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	for kind, client := range asLive {
		for _, pins := range [][]truststore.Pin{nil, {truststore.PinKey(pki.Root.Cert)}} {
			clients, servers := tlsctx.NewSeen(0), tlsctx.NewSeen(0)
			id := pki.Server(host)
			if pins != nil {
				pins[0] = truststore.PinKey(id.Cert)
			}
			server := mustServer(t, tlsctx.Builder{Identity: identity(id), Clock: pki.Now, ClientAuth: tlsctx.RequireClientAuth, Trusted: store(pki.Root), Seen: clients})
			cfg := client(t, tlsctx.Builder{Trusted: store(pki.Root), ServerName: host, Clock: pki.Now, Identity: identity(pki.Client("me")), Seen: servers, Pins: pins})
			connect(t, cfg, server)
			if c, s := clients.Peers(), servers.Peers(); len(c) != 1 || len(s) != 1 || c[0].Purpose != truststore.Client || s[0].Name != host {
				t.Errorf("%s: %+v, %+v", kind, c, s)
			}
		}
	}
}

func TestSeenIsBounded(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	seen := tlsctx.NewSeen(20)
	now := &clock{now: pki.Now()}
	var names []string
	for i := range 50 {
		names = append(names, fmt.Sprintf("h%02d.example", i))
	}
	e := newEcho(t, mustServer(t, tlsctx.Builder{Identity: identity(pki.Server(names...)), Clock: now.Now}))
	d := mustDialer(t, tlsctx.Builder{Trusted: store(pki.Root), Clock: now.Now, Seen: seen})
	for _, name := range names {
		if _, err := e.dial(t, d, name+":443"); err != nil {
			t.Fatal(err)
		}
		now.advance(time.Second)
	}
	peers := seen.Peers()
	if len(peers) > 20 || peers[len(peers)-1].Name != "h49.example" {
		t.Errorf("%d peers, the last %s", len(peers), peers[len(peers)-1].Name)
	}
}
