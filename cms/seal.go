package cms

import (
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"fmt"
	"io"
	"slices"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// Seal encrypts content for the owners of certificates with the zero
// SealOptions. See SealOptions.Seal.
func Seal(content []byte, recipients ...*x509.Certificate) ([]byte, error) {
	return SealOptions{}.Seal(content, recipients...)
}

// SealOptions configures sealing. The zero value is AES-256-CBC with RSA
// PKCS #1 v1.5, which all partners read. It is a value: copy it, change the
// copy, use it from many goroutines.
type SealOptions struct {
	// Cipher for the content. If zero, AES256CBC.
	Cipher Cipher
	// KeyTransport for recipients with RSA keys. If zero, PKCS1v15.
	KeyTransport KeyTransport
	// KeyIDs names recipients by subject key identifier instead of issuer and
	// serial number, so that a certificate renewed with the same key opens
	// the message too. Older products read only the latter.
	KeyIDs bool
	// Passwords open the message too, each by itself. They are stretched by PBKDF2 (RFC 8018)
	// with 600,000 rounds of HMAC-SHA256, and still should be long: whoever has the message
	// can try passwords for ever.
	Passwords []trustkeep.PasswordSource
	// SharedKeys open the message too.
	SharedKeys []*SharedKey
	// Limits: MaxSize bounds what is held in memory, MaxEntries the
	// recipients. Zero means the defaults.
	Limits trustkeep.Limits
}

// Seal encrypts content for the owners of certificates, any of whom can open
// it, and returns a ContentInfo in DER. Recipients have RSA keys, or EC keys on
// P-256, P-384 or P-521, or X25519 keys (RFC 8418). With Passwords or SharedKeys there may be none.
//
// Seal does not decide whether a certificate is trusted, valid and meant for
// encryption: ask truststore.Truststore.Verify first. And in CBC mode, the default, the
// result is not authenticated: whoever carries it can change it, and anybody
// can make another. Sign first, then seal what was signed.
//
// The error wraps trustkeep.ErrEmpty without recipients,
// trustkeep.ErrUnsupported for keys that cannot encrypt, trustkeep.ErrInvalid for
// options out of range, nil recipients and empty passwords, and trustkeep.ErrLimit for content over Limits.MaxSize.
func (o SealOptions) Seal(content []byte, recipients ...*x509.Certificate) ([]byte, error) {
	const op = "seal"
	e, err := o.envelope(recipients)
	if err != nil {
		return nil, wrap(op, err)
	}
	// The result is to be openable under the same limits.
	if err := e.budget.Size(int64(len(content)) + int64(e.overhead())); err != nil {
		return nil, wrap(op, err, "use Writer for large content")
	}
	sealed, err := e.seal(content)
	if err != nil {
		return nil, wrap(op, err)
	}
	return sealed, nil
}

// Writer seals what is written to it and writes the message to dst, in BER with
// indefinite lengths, as it goes: memory stays flat whatever the size. Close
// ends the message and does not close dst; without it the message is cut short
// and no reader accepts it. The Writer is not safe for concurrent use.
//
// The GCM ciphers are the exception: their content is held in memory until
// Close, and a Write beyond Limits.MaxSize is trustkeep.ErrLimit.
//
// Errors are those of Seal and of dst.
func (o SealOptions) Writer(dst io.Writer, recipients ...*x509.Certificate) (io.WriteCloser, error) {
	const op = "seal"
	e, err := o.envelope(recipients)
	if err != nil {
		return nil, wrap(op, err)
	}
	if e.spec.gcm {
		return newWriter(&gcmWriter{dst: dst, envelope: e}), nil
	}
	w, err := newCBCWriter(dst, e)
	if err != nil {
		return nil, wrap(op, err)
	}
	return newWriter(w), nil
}

// envelope is an (Auth)EnvelopedData to be written, all but its content.
type envelope struct {
	budget *limits.Budget
	spec   *cipherSpec
	block  cipher.Block
	iv     []byte
	frames []berio.Frame
}

func (o SealOptions) envelope(recipients []*x509.Certificate) (*envelope, error) {
	spec, err := o.Cipher.spec()
	if err != nil {
		return nil, err
	}
	total := len(recipients) + len(o.SharedKeys) + len(o.Passwords)
	if total == 0 {
		return nil, fmt.Errorf("no recipient: %w", trustkeep.ErrEmpty)
	}
	e := &envelope{budget: limits.New(o.Limits), spec: spec, iv: make([]byte, spec.iv)}
	if err := e.budget.Entries(total); err != nil {
		return nil, err
	}
	key := make([]byte, spec.key)
	defer clear(key)
	rand.Read(key)
	rand.Read(e.iv)
	if e.block, err = spec.block(key); err != nil {
		return nil, err
	}
	infos := make([][]byte, len(recipients))
	version := byte(0) // RFC 5652 section 6.1
	for i, cert := range recipients {
		if cert == nil {
			return nil, fmt.Errorf("recipient %d is nil: %w", i+1, trustkeep.ErrInvalid)
		}
		if infos[i], err = o.recipientInfo(cert, key); err != nil {
			return nil, fmt.Errorf("recipient %s: %w", quoted(cert), err)
		}
		if _, isRSA := keyOf(cert).public.(*rsa.PublicKey); !isRSA || o.KeyIDs {
			version = 2
		}
	}
	if len(o.SharedKeys) > 0 {
		version = 2
	}
	if len(o.Passwords) > 0 {
		version = 3
	}
	more, err := o.otherInfos(key)
	if err != nil {
		return nil, err
	}
	infos = append(infos, more...)
	id := oidEnvelopedData
	if spec.gcm {
		id, version = oidAuthEnvelopedData, 0 // RFC 5083 section 2.1
	}
	a, err := spec.algorithm(e.iv)
	if err != nil {
		return nil, err
	}
	e.frames = []berio.Frame{
		{Identifier: berio.Sequence, Before: id.der()},
		{Identifier: berio.ContextConstructed(0)},
		{Identifier: berio.Sequence, Before: append(berio.TLV(berio.Integer, []byte{version}), berio.SetOf(berio.Set, infos...)...)},
		{Identifier: berio.Sequence, Before: append(oidData.der(), a.der()...)},
		{Identifier: berio.Context(0)},
	}
	return e, nil
}

// otherInfos returns the RecipientInfos of those without a certificate.
func (o SealOptions) otherInfos(contentKey []byte) (infos [][]byte, err error) {
	for i, k := range o.SharedKeys {
		if k == nil || k.key == nil {
			return nil, invalid(fmt.Sprintf("shared key %d is nil", i+1))
		}
		info, err := k.info(contentKey)
		if err != nil {
			return nil, fmt.Errorf("%v: %w", k, err)
		}
		infos = append(infos, info)
	}
	if len(o.Passwords) > maxPasswordInfos {
		return nil, fmt.Errorf("more than %d passwords: %w", maxPasswordInfos, trustkeep.ErrLimit)
	}
	for i, source := range o.Passwords {
		password, err := reveal(source, i)
		if err != nil {
			return nil, err
		}
		info, err := passwordInfo(password, contentKey)
		clear(password)
		if err != nil {
			return nil, fmt.Errorf("password %d: %w", i+1, err)
		}
		infos = append(infos, info)
	}
	return infos, nil
}

// recipientInfo returns the RecipientInfo for the owner of a certificate.
func (o SealOptions) recipientInfo(cert *x509.Certificate, contentKey []byte) ([]byte, error) {
	to, err := newRef(cert, o.KeyIDs)
	if err != nil {
		return nil, err
	}
	key := keyOf(cert)
	if key.pss {
		return nil, unsupported(keyName(cert) + " key, which cannot encrypt")
	}
	switch pub := key.public.(type) {
	case *rsa.PublicKey:
		return transportInfo(o.KeyTransport, to, pub, contentKey)
	case *ecdsa.PublicKey:
		own, err := pub.ECDH()
		if err != nil {
			return nil, fmt.Errorf("recipient's key: %v: %w", err, trustkeep.ErrUnsupported)
		}
		return agreementInfo(to, own, contentKey)
	case *ecdh.PublicKey:
		return agreementInfo(to, pub, contentKey)
	}
	return nil, unsupported(keyName(cert) + " key, which cannot encrypt")
}

// overhead is about how much larger than the content the message is.
func (e *envelope) overhead() int {
	n := 256
	for _, f := range e.frames {
		n += len(f.Before)
	}
	return n
}

// seal encrypts content that is in memory.
func (e *envelope) seal(content []byte) ([]byte, error) {
	if e.spec.gcm {
		return e.sealGCM(content)
	}
	size := e.block.BlockSize()
	full := len(content) / size * size
	head, tail := berio.Definite(full+size, e.frames...)
	out := make([]byte, 0, len(head)+full+size+len(tail))
	out = append(out, head...)
	out = out[:len(head)+full+size]
	mode := cipher.NewCBCEncrypter(e.block, e.iv)
	mode.CryptBlocks(out[len(head):], content[:full])
	last := out[len(head)+full:]
	pad(last, copy(last, content[full:]))
	mode.CryptBlocks(last, last)
	return append(out, tail...), nil
}

func (e *envelope) sealGCM(content []byte) ([]byte, error) {
	frames := append([]berio.Frame{}, e.frames...)
	frames[2].After = berio.TLV(berio.OctetString, make([]byte, gcmTag))
	if fips.Enforced() {
		return e.sealApprovedGCM(content, frames)
	}
	aead, err := cipher.NewGCM(e.block)
	if err != nil {
		return nil, err
	}
	head, tail := berio.Definite(len(content), frames...)
	out := make([]byte, 0, len(head)+len(content)+gcmTag+len(tail))
	out = aead.Seal(append(out, head...), e.iv, content, nil)
	// crypto/cipher appends the tag to the ciphertext, CMS has it in a field
	// at the end.
	end := len(out) - gcmTag
	copy(tail[len(tail)-gcmTag:], out[end:])
	return append(out[:end], tail...), nil
}

// sealApprovedGCM lets the module draw the nonce, which is known only behind the
// content, and puts it in front.
func (e *envelope) sealApprovedGCM(content []byte, frames []berio.Frame) ([]byte, error) {
	aead, err := cipher.NewGCMWithRandomNonce(e.block)
	if err != nil {
		return nil, err
	}
	sealed := aead.Seal(nil, nil, content, nil)
	a, err := e.spec.algorithm(sealed[:gcmNonce])
	if err != nil {
		return nil, err
	}
	frames[3].Before = append(oidData.der(), a.der()...)
	head, tail := berio.Definite(len(content), frames...)
	end := len(sealed) - gcmTag
	copy(tail[len(tail)-gcmTag:], sealed[end:])
	return slices.Concat(head, sealed[gcmNonce:end], tail), nil
}

// pad fills what follows block[:n] as RFC 5652 section 6.3 wants it.
func pad(block []byte, n int) {
	for i := n; i < len(block); i++ {
		block[i] = byte(len(block) - n)
	}
}
