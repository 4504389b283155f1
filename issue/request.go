package keystore

import (
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"fmt"
	"math/bits"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/certgen"
	"github.com/trustkeep/trustkeep/internal/redact"
)

// CertificateRequest asks a CA for a certificate of the key of that alias: a
// PKCS#10 request (RFC 2986) as a PEM block of type CERTIFICATE REQUEST, to be
// sent to the CA and answered by InstallReply. The store does not change.
//
// Where the options name neither a subject nor an alternative name, the names
// are those of the entry's certificate, and so are the purposes and key usages
// where the options have none: the zero CertificateOptions renew what there is.
// The options that are for the CA to decide (NotBefore, Validity, Key, Issuer,
// PathLength) must be zero.
//
// Errors are those of Identity, ErrEmpty when there is no name and
// ErrUnsupported for such an option.
func (k *Keystore) CertificateRequest(alias string, o CertificateOptions) ([]byte, error) {
	const op = "keystore: certificate request"
	it, key, leaf, err := k.keyOf(op, alias)
	if err != nil {
		return nil, err
	}
	if !o.NotBefore.IsZero() || o.Validity != 0 || o.Key != 0 || o.Issuer != nil || o.PathLength != nil {
		return nil, &trustkeep.Error{Op: op, Alias: alias,
			Err: fmt.Errorf("an option that is the CA's to decide: %w", trustkeep.ErrUnsupported)}
	}
	der, err := k.request(key, o.orLike(leaf))
	if err != nil {
		return nil, &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: err}
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}), nil
}

// orLike takes from the certificate what the options leave open about the
// holder. leaf may be nil.
func (o CertificateOptions) orLike(leaf *x509.Certificate) CertificateOptions {
	if leaf == nil {
		return o
	}
	old := CertificateLike(leaf)
	if o.unnamed() {
		o.Subject, o.DNSNames, o.IPAddresses = old.Subject, old.DNSNames, old.IPAddresses
		o.EmailAddresses, o.URIs = old.EmailAddresses, old.URIs
	}
	if o.Purposes == 0 {
		o.Purposes = old.Purposes
	}
	if o.KeyUsage == 0 {
		o.KeyUsage = old.KeyUsage
	}
	return o
}

// request makes a PKCS#10 request in DER.
func (k *Keystore) request(key crypto.Signer, o CertificateOptions) ([]byte, error) {
	o = o.withDefaults()
	if err := o.check(); err != nil {
		return nil, err
	}
	extensions, err := requestedUsages(&o, key.Public())
	if err != nil {
		return nil, err
	}
	return certgen.Request(x509.CertificateRequest{
		Subject: o.Subject, DNSNames: o.DNSNames, IPAddresses: o.IPAddresses, EmailAddresses: o.EmailAddresses, URIs: o.URIs,
		ExtraExtensions: extensions,
	}, key, k.options.Rand)
}

var (
	oidKeyUsage         = asn1.ObjectIdentifier{2, 5, 29, 15}
	oidBasicConstraints = asn1.ObjectIdentifier{2, 5, 29, 19}
	oidExtKeyUsage      = asn1.ObjectIdentifier{2, 5, 29, 37}

	// RFC 5280 section 4.2.1.12.
	oidsOfPurposes = [...]struct {
		purpose Purposes
		oid     asn1.ObjectIdentifier
	}{
		{ForServer, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 1}},
		{ForClient, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 2}},
		{ForEmail, asn1.ObjectIdentifier{1, 3, 6, 1, 5, 5, 7, 3, 4}},
	}
)

// requestedUsages encodes the extensions that a request asks for, which
// crypto/x509 does for alternative names alone.
func requestedUsages(o *CertificateOptions, public crypto.PublicKey) ([]pkix.Extension, error) {
	usage := uint16(keyUsage(o.Purposes, public) | o.KeyUsage)
	// The named bits count from the most significant one, and trailing zeros
	// are left out (X.690 section 11.2.2).
	reversed := bits.Reverse16(usage)
	value := asn1.BitString{Bytes: []byte{byte(reversed >> 8), byte(reversed)}, BitLength: 16 - bits.TrailingZeros16(reversed)}
	value.Bytes = value.Bytes[:(value.BitLength+7)/8]
	extensions := make([]pkix.Extension, 0, 3)
	add := func(id asn1.ObjectIdentifier, critical bool, value any) error {
		der, err := asn1.Marshal(value)
		if err != nil {
			return fmt.Errorf("certificate request: %w: %v", trustkeep.ErrUnsupported, err)
		}
		extensions = append(extensions, pkix.Extension{Id: id, Critical: critical, Value: der})
		return nil
	}
	if err := add(oidKeyUsage, true, value); err != nil {
		return nil, err
	}
	if o.Purposes == ForCA {
		return extensions, add(oidBasicConstraints, true, struct{ CA bool }{true})
	}
	var ids []asn1.ObjectIdentifier
	for _, known := range oidsOfPurposes {
		if o.Purposes&known.purpose != 0 {
			ids = append(ids, known.oid)
		}
	}
	err := add(oidExtKeyUsage, false, ids)
	return extensions, err
}

// keyOf unlocks the key of an alias. Unlike identity, it takes a key that has
// no certificate, or one that is not its own; leaf is nil then.
func (k *Keystore) keyOf(op, alias string) (it *item, key crypto.Signer, leaf *x509.Certificate, err error) {
	var password *redact.Secret
	k.look(func(s *state) {
		if it, err = s.findKey(op, alias); err == nil {
			password = redact.NewSecret(s.passwordOf(it).Bytes())
		}
	})
	if err != nil {
		return nil, nil, nil, err
	}
	defer password.Wipe()

	id, err := k.identity(op, it.e.Alias, nil, false)
	if err == nil {
		return it, id.signer, id.chain[0], nil
	}
	noLeaf := errors.Is(err, trustkeep.ErrEmpty) || errors.Is(err, trustkeep.ErrKeyMismatch)
	if !noLeaf || it.e.Key == nil || it.e.Key.Open == nil {
		return nil, nil, nil, err
	}
	if key, err = openKey(it.e, password.Bytes()); err != nil {
		return nil, nil, nil, &trustkeep.Error{Op: op, Alias: it.e.Alias, Err: err}
	}
	return it, key, nil, nil
}
