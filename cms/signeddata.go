package cms

import (
	"bytes"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/given"
	"github.com/trustkeep/trustkeep/internal/limits"
	"github.com/trustkeep/trustkeep/truststore"
)

// What one message may bring. Each is far above what is sent and low enough for
// the worst of keys to be checked in time.
const (
	maxSigners       = 8
	maxAttempts      = 10 // signatures to check, since a signer's name may fit several certificates
	maxCertificates  = 1000
	maxCertificate   = 64 << 10
	maxCertificateIn = 2 << 20 // all of them
	maxSignerInfo    = 256 << 10
	maxAlgorithms    = 32
	maxRSABits       = 8192 // as crypto/tls has it
	maxRSAExponent   = 1 << 20
)

// verifier is a SignedData being checked, as the reader of its content.
type verifier struct {
	o        VerifyOptions
	now      time.Time
	snapshot *truststore.Snapshot
	stamps   *truststore.Snapshot // VerifyOptions.TimeStampTrust; nil for none
	r        *berio.Reader
	content  io.Reader // nil where the message holds none
	// signature is asked for at the end of the content, by DetachedReader; otherwise nil.
	signature func() ([]byte, error)
	kind      oid
	digests   digests
	// start and size of the content, for looksLikeAttributes.
	prefix []byte
	size   int64

	certificates []*x509.Certificate
	unread       []unread
	unbearable   int // certificates left out for the size of their keys
	attempts     int

	stampAttempts int
	result        *Verified
	err           error
}

// start reads up to the content. size is that of the input, negative if
// unknown.
func (o VerifyOptions) start(src io.Reader, size int64) (*verifier, error) {
	v := &verifier{o: o}
	budget := limits.New(o.Limits)
	if size >= 0 {
		if err := budget.Size(size); err != nil {
			return nil, err
		}
	}
	var err error
	if v.snapshot, err = given.Snapshot(o.Trust); err != nil {
		return nil, err
	}
	if given.NilPointer(o.Revocation) {
		return nil, &trustkeep.Error{Op: "Revocation", Err: trustkeep.ErrInvalid, Hint: "it is a nil pointer; was the error of making it checked?"}
	}
	if o.TimeStampTrust != nil {
		if v.stamps, err = given.Snapshot(o.TimeStampTrust); err != nil {
			return nil, fmt.Errorf("TimeStampTrust: %w", err)
		}
	}
	clock := o.Clock
	if clock == nil {
		clock = time.Now
	}
	v.now = clock()
	v.r = berio.NewReader(unarmor(src), budget.MaxDepth(), size)
	return v, v.readHead()
}

func (v *verifier) readHead() error {
	id, err := enterContentInfo(v.r)
	if err != nil {
		return err
	}
	if id != oidSignedData {
		return unsupported("content type " + describe(id) + ", which is not signed")
	}
	if err := v.r.Enter(ber.Sequence); err != nil {
		return err
	}
	if err := v.r.Skip(); err != nil { // version: it follows from the rest
		return err
	}
	if err := v.readAlgorithms(); err != nil {
		return err
	}
	if err := v.r.Enter(ber.Sequence); err != nil { // encapContentInfo
		return err
	}
	if v.kind, err = elementOID(v.r); err != nil {
		return err
	}
	attached, err := v.r.EnterOptional(ber.Context(0))
	if err != nil {
		return err
	}
	if !attached {
		return v.r.Leave()
	}
	v.content, err = v.r.Octets(ber.OctetString)
	return err
}

// readAlgorithms reads which digests the signers will need.
func (v *verifier) readAlgorithms() error {
	if err := v.r.Enter(ber.Set); err != nil {
		return err
	}
	for n := 0; ; n++ {
		more, err := v.r.More()
		if err != nil {
			return err
		}
		if !more {
			return v.r.Leave()
		}
		if n == maxAlgorithms {
			return fmt.Errorf("more than %d digest algorithms: %w", maxAlgorithms, trustkeep.ErrLimit)
		}
		e, err := v.r.Element(maxSmall)
		if err != nil {
			return err
		}
		a, err := parseAlgorithm(e)
		if err != nil {
			return err
		}
		if h := hashByID(a.id); h != nil { // whoever uses another fails later
			v.digests.add(h)
		}
	}
}

// Read yields the content.
func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil || len(p) == 0 {
		return 0, v.err
	}
	n, err := v.content.Read(p)
	v.see(p[:n])
	if err == io.EOF {
		if fail := v.conclude(); fail != nil {
			err = notEnd(fail)
		}
	}
	v.err = err
	return n, err
}

// conclude decides at the end of the content.
func (v *verifier) conclude() error {
	if v.signature != nil {
		return v.readSignature()
	}
	if err := v.leaveContent(); err != nil {
		return err
	}
	return v.finish()
}

// notEnd returns an error that no reader takes for the good end of its content, such as the
// io.EOF that mime/multipart returns for a signature that is not there.
func notEnd(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// readSignature reads the signature that follows detached content, and checks it.
func (v *verifier) readSignature() error {
	der, err := v.signature()
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("no signature, %v: %w", err, io.ErrUnexpectedEOF) // nor for who asks errors.Is
	}
	if err != nil {
		return err
	}
	s, err := v.o.start(bytes.NewReader(der), int64(len(der)))
	if err != nil {
		return err
	}
	if s.content != nil {
		return unsupported("signature that holds content of its own")
	}
	// The digests that it announces were computed, or its signers fail by them.
	s.digests, s.prefix, s.size = v.digests, v.prefix, v.size
	if err := s.finish(); err != nil {
		return err
	}
	v.result = s.result
	return nil
}

