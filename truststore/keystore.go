package truststore

import (
	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
)

// FromKeystore copies the certificates of a keystore, and no keys, into a trust store.
// Whoever gets it trusts the keystore's identities and the authorities in their chains. Each
// certificate is copied once, under an alias made as in Add.
//
// This is the only way from a keystore to trust: a keystore itself makes nobody trusted. It
// fails with trustkeep.ErrEmpty when there is no certificate, and with trustkeep.ErrInvalid for
// a nil holder.
func FromKeystore(holder trustkeep.CertificateHolder) (*Truststore, error) {
	const op = "truststore: copy from keystore"
	if given.IsNil(holder) {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrInvalid, Hint: "the keystore is nil; was the error of Load checked?"}
	}
	t := New(holder.Certificates()...)
	if t.Len() == 0 {
		return nil, &trustkeep.Error{Op: op, Err: trustkeep.ErrEmpty, Hint: "the keystore holds no certificate"}
	}
	return t, nil
}
