package truststore

import (
	"crypto/x509"
	"reflect"

	"github.com/trustkeep/trustkeep"
)

// CertificateHolder is something that certificates can be copied from. A
// *keystore.Keystore is one.
type CertificateHolder interface {
	Certificates() []*x509.Certificate
}

// FromKeystore copies the certificates of a keystore, and nothing but them,
// into a trust store that can be handed to others: everybody who gets it trusts
// the keystore's identities and the authorities in their chains. Keys never
// take part. The result's Entries say what was copied, each certificate once
// and under an alias made as in Add.
//
// This is the only way from a keystore to trust, since a keystore itself makes
// nobody trusted. It fails with trustkeep.ErrEmpty when there is no
// certificate.
func FromKeystore(holder CertificateHolder) (*Truststore, error) {
	const op = "truststore: copy from keystore"
	if v := reflect.ValueOf(holder); !v.IsValid() || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrEmpty, Hint: "the keystore is nil; was the error of Load checked?"}
	}
	t := New(holder.Certificates()...)
	if t.Len() == 0 {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrEmpty, Hint: "the keystore holds no certificate"}
	}
	return t, nil
}
