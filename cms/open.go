package cms

import (
	"bytes"
	"crypto/cipher"
	"fmt"
	"io"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/inflate"
	"github.com/trustkeep/trustkeep/internal/limits"
)

// Open decrypts what was sealed for one of the identities, with the zero
// OpenOptions. See OpenOptions.Open.
func Open(data []byte, identities ...trustkeep.Identity) ([]byte, error) {
	return OpenOptions{}.Open(data, identities...)
}

// OpenOptions configures opening. The zero value is ready to use. It is a value
// and safe for concurrent use.
type OpenOptions struct {
	// Passwords are tried one after the other on a message that was sealed for a password and
	// that neither an identity nor a shared key opens.
	Passwords []trustkeep.PasswordSource
	// SharedKeys open what was sealed for one of them, by their identifiers.
	SharedKeys []*SharedKey
	// Limits: MaxSize bounds what is held in memory, MaxEntries the
	// recipients, MaxDepth the nesting, MaxIterations what trying Passwords may cost. Zero
	// means the defaults.
	Limits trustkeep.Limits
}

// Open decrypts an EnvelopedData (RFC 5652 section 6) or AuthEnvelopedData (RFC
// 5083) that was sealed for one of the identities. Several are tried by the
// names of their certificates, so that a receiver can offer the old and the new
// identity while a certificate is being replaced. The message is DER or BER,
// bare or in PEM, and is not modified.
//
// Read are AES in CBC and GCM with keys of 128, 192 and 256 bits and 3DES-CBC;
// RSA PKCS #1 v1.5, OAEP with any SHA and any MGF1 hash, ECDH on the NIST
// curves and X25519 with AES key wrap, SharedKeys with AES key wrap, and Passwords.
//
// An EnvelopedData is not authenticated. That it opened says nothing about who
// made it or whether it was changed on the way: what it holds should be signed.
//
// The error is a *NoRecipientError, which wraps trustkeep.ErrNotFound, if the
// message was sealed for others, and wraps trustkeep.ErrIncorrectPassword if none of
// Passwords fits. A wrong or damaged key and changed content are
// the same trustkeep.ErrCorrupt, and under PKCS #1 v1.5 they also take the same
// path, so that a service that answers with this error is no oracle for the key
// (RFC 3218). It is one, unavoidably, for the padding of content in CBC mode,
// if it answers strangers differently for messages that open and those that do
// not: check a signature first or answer alike. A changed message can also open
// to garbage, for one in 256 ways to change it. Further errors wrap
// trustkeep.ErrUnsupported, trustkeep.ErrLimit, trustkeep.ErrInvalid for nil
// elements of the options, and trustkeep.ErrEmpty without identities, Passwords and SharedKeys.
func (o OpenOptions) Open(data []byte, identities ...trustkeep.Identity) ([]byte, error) {
	content, _, err := o.open("open", data, identities)
	return content, err
}

func (o OpenOptions) open(op string, data []byte, identities []trustkeep.Identity) (content []byte, authenticated bool, err error) {
	s, err := o.start(bytes.NewReader(data), int64(len(data)), identities)
	if err != nil {
		return nil, false, wrap(op, err)
	}
	if s.plain != nil {
		return s.plain, true, nil
	}
	content, err = readAll(s, int64(len(data)))
	if err != nil {
		clear(content)
		return nil, false, wrap(op, err)
	}
	return content, false, nil
}

// Reader opens a message as it is read from src. Memory stays flat whatever the
// size.
//
// What Read yields is not known to be whole before it returns io.EOF. Any other
// error means that all of it must be thrown away: the end was cut off or the
// message was changed.
//
// An AuthEnvelopedData is the exception: its content is held in memory, at most
// Limits.MaxSize, and comes out only after it was authenticated.
//
// Errors of Reader and of Read are those of Open and of src. The result is not
// safe for concurrent use.
func (o OpenOptions) Reader(src io.Reader, identities ...trustkeep.Identity) (io.Reader, error) {
	s, err := o.start(src, -1, identities)
	if err != nil {
		return nil, wrap("open", err)
	}
	return &opReader{op: "open", src: s, input: inflated(src)}, nil
}

// opReader gives the errors of a reader their operation.
type opReader struct {
	stream
	op    string
	src   io.Reader
	input *inflate.Input // what the message was decompressed from, if it was
}

// Inflated implements inflate.Carrier, also for package smime.
func (r *opReader) Inflated() *inflate.Input { return r.input }

func (r *opReader) Read(p []byte) (int, error) {
	n, err := r.src.Read(p)
	if err != nil && err != io.EOF {
		err = wrap(r.op, err)
	}
	return n, err
}

