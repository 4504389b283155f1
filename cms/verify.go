package cms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/inflate"
	"github.com/trustkeep/trustkeep/truststore"
)

// Verify checks a signed message and decides whether its signers are trusted,
// with no options but trust. See VerifyOptions.Verify.
func Verify(data []byte, trust truststore.Source) (*Verified, error) {
	return VerifyOptions{Trust: trust}.Verify(data)
}

// VerifyDetached checks a signature that came beside its content, with no
// options but trust. See VerifyOptions.VerifyDetached.
func VerifyDetached(signature []byte, content io.Reader, trust truststore.Source) (*Verified, error) {
	return VerifyOptions{Trust: trust}.VerifyDetached(signature, content)
}

// VerifyOptions decides which signatures count. Trust must be set, the rest
// has defaults. It is a value and safe for concurrent use.
type VerifyOptions struct {
	// Trust decides upon the signers, by its Verify for the purpose
	// truststore.Email. Nil is an error: the roots of the operating system
	// would admit anybody with an e-mail address, so they must be asked for,
	// by truststore.System.
	Trust truststore.Source
	// Address is the e-mail address that the signer's certificate must carry;
	// empty means any.
	Address string
	// AnyPurpose accepts certificates whose extended key usage is not for
	// e-mail, as those of AS2 partners are that were issued for TLS.
	AnyPurpose bool
	// AnySigner makes it enough that one of several signatures counts, such as
	// those by a certificate and its successor. Otherwise all must.
	AnySigner bool
	// AllowSHA1 accepts signatures over SHA-1 digests, for which two contents
	// with one signature can be made. Certificates signed so stay refused.
	AllowSHA1 bool
	// Certificates may be the signers' or complete their chains, for messages
	// that do not bring them. They are not trusted by themselves.
	Certificates []*x509.Certificate
	// Revocation, if set, can refuse a signer whom Trust trusts. *revocation.Checker
	// implements it. It is asked once the signature has been found good, and Verify waits
	// while it fetches; about the authority of a time stamp, and about a signer who is judged
	// by one, it is asked for the time of the stamp. If nil, nobody is asked.
	Revocation truststore.RevocationChecker
	// RevocationExempt lists certificates that Revocation is not asked about. If nil, none
	// is exempt.
	RevocationExempt []*x509.Certificate
	// Context ends the waiting of Revocation. If nil, the checker's own bound does.
	Context context.Context
	// TimeStampTrust decides which time-stamp authorities (RFC 3161) count. Where one of
	// them has stamped a signature, its signer is judged by that time and not by now, so
	// that a signature outlives its certificate. If nil, time stamps do not count.
	TimeStampTrust truststore.Source
	// Clock tells the time at which certificates must be valid; the signing
	// time that a message states proves nothing. If nil, time.Now.
	Clock func() time.Time
	// Limits: MaxSize bounds what is held in memory, MaxDepth the nesting, MaxKeyBits the
	// RSA keys below 8192 bits. Zero means the defaults.
	Limits trustkeep.Limits
}

// Verified is what is certain about a signed message. There is none without a
// signature that counts: each of Signers signed all of the content, and is
// trusted.
type Verified struct {
	// Content is what was signed; nil where the caller has it, from
	// VerifyDetached and Reader.
	Content []byte
	// ContentType is the object identifier of its type, such as
	// "1.2.840.113549.1.7.1" for data, the ordinary one.
	ContentType string
	// Signers are those whose signatures count, at least one.
	Signers []Signer
	// Rejected are the signatures that do not count. Without AnySigner there
	// are none.
	Rejected []*SignerError
}

// Signer is a trusted signer of a message.
type Signer struct {
	Certificate *x509.Certificate
	// Verdict says why the signer is trusted.
	Verdict *truststore.Verdict
	// Hash is the digest that was signed, and Digest its value over the content, which AS2
	// returns as the MIC of a receipt.
	Hash   crypto.Hash
	Digest []byte
	// SigningTime is what the signer states; zero where nothing readable is
	// stated. It proves nothing about when the signature was made.
	SigningTime time.Time
	// Attributes are the signed attributes besides content type, message digest and
	// signing time, in the order of the message.
	Attributes []Attribute
	// TimeStamp is the time stamp by whose time the signer was judged; nil where none counts
	// and it was judged now. TimeStampError then says why not; nil where there is none or
	// VerifyOptions.TimeStampTrust is nil.
	TimeStamp      *TimeStamp
	TimeStampError error
}

