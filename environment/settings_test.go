package environment_test

import (
	"context"
	"crypto/tls"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/revocation"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// Settings of a connection are those of what is handed out, overridden one by one.
func TestSettingsOfAConnectionCount(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	must(t, w.SetConnection(ctx, environment.Connection{
		ID: "out", ServerName: "a.example", NextProtos: []string{"h2"}, LegacyMinVersion: tls.VersionTLS11, CurvePreferences: []tls.CurveID{tls.X25519},
		CipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}, Policy: truststore.Strict(), ServerURI: "spiffe://a.example/x",
	}))
	atom := w.attach("one", environment.AtomOptions{})
	b := check(atom.Connection("out"))(t)
	c := check(b.Client())(t)
	if c.MinVersion != tls.VersionTLS11 || !slices.Equal(c.NextProtos, []string{"h2"}) || len(c.CipherSuites) != 1 || len(c.CurvePreferences) != 1 || !b.Policy.NoSHA1 || b.ServerURI == "" {
		t.Errorf("%+v", b.Explain())
	}
	must(t, w.test.Override(ctx, "out", environment.Override{MinVersion: new(uint16(tls.VersionTLS13)), NextProtos: &[]string{"http/1.1"}, CipherSuites: new([]uint16)}))
	settled(t, atom, func(a *environment.Atom) bool {
		b, err := a.Connection("out")
		return err == nil && b.MinVersion == tls.VersionTLS13 && b.LegacyMinVersion == 0 && slices.Equal(b.NextProtos, []string{"http/1.1"}) && len(b.CipherSuites) == 0
	})
	if told := w.events[len(w.events)-1].After; !strings.Contains(told, "TLS 1.3") {
		t.Errorf("%s", told)
	}
}

func TestSettingsThatCannotBeMeant(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("x"), "a")
	for what, c := range map[string]environment.Connection{
		"no pins":                         {Pins: []truststore.Pin{}},
		"the zero pin":                    {Pins: make([]truststore.Pin, 1)},
		"a version below":                 {MinVersion: tls.VersionTLS11},
		"two lowest versions":             {MinVersion: tls.VersionTLS12, LegacyMinVersion: tls.VersionTLS11},
		"a suite that there is not":       {CipherSuites: []uint16{1}},
		"a suite that is safe, as legacy": {LegacyCipherSuites: []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}},
		"a curve that there is not":       {CurvePreferences: []tls.CurveID{1}},
		"a rule that there is not":        {Policy: truststore.Policy{Refuse: []trustkeep.Code{"everything"}}},
		"a URI that is none":              {ServerURI: "not a URI"},
		"clients' URI without asking":     {ClientURI: "spiffe://a.example/x"},
		"exempt from nothing":             {RevocationExempt: []string{"a"}},
		"a negative bound":                {Revocation: &environment.Revocation{Timeout: -time.Second}},
	} {
		c.ID = "c"
		if err := w.SetConnection(ctx, c); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := w.SetConnection(ctx, environment.Connection{ID: "c", Revocation: new(environment.Revocation), RevocationExempt: []string{"no"}}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c", ClientAuth: tlsctx.RequireClientAuth, ClientURI: "spiffe://a.example/x"}))
	pin := []truststore.Pin{truststore.PinCertificate(check(keystore.CertificateOf(check(w.Component(ctx, "a"))(t)))(t))}
	for what, o := range map[string]environment.Override{
		"no pins":                 {Pins: new([]truststore.Pin)},
		"pins and none":           {Pins: &pin, NoPins: true},
		"revocation and none":     {Revocation: new(environment.Revocation), NoRevocation: true},
		"clients no longer asked": {ClientAuth: new(tlsctx.NoClientAuth)},
		"a version below":         {MinVersion: new(uint16(tls.VersionTLS10))},
	} {
		if err := w.test.Override(ctx, "c", o); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("override, %s: %v", what, err)
		}
	}
	if _, err := w.test.Attach(ctx, "one", environment.AtomOptions{Revocation: revocation.Options{Timeout: -1}}); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("options of revocation: %v", err)
	}
}

// A connection with revocation refuses whom it learns nothing about, by what the program fetches
// with; an override ends that, or exempts a certificate.
func TestRevocationOfAConnection(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	pki := newPKI(t, w)
	check(w.Import(ctx, "root", inPEM(pki.CA.Leaf()), environment.ComponentOptions{ID: "root"}))(t)
	check(w.Import(ctx, "leaf", inPEM(pki.Server.Leaf()), environment.ComponentOptions{ID: "leaf"}))(t)
	must(t, w.SetConnection(ctx, environment.Connection{
		ID: "out", Trusted: []string{"root"}, Revocation: &environment.Revocation{LeafOnly: true},
	}))
	atom := w.attach("one", environment.AtomOptions{Revocation: revocation.Options{
		FetchCRL: func(context.Context, string) ([]byte, error) { t.Error("fetched"); return nil, errors.New("no") },
	}})
	address := serveWith(t, tlsctx.Builder{Identity: pki.Server})
	reaches := func(a *environment.Atom) error { return dial(t, address, check(a.Connection("out"))(t)) }
	if err := reaches(atom); err == nil || !strings.Contains(err.Error(), "revo") {
		t.Fatalf("nothing is asked: %v", err)
	}
	for _, o := range []environment.Override{
		{NoRevocation: true}, {Revocation: &environment.Revocation{SoftFail: true}}, {RevocationExempt: &[]string{"leaf"}},
	} {
		must(t, w.test.Override(ctx, "out", o))
		settled(t, atom, func(a *environment.Atom) bool { return reaches(a) == nil })
		must(t, w.test.Override(ctx, "out", environment.Override{}))
		settled(t, atom, func(a *environment.Atom) bool { return reaches(a) != nil })
	}
	must(t, w.test.Override(ctx, "out", environment.Override{RevocationExempt: &[]string{"leaf"}}))
	if uses := check(w.Uses(ctx, "leaf"))(t); len(uses) != 1 || uses[0].Environment != "test" {
		t.Errorf("%v", uses)
	}
}

// A policy and a name that a connection would get are part of what a dry run replays.
func TestDryRunOfSettings(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	w.public(w.identity("server"), "a")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "out", Trusted: []string{"a"}}))
	atom := w.attach("one", environment.AtomOptions{})
	must(t, dial(t, serve(t, atom, "server"), check(atom.Connection("out"))(t)))
	must(t, atom.Report(ctx))
	for what, c := range map[string]environment.Connection{
		"nothing":        {},
		"a policy":       {Policy: truststore.Policy{KeyTypes: []string{"RSA"}}},
		"a URI":          {ServerURI: "spiffe://a.example/x"},
		"a trust domain": {TrustDomain: "a.example"},
		"another name":   {ServerName: "other.example"},
		"pins":           {Pins: []truststore.Pin{truststore.PinCertificate(newPKI(t, w).CA.Leaf())}},
	} {
		c.ID, c.Trusted = "out", []string{"a"}
		f := check(w.test.DryRun(ctx, environment.Proposal{Connections: []environment.Connection{c}}))(t)
		if (len(f.Failing) != 0) != (what != "nothing") {
			t.Errorf("%s: %v", what, f)
		}
	}
}
