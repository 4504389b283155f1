package cms

import (
	"crypto/x509"

	"github.com/trustkeep/trustkeep"
)

// Protect encrypts a secret that is to rest in a file or database so that only
// the owner of one of these key pairs reads it again, with Unprotect. The result
// is an AuthEnvelopedData (RFC 5083) in DER: AES-256-GCM, its key by RSA-OAEP
// with SHA-256 or by ECDH. `openssl cms -decrypt` reads it as well.
//
// Key pairs are named by their key identifiers, so that a certificate renewed
// with the same key still fits. What was protected for a key that is being
// replaced is to be unprotected and protected anew.
//
// A change of the protected bytes is noticed. Their replacement is not: the
// certificate is all it takes to protect something else.
//
// Errors are those of SealOptions.Seal.
func Protect(secret []byte, identities ...trustkeep.Identity) ([]byte, error) {
	ids, err := askAll(identities)
	if err != nil {
		return nil, wrap("protect", err)
	}
	o := SealOptions{Cipher: AES256GCM, KeyTransport: OAEPSHA256, KeyIDs: true}
	recipients := make([]*x509.Certificate, len(ids))
	for i, id := range ids {
		recipients[i] = id.leaf
		if len(id.leaf.SubjectKeyId) == 0 {
			o.KeyIDs = false
		}
	}
	e, err := o.envelope(recipients)
	if err != nil {
		return nil, wrap("protect", err)
	}
	if err := e.budget.Size(int64(len(secret)) + int64(e.overhead())); err != nil {
		return nil, wrap("protect", err)
	}
	protected, err := e.seal(secret)
	if err != nil {
		return nil, wrap("protect", err)
	}
	return protected, nil
}

// Unprotect returns the secret that Protect was given. Only authenticated
// messages are accepted; an EnvelopedData is trustkeep.ErrUnsupported, and one
// that was changed trustkeep.ErrCorrupt. Other errors are those of Open.
func Unprotect(data []byte, identities ...trustkeep.Identity) ([]byte, error) {
	const op = "unprotect"
	secret, authenticated, err := OpenOptions{}.open(op, data, identities)
	if err != nil {
		return nil, err
	}
	if !authenticated {
		clear(secret)
		return nil, &trustkeep.Error{Op: "cms: " + op, Err: unsupported("message that is not authenticated"), Hint: "use Open if that is meant"}
	}
	return secret, nil
}
