package truststore_test

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestEdit(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	var store truststore.Truststore // the zero value is an empty store
	steps := []struct {
		do         func() error
		err        error
		aliases    string
		generation uint64
	}{
		{func() error { return store.Add("Root", pki.Root.Cert) }, nil, "Root", 2},
		{func() error { return store.Add("rOOT", pki.Intermediate.Cert) }, trustkeep.ErrExists, "Root", 2},
		{func() error { return store.Add("", pki.Intermediate.Cert) }, nil, "Root a-intermediate-ca", 3},
		{func() error { return store.Replace("ROOT", pki.Intermediate.Cert) }, nil, "Root a-intermediate-ca", 4},
		{func() error { return store.Replace("nobody", pki.Root.Cert) }, trustkeep.ErrNotFound, "Root a-intermediate-ca", 4},
		{func() error { return store.Remove("nobody") }, trustkeep.ErrNotFound, "Root a-intermediate-ca", 4},
		{func() error { return store.Add("nil", nil) }, trustkeep.ErrInvalid, "Root a-intermediate-ca", 4},
		{func() error { return store.Add("unparsed", &x509.Certificate{}) }, trustkeep.ErrInvalid, "Root a-intermediate-ca", 4},
		{func() error { return store.RemoveCertificate(pki.Root.Cert) }, trustkeep.ErrNotFound, "Root a-intermediate-ca", 4},
		{func() error { return store.RemoveCertificate(pki.Intermediate.Cert) }, nil, "", 5}, // under both aliases
		{func() error { return store.Add("root", pki.Root.Cert) }, nil, "root", 6},
		{func() error { return store.Remove("ROOT") }, nil, "", 7},
	}
	for i, step := range steps {
		before, _ := store.Snapshot()
		had := before.Certificates()
		if err := step.do(); !errors.Is(err, step.err) {
			t.Fatalf("step %d: %v, want %v", i, err, step.err)
		}
		if got := strings.Join(store.Aliases(), " "); got != step.aliases || store.Generation() != step.generation {
			t.Fatalf("step %d: %q, generation %d", i, got, store.Generation())
		}
		if !slices.Equal(before.Certificates(), had) {
			t.Fatalf("step %d changed a snapshot", i)
		}
		after, _ := store.Snapshot()
		if (after == before) != (step.err != nil) {
			t.Fatalf("step %d: the same snapshot: %v", i, after == before)
		}
	}
	if err := (*truststore.Truststore)(nil).Add("x", pki.Root.Cert); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nil store: %v", err)
	}
}

