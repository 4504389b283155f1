package truststore_test

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

// trustedCertificate is a certificate with trust settings in PEM: usages are the last octets of
// 1.3.6.1.5.5.7.3.x, 0 is any.
func trustedCertificate(c *x509.Certificate, limited bool, allow, deny []byte) string {
	list := func(tag byte, usages []byte) []byte {
		out := []byte{tag, 0}
		for _, u := range usages {
			if u == 0 {
				out = append(out, 6, 4, 0x55, 0x1d, 0x25, 0)
			} else {
				out = append(out, 6, 8, 0x2b, 6, 1, 5, 5, 7, 3, u)
			}
		}
		out[1] = byte(len(out) - 2)
		return out
	}
	var body []byte
	if limited {
		body = append(body, list(0x30, allow)...)
	}
	if deny != nil {
		body = append(body, list(0xa0, deny)...)
	}
	der := append(slices.Clone(c.Raw), 0x30, byte(len(body)))
	return string(pem.EncodeToMemory(&pem.Block{Type: "TRUSTED CERTIFICATE", Bytes: append(der, body...)}))
}

const serverAuth, clientAuth, codeSigning, emailProtection = 1, 2, 3, 4

// peers are accepted for every purpose if their authority is.
func accepts(t *testing.T, s truststore.Source, pki *testpki.PKI) (out []truststore.Purpose) {
	t.Helper()
	const address = "me@partner.example"
	leaf := pki.Issue(testpki.Request{Names: []string{host, address}, Usages: []x509.ExtKeyUsage{
		x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageEmailProtection}})
	snapshot, err := s.Snapshot()
	noError(t, err)
	for p, name := range []string{host, "", address, ""} {
		_, err := snapshot.Verify(leaf.Chain, truststore.VerifyOptions{Purpose: truststore.Purpose(p), Name: name, Time: pki.Now()})
		switch {
		case err == nil:
			out = append(out, truststore.Purpose(p))
		case !slices.Contains([]trustkeep.Code{truststore.CodeOutOfScope, truststore.CodeEmptyStore, truststore.CodeUnknownIssuer}, code(err)):
			t.Errorf("%v: %v", truststore.Purpose(p), err)
		}
	}
	return out
}

// A TRUSTED CERTIFICATE is trusted for what it says and for nothing else, from a file, a
// directory, a watched file and a union, and after it was saved.
func TestTrustSettings(t *testing.T) {
	pki, other := testpki.New(t, testpki.Options{}), testpki.New(t, testpki.Options{Name: "Other"})
	plain := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Root.Cert.Raw}))
	const server, client, email, any = truststore.Server, truststore.Client, truststore.Email, truststore.Any
	for _, c := range []struct {
		name        string
		limited     bool
		allow, deny []byte
		want        []truststore.Purpose
	}{
		{"no settings", false, nil, nil, []truststore.Purpose{server, client, email, any}},
		{"-addtrust emailProtection", true, []byte{emailProtection}, nil, []truststore.Purpose{email}},
		{"-addtrust serverAuth", true, []byte{serverAuth}, nil, []truststore.Purpose{server}},
		{"-addtrust clientAuth -addtrust serverAuth", true, []byte{clientAuth, serverAuth}, nil, []truststore.Purpose{server, client}},
		{"-addtrust anyExtendedKeyUsage", true, []byte{0}, nil, []truststore.Purpose{server, client, email, any}},
		{"-addtrust codeSigning", true, []byte{codeSigning}, nil, nil},
		{"an empty list", true, nil, nil, nil},
		{"-addreject emailProtection", false, nil, []byte{emailProtection}, []truststore.Purpose{server, client}},
		{"-addreject serverAuth -addreject clientAuth", false, nil, []byte{serverAuth, clientAuth}, []truststore.Purpose{email}},
		{"-addreject codeSigning", false, nil, []byte{codeSigning}, []truststore.Purpose{server, client, email}},
		{"-addreject anyExtendedKeyUsage", false, nil, []byte{0}, nil},
		{"-addtrust anyExtendedKeyUsage -addreject clientAuth", true, []byte{0}, []byte{clientAuth}, []truststore.Purpose{server, email}},
		{"-addtrust serverAuth -addreject serverAuth", true, []byte{serverAuth}, []byte{serverAuth}, nil},
	} {
		text := plain + trustedCertificate(pki.Root.Cert, c.limited, c.allow, c.deny)
		path := filepath.Join(t.TempDir(), "trust.pem")
		noError(t, os.WriteFile(path, []byte(text), 0o600))
		store, err := truststore.Load(path, nil)
		noError(t, err)
		directory, err := truststore.Load(filepath.Dir(path), nil)
		noError(t, err)
		watched, err := truststore.Watch(path, nil, trustkeep.WatchOptions{})
		noError(t, err)
		encoded, err := store.Encode(trustkeep.SaveOptions{})
		noError(t, err)
		again, err := truststore.Parse(encoded, nil)
		noError(t, err)
		for how, s := range map[string]truststore.Source{
			"loaded": store, "directory": directory, "watched": watched, "written again": again, "union": truststore.Union(store, truststore.New(other.Intermediate.Cert)),
		} {
			if got := accepts(t, s, pki); !slices.Equal(got, c.want) {
				t.Errorf("%s, %s: trusted for %v, want %v", c.name, how, got, c.want)
			}
			if got := accepts(t, s, other); len(got) != 4 {
				t.Errorf("%s, %s: the other certificate is trusted for %v", c.name, how, got)
			}
		}
		noError(t, watched.Close())
	}
}

