package audit_test

import (
	"bytes"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io/fs"
	"log/slog"
	"math/big"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"software.sslmate.com/src/go-pkcs12"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/component"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

var now = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const strongText = "zumkneifen-drachenfels-17"

var strong = trustkeep.Password(strongText)

func clock() time.Time { return now }

var options = audit.Options{Clock: clock}

// opened encodes a store of these identities and opens it again.
func opened(t testing.TB, f trustkeep.Format, password trustkeep.PasswordSource, ids map[string]*testpki.Identity) *keystore.Keystore {
	t.Helper()
	ks := keystore.New()
	for alias, id := range ids {
		made, err := keystore.NewIdentity(id.Key, id.Chain...)
		if err != nil {
			t.Fatal(err)
		}
		if err := ks.SetIdentity(alias, made); err != nil {
			t.Fatal(err)
		}
	}
	return reopened(t, ks, f, password)
}

func reopened(t testing.TB, ks *keystore.Keystore, f trustkeep.Format, password trustkeep.PasswordSource) *keystore.Keystore {
	t.Helper()
	data, err := ks.Encode(trustkeep.SaveOptions{Format: f, Password: password, NoPassword: password == nil})
	if err != nil {
		t.Fatal(err)
	}
	ks, err = keystore.Read(bytes.NewReader(data), password)
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

// unlocked opens every key.
func unlocked(t *testing.T, ks *keystore.Keystore, password trustkeep.PasswordSource) *keystore.Keystore {
	t.Helper()
	for _, alias := range ks.Aliases() {
		if _, err := ks.IdentityWithPassword(alias, password); err != nil {
			t.Fatal(err)
		}
	}
	return ks
}

// unchecked is the store read again without its password.
func unchecked(t *testing.T, ks *keystore.Keystore) *keystore.Keystore {
	t.Helper()
	data, err := ks.Encode(trustkeep.SaveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if ks, err = keystore.Parse(data, nil); err != nil {
		t.Fatal(err)
	}
	return ks
}

func uncheckedTrust(t *testing.T, c *x509.Certificate) *truststore.Truststore {
	t.Helper()
	data, err := truststore.New(c).Encode(trustkeep.SaveOptions{Format: trustkeep.JKS, Password: trustkeep.Password("secret")})
	if err != nil {
		t.Fatal(err)
	}
	ts, err := truststore.Parse(data, nil)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// underEmptyPassword is a store that another program has written: keystore protects no
// key by the empty password.
func underEmptyPassword(t *testing.T, id *testpki.Identity) *keystore.Keystore {
	t.Helper()
	data, err := pkcs12.Modern.Encode(id.Key, id.Cert, id.Chain[1:], "")
	if err != nil {
		t.Fatal(err)
	}
	ks, err := keystore.Parse(data, trustkeep.Password(""))
	if err != nil {
		t.Fatal(err)
	}
	return ks
}

func one(id *testpki.Identity) map[string]*testpki.Identity {
	return map[string]*testpki.Identity{"a": id}
}

func TestFindings(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: now})
	long := func(r testpki.Request) *testpki.Identity { // beyond the window
		r.NotAfter = now.AddDate(1, 0, 0)
		return pki.Issue(r)
	}
	serverUse := []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	good := long(testpki.Request{Names: []string{"a.example"}, Usages: serverUse})
	rsaKey := pki.Issue(testpki.Request{Names: []string{"a.example"}, KeyType: testpki.RSA2048, NotAfter: now.AddDate(1, 0, 0)})
	ks := func(f trustkeep.Format, id *testpki.Identity) *keystore.Keystore {
		return opened(t, f, strong, one(id))
	}
	chained := func(certs ...*x509.Certificate) *keystore.Keystore {
		ks := ks(trustkeep.JKS, good)
		if err := ks.SetChain("a", certs...); err != nil {
			t.Fatal(err)
		}
		return ks
	}
	httptest := httptest.NewUnstartedServer(nil)
	httptest.StartTLS()
	defer httptest.Close()
	certificate := func(c *x509.Certificate, roles issue.Purposes) audit.Target {
		return audit.Target{Certificates: []*x509.Certificate{c}, Roles: roles}
	}
	tests := []struct {
		name    string
		targets []audit.Target
		want    []string // severity, code
		text    string
	}{
		{"nothing wrong", []audit.Target{{Keystore: ks(trustkeep.PKCS12, good), Roles: issue.ForServer}}, nil, ""},
		{"expired", []audit.Target{certificate(pki.Expired().Cert, 0)}, []string{"critical expired"}, "expired on 2026-02-28"},
		{"expires soon", []audit.Target{certificate(pki.Server().Cert, 0)}, []string{"warning expires-soon"}, "in 1 days"},
		{"issuer expires soon", []audit.Target{{Keystore: opened(t, trustkeep.PKCS12, strong, one(pki.Issue(testpki.Request{
			Names: []string{"a"}, NotAfter: now.AddDate(1, 0, 0), Issuer: pki.Issue(testpki.Request{CommonName: "Old CA", CA: true, Issuer: pki.Root, NotAfter: now.AddDate(0, 0, 20)})})))}},
			[]string{"warning expires-soon"}, "Old CA"},
		{"not yet valid", []audit.Target{certificate(pki.Issue(testpki.Request{Names: []string{"a"}, NotBefore: now.Add(time.Hour), NotAfter: now.AddDate(1, 0, 0)}).Cert, 0)}, []string{"warning not-yet-valid"}, ""},
		{"weak key", []audit.Target{certificate(weak(t), 0)}, []string{"critical weak-key"}, "1024 bits"},
		{"known key", []audit.Target{{Keystore: ks(trustkeep.PKCS12, rsaKey)}}, []string{"critical known-key"}, "tests of TrustKeep"},
		{"vendor default", []audit.Target{{Keystore: ks(trustkeep.PKCS12, long(testpki.Request{CommonName: "localhost", Names: []string{"localhost"}, SelfSigned: true,
			Edit: func(c *x509.Certificate) {
				c.Subject = pkix.Name{CommonName: "localhost", Organization: []string{"WSO2"}}
			}}))}},
			[]string{"critical vendor-default", "note self-signed"}, "WSO2"},
		{"key reuse", []audit.Target{{Keystore: ks(trustkeep.PKCS12, good)}, {Keystore: ks(trustkeep.PKCS12, long(testpki.Request{Names: []string{"b"}, KeyOf: good}))}},
			[]string{"warning key-reuse"}, `keystore 1 "a", keystore 2 "a"`},
		{"key reuse in one store", []audit.Target{{Keystore: opened(t, trustkeep.JKS, strong, map[string]*testpki.Identity{"a": good, "b": good})}},
			[]string{"warning weak-protection", "note key-reuse"}, ""},
		{"default password", []audit.Target{{Keystore: opened(t, trustkeep.PKCS12, trustkeep.Password("changeit"), one(good))}}, []string{"critical default-password"}, `"changeit"`},
		{"empty password", []audit.Target{{Keystore: underEmptyPassword(t, good)}}, []string{"critical default-password"}, "empty"},
		{"WSO2's password", []audit.Target{{Keystore: opened(t, trustkeep.PKCS12, trustkeep.Password("wso2carbon"), one(good))}}, []string{"critical default-password"}, "wso2carbon"},
		{"unprotected key", []audit.Target{{Keystore: opened(t, trustkeep.PEM, nil, one(good))}}, []string{"critical unprotected-key"}, "in the clear"},
		{"JKS", []audit.Target{{Keystore: ks(trustkeep.JKS, good)}}, []string{"warning weak-protection"}, "JKS"},
		{"JCEKS", []audit.Target{{Keystore: ks(trustkeep.JCEKS, good)}}, []string{"warning weak-protection"}, "JCEKS"},
		{"key password differs", []audit.Target{{Keystore: ownPassword(t, good, trustkeep.Password("another one"))}}, []string{"warning weak-protection", "note key-password-differs"}, ""},
		{"key password known to all", []audit.Target{{Keystore: ownPassword(t, good, trustkeep.Password("changeit"))}},
			[]string{"critical default-password", "warning weak-protection", "note key-password-differs"}, `password of the key is "changeit"`},
		{"key password differs, opened", []audit.Target{{Keystore: unlocked(t, ownPassword(t, good, trustkeep.Password("changeit")), trustkeep.Password("changeit"))}},
			[]string{"critical default-password", "warning weak-protection", "note key-password-differs"}, `password of the key is "changeit"`},
		{"unchecked keystore", []audit.Target{{Keystore: unchecked(t, opened(t, trustkeep.JKS, strong, nil))}}, []string{"warning no-integrity", "warning weak-protection"}, "not checked"},
		{"unchecked truststore", []audit.Target{{Truststore: uncheckedTrust(t, pki.Root.Cert)}}, []string{"warning no-integrity", "warning weak-protection"}, "not checked"},
		{"missing intermediate", []audit.Target{{Keystore: chained(good.Cert)}}, []string{"warning weak-protection", "warning missing-issuer"}, "lacks CN=Test Intermediate CA"},
		{"root not included", []audit.Target{{Keystore: chained(good.Chain[:2]...)}, {Truststore: truststore.New(pki.Root.Cert)}}, []string{"warning weak-protection", "note root-not-included"}, "Test Root CA"},
		{"root unknown", []audit.Target{{Keystore: chained(good.Chain[:2]...)}}, []string{"warning weak-protection", "warning missing-issuer"}, "Test Root CA"},
		{"chain out of order", []audit.Target{{Keystore: chained(good.Cert, pki.Root.Cert, pki.Intermediate.Cert)}}, []string{"warning weak-protection", "warning chain-order"}, "certificate 2 of the chain"},
		{"self-signed", []audit.Target{{Keystore: ks(trustkeep.PKCS12, long(testpki.Request{Names: []string{"a"}, SelfSigned: true}))}}, []string{"note self-signed"}, ""},
		{"wrong extended usage", []audit.Target{certificate(long(testpki.Request{Names: []string{"a.example"}, Usages: serverUse}).Cert, issue.ForClient|issue.ForServer)},
			[]string{"critical wrong-usage"}, "clientAuth"},
		{"wrong usage", []audit.Target{{Certificates: []*x509.Certificate{good.Cert}, KeyUsage: x509.KeyUsageDataEncipherment}}, []string{"critical wrong-usage"}, "lacks key usage dataEncipherment; request"},
		{"no host name", []audit.Target{certificate(long(testpki.Request{CommonName: "a.example"}).Cert, issue.ForServer)}, []string{"critical no-host-name"}, ""},
		{"CA as server", []audit.Target{certificate(long(testpki.Request{Names: []string{"a.example"}, CA: true}).Cert, issue.ForServer)}, []string{"warning ca-in-role"}, ""},
		{"CA without the bit", []audit.Target{certificate(good.Cert, issue.ForCA)}, []string{"critical wrong-usage"}, "keyCertSign, basic constraint CA:true"},
		{"private key in a truststore", []audit.Target{{Truststore: withKey(t, good)}}, []string{"critical key-in-truststore", "warning weak-protection"}, ""},
		{"truststore with a password known to all", []audit.Target{{Truststore: truststore.New(pki.Root.Cert), Password: trustkeep.Password("changeit")}}, []string{"warning default-password"}, "changeit"},
		{"truststore with another password", []audit.Target{{Truststore: truststore.New(pki.Root.Cert), Password: strong}}, nil, ""},
		{"expired anchor", []audit.Target{{Truststore: truststore.New(pki.Expired().Cert)}}, []string{"critical expired"}, ""},
		{"component", []audit.Target{{Component: foreign{now.AddDate(0, 0, 29)}}}, []string{"warning expires-soon"}, "partner's PGP key"},
		{"private component", []audit.Target{{Component: managed(t, good, "changeit"), Roles: issue.ForServer}}, []string{"critical default-password"}, `component is "changeit"`},
		{"public component", []audit.Target{{Component: managed(t, &testpki.Identity{Cert: pki.Expired().Cert}, "")}}, []string{"critical expired"}, ""},
		{"key of a component reused", []audit.Target{{Component: managed(t, good, "not known")}, {Keystore: ks(trustkeep.PKCS12, good)}}, []string{"warning key-reuse"}, "managed"},
		{"component for ever", []audit.Target{{Component: foreign{}}}, nil, ""},
		{"nothing", []audit.Target{{}}, []string{"critical nothing-to-audit"}, ""},
		{"nil certificate", []audit.Target{{Certificates: []*x509.Certificate{nil}}}, []string{"critical nothing-to-audit"}, ""},
		{"httptest's key", []audit.Target{{Keystore: held(t, httptest)}}, []string{"critical known-key", "note self-signed"}, "net/http/httptest"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			report := options.Run(test.targets...)
			var got []string
			for _, f := range report.Findings {
				got = append(got, fmt.Sprint(f.Severity, " ", f.Code))
				if f.Text == "" || f.Remedy == "" || f.Target == "" {
					t.Errorf("finding without text, remedy or target: %+v", f)
				}
			}
			slices.Sort(got)
			slices.Sort(test.want)
			if !slices.Equal(got, test.want) {
				t.Errorf("got %q, want %q\n%s", got, test.want, report)
			}
			if !strings.Contains(report.String(), test.text) {
				t.Errorf("the report does not say %q:\n%s", test.text, report)
			}
		})
	}
}

type foreign struct{ until time.Time }

func (foreign) ID() string                       { return "1" }
func (foreign) Name() string                     { return "partner's PGP key" }
func (foreign) Kind() trustkeep.Kind             { return trustkeep.PGP }
func (foreign) Visibility() trustkeep.Visibility { return trustkeep.Public }
func (foreign) Fingerprint() string              { return "00" }
func (foreign) NotBefore() time.Time             { return now.AddDate(-1, 0, 0) }
func (c foreign) NotAfter() time.Time            { return c.until }
func (foreign) Version() int                     { return 1 }

// managed is a component of an identity, or without a password of its certificate.
func managed(t testing.TB, id *testpki.Identity, password string) *component.Component {
	t.Helper()
	data := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: id.Cert.Raw})
	o := component.Options{Kinds: []component.Kind{keystore.ComponentKind()}}
	if password != "" {
		o.Password = trustkeep.Password(password)
		var err error
		if data, err = opened(t, trustkeep.PKCS12, o.Password, one(id)).Encode(trustkeep.SaveOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c, err := component.Import(t.Context(), "managed", data, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func weak(t testing.TB) *x509.Certificate {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "weak"}, NotBefore: now, NotAfter: now.AddDate(1, 0, 0)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ownPassword opens a JKS in which the key has a password of its own.
func ownPassword(t testing.TB, id *testpki.Identity, password trustkeep.PasswordSource) *keystore.Keystore {
	t.Helper()
	ks := opened(t, trustkeep.JKS, strong, one(id))
	if err := ks.ChangeKeyPassword("a", strong, password); err != nil {
		t.Fatal(err)
	}
	return reopened(t, ks, trustkeep.JKS, strong)
}

// withKey opens as a truststore what holds a private key beside a certificate.
func withKey(t testing.TB, id *testpki.Identity) *truststore.Truststore {
	t.Helper()
	ks := opened(t, trustkeep.JKS, strong, one(id))
	if err := ks.SetTrusted("ca", id.Chain[2]); err != nil {
		t.Fatal(err)
	}
	data, err := ks.Encode(trustkeep.SaveOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ts, err := truststore.Parse(data, trustkeep.Password(strongText))
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// held makes a keystore of what a test server shows.
func held(t testing.TB, s *httptest.Server) *keystore.Keystore {
	t.Helper()
	id, err := keystore.NewIdentity(s.TLS.Certificates[0].PrivateKey.(crypto.Signer), s.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	ks := keystore.New()
	if err := ks.SetIdentity("a", id); err != nil {
		t.Fatal(err)
	}
	return reopened(t, ks, trustkeep.PKCS12, strong)
}

func TestOptions(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: now})
	id := pki.Issue(testpki.Request{Names: []string{"a"}, NotAfter: now.AddDate(0, 0, 60)})
	o := options
	o.Window = 90 * 24 * time.Hour
	o.Passwords = []trustkeep.PasswordSource{strong}
	report := o.Run(audit.Target{Name: "x", Keystore: opened(t, trustkeep.PKCS12, strong, one(id))})
	if len(report.With(audit.ExpiresSoon)) != 1 || len(report.With(audit.DefaultPassword)) != 1 {
		t.Errorf("%s", report)
	}
	if strings.Contains(report.String(), strongText) {
		t.Error("the report shows a password that only the caller knows")
	}
	o = options
	o.KnownKeys = map[string]string{fmt.Sprintf("%x", sha256.Sum256(id.Cert.RawSubjectPublicKeyInfo)): "a leak"}
	report = o.Run(audit.Target{Keystore: opened(t, trustkeep.PKCS12, strong, one(id))})
	if found := report.With(audit.KnownKey); len(found) != 1 || !strings.Contains(found[0].Text, "a leak") {
		t.Errorf("%s", report)
	}
	o = options
	o.SkipKeys = true
	if report := o.Run(audit.Target{Keystore: ownPassword(t, id, trustkeep.Password("changeit"))}); len(report.With(audit.KeyPasswordDiffers)) != 0 {
		t.Errorf("keys were unlocked:\n%s", report)
	}
}

func TestFilePermissions(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the mode says nothing here")
	}
	pki := testpki.New(t, testpki.Options{Now: now})
	path := filepath.Join(t.TempDir(), "a.p12")
	ks := opened(t, trustkeep.PKCS12, strong, one(pki.Issue(testpki.Request{Names: []string{"a"}, NotAfter: now.AddDate(1, 0, 0)})))
	if err := ks.Save(path, trustkeep.SaveOptions{}); err != nil {
		t.Fatal(err)
	}
	ts := truststore.New(pki.Root.Cert)
	for mode, want := range map[fs.FileMode][2][]trustkeep.Code{
		0o600: {},
		0o644: {{audit.ReadableByAll}},
		0o646: {{audit.WritableByAll, audit.ReadableByAll}, {audit.WritableByAll}},
	} {
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		for i, target := range []audit.Target{{Keystore: ks}, {Truststore: ts, Path: path}} {
			report := options.Run(target)
			if codes := codes(report); !slices.Equal(codes, want[i]) {
				t.Errorf("mode %o: %v, want %v", mode, codes, want[i])
			}
		}
	}
}

func codes(r *audit.Report) (codes []trustkeep.Code) {
	for _, f := range r.Findings {
		codes = append(codes, f.Code)
	}
	return codes
}

func TestExpiring(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: now})
	ca := pki.Issue(testpki.Request{CommonName: "Old CA", CA: true, Issuer: pki.Root, NotAfter: now.AddDate(0, 0, 10)})
	id := pki.Issue(testpki.Request{Names: []string{"a"}, Issuer: ca, NotAfter: now.AddDate(0, 0, 20)})
	o := options
	targets := []audit.Target{
		{Name: "k", Keystore: opened(t, trustkeep.PKCS12, strong, one(id))},
		{Name: "t", Truststore: truststore.New(pki.Root.Cert, pki.Expired().Cert)},
		{Component: foreign{now.AddDate(0, 0, 15)}},
		{Name: "c", Certificates: []*x509.Certificate{pki.Issue(testpki.Request{Names: []string{"a"}, NotAfter: now.AddDate(0, 2, 0)}).Cert}},
	}
	var got []string
	for _, e := range o.Expiring(targets...) {
		got = append(got, fmt.Sprintf("%s %d %s", e.Target, e.Position, e.NotAfter.Format(time.DateOnly)))
	}
	want := []string{"t 0 2026-02-28", "k 1 2026-03-11", "partner's PGP key 0 2026-03-16", "k 0 2026-03-21"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	o.Window = 5 * 24 * time.Hour
	if soon := o.Expiring(targets...); len(soon) != 1 || soon[0].Certificate == nil {
		t.Errorf("%v", soon)
	}
}

func TestReportPrints(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Now: now})
	report := options.Run(
		audit.Target{Name: "a\nb", Certificates: []*x509.Certificate{pki.Expired("x\x1b[2J.example").Cert}},
		audit.Target{Name: "soon", Certificates: []*x509.Certificate{pki.Server("y.example").Cert}},
	)
	if report.Worst() != trustkeep.Critical || report.Count(trustkeep.Warning) != 1 {
		t.Errorf("worst %v", report.Worst())
	}
	text := report.String()
	if strings.ContainsAny(text, "\x1b") || strings.Count(text, "\n") != 3 {
		t.Errorf("text is not safe for a terminal: %q", text)
	}
	b, err := json.Marshal(report)
	if err != nil {
		t.Fatal(err)
	}
	var parsed struct {
		Worst    string
		Targets  int
		Window   float64 `json:"window_days"`
		Findings []struct {
			Target, Code, Severity, Text, Remedy string
			NotAfter                             time.Time `json:"not_after"`
		}
	}
	if err := json.Unmarshal(b, &parsed); err != nil {
		t.Fatal(err)
	}
	if parsed.Worst != "critical" || parsed.Targets != 2 || parsed.Window != 30 || len(parsed.Findings) != 2 ||
		parsed.Findings[0].Code != "expired" || parsed.Findings[0].Severity != "critical" || parsed.Findings[0].NotAfter.IsZero() {
		t.Errorf("JSON %s", b)
	}
	var out bytes.Buffer
	log := slog.New(slog.NewTextHandler(&out, nil))
	log.Info("audited", "report", report)
	report.Log(t.Context(), log)
	for _, want := range []string{"report.critical=1", "level=ERROR", "level=WARN", "code=expires-soon", `not_after=2026-02-28`} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the log does not say %q:\n%s", want, out.String())
		}
	}
	empty, err := json.Marshal(options.Run())
	if err != nil || !strings.Contains(string(empty), `"findings":[]`) || !strings.Contains(string(empty), `"worst":"none"`) {
		t.Errorf("JSON of nothing: %s, %v", empty, err)
	}
}

// The nil pointer of a Load whose error was ignored is nothing to audit, and no panic.
func TestNilTargets(t *testing.T) {
	var ks *keystore.Keystore
	var ts *truststore.Truststore
	var c *component.Component
	targets := []audit.Target{{Keystore: ks}, {Truststore: ts}, {Component: c}, {Component: c, Name: "named"}, {Certificates: []*x509.Certificate{nil}}}
	report := audit.Run(targets...)
	if found := report.With(audit.NothingToAudit); len(found) != len(targets) {
		t.Errorf("%v", report)
	}
	if soon := (audit.Options{}).Expiring(targets...); len(soon) != 0 {
		t.Errorf("%v", soon)
	}
}