// TestAliases: names are made of subjects by the documented rule.
func TestAliases(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	self := func(cn string) *x509.Certificate {
		return pki.Issue(testpki.Request{CommonName: cn, SelfSigned: true}).Cert
	}
	one, two := self("Ünïque  CA (2026)!"), self("Ünïque  CA (2026)!")
	store := truststore.New(one, nil, two, one, self("\x00\n"), self(strings.Repeat("long ", 40)))
	want := []string{
		"ünïque-ca-2026", "ünïque-ca-2026-" + trustkeep.DescribeCertificate(two).SHA256[:8], "certificate", strings.Repeat("long-", 12) + "long",
	}
	if got := store.Aliases(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if e, err := store.Entry("ÜNÏQUE-ca-2026"); err != nil || !e.Certificate.Equal(one) {
		t.Errorf("%v", err)
	}
	if _, err := store.Entry("nobody"); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

// TestPoolIsShared: one pool per generation, and never nil.
func TestPoolIsShared(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	a, _ := store.Snapshot()
	b, _ := store.Snapshot()
	if a != b || !a.Pool().Equal(b.Pool()) || !a.Contains(pki.Root.Cert) || a.Contains(pki.Intermediate.Cert) {
		t.Error("snapshots of one generation differ")
	}
	if err := store.Add("", pki.Intermediate.Cert); err != nil {
		t.Fatal(err)
	}
	if c, _ := store.Snapshot(); c.Pool().Equal(a.Pool()) || !c.Contains(pki.Intermediate.Cert) || a.Contains(pki.Intermediate.Cert) {
		t.Error("a snapshot changed")
	}
	empty, err := new(truststore.Truststore).Snapshot()
	if err != nil || empty.Pool() == nil || !empty.Pool().Equal(x509.NewCertPool()) || !empty.Empty() {
		t.Error("an empty store's pool must be empty, not nil")
	}
}

func TestUnion(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	a, b := truststore.New(pki.Root.Cert, pki.Intermediate.Cert), truststore.New(pki.Root.Cert)
	u := truststore.Union(a, truststore.Union(b))
	first, err := u.Snapshot()
	if err != nil || first.Len() != 2 || first.Generation() != 1 {
		t.Fatalf("%v, %v", first, err)
	}
	if again, _ := u.Snapshot(); again != first {
		t.Error("nothing changed, but the snapshot did")
	}
	if err := b.Add("", pki.Server("x").Cert); err != nil {
		t.Fatal(err)
	}
	second, err := u.Snapshot()
	if err != nil || second.Len() != 3 || second.Generation() != 2 || first.Len() != 2 {
		t.Errorf("%v, %v", second, err)
	}
	if _, err := second.Verify(sent(pki.Server(host)), truststore.VerifyOptions{Name: host}); err != nil {
		t.Error(err)
	}
	for name, u := range map[string]truststore.Source{
		"typed nil": truststore.Union(a, (*truststore.Truststore)(nil)),
		"nil":       truststore.Union(nil, a),
		"snapshot":  truststore.Union(a, (*truststore.Snapshot)(nil)),
		"mute":      truststore.Union(a, mute{}),
	} {
		if s, err := u.Snapshot(); s != nil || !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("%s: %v, %v", name, s, err)
		}
	}
	if s, err := truststore.Union().Snapshot(); err != nil || !s.Empty() {
		t.Errorf("union of nothing: %v, %v", s, err)
	}
}

type mute struct{}

func (mute) Snapshot() (*truststore.Snapshot, error) { return nil, nil }

type holder []*x509.Certificate

func (h holder) Certificates() []*x509.Certificate { return h }

type pointerHolder struct{ holder }

func TestFromKeystore(t *testing.T) {
	pki := testpki.New(t, testpki.Options{Name: "A"})
	server := pki.Server(host)
	store, err := truststore.FromKeystore(holder(append(server.Chain, pki.Root.Cert)))
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(store.Aliases(), " "); got != "server-example a-intermediate-ca a-root-ca" || store.HasKeys() {
		t.Errorf("copied %q", got)
	}
	for name, test := range map[string]struct {
		holder trustkeep.CertificateHolder
		want   error
	}{"nil": {nil, trustkeep.ErrInvalid}, "typed nil": {(*pointerHolder)(nil), trustkeep.ErrInvalid}, "empty": {holder{}, trustkeep.ErrEmpty}} {
		if store, err := truststore.FromKeystore(test.holder); store != nil || !errors.Is(err, test.want) {
			t.Errorf("%s: %v, %v", name, store, err)
		}
	}
}

// TestSystem reads roots from where the environment says, and reports what it
// cannot use.
func TestSystem(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	dir := t.TempDir()
	write := func(name string, data []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	folder := filepath.Join(dir, "certs")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	bundle := write("bundle.pem", append(pki.Intermediate.ChainPEM(), "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n"...))
	write("certs/extra.pem", pki.SelfSigned("extra.example").ChainPEM())
	write("certs/again.pem", pki.Root.ChainPEM())
	if err := os.Symlink("extra.pem", filepath.Join(folder, "0123abcd.0")); err != nil {
		t.Logf("no symbolic links: %v", err)
	}
	t.Setenv("SSL_CERT_FILE", bundle)
	t.Setenv("SSL_CERT_DIR", folder+":"+filepath.Join(dir, "missing"))
	store, err := truststore.System()
	if err != nil {
		t.Fatal(err)
	}
	if s, _ := store.Snapshot(); s.Platform() {
		t.Skip("this system's roots cannot be listed")
	}
	if got := strings.Join(store.Aliases(), " "); got != "test-intermediate-ca test-root-ca extra-example" {
		t.Errorf("roots %q", got)
	}
	if p := store.Findings(); len(p) != 1 || p[0].Code != "unusable-certificate" {
		t.Errorf("problems %v", p)
	}
	if _, err := store.Verify(sent(pki.Server(host)), truststore.VerifyOptions{Name: host}); err != nil {
		t.Error(err)
	}
}

// TestPlatform: the roots that Go itself uses can be verified against, not
// listed, and joined with others.
func TestPlatform(t *testing.T) {
	platform, err := truststore.Platform()
	if err != nil {
		t.Skipf("no system roots: %v", err)
	}
	pki := testpki.New(t, testpki.Options{})
	if !platform.Platform() || platform.Empty() || platform.Len() != 0 {
		t.Errorf("%v", platform)
	}
	_, err = platform.Verify(sent(pki.Server(host)), truststore.VerifyOptions{Name: host})
	var refused *truststore.VerifyError
	if !errors.As(err, &refused) || refused.Code != truststore.CodeUnknownIssuer {
		t.Errorf("%v", err)
	}
	both, err := truststore.Union(platform, truststore.New(pki.Root.Cert)).Snapshot()
	if err != nil || !both.Platform() || both.Len() != 1 {
		t.Fatalf("%v, %v", both, err)
	}
	if _, err := both.Verify(sent(pki.Server(host)), truststore.VerifyOptions{Name: host}); err != nil {
		t.Error(err)
	}
	if platform.Pool().Equal(both.Pool()) {
		t.Error("the union changed the platform's pool")
	}
}

func TestJavaCacerts(t *testing.T) {
	home := t.TempDir()
	security := filepath.Join(home, "lib", "security")
	if err := os.MkdirAll(security, 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAVA_HOME", home)
	if _, err := truststore.JavaCacerts(); !errors.Is(err, trustkeep.ErrNotFound) {
		t.Errorf("JAVA_HOME without cacerts: %v", err)
	}
	for _, fixture := range []string{"trust.jks", "passwordless.p12", "trust.p12"} {
		data, err := os.ReadFile(filepath.Join("testdata", fixture))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(security, "cacerts"), data, 0o600); err != nil {
			t.Fatal(err)
		}
		store, err := truststore.JavaCacerts()
		if err != nil || store.Len() != 2 {
			t.Errorf("%s: %v, %v", fixture, store, err)
		}
	}
	t.Setenv("JAVA_HOME", "")
	path, err := truststore.JavaPath()
	if err != nil {
		t.Skipf("no JDK here: %v", err)
	}
	store, err := truststore.JavaCacerts()
	if err != nil || store.Len() < 50 {
		t.Errorf("%s: %v, %v", path, store, err)
	}
	t.Logf("%s: %v", path, store)
}

func TestConcurrentUse(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	u := truststore.Union(store, truststore.New(pki.Intermediate.Cert))
	chain := sent(pki.Server(host))
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 50 {
				alias := fmt.Sprintf("%d-%d", w, i)
				if err := store.Add(alias, pki.Intermediate.Cert); err != nil {
					t.Error(err)
				}
				if _, err := store.Verify(chain, truststore.VerifyOptions{Name: host, Time: pki.Now()}); err != nil {
					t.Error(err)
				}
				if s, err := u.Snapshot(); err != nil || s.Empty() {
					t.Error(err)
				}
				store.Aliases()
				if _, err := store.Entry(alias); err != nil {
					t.Error(err)
				}
				if err := store.Remove(alias); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	if store.Len() != 1 || store.Generation() != 401 {
		t.Errorf("%d certificates, generation %d", store.Len(), store.Generation())
	}
}

// TestLargeStore: a hundred thousand certificates, in the long form, are no trouble.
func TestLargeStore(t *testing.T) {
	if testing.Short() {
		t.Skip("a large store")
	}
	pki := testpki.New(t, testpki.Options{})
	certs := make([]*x509.Certificate, testtool.Rounds(15_000, 100_000))
	for i := range certs {
		c := *pki.Root.Cert // another certificate as far as the store is concerned
		c.Raw = append(slices.Clone(c.Raw), byte(i), byte(i>>8), byte(i>>16))
		certs[i] = &c
	}
	certs[len(certs)-1] = pki.Root.Cert
	start := testcpu.Used()
	store := truststore.New(certs...)
	if store.Len() != len(certs) {
		t.Fatalf("%d certificates", store.Len())
	}
	if err := store.Add("one more", pki.Intermediate.Cert); err != nil {
		t.Fatal(err)
	}
	if d := testcpu.Since(start); d > 10*time.Second {
		t.Errorf("took %v", d)
	}
}

// Whoever gets a pool can add to it, and to nothing else.
func TestPoolsAreCopies(t *testing.T) {
	pki, stranger := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Stranger"})
	platform, err := truststore.Platform()
	if err != nil {
		t.Skip(err)
	}
	store, err := truststore.New(pki.Root.Cert).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	both, err := truststore.Union(store, platform).Snapshot()
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]*truststore.Snapshot{"store": store, "platform": platform, "both": both, "empty": truststore.Pinned()} {
		before := s.Pool()
		s.Pool().AddCert(stranger.Root.Cert)
		if !s.Pool().Equal(before) {
			t.Errorf("%s: the pool that was handed out is the store's", name)
		}
		if _, err := s.Verify(stranger.Server(host).Chain, truststore.VerifyOptions{Name: host, Time: pki.Now()}); err == nil {
			t.Errorf("%s: trusts what was added to the pool that was handed out", name)
		}
	}
}
