package pkitest

import (
	"path/filepath"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
)

// Password protects the stores on disk.
const Password = "pkitest"

func (p *PKI) fileName(name string, f trustkeep.Format) string {
	extension := string(f)
	switch f {
	case trustkeep.PKCS12:
		extension = "p12"
	case trustkeep.PKCS7:
		extension = "p7b"
	case trustkeep.DER:
		extension = "cer"
	}
	return filepath.Join(p.tb.TempDir(), name+"."+extension)
}

// KeystoreFile writes a keystore to a folder that goes with the test and returns
// its path. The identities are under their aliases; one without is called by its
// common name in lower case with hyphens. No identity means Server as "server"
// and Client as "client". The password is Password.
func (p *PKI) KeystoreFile(f trustkeep.Format, ids ...*keystore.Identity) string {
	p.tb.Helper()
	ks := keystore.Options{Clock: p.Now}.New()
	set := func(alias string, id *keystore.Identity) {
		if err := ks.SetIdentity(alias, id); err != nil {
			p.tb.Fatalf("pkitest: %v", err)
		}
	}
	for _, id := range ids {
		alias := id.Alias()
		if alias == "" {
			alias = strings.ReplaceAll(strings.ToLower(id.Leaf().Subject.CommonName), " ", "-")
		}
		set(alias, id)
	}
	if len(ids) == 0 {
		set("server", p.Server)
		set("client", p.Client)
	}
	path := p.fileName("keystore", f)
	if err := ks.Save(path, trustkeep.SaveOptions{Format: f, Password: trustkeep.Password(Password)}); err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	return path
}

// TruststoreFile writes a truststore that holds the CA alone to a folder that
// goes with the test and returns its path. The password, where the format has
// one, is Password.
func (p *PKI) TruststoreFile(f trustkeep.Format) string {
	p.tb.Helper()
	o := trustkeep.SaveOptions{Format: f, Password: trustkeep.Password(Password), Mode: 0o644}
	switch f {
	case trustkeep.PEM, trustkeep.DER, trustkeep.PKCS7: // they know no password
		o.Password, o.NoPassword = nil, true
	}
	path := p.fileName("truststore", f)
	if err := p.Trust().Save(path, o); err != nil {
		p.tb.Fatalf("pkitest: %v", err)
	}
	return path
}