func (v *verifier) leaveContent() error {
	if err := v.r.Leave(); err != nil {
		return err
	}
	return v.r.Leave()
}

// readDetached checks content that is not in the message.
func (v *verifier) readDetached(content io.Reader) error {
	buf := make([]byte, chunk)
	for {
		n, err := content.Read(buf)
		v.see(buf[:n])
		if err == io.EOF {
			return v.finish()
		}
		if err != nil {
			return err
		}
	}
}

// see takes note of a piece of the content.
func (v *verifier) see(p []byte) {
	v.digests.Write(p)
	v.size += int64(len(p))
	if room := 16 - len(v.prefix); room > 0 {
		v.prefix = append(v.prefix, p[:min(room, len(p))]...)
	}
}

// looksLikeAttributes reports whether the content could be a SET OF Attribute.
// A signature over attributes can be passed off as one over such content,
// without attributes: RFC 5652 tells the two apart by nothing.
func (v *verifier) looksLikeAttributes() bool {
	r := berio.NewReader(bytes.NewReader(append(v.prefix, make([]byte, 16)...)), 2, -1)
	h, err := r.Peek()
	return err == nil && h.Tag == ber.Set && h.Constructed && (h.Indefinite || h.Size()+h.Length == v.size)
}

// readTail reads what follows the content.
func (v *verifier) readTail() ([]*signerInfo, error) {
	if ok, err := v.r.EnterOptional(ber.Context(0)); err != nil {
		return nil, err
	} else if ok {
		if err := v.readCertificates(); err != nil {
			return nil, err
		}
	}
	if ok, err := v.r.Has(ber.Context(1)); err != nil {
		return nil, err
	} else if ok { // CRLs
		if err := v.r.Skip(); err != nil {
			return nil, err
		}
	}
	infos, err := v.readSigners()
	if err != nil {
		return nil, err
	}
	return infos, leaveContentInfo(v.r)
}

// finish reads what follows the content and checks the signatures.
func (v *verifier) finish() error {
	infos, err := v.readTail()
	if err != nil {
		return err
	}
	result := &Verified{ContentType: v.kind.String()}
	for _, info := range infos {
		s, fail := v.check(info)
		if fail == nil {
			result.Signers = append(result.Signers, *s)
			continue
		}
		if !v.o.AnySigner {
			return fail
		}
		result.Rejected = append(result.Rejected, fail)
	}
	if len(result.Signers) == 0 {
		if len(result.Rejected) > 0 {
			return result.Rejected[0]
		}
		if len(v.certificates) > 0 {
			return fmt.Errorf("no signature, only certificates, which are for ParseCertificates: %w", trustkeep.ErrEmpty)
		}
		return fmt.Errorf("no signature: %w", trustkeep.ErrEmpty)
	}
	v.result = result
	return nil
}

// readCertificates reads a CertificateSet (RFC 5652 section 10.2.2). What is no
// certificate that crypto/x509 reads does not hide the others.
func (v *verifier) readCertificates() error {
	size := 0
	for n := 0; ; n++ {
		more, err := v.r.More()
		if err != nil {
			return err
		}
		if !more {
			return v.r.Leave()
		}
		if n == maxCertificates {
			return fmt.Errorf("more than %d certificates: %w", maxCertificates, trustkeep.ErrLimit)
		}
		plain, err := v.r.Has(ber.Sequence)
		if err != nil {
			return err
		}
		if !plain { // attribute certificates and other old kinds
			if err := v.r.Skip(); err != nil {
				return err
			}
			continue
		}
		der, err := v.r.Raw(maxCertificate)
		if err != nil {
			return err
		}
		if size += len(der); size > maxCertificateIn {
			return fmt.Errorf("certificates of more than %d bytes: %w", maxCertificateIn, trustkeep.ErrLimit)
		}
		switch c, err := x509.ParseCertificate(der); {
		case err != nil:
			v.unread = append(v.unread, unread{der, err})
		case v.bearable(c):
			v.certificates = append(v.certificates, c)
		default:
			v.unbearable++
		}
	}
}

// bearable reports whether signatures of a certificate's key can be checked in
// reasonable time.
func (v *verifier) bearable(c *x509.Certificate) bool {
	pub, ok := keyOf(c).public.(*rsa.PublicKey)
	return !ok || pub.N.BitLen() <= min(maxRSABits, v.o.Limits.WithDefaults().MaxKeyBits) && pub.E <= maxRSAExponent
}

func (v *verifier) readSigners() ([]*signerInfo, error) {
	if err := v.r.Enter(ber.Set); err != nil {
		return nil, err
	}
	var infos []*signerInfo
	for {
		more, err := v.r.More()
		if err != nil {
			return nil, err
		}
		if !more {
			return infos, v.r.Leave()
		}
		if len(infos) == maxSigners {
			return nil, fmt.Errorf("more than %d signers: %w", maxSigners, trustkeep.ErrLimit)
		}
		e, err := v.r.Element(maxSignerInfo)
		if err != nil {
			return nil, err
		}
		info, err := parseSignerInfo(e)
		if err != nil {
			return nil, err
		}
		infos = append(infos, info)
	}
}
