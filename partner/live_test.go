package partner_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testleak"
	"github.com/trustkeep/trustkeep/internal/testnet"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/partner"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// pair is an item with a certificate, and a key where it is ours.
type pair struct {
	*testpki.Identity
	revoked bool
}

func (p pair) Fingerprint() string               { return hex.EncodeToString(p.Cert.SerialNumber.Bytes()) }
func (p pair) NotBefore() time.Time              { return p.Cert.NotBefore }
func (p pair) NotAfter() time.Time               { return p.Cert.NotAfter }
func (p pair) Revoked() bool                     { return p.revoked }
func (p pair) Certificates() []*x509.Certificate { return []*x509.Certificate{p.Cert} }

// shake makes a handshake and returns what the client and the server know of each other.
func shake(t *testing.T, d *tlsctx.Dialer, server *tls.Config) (client, peer tls.ConnectionState, err error) {
	t.Helper()
	states := make(chan tls.ConnectionState, 1)
	address := testnet.Serve(t, func(raw net.Conn) {
		conn := tls.Server(raw, server)
		if conn.Handshake() == nil {
			states <- conn.ConnectionState()
			conn.Write([]byte{'!'})
			io.Copy(io.Discard, raw)
		}
	})
	d.Dial = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, address)
	}
	conn, err := d.DialContext(t.Context(), "tcp", "partner.example:443")
	if err != nil {
		return
	}
	defer conn.Close()
	if _, err = io.ReadFull(conn, make([]byte, 1)); err != nil {
		return
	}
	return conn.(*tls.Conn).ConnectionState(), <-states, nil
}

// TestLiveTrust: the members for a use are trusted and nobody else, and changes of the set count
// from the next handshake on, resumed ones included.
func TestLiveTrust(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	old, fresh := pair{Identity: pki.Server("partner.example")}, pair{Identity: pki.Server("partner.example")}
	var set partner.Set[pair]
	add := func(p pair, u partner.Use) {
		t.Helper()
		if err := set.Add(partner.Member[pair]{Item: p, Uses: u}); err != nil {
			t.Fatal(err)
		}
	}
	source := partner.Live[pair]{Set: &set}.Trust(partner.VerifyTLS)
	d, err := tlsctx.Builder{Trusted: source, MayBeEmpty: true, Clock: pki.Now}.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	serverOf := func(p pair) *tls.Config {
		return &tls.Config{Certificates: []tls.Certificate{p.TLSCertificate()}, Time: pki.Now}
	}
	oldServer, freshServer := serverOf(old), serverOf(fresh)
	want := func(server *tls.Config, ok, resumed bool) {
		t.Helper()
		if c, _, err := shake(t, d, server); (err == nil) != ok || ok && c.DidResume != resumed {
			t.Errorf("%v, resumed %v", err, c.DidResume)
		}
	}
	want(oldServer, false, false)
	add(old, partner.Verify)
	want(oldServer, false, false) // not for TLS
	add(old, partner.VerifyTLS|partner.Verify)
	want(oldServer, true, false)
	want(oldServer, true, true)
	want(freshServer, false, false)
	want(oldServer, true, false)
	first, err := source.Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := source.Snapshot(); again != first {
		t.Error("another snapshot of the same set")
	}
	add(fresh, partner.VerifyTLS)
	want(freshServer, true, false)
	want(oldServer, true, false)
	if next, _ := source.Snapshot(); next == first || next.Generation() <= first.Generation() || next.Len() != 2 {
		t.Errorf("generation %d", next.Generation())
	}
	if err := set.Remove(old.Fingerprint()); err != nil {
		t.Fatal(err)
	}
	want(oldServer, false, false)
	want(freshServer, true, false)
	fresh.revoked = true
	add(fresh, partner.VerifyTLS)
	want(freshServer, false, false)
}

// opened is an item of ours that has to be opened.
type opened = *pair