// A watched file that bounds its trust is followed, although its certificates stay.
func TestWatchedTrustSettings(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	path := filepath.Join(t.TempDir(), "trust.pem")
	noError(t, os.WriteFile(path, []byte(trustedCertificate(pki.Root.Cert, true, []byte{0}, nil)), 0o600))
	watched, err := truststore.Watch(path, nil, trustkeep.WatchOptions{})
	noError(t, err)
	defer watched.Close()
	if got := accepts(t, watched, pki); len(got) != 4 {
		t.Fatal(got)
	}
	before, _ := watched.Snapshot()
	noError(t, os.WriteFile(path, []byte(trustedCertificate(pki.Root.Cert, true, []byte{emailProtection}, nil)), 0o600))
	noError(t, watched.Reload(context.Background()))
	after, _ := watched.Snapshot()
	if got := accepts(t, watched, pki); !slices.Equal(got, []truststore.Purpose{truststore.Email}) || after.Generation() != before.Generation()+1 {
		t.Errorf("trusted for %v in generation %d", got, after.Generation())
	}
}

// Scopes of purposes are saved as trust settings; others are not saved in PEM.
func TestScopesAreSavedAsTrustSettings(t *testing.T) {
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	alias := store.Aliases()[0]
	for _, c := range []struct {
		scope truststore.Scope
		saved bool
	}{
		{truststore.Scope{Purposes: []truststore.Purpose{truststore.Client}}, true},
		{truststore.Scope{Purposes: []truststore.Purpose{truststore.Email, truststore.Server}}, true},
		{truststore.Scope{Purposes: []truststore.Purpose{truststore.Server, truststore.Client, truststore.Email, truststore.Any}}, true},
		{truststore.Scope{}, true},
		{truststore.Scope{Purposes: []truststore.Purpose{truststore.Any}}, false},
		{truststore.Scope{Purposes: []truststore.Purpose{truststore.Server}, Names: []string{host}}, false},
		{truststore.Scope{Until: pki.Now()}, false}, {truststore.Scope{DistrustAfter: pki.Now()}, false}, {truststore.Scope{TrustDomains: []string{"x.example"}}, false},
	} {
		noError(t, store.SetScope(alias, c.scope))
		encoded, err := store.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM})
		if !c.saved {
			if !errors.Is(err, trustkeep.ErrUnsupported) {
				t.Errorf("%+v: %v", c.scope, err)
			}
			continue
		}
		noError(t, err)
		again, err := truststore.Parse(encoded, nil)
		noError(t, err)
		want := c.scope.Purposes
		if len(want) == 0 {
			want = []truststore.Purpose{truststore.Server, truststore.Client, truststore.Email, truststore.Any}
		}
		got := accepts(t, again, pki)
		slices.Sort(want)
		if !slices.Equal(got, want) || again.Aliases()[0] != alias {
			t.Errorf("%+v: trusted for %v", c.scope, got)
		}
		if trusted := strings.Contains(string(encoded), "TRUSTED"); trusted != (len(c.scope.Purposes) > 0) {
			t.Errorf("%+v: %s", c.scope, encoded)
		}
	}
}

// OpenSSL reads what is written, and what OpenSSL writes is enforced.
func TestInteropTrustSettings(t *testing.T) {
	f := testtool.NewFolder(t, "openssl")
	pki := testpki.New(t, testpki.Options{})
	store := truststore.New(pki.Root.Cert)
	noError(t, store.SetScope(store.Aliases()[0], truststore.Scope{Purposes: []truststore.Purpose{truststore.Email, truststore.Client}}))
	encoded, err := store.Encode(trustkeep.SaveOptions{Format: trustkeep.PEM})
	noError(t, err)
	f.Write("ours.pem", encoded)
	out := strings.Join(strings.Fields(f.Run("openssl", "x509", "-in", "ours.pem", "-noout", "-text", "-trustout")), " ")
	for _, want := range []string{"Trusted Uses: TLS Web Client Authentication, E-mail Protection", "No Rejected Uses"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	f.Write("root.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.Root.Cert.Raw}))
	for _, c := range []struct {
		args []string
		want []truststore.Purpose
	}{
		{[]string{"-addtrust", "emailProtection"}, []truststore.Purpose{truststore.Email}},
		{[]string{"-addtrust", "serverAuth", "-addtrust", "clientAuth", "-addreject", "clientAuth"}, []truststore.Purpose{truststore.Server}},
		{[]string{"-addreject", "serverAuth"}, []truststore.Purpose{truststore.Client, truststore.Email}},
		{[]string{"-addreject", "anyExtendedKeyUsage"}, nil},
		{[]string{"-setalias", "mine"}, []truststore.Purpose{truststore.Server, truststore.Client, truststore.Email, truststore.Any}},
	} {
		f.Run("openssl", slices.Concat([]string{"x509", "-in", "root.pem", "-trustout", "-out", "theirs.pem"}, c.args)...)
		theirs, err := truststore.Parse(append(f.Read("theirs.pem"), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pki.Intermediate.Cert.Raw})...), nil)
		noError(t, err)
		noError(t, theirs.RemoveCertificate(pki.Intermediate.Cert))
		if got := accepts(t, theirs, pki); !slices.Equal(got, c.want) {
			t.Errorf("%v: trusted for %v, want %v", c.args, got, c.want)
		}
	}
}
