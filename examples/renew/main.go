// Command renew follows a server's certificate through its life: self-signed,
// signed by a CA, renewed with a new key, with an audit at each stage. The store
// is a PKCS#12 file that keytool and openssl open, and every change of it is one
// step on disk.
package main

import (
	"context"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/issue"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "renew:", err)
		os.Exit(1)
	}
}

// host is a server's store and what there is to renew it with.
type host struct {
	out      io.Writer
	path     string
	password trustkeep.PasswordSource
	ca       *keystore.Identity
	trust    *truststore.Truststore
	now      time.Time // moved on by hand: a certificate's life is long
}

// run writes its report to out. It leaves nothing behind.
func run(ctx context.Context, out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "trustkeep-renew-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	h := &host{out: out, path: filepath.Join(dir, "web.p12"), password: trustkeep.Password("a password of the example"), now: time.Now()}
	for _, step := range []struct {
		title string
		do    func(context.Context) error
	}{
		{"A CA: root and intermediate, in a keystore of its own", h.makeCA},
		{"A self-signed certificate, generated on the host", h.generate},
		{"Request out, CA's reply in", h.install},
		{"A year later: the certificate runs out", h.waitAYear},
		{"Renewed with a new key, the old identity kept", h.renew},
	} {
		fmt.Fprintf(out, "== %s\n", step.title)
		if err := step.do(ctx); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

func (h *host) clock() time.Time { return h.now }

// options make everything go by the clock of the example.
func (h *host) options() keystore.Options {
	return keystore.Options{Clock: h.clock}
}

// update changes the store on disk, or leaves it as it is on any error, and
// shows what became of it.
func (h *host) update(change func(*keystore.Keystore) error) error {
	if err := h.options().Update(h.path, h.password, trustkeep.SaveOptions{}, change); err != nil {
		return err
	}
	return h.show()
}

// show loads the store again and prints its identities and an audit.
func (h *host) show() error {
	ks, err := h.options().Load(h.path, h.password)
	if err != nil {
		return err
	}
	for _, alias := range ks.Aliases() {
		id, err := ks.Identity(alias)
		if err != nil {
			return err
		}
		fmt.Fprintf(h.out, "%s: issued by %s, self-signed %t, chain of %d, until %s\n", alias, trustkeep.DescribeCertificate(id.Leaf()).Issuer, id.SelfSigned(),
			len(id.Chain()), id.Leaf().NotAfter.Format(time.DateOnly))
	}
	report := audit.Options{Clock: h.clock}.Run(
		audit.Target{Name: filepath.Base(h.path), Keystore: ks, Roles: issue.ForServer})
	fmt.Fprintf(h.out, "audit:\n%s\n", report)
	return nil
}

func (h *host) makeCA(context.Context) error {
	root, err := issue.New(issue.Options{Subject: pkix.Name{CommonName: "Example Root CA"}, Purposes: issue.ForCA, Clock: h.clock})
	if err != nil {
		return err
	}
	h.ca, err = issue.New(issue.Options{Subject: pkix.Name{CommonName: "Example Intermediate CA"}, Purposes: issue.ForCA, Issuer: root, Clock: h.clock})
	if err != nil {
		return err
	}
	h.trust = truststore.New(root.Leaf())
	issued := trustkeep.DescribeCertificate(h.ca.Leaf())
	fmt.Fprintf(h.out, "%s issued %s\n\n", issued.Issuer, issued.Subject)
	return nil
}

func (h *host) generate(context.Context) error {
	return h.update(func(ks *keystore.Keystore) error {
		id, err := issue.New(issue.Options{
			Subject: pkix.Name{CommonName: "web.example", Organization: []string{"Example"}}, DNSNames: []string{"web.example"}, Clock: h.clock})
		if err != nil {
			return err
		}
		return ks.AddIdentity("web", id)
	})
}

// sign is the CA. It might as well be another company.
func (h *host) sign(_ context.Context, request []byte) ([]byte, error) {
	return issue.Sign(h.ca, request, issue.Options{Clock: h.clock})
}

func (h *host) install(ctx context.Context) error {
	return h.update(func(ks *keystore.Keystore) error {
		id, err := ks.Identity("web")
		if err != nil {
			return err
		}
		request, err := issue.Request(id, issue.Options{})
		if err != nil {
			return err
		}
		reply, err := h.sign(ctx, request)
		if err != nil {
			return err
		}
		_, err = issue.Install(ks, "web", reply, issue.InstallOptions{Trust: h.trust, Clock: h.clock})
		return err
	})
}

func (h *host) waitAYear(context.Context) error {
	h.now = h.now.AddDate(1, 0, 7)
	return h.show()
}

func (h *host) renew(ctx context.Context) error {
	return h.update(func(ks *keystore.Keystore) error {
		_, err := issue.Renew(ctx, ks, "web", issue.RenewOptions{
			NewKey: true, Sign: h.sign, Trust: h.trust, KeepAs: "web.old", Certificate: issue.Options{Clock: h.clock}})
		return err
	})
}
