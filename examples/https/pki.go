package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"time"

	"github.com/trustkeep/trustkeep/keystore"
)

// pki is everybody's certificates, as two partners and their authorities would
// have them:
//
//	Partner Root CA ── Partner Intermediate CA ── A (a.example)
//	B (b.example), self-signed
//	Our Root CA ── as2-client, other-client
type pki struct {
	partnerRoot, partnerIntermediate, ourRoot *keystore.Identity

	a, b, as2Client, otherClient *keystore.Identity
}

func newPKI() (p pki, err error) {
	for _, step := range []struct {
		to     **keystore.Identity
		name   string
		host   string // empty: a CA or a client
		issuer **keystore.Identity
		ca     bool
	}{
		{to: &p.partnerRoot, name: "Partner Root CA", ca: true},
		{to: &p.partnerIntermediate, name: "Partner Intermediate CA", issuer: &p.partnerRoot, ca: true},
		{to: &p.a, name: "A", host: hostA, issuer: &p.partnerIntermediate},
		{to: &p.b, name: "B", host: hostB},
		{to: &p.ourRoot, name: "Our Root CA", ca: true},
		{to: &p.as2Client, name: "as2-client", issuer: &p.ourRoot},
		{to: &p.otherClient, name: "other-client", issuer: &p.ourRoot},
	} {
		template := &x509.Certificate{
			Subject:               pkix.Name{CommonName: step.name},
			NotBefore:             time.Now().Add(-time.Hour),
			NotAfter:              time.Now().Add(time.Hour),
			BasicConstraintsValid: true,
			IsCA:                  step.ca,
			KeyUsage:              x509.KeyUsageDigitalSignature,
		}
		switch {
		case step.ca:
			template.KeyUsage = x509.KeyUsageCertSign
		case step.host != "":
			template.DNSNames = []string{step.host}
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		default:
			template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
		}
		var issuer *keystore.Identity
		if step.issuer != nil {
			issuer = *step.issuer
		}
		if *step.to, err = issue(template, issuer); err != nil {
			return pki{}, fmt.Errorf("certificate %s: %w", step.name, err)
		}
	}
	return p, nil
}

// issue makes a key and its certificate, signed by issuer or, where that is
// nil, by itself.
func issue(template *x509.Certificate, issuer *keystore.Identity) (*keystore.Identity, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	parent, signer := template, crypto.Signer(key)
	var chain []*x509.Certificate
	if issuer != nil {
		parent, signer, chain = issuer.Leaf(), issuer.Signer(), issuer.Chain()
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	if err != nil {
		return nil, err
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return keystore.NewIdentity(key, append([]*x509.Certificate{leaf}, chain...)...)
}
