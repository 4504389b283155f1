package environment_test

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/pkitest"
)

// unusable is a certificate that crypto/x509 refuses, for a negative serial number.
func unusable(t *testing.T, w *world) []byte {
	t.Helper()
	leaf := newPKI(t, w).Issue(pkitest.Certificate{CommonName: "unusable", NotBefore: w.clock.Now(), NotAfter: w.clock.Now().Add(time.Hour)}).Leaf()
	serial := leaf.SerialNumber.Bytes()
	if serial[0]&0x80 != 0 {
		serial = append([]byte{0}, serial...) // as DER has it
	}
	der := bytes.Replace(leaf.Raw, serial, append([]byte{serial[0] | 0x80}, serial[1:]...), 1)
	if _, err := x509.ParseCertificate(der); err == nil {
		t.Fatal("crypto/x509 takes the certificate")
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// TestTrustedComponentKeepsAUsableCertificate: trust in what is re-imported does not become trust
// in nobody.
func TestTrustedComponentKeepsAUsableCertificate(t *testing.T) {
	w := newWorld(t, environment.Options{})
	ctx := t.Context()
	bad := unusable(t, w)
	server := w.identity("server")
	w.public(server, "a")
	must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
	must(t, w.SetProcess(ctx, environment.Process{ID: "p", Connections: []string{"c"}}))
	trusted := []string{"a"}
	for _, use := range []struct {
		about      string
		begin, end func() error
	}{
		{"deployed", func() error { return w.test.Deploy(ctx, "a") }, func() error { return w.test.Undeploy(ctx, "a") }},
		{"trusted by connection", func() error { return w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: trusted}) },
			func() error { return w.SetConnection(ctx, environment.Connection{ID: "c"}) }},
		{"overridden", func() error { return w.test.Override(ctx, "c", environment.Override{Trusted: &trusted}) },
			func() error { return w.test.Override(ctx, "c", environment.Override{}) }},
	} {
		must(t, use.begin())
		atom := w.attach(strings.Fields(use.about)[0], environment.AtomOptions{})
		_, err := w.Reimport(ctx, "a", bad, environment.ComponentOptions{})
		if !errors.Is(err, trustkeep.ErrUnsupported) || !strings.Contains(err.Error(), "in use") {
			t.Errorf("%s: %v", use.about, err)
		}
		next := check(check(w.Component(ctx, "a"))(t).Reimport(ctx, bad, component.Options{Kinds: []component.Kind{keystore.ComponentKind()}}))(t)
		if _, err := w.test.DryRun(ctx, environment.Proposal{Replace: []*component.Component{next}}); !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: forecast: %v", use.about, err)
		}
		b := atom.Implicit()
		if use.about != "deployed" {
			b = check(atom.Connection("c"))(t)
		}
		must(t, dial(t, serve(t, atom, "server"), b))
		must(t, use.end())
	}
	check(w.Rename(ctx, "a", "renamed"))(t)
	// What is used nowhere may wait for better times, and is not trusted until then.
	check(w.Reimport(ctx, "a", bad, environment.ComponentOptions{}))(t)
	check(w.Rename(ctx, "a", "renamed again"))(t)
	if err := w.test.Deploy(ctx, "a"); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	for about, err := range map[string]error{
		"connection": w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: trusted}),
		"override":   w.test.Override(ctx, "c", environment.Override{Trusted: &trusted}),
	} {
		if !errors.Is(err, trustkeep.ErrUnsupported) {
			t.Errorf("%s: %v", about, err)
		}
	}
}

// TestAtomGoesOnWithTheLastUsableCertificate: a program of before, or one that was faster than a
// deployment, has stored what cannot be trusted.
func TestAtomGoesOnWithTheLastUsableCertificate(t *testing.T) {
	for _, use := range []string{"deployed", "connection"} {
		t.Run(use, func(t *testing.T) {
			w := newWorld(t, environment.Options{})
			ctx := t.Context()
			w.public(w.identity("server"), "a")
			w.public(w.identity("idle"), "b")
			must(t, w.SetConnection(ctx, environment.Connection{ID: "c", Trusted: []string{"a"}}))
			if use == "deployed" {
				must(t, w.SetConnection(ctx, environment.Connection{ID: "c"}))
				must(t, w.test.Deploy(ctx, "a"))
			}
			atom := w.attach("one", environment.AtomOptions{})
			c := check(atom.Connection("c"))(t)
			address := serve(t, atom, "server")
			must(t, dial(t, address, c))

			// The same record, of a component that nothing referred to.
			other := newWorld(t, environment.Options{})
			for _, id := range []string{"a", "b"} {
				data := inPEM(check(keystore.CertificateOf(check(w.Component(ctx, id))(t)))(t))
				check(other.Import(ctx, id, data, environment.ComponentOptions{ID: id}))(t)
				check(other.Reimport(ctx, id, unusable(t, w), environment.ComponentOptions{}))(t)
				key := "components/" + id
				check(w.storage.Put(ctx, key, check(other.storage.Get(ctx, key))(t).Value, check(w.storage.Get(ctx, key))(t).Revision))(t)
			}
			settled(t, atom, version("b", 2))
			err := atom.Problem()
			if err == nil || !strings.Contains(err.Error(), "component a is trusted, version 2 has no usable certificate") || !strings.Contains(err.Error(), "version 1 goes on") || strings.Contains(err.Error(), "component b") {
				t.Errorf("%v", err)
			}
			must(t, dial(t, address, c))
			must(t, w.SetConnection(ctx, environment.Connection{ID: "another"})) // whatever else changes
			settled(t, atom, func(a *environment.Atom) bool { _, err := a.Connection("another"); return err == nil })
			must(t, dial(t, address, c))

			late := w.attach("late", environment.AtomOptions{})
			if err := late.Problem(); err == nil || !strings.Contains(err.Error(), "component a") {
				t.Errorf("one that never had another: %v", err)
			}
			if dial(t, address, check(late.Connection("c"))(t)) == nil {
				t.Error("trusted by nothing")
			}
			check(w.Rollback(ctx, "a", 1))(t)
			settled(t, atom, version("a", 3))
			if err := atom.Problem(); err != nil {
				t.Errorf("mended: %v", err)
			}
			must(t, dial(t, address, c))
		})
	}
}
