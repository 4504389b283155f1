package environment_test

import (
	"crypto/x509/pkix"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/environment"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/tlsctx"
	"github.com/trustkeep/trustkeep/truststore"
)

// A file without the intermediate is imported with the rest, Audit says what is missing and by
// which verb to add it, and a server sends the whole chain then.
func TestMissingIntermediateIsReportedAndAdded(t *testing.T) {
	w := newWorld(t, environment.Options{})
	root := check(issue.New(issue.Options{Subject: pkix.Name{CommonName: "Root"}, Purposes: issue.ForCA, Clock: w.clock.Now}))(t)
	lower := check(issue.New(issue.Options{Subject: pkix.Name{CommonName: "Lower"}, Purposes: issue.ForCA, Issuer: root, Clock: w.clock.Now}))(t)
	id := check(issue.New(issue.Options{DNSNames: []string{"localhost"}, Issuer: lower, Clock: w.clock.Now}))(t)
	gap := check(keystore.NewIdentity(id.Signer(), id.Leaf(), root.Leaf()))(t)
	ks := keystore.New()
	must(t, ks.SetIdentity("server", gap))
	file := check(ks.Encode(trustkeep.SaveOptions{Format: trustkeep.PKCS12, Password: trustkeep.Password("secret")}))(t)
	c := check(w.Import(t.Context(), "server", file, environment.ComponentOptions{ID: "server", Password: trustkeep.Password("secret")}))(t)
	if len(c.Describe()) != 2 || len(c.Findings()) != 1 {
		t.Errorf("%v, %v", c.Describe(), c.Findings())
	}
	codes := func() (out []trustkeep.Code, text string) {
		for _, f := range check(w.Audit(t.Context(), audit.Options{SkipKeys: true}))(t).Findings {
			out = append(out, f.Code)
			text += f.String() + "\n"
		}
		return out, text
	}
	found, text := codes()
	if !slices.Contains(found, audit.MissingIssuer) || !strings.Contains(text, "the chain lacks CN=Lower") || !strings.Contains(text, "CompleteChain") {
		t.Errorf("%s", text)
	}
	a := w.attach("one", environment.AtomOptions{})
	address := serve(t, a, "server")
	if err := dial(t, address, tlsctx.Builder{Global: truststore.New(root.Leaf())}); err == nil {
		t.Error("accepted without the intermediate")
	}
	if _, err := w.CompleteChain(t.Context(), "server", inPEM(id.Leaf()), environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("nothing that fits: %v", err)
	}
	c = check(w.CompleteChain(t.Context(), "server", inPEM(lower.Leaf()), environment.ComponentOptions{}))(t)
	if len(c.Describe()) != 3 || c.Findings() != nil {
		t.Errorf("%v", c.Describe())
	}
	if found, text := codes(); slices.Contains(found, audit.MissingIssuer) || slices.Contains(found, audit.ChainOrder) {
		t.Errorf("%s", text)
	}
	settled(t, a, version("server", 2))
	must(t, dial(t, address, tlsctx.Builder{Global: truststore.New(root.Leaf())}))
	c = check(w.SetChain(t.Context(), "server", inPEM(lower.Leaf()), environment.ComponentOptions{}))(t)
	if len(c.Describe()) != 2 || c.Version() != 3 {
		t.Errorf("%v", c.Describe())
	}
	check(w.CompleteChain(t.Context(), "server", inPEM(lower.Leaf(), root.Leaf()), environment.ComponentOptions{Password: trustkeep.Password("secret")}))(t)
	w.pgpKey("p")
	if _, err := w.SetChain(t.Context(), "p", inPEM(root.Leaf()), environment.ComponentOptions{}); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a PGP key: %v", err)
	}
	if _, err := w.SetChain(t.Context(), w.public(c, "public").ID(), inPEM(lower.Leaf()), environment.ComponentOptions{}); err != nil {
		t.Errorf("public: %v", err)
	}
}

// Audit and Expiring say that a request waits.
func TestRequestsAreReported(t *testing.T) {
	w := newWorld(t, environment.Options{})
	w.request("waits")
	w.identity("server")
	check(w.Request(t.Context(), "server", issue.RequestOptions{}, environment.ComponentOptions{}))(t)
	must(t, w.SetConnection(t.Context(), environment.Connection{ID: "c", Identity: "server"}))
	var text string
	for _, f := range check(w.Audit(t.Context(), audit.Options{SkipKeys: true}))(t).Findings {
		if f.Code == audit.NoCertificate || f.Code == audit.RequestPending {
			text += f.Severity.String() + " " + f.String() + "\n"
		}
	}
	if want := "warning waits: the component has no certificate yet; install the reply of the CA, or delete the component\n" +
		"note server: request 1 of 2026-03-01 waits for its reply; install the reply of the CA, or cancel it\n" +
		"note waits: request 1 of 2026-03-01 waits for its reply; install the reply of the CA, or cancel it\n"; text != want {
		t.Errorf("%s", text)
	}
	rows := check(w.Expiring(t.Context(), environment.ExpiryQuery{All: true, Before: w.clock.Now().AddDate(2, 0, 0)}))(t)
	if len(rows) == 0 {
		t.Fatal("no rows")
	}
	for _, row := range rows {
		if row.Component != "server" || !row.Requested.Equal(w.clock.Now()) {
			t.Errorf("%+v", row)
		}
	}
}
