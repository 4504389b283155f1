package main

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/keystore"
	"github.com/trustkeep/trustkeep/truststore"
)

// password protects every store here. A real program takes it from
// trustkeep.PasswordFromEnv or PasswordFromFile.
var password = trustkeep.Password("changeit")

// stores is all that the connections are made from: what was loaded from disk.
type stores struct {
	server *keystore.Keystore // aliases a, b
	client *keystore.Keystore // aliases as2-client, other-client

	a, b, intermediate, clients *truststore.Truststore
}

// writeStores makes the certificates and writes them to files in dir.
func writeStores(dir string) error {
	p, err := newPKI()
	if err != nil {
		return err
	}
	type entry struct {
		alias    string
		identity *keystore.Identity
	}
	for _, file := range []struct {
		name    string
		entries []entry
	}{
		{"server.p12", []entry{{"a", p.a}, {"b", p.b}}},
		{"client.p12", []entry{{"as2-client", p.as2Client}, {"other-client", p.otherClient}}},
	} {
		ks := keystore.New()
		for _, e := range file.entries {
			if err := ks.SetIdentity(e.alias, e.identity); err != nil {
				return err
			}
		}
		if err := ks.Save(filepath.Join(dir, file.name), trustkeep.SaveOptions{Password: password}); err != nil {
			return err
		}
	}
	for _, file := range []struct {
		name   string
		format trustkeep.Format
		cert   *x509.Certificate
	}{
		{"a.jks", trustkeep.JKS, p.a.Leaf()},
		{"b.p12", trustkeep.PKCS12, p.b.Leaf()},
		{"intermediate.jks", trustkeep.JKS, p.partnerIntermediate.Leaf()},
		{"clients.p12", trustkeep.PKCS12, p.ourRoot.Leaf()},
	} {
		options := trustkeep.SaveOptions{Format: file.format, Password: password}
		if err := truststore.New(file.cert).Save(filepath.Join(dir, file.name), options); err != nil {
			return err
		}
	}
	return nil
}

func loadStores(dir string) (s stores, err error) {
	for name, to := range map[string]**keystore.Keystore{"server.p12": &s.server, "client.p12": &s.client} {
		if *to, err = keystore.Load(filepath.Join(dir, name), password); err != nil {
			return stores{}, err
		}
	}
	for name, to := range map[string]**truststore.Truststore{
		"a.jks": &s.a, "b.p12": &s.b, "intermediate.jks": &s.intermediate, "clients.p12": &s.clients,
	} {
		if *to, err = truststore.Load(filepath.Join(dir, name), password); err != nil {
			return stores{}, err
		}
	}
	return s, nil
}

// describe lists the stores as they were loaded.
func (s stores) describe() string {
	var b strings.Builder
	for _, ks := range []*keystore.Keystore{s.server, s.client} {
		fmt.Fprintf(&b, "  %s keystore: %s\n", ks.Format(), strings.Join(ks.Aliases(), ", "))
	}
	for _, ts := range []*truststore.Truststore{s.a, s.b, s.intermediate, s.clients} {
		fmt.Fprintf(&b, "  %s truststore: %s\n", ts.Format(), strings.Join(ts.Aliases(), ", "))
	}
	return b.String()
}