// Verify checks a SignedData (RFC 5652 section 5) that holds its content, and
// whose signers Trust trusts. The message is DER or BER, bare or in PEM, and is
// not modified. Every signature must count, or one of them under AnySigner.
//
// Signatures are RSA PKCS #1 v1.5, RSA-PSS, ECDSA and Ed25519 with SHA-2, and
// SHA-1 where allowed. RSA keys of more than 8192 bits and messages of more than
// 8 signers are refused. A certificate that the message lacks is looked for in
// Certificates and among those of Trust.
//
// Where the signed attributes name the signer's certificate (RFC 5035 section 3), no other one
// for the same key counts.
//
// The error for a signature that does not count is a *SignerError, which wraps
// trustkeep.ErrCorrupt after tampering, trustkeep.ErrNotFound for a missing
// certificate, or a *truststore.VerifyError for a signer that is not trusted or, with
// trustkeep.ErrRevoked, was revoked.
// Other errors wrap trustkeep.ErrInvalid where no trust is given, trustkeep.ErrEmpty for a
// message without signature or content, trustkeep.ErrUnsupported and trustkeep.ErrLimit.
func (o VerifyOptions) Verify(data []byte) (*Verified, error) {
	const op = "verify"
	v, err := o.start(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		return nil, wrap(op, err)
	}
	if v.content == nil {
		return nil, wrap(op, fmt.Errorf("message without content: %w", trustkeep.ErrEmpty), "a detached signature is for VerifyDetached")
	}
	content, err := readAll(v, int64(len(data)))
	if err != nil {
		return nil, wrap(op, err)
	}
	v.result.Content = content
	return v.result, nil
}

// VerifyDetached checks a SignedData against content that came beside it, as in
// multipart/signed of S/MIME and AS2. A message that holds content of its own is
// refused. Otherwise it is as Verify; errors of content are passed on.
func (o VerifyOptions) VerifyDetached(signature []byte, content io.Reader) (*Verified, error) {
	const op = "verify"
	if content == nil {
		return nil, wrap(op, fmt.Errorf("no content: %w", trustkeep.ErrInvalid))
	}
	v, err := o.start(bytes.NewReader(signature), int64(len(signature)))
	if err != nil {
		return nil, wrap(op, err)
	}
	if v.content != nil {
		return nil, wrap(op, unsupported("signature that holds content of its own"), "use Verify")
	}
	if err := v.readDetached(content); err != nil {
		return nil, wrap(op, err)
	}
	return v.result, nil
}

// Reader checks a signed message as it is read from src. Memory stays flat
// whatever the size. src can be the Reader of an OpenOptions.
//
// Errors of Reader and of Read are those of Verify and of src.
func (o VerifyOptions) Reader(src io.Reader) (*VerifyReader, error) {
	const op = "verify"
	v, err := o.start(src, -1)
	if err != nil {
		return nil, wrap(op, err)
	}
	if v.content == nil {
		return nil, wrap(op, fmt.Errorf("message without content: %w", trustkeep.ErrEmpty), "a detached signature is for VerifyDetached")
	}
	return &VerifyReader{v: v, input: inflated(src)}, nil
}

// DetachedReader is VerifyDetached where the signature comes behind the content, as in
// multipart/signed: the result yields the content, and at its end asks for the signature.
// hashes are the digests that the signature may use, such as those that micalg announces; a
// signature that uses others is refused. If empty, all that are accepted are computed.
//
// Errors of DetachedReader and of Read are those of VerifyDetached, of content and of signature;
// io.EOF of the latter, which means that there is none, is io.ErrUnexpectedEOF.
func (o VerifyOptions) DetachedReader(content io.Reader, signature func() ([]byte, error), hashes ...crypto.Hash) (*VerifyReader, error) {
	const op = "verify"
	if content == nil || signature == nil {
		return nil, wrap(op, fmt.Errorf("no content or signature: %w", trustkeep.ErrInvalid))
	}
	if _, err := given.Snapshot(o.Trust); err != nil {
		return nil, wrap(op, err)
	}
	v := &verifier{o: o, content: content, signature: signature}
	for i := range hashSpecs {
		h := &hashSpecs[i]
		if len(hashes) == 0 && (h.hash != crypto.SHA1 || o.AllowSHA1) || slices.Contains(hashes, h.hash) {
			v.digests.add(h)
		}
	}
	return &VerifyReader{v: v, input: inflated(content)}, nil
}

// VerifyReader yields the content of a signed message. It is not safe for
// concurrent use.
type VerifyReader struct {
	stream
	v     *verifier
	input *inflate.Input // what the message was decompressed from, if it was
	err   error
}

// Read implements io.Reader. What it yields is not verified before it returns
// io.EOF, which it does only after a signature that counts. Any other error
// means that all of it must be thrown away.
func (r *VerifyReader) Read(p []byte) (int, error) {
	if r.err != nil {
		return 0, r.err
	}
	n, err := r.v.Read(p)
	if err != nil && err != io.EOF {
		err = wrap("verify", err)
	}
	r.err = err
	return n, err
}

// Result returns what was verified once Read has returned io.EOF. Before that it
// is an error, and where Read has failed it is that error.
func (r *VerifyReader) Result() (*Verified, error) {
	switch r.err {
	case io.EOF:
		return r.v.result, nil
	case nil:
		return nil, wrap("verify", fmt.Errorf("content not read to its end: %w", trustkeep.ErrInvalid))
	}
	return nil, r.err
}