// TestLiveIdentity: the item is presented whose turn it is, which changes with the set and with
// time; it is opened once, and again after an error.
func TestLiveIdentity(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	now := testtool.NewClock(pki.Now())
	old, fresh := &pair{Identity: pki.Client("old")}, &pair{Identity: pki.Client("fresh")}
	set := new(partner.Set[opened])
	add := func(p opened, from time.Time) {
		t.Helper()
		if err := set.Add(partner.Member[opened]{Item: p, Uses: partner.ClientTLS, PreferredFrom: from}); err != nil {
			t.Fatal(err)
		}
	}
	count := 0
	var fails, unasked error
	id := partner.Live[opened]{
		Ask: func() (*partner.Set[opened], error) { return set, unasked }, Clock: now.Now,
		Open: func(p opened) (trustkeep.Identity, error) {
			count++
			return tlsctx.StaticIdentity(p.TLSCertificate()), fails
		},
	}.Identity(partner.ClientTLS)
	b := tlsctx.Builder{Trusted: truststore.New(pki.Root.Cert), Identity: id, Clock: now.Now}
	if _, err := b.Dialer(); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("an empty set: %v", err)
	}
	add(old, time.Time{})
	d, err := b.Dialer()
	if err != nil {
		t.Fatal(err)
	}
	server, err := tlsctx.Builder{Identity: tlsctx.StaticIdentity(pki.Server("partner.example").TLSCertificate()), Trusted: truststore.New(pki.Root.Cert), ClientAuth: tlsctx.RequireClientAuth, Clock: now.Now}.Server()
	if err != nil {
		t.Fatal(err)
	}
	want := func(name string, resumed bool, opens int) {
		t.Helper()
		_, s, err := shake(t, d, server)
		if err != nil || s.PeerCertificates[0].Subject.CommonName != name || s.DidResume != resumed || count != opens {
			t.Errorf("%v, resumed %v, opened %d times, want %s", err, s.DidResume, count, name)
		}
	}
	want("old", false, 1)
	want("old", true, 1)
	add(fresh, now.Now().Add(time.Hour))
	want("old", true, 1)
	now.Advance(time.Hour)
	fails = errors.New("locked")
	if _, _, err := shake(t, d, server); !errors.Is(err, fails) {
		t.Errorf("%v", err)
	}
	fails = nil
	want("fresh", false, 3)
	want("fresh", true, 3)
	unasked = errors.New("no registry")
	if _, _, err := shake(t, d, server); !errors.Is(err, unasked) {
		t.Errorf("%v", err)
	}
	unasked = nil
	renewed := *fresh // the same certificate in a new item, as after a change of password
	add(&renewed, now.Now())
	want("fresh", true, 4)
	now.Advance(1000 * time.Hour)
	if _, _, err := shake(t, d, server); !errors.Is(err, partner.ErrNoneValid) {
		t.Errorf("%v", err)
	}

	key, err := renewed.Key.(*ecdsa.PrivateKey).Bytes()
	if err != nil {
		t.Fatal(err)
	}
	testleak.Check(t, id, key)
}

// TestLiveRefusals: what is wrong has one sentinel, and trusts or presents nobody.
func TestLiveRefusals(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	failed := errors.New("failed")
	set := new(partner.Set[pair])
	if err := set.Add(partner.Member[pair]{Item: pair{Identity: pki.Client("me")}, Uses: partner.VerifyTLS | partner.ClientTLS}); err != nil {
		t.Fatal(err)
	}
	var bare partner.Set[cert]
	if err := bare.Add(partner.Member[cert]{Item: cert{"bare", 0, 0, false}, Uses: partner.VerifyTLS | partner.ClientTLS}); err != nil {
		t.Fatal(err)
	}
	type live = partner.Live[pair]
	for name, c := range map[string]struct {
		source truststore.Source
		want   error
	}{
		"no set":         {live{}.Trust(partner.VerifyTLS), trustkeep.ErrInvalid},
		"nil set":        {live{Ask: func() (*partner.Set[pair], error) { return nil, nil }}.Trust(partner.VerifyTLS), trustkeep.ErrInvalid},
		"Ask fails":      {live{Set: set, Ask: func() (*partner.Set[pair], error) { return nil, failed }}.Trust(partner.VerifyTLS), failed},
		"a use of ours":  {live{Set: set}.Trust(partner.ClientTLS), trustkeep.ErrInvalid},
		"two uses":       {live{Set: set}.Trust(partner.VerifyTLS | partner.Verify), trustkeep.ErrInvalid},
		"no use":         {live{Set: set}.Trust(0), trustkeep.ErrInvalid},
		"no certificate": {live{Set: set, Certificate: func(pair) (*x509.Certificate, error) { return nil, nil }}.Trust(partner.VerifyTLS), trustkeep.ErrEmpty},
		"fails":          {live{Set: set, Certificate: func(pair) (*x509.Certificate, error) { return nil, failed }}.Trust(partner.VerifyTLS), failed},
		"holds none":     {partner.Live[cert]{Set: &bare}.Trust(partner.VerifyTLS), trustkeep.ErrInvalid},
	} {
		if s, err := c.source.Snapshot(); !errors.Is(err, c.want) || s != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := (tlsctx.Builder{Trusted: c.source}).Client(); !errors.Is(err, c.want) {
			t.Errorf("%s: Client: %v", name, err)
		}
	}
	for name, c := range map[string]struct {
		id   trustkeep.Identity
		want error
	}{
		"no set":        {live{}.Identity(partner.ClientTLS), trustkeep.ErrInvalid},
		"no Open":       {live{Set: set}.Identity(partner.ClientTLS), trustkeep.ErrInvalid},
		"nil":           {live{Set: set, Open: func(pair) (trustkeep.Identity, error) { return nil, nil }}.Identity(partner.ClientTLS), trustkeep.ErrInvalid},
		"fails":         {live{Set: set, Open: func(pair) (trustkeep.Identity, error) { return nil, failed }}.Identity(partner.ClientTLS), failed},
		"to receive":    {live{Set: set}.Identity(partner.VerifyTLS), trustkeep.ErrInvalid},
		"nobody's turn": {live{Set: set}.Identity(partner.Sign), trustkeep.ErrNotFound},
	} {
		if _, err := c.id.TLSCertificate(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Without members for the use, nobody is trusted, as with any empty store.
	empty := live{Set: set}.Trust(partner.Verify)
	if _, err := (tlsctx.Builder{Trusted: empty}).Client(); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("%v", err)
	}
}
