// Command renew follows a server's certificate through its life: self-signed,
// signed by a CA, renewed with a new key, with an audit at each stage. The store
// is a PKCS#12 file that keytool and openssl open, and every change of it is one
// step on disk.
package main

import (
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/audit"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

func main() {
	if err := run(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "renew:", err)
		os.Exit(1)
	}
}

// host is a server's store and what there is to renew it with.
type host struct {
	out      io.Writer
	path     string
	password trustkeep.PasswordSource
	ca       *keystore.Keystore
	trust    *truststore.Truststore
	now      time.Time // moved on by hand: a certificate's life is long
}

// run writes its report to out. It leaves nothing behind.
func run(out io.Writer) (err error) {
	dir, err := os.MkdirTemp("", "trustkeep-renew-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	h := &host{out: out, path: filepath.Join(dir, "web.p12"), password: trustkeep.Password("a password of the example"), now: time.Now()}
	for _, step := range []struct {
		title string
		do    func() error
	}{
		{"A CA: root and intermediate, in a keystore of its own", h.makeCA},
		{"A self-signed certificate, generated on the host", h.generate},
		{"Request out, CA's reply in", h.install},
		{"A year later: the certificate runs out", h.waitAYear},
		{"Renewed with a new key, the old identity kept", h.renew},
	} {
		fmt.Fprintf(out, "== %s\n", step.title)
		if err := step.do(); err != nil {
			return fmt.Errorf("%s: %w", step.title, err)
		}
	}
	return nil
}

// options make everything go by the clock of the example.
func (h *host) options() keystore.Options {
	return keystore.Options{Clock: func() time.Time { return h.now }}
}

// update changes the store on disk, or leaves it as it is on any error, and
// shows what became of it.
func (h *host) update(change func(*keystore.Keystore) error) error {
	if err := h.options().Update(h.path, h.password, keystore.SaveOptions{}, change); err != nil {
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
		fmt.Fprintf(h.out, "%s: issued by %s, self-signed %t, chain of %d, until %s\n", alias, id.Leaf().Issuer, id.SelfSigned(),
			len(id.Chain()), id.Leaf().NotAfter.Format(time.DateOnly))
	}
	report := audit.Options{Clock: func() time.Time { return h.now }}.Run(
		audit.Target{Name: filepath.Base(h.path), Keystore: ks, Roles: keystore.ForServer})
	fmt.Fprintf(h.out, "audit:\n%s\n", report)
	return nil
}

func (h *host) makeCA() error {
	h.ca = h.options().New()
	root, err := h.ca.Generate("root", keystore.CertificateOptions{Subject: pkix.Name{CommonName: "Example Root CA"}, Purposes: keystore.ForCA})
	if err != nil {
		return err
	}
	if _, err := h.ca.Generate("intermediate", keystore.CertificateOptions{
		Subject: pkix.Name{CommonName: "Example Intermediate CA"}, Purposes: keystore.ForCA, Issuer: root}); err != nil {
		return err
	}
	h.trust = truststore.New(root.Leaf())
	fmt.Fprintf(h.out, "%s issued %s\n\n", root.Leaf().Subject, "CN=Example Intermediate CA")
	return nil
}

func (h *host) generate() error {
	return h.update(func(ks *keystore.Keystore) error {
		_, err := ks.Generate("web", keystore.CertificateOptions{
			Subject: pkix.Name{CommonName: "web.example", Organization: []string{"Example"}}, DNSNames: []string{"web.example"}})
		return err
	})
}

// sign is the CA. It might as well be another company.
func (h *host) sign(request []byte) ([]byte, error) {
	return h.ca.SignRequest("intermediate", request, keystore.CertificateOptions{})
}

func (h *host) install() error {
	return h.update(func(ks *keystore.Keystore) error {
		request, err := ks.CertificateRequest("web", keystore.CertificateOptions{})
		if err != nil {
			return err
		}
		reply, err := h.sign(request)
		if err != nil {
			return err
		}
		_, err = ks.InstallReply("web", reply, keystore.ReplyOptions{Trust: h.trust})
		return err
	})
}

func (h *host) waitAYear() error {
	h.now = h.now.AddDate(1, 0, 7)
	return h.show()
}

func (h *host) renew() error {
	return h.update(func(ks *keystore.Keystore) error {
		_, err := ks.Renew("web", keystore.RenewOptions{NewKey: true, Sign: h.sign, Trust: h.trust, KeepAs: "web.old"})
		return err
	})
}