// readAll reads what is expected to be at most size bytes, without copying it
// around.
func readAll(src io.Reader, size int64) ([]byte, error) {
	out := make([]byte, 0, size+1) // one more, to see io.EOF without growing
	for {
		if len(out) == cap(out) {
			out = append(out, 0)[:len(out)]
		}
		n, err := src.Read(out[len(out):cap(out)])
		out = out[:len(out)+n]
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

// sealed is a message being opened, as the reader of its content.
type sealed struct {
	r       *berio.Reader
	budget  *limits.Budget
	spec    *cipherSpec
	size    int64 // of the input, negative if unknown
	content io.Reader
	plain   []byte       // the content where it is authenticated, never nil then
	finish  func() error // reads what follows the content; nil when done
	err     error
}

// start reads up to the content. size is that of the input, negative if
// unknown.
func (o OpenOptions) start(src io.Reader, size int64, identities []trustkeep.Identity) (*sealed, error) {
	s := &sealed{budget: limits.New(o.Limits), size: size}
	if size >= 0 {
		if err := s.budget.Size(size); err != nil {
			return nil, err
		}
	}
	ids, err := o.identities(identities)
	if err != nil {
		return nil, err
	}
	s.r = berio.NewReader(unarmor(src), s.budget.MaxDepth(), size)
	id, err := enterContentInfo(s.r)
	if err != nil {
		return nil, err
	}
	if id != oidEnvelopedData && id != oidAuthEnvelopedData {
		return nil, unsupported("content type " + describe(id) + ", which is not sealed")
	}
	if err := s.r.Enter(ber.Sequence); err != nil {
		return nil, err
	}
	if err := s.r.Skip(); err != nil { // version: it follows from the rest
		return nil, err
	}
	if ok, err := s.r.Has(ber.Context(0)); err != nil {
		return nil, err
	} else if ok { // OriginatorInfo, certificates that do not count
		if err := s.r.Skip(); err != nil {
			return nil, err
		}
	}
	contentKey, err := s.readRecipients(ids, o)
	if err != nil {
		return nil, err
	}
	return s, s.enterContent(id == oidAuthEnvelopedData, contentKey)
}

// identities asks those who may open a message. There may be none where it can be opened by
// other means.
func (o OpenOptions) identities(given []trustkeep.Identity) ([]identity, error) {
	for i, k := range o.SharedKeys {
		if k == nil || k.key == nil {
			return nil, invalid(fmt.Sprintf("shared key %d is nil", i+1))
		}
	}
	for i, p := range o.Passwords {
		if isNil(p) {
			return nil, invalid(fmt.Sprintf("password %d is nil", i+1))
		}
	}
	if len(given) == 0 && len(o.SharedKeys)+len(o.Passwords) > 0 {
		return nil, nil
	}
	return askAll(given)
}

// enterContentInfo reads a ContentInfo (RFC 5652 section 3) up to its content.
func enterContentInfo(r *berio.Reader) (oid, error) {
	if err := r.Enter(ber.Sequence); err != nil {
		return "", err
	}
	id, err := elementOID(r)
	if err != nil {
		return "", err
	}
	return id, r.Enter(ber.Context(0))
}

func elementOID(r *berio.Reader) (oid, error) {
	e, err := r.Element(maxSmall)
	if err != nil {
		return "", err
	}
	if e.Tag != ber.OID || e.Constructed || len(e.Content) == 0 {
		return "", corrupt("object identifier")
	}
	return oid(e.Content), nil
}

// Bounds of what is taken out of a message whole.
const (
	maxSmall     = 4 << 10   // an algorithm with its parameters
	maxRecipient = 256 << 10 // a RecipientInfo
)

// describe names a content type.
func describe(id oid) string {
	switch id {
	case oidData:
		return "data"
	case oidSignedData:
		return "signed-data"
	case oidEnvelopedData:
		return "enveloped-data"
	case oidAuthEnvelopedData:
		return "authenticated-enveloped-data"
	case oidCompressedData:
		return "compressed-data"
	}
	return id.String()
}

// enterContent reads an EncryptedContentInfo up to the octets of its content
// and sets the cipher up. contentKey is asked for a key of so many bytes.
func (s *sealed) enterContent(auth bool, contentKey func(size int) ([]byte, error)) error {
	if err := s.r.Enter(ber.Sequence); err != nil {
		return err
	}
	if _, err := elementOID(s.r); err != nil { // what is inside is the caller's business
		return err
	}
	e, err := s.r.Element(maxSmall)
	if err != nil {
		return err
	}
	if e.Tag != ber.Sequence {
		return corrupt("content cipher")
	}
	a, err := parseAlgorithm(e)
	if err != nil {
		return err
	}
	if s.spec, err = cipherOf(a); err != nil {
		return err
	}
	if s.spec.gcm != auth {
		return unsupported(s.spec.name + " in this type of message")
	}
	if ok, err := s.r.Has(ber.Context(0)); err != nil {
		return err
	} else if !ok {
		return fmt.Errorf("encrypted content is not in the message: %w", trustkeep.ErrEmpty)
	}
	if s.content, err = s.r.Octets(ber.Context(0)); err != nil {
		return err
	}
	if auth {
		return s.openGCM(a, contentKey)
	}
	iv, err := s.spec.cbcIV(a)
	if err != nil {
		return err
	}
	key, err := contentKey(s.spec.key)
	if err != nil {
		return err
	}
	defer clear(key)
	block, err := s.spec.block(key)
	if err != nil {
		return err
	}
	s.content = newCBCReader(s.content, cipher.NewCBCDecrypter(block, iv), s.r.BufferSize())
	s.finish = s.end
	return nil
}

// end reads what follows the content of an EnvelopedData.
func (s *sealed) end() error {
	if err := s.r.Leave(); err != nil { // EncryptedContentInfo
		return err
	}
	if ok, err := s.r.Has(ber.Context(1)); err != nil {
		return err
	} else if ok { // unprotectedAttrs
		if err := s.r.Skip(); err != nil {
			return err
		}
	}
	return leaveContentInfo(s.r)
}

// leaveContentInfo leaves the content, its tag and the ContentInfo, after which
// nothing may follow.
func leaveContentInfo(r *berio.Reader) error {
	for range 3 {
		if err := r.Leave(); err != nil {
			return err
		}
	}
	return r.End()
}

// openGCM reads the rest of an AuthEnvelopedData, whose content then is known
// to be good.
func (s *sealed) openGCM(a algorithm, contentKey func(size int) ([]byte, error)) error {
	content, err := s.holdContent()
	if err != nil {
		return err
	}
	if err := s.r.Leave(); err != nil { // EncryptedContentInfo
		return err
	}
	var aad []byte
	if ok, err := s.r.Has(ber.Context(1)); err != nil {
		return err
	} else if ok { // authAttrs, authenticated as a SET OF in DER
		e, err := s.r.Element(maxRecipient)
		if err != nil {
			return err
		}
		if aad, err = e.DER(); err != nil {
			return err
		}
		aad = bytes.Clone(aad)
		aad[0] = berio.Set
	}
	e, err := s.r.Element(maxSmall)
	if err != nil {
		return err
	}
	mac, err := e.Octets()
	if err != nil || e.Tag != ber.OctetString {
		return corrupt("message authentication code")
	}
	if ok, err := s.r.Has(ber.Context(2)); err != nil {
		return err
	} else if ok { // unauthAttrs
		if err := s.r.Skip(); err != nil {
			return err
		}
	}
	if err := leaveContentInfo(s.r); err != nil {
		return err
	}
	key, err := contentKey(s.spec.key)
	if err != nil {
		return err
	}
	defer clear(key)
	aead, nonce, err := s.spec.aead(a, key)
	if err != nil {
		return err
	}
	if len(mac) != aead.Overhead() {
		return corrupt("message authentication code")
	}
	content = append(content, mac...)
	s.plain, err = aead.Open(content[:0], nonce, content, aad)
	if err != nil {
		return errUndecryptable()
	}
	s.content = bytes.NewReader(s.plain)
	return nil
}

// holdContent reads the content of which nothing may come out before its end.
func (s *sealed) holdContent() ([]byte, error) {
	buf := bytes.NewBuffer(make([]byte, 0, max(0, s.size)+gcmTag)) // within the limit: see start
	piece := make([]byte, 32<<10)
	for {
		n, err := s.content.Read(piece)
		if size := s.budget.Size(int64(buf.Len() + n)); size != nil {
			return nil, size
		}
		buf.Write(piece[:n])
		if err == io.EOF {
			return buf.Bytes(), nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Read yields the content.
func (s *sealed) Read(p []byte) (int, error) {
	if s.err != nil || len(p) == 0 {
		return 0, s.err
	}
	n, err := s.content.Read(p)
	if err == io.EOF && s.finish != nil {
		if fail := s.finish(); fail != nil {
			err = fail
		}
		s.finish = nil
	}
	s.err = err
	return n, err
}
