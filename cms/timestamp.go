package cms

import (
	"bytes"
	"context"
	"crypto"
	"crypto/hmac"
	"crypto/rand"
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"math/big"
	"strings"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/asn1/ber"
	"github.com/trustkeep/trustkeep/internal/fips"
	"github.com/trustkeep/trustkeep/truststore"
)

// TimeStampFunc sends a TimeStampReq (RFC 3161 section 2.4.1, in DER) to a time-stamp authority
// and returns its TimeStampResp. By HTTP, the request is the body of a POST of type
// application/timestamp-query (section 3.4). It bounds its own waiting, also by ctx.
type TimeStampFunc func(ctx context.Context, request []byte) (reply []byte, err error)

// TimeStamp is a time stamp (RFC 3161) that counts: the signature existed at that time.
type TimeStamp struct {
	// Time is what the authority states, and Accuracy by how much it may be off; zero where
	// that is not stated.
	Time     time.Time
	Accuracy time.Duration
	// Policy is the object identifier of the authority's policy.
	Policy string
	// Serial is the number of the time stamp at this authority.
	Serial *big.Int
	// Hash of the signature that was stamped.
	Hash crypto.Hash
	// Certificate of the authority, and why it is trusted.
	Certificate *x509.Certificate
	Verdict     *truststore.Verdict
}

// RFC 3161 section 2.4.2 and appendix A, RFC 5035 section 5.4 and 3.
var (
	oidTSTInfo              = newOID("1.2.840.113549.1.9.16.1.4")
	oidTimeStampToken       = newOID("1.2.840.113549.1.9.16.2.14")
	oidSigningCertificate   = newOID("1.2.840.113549.1.9.16.2.12")
	oidSigningCertificateV2 = newOID("1.2.840.113549.1.9.16.2.47")

	extKeyUsage = asn1.ObjectIdentifier{2, 5, 29, 37}
)

// What a time stamp may bring.
const (
	maxTimeStamps = 4 // of one signer
	maxToken      = 128 << 10
	maxTokenDepth = 32
	maxTSTInfo    = 16 << 10
)

// stamping returns how to get a time stamp for a signature, nil if none is wanted.
func (o SignOptions) stamping() (func(h *hashSpec, signature []byte) ([]byte, error), error) {
	var policy oid
	if o.TimeStampPolicy != "" {
		var err error
		if policy, err = parseOID(o.TimeStampPolicy); err != nil {
			return nil, err
		}
	}
	if o.TimeStamp == nil {
		return nil, nil
	}
	ctx := o.Context
	if ctx == nil {
		ctx = context.Background()
	}
	return func(h *hashSpec, signature []byte) ([]byte, error) {
		if err := fips.Hash(h.hash); err != nil {
			return nil, err
		}
		d := h.hash.New()
		d.Write(signature)
		imprint := d.Sum(nil)
		nonce := make([]byte, 9)
		rand.Read(nonce[1:])
		nonce[1] |= 0x80 // so that the leading zero octet belongs there
		var wanted []byte
		if policy != "" {
			wanted = policy.der()
		}
		reply, err := o.TimeStamp(ctx, berio.TLV(berio.Sequence,
			berio.TLV(berio.Integer, []byte{1}),
			berio.TLV(berio.Sequence, algorithm{h.id, nullDER}.der(), berio.TLV(berio.OctetString, imprint)),
			wanted,
			berio.TLV(berio.Integer, nonce),
			[]byte{0x01, 0x01, 0xff})) // certReq
		if err != nil {
			return nil, err
		}
		der, err := readReply(reply)
		if err != nil {
			return nil, err
		}
		t, err := openToken(der, VerifyOptions{})
		if err != nil {
			return nil, err
		}
		switch {
		case t.hash != h || !hmac.Equal(t.imprint, imprint):
			return nil, corrupt("it is for something else")
		case t.nonce == nil || t.nonce.Cmp(integer(nonce)) != 0:
			return nil, corrupt("it is the answer to another request")
		case policy != "" && t.policy != policy:
			return nil, corrupt("its policy is " + t.policy.String())
		}
		// Whether the authority is trusted is for the receivers to decide.
		if _, err := t.authority(new(int)); err != nil {
			return nil, err
		}
		return der, nil
	}, nil
}

// readReply returns the token of a TimeStampResp (RFC 3161 section 2.4.2).
func readReply(reply []byte) ([]byte, error) {
	if len(reply) > maxToken {
		return nil, fmt.Errorf("reply of more than %d bytes: %w", maxToken, trustkeep.ErrLimit)
	}
	outer := ber.New(reply, ber.Rules{MaxDepth: maxTokenDepth})
	e, err := outer.Read(ber.Sequence)
	if err != nil {
		return nil, err
	}
	if err := outer.End(); err != nil {
		return nil, err
	}
	in, err := e.Children()
	if err != nil {
		return nil, err
	}
	info, err := in.Read(ber.Sequence)
	if err != nil {
		return nil, err
	}
	if err := readStatus(info); err != nil {
		return nil, err
	}
	token, err := in.Read(ber.Sequence)
	if err != nil {
		return nil, err
	}
	if err := in.End(); err != nil {
		return nil, err
	}
	return token.DER()
}

// failures are the bits of PKIFailureInfo (RFC 3161 section 2.4.2).
var failures = map[int]string{
	0: "unknown or unsupported algorithm", 2: "request not permitted or supported", 5: "badly formatted request",
	14: "time source not available", 15: "policy not supported", 16: "extension not supported",
	17: "additional information not available", 25: "system failure",
}

// readStatus reads a PKIStatusInfo, which is an error unless a time stamp was granted.
func readStatus(e ber.Element) error {
	in, err := e.Children()
	if err != nil {
		return err
	}
	status, err := readSmall(&in)
	if err != nil {
		return err
	}
	if status <= 1 { // granted, granted with modifications, which are checked
		return nil
	}
	text := fmt.Sprintf("the authority refuses, with status %d", status)
	if list, present, err := in.ReadOptional(ber.Sequence); err != nil {
		return err
	} else if present {
		texts, err := list.Children()
		if err != nil {
			return err
		}
		for n := 0; !texts.Empty() && n < 4; n++ {
			t, err := texts.Read(ber.UTF8String)
			if err != nil {
				return err
			}
			text += ", " + `"` + trustkeep.Printable(string(t.Content[:min(len(t.Content), 512)])) + `"`
		}
	}
	if bits, present, err := in.ReadOptional(ber.BitString); err != nil {
		return err
	} else if present && !bits.Constructed && len(bits.Content) > 1 {
		for i, name := range failures {
			if at := 1 + i/8; at < len(bits.Content) && bits.Content[at]&(0x80>>(i%8)) != 0 {
				text += ", " + name
			}
		}
	}
	return fmt.Errorf("%s: %w", strings.TrimSpace(text), trustkeep.ErrRejected)
}

// token is a TimeStampToken whose TSTInfo was read and whose signature was not yet checked.
type token struct {
	v    *verifier
	info *signerInfo

	policy   oid
	hash     *hashSpec
	imprint  []byte
	serial   *big.Int
	time     time.Time
	accuracy time.Duration
	nonce    *big.Int // nil where absent
}

// openToken reads a TimeStampToken: a SignedData over a TSTInfo with one signer.
// o has Certificates, AllowSHA1 and Limits.
func openToken(der []byte, o VerifyOptions) (*token, error) {
	if len(der) > maxToken {
		return nil, fmt.Errorf("time stamp of more than %d bytes: %w", maxToken, trustkeep.ErrLimit)
	}
	v := &verifier{o: o}
	v.r = berio.NewReader(bytes.NewReader(der), maxTokenDepth, int64(len(der)))
	if err := v.readHead(); err != nil {
		return nil, err
	}
	if v.kind != oidTSTInfo || v.content == nil {
		return nil, corrupt("no time stamp")
	}
	content, err := readAll(v.content, maxTSTInfo)
	if err != nil {
		return nil, err
	}
	v.see(content)
	if err := v.leaveContent(); err != nil {
		return nil, err
	}
	infos, err := v.readTail()
	if err != nil {
		return nil, err
	}
	if len(infos) != 1 {
		return nil, corrupt("time stamp with other than one signer")
	}
	t := &token{v: v, info: infos[0]}
	if err := t.readInfo(content); err != nil {
		return nil, err
	}
	if t.hash.hash == crypto.SHA1 && !o.AllowSHA1 {
		return nil, unsupported("time stamp over a SHA-1 digest without VerifyOptions.AllowSHA1")
	}
	return t, nil
}

// readInfo reads a TSTInfo (RFC 3161 section 2.4.2).
func (t *token) readInfo(der []byte) error {
	outer := ber.New(der, ber.Rules{MaxDepth: maxTokenDepth, DER: true})
	e, err := outer.Read(ber.Sequence)
	if err != nil {
		return err
	}
	if err := outer.End(); err != nil {
		return err
	}
	in, err := e.Children()
	if err != nil {
		return err
	}
	version, err := readSmall(&in)
	if err != nil {
		return err
	}
	if version != 1 {
		return unsupported(fmt.Sprintf("time stamp of version %d", version))
	}
	if t.policy, err = readOID(&in); err != nil {
		return err
	}
	imprint, err := in.Read(ber.Sequence)
	if err != nil {
		return err
	}
	fields, err := imprint.Children()
	if err != nil {
		return err
	}
	if t.hash, err = readHash(&fields); err != nil {
		return err
	}
	if t.imprint, err = readOctets(&fields); err != nil {
		return err
	}
	if err = fields.End(); err != nil {
		return err
	}
	if t.serial, err = readNumber(&in); err != nil {
		return err
	}
	if t.time, err = readTime(&in); err != nil {
		return err
	}
	if accuracy, present, err := in.ReadOptional(ber.Sequence); err != nil {
		return err
	} else if present {
		if t.accuracy, err = readAccuracy(accuracy); err != nil {
			return err
		}
	}
	if _, _, err = in.ReadOptional(ber.Boolean); err != nil { // ordering
		return err
	}
	if in.Peek(ber.Integer) {
		if t.nonce, err = readNumber(&in); err != nil {
			return err
		}
	}
	if _, _, err = in.ReadOptional(ber.Context(0)); err != nil { // tsa, a hint
		return err
	}
	if extensions, present, err := in.ReadOptional(ber.Context(1)); err != nil {
		return err
	} else if present {
		if err := refuseCritical(extensions); err != nil {
			return err
		}
	}
	return in.End()
}

// readNumber reads an INTEGER of at most 64 bytes.
func readNumber(in *ber.Input) (*big.Int, error) {
	e, err := in.Read(ber.Integer)
	if err != nil {
		return nil, err
	}
	if e.Constructed || len(e.Content) == 0 || len(e.Content) > 64 {
		return nil, corrupt("number out of range")
	}
	return integer(e.Content), nil
}

// readTime reads a GeneralizedTime as RFC 3161 section 2.4.2 wants it, in UTC and perhaps with
// a fraction of a second.
func readTime(in *ber.Input) (time.Time, error) {
	const generalizedTime ber.Tag = 24
	e, err := in.Read(generalizedTime)
	if err != nil {
		return time.Time{}, err
	}
	t, err := time.Parse("20060102150405Z", string(e.Content[:min(len(e.Content), 40)]))
	if err != nil || e.Constructed || bytes.IndexByte(e.Content, ',') >= 0 {
		return time.Time{}, corrupt("time of the time stamp")
	}
	return t, nil
}

func readAccuracy(e ber.Element) (d time.Duration, err error) {
	in, err := e.Children()
	if err != nil {
		return 0, err
	}
	for _, unit := range []struct {
		tag ber.Tag
		d   time.Duration
		max int64
	}{{ber.Integer, time.Second, 1 << 31}, {ber.Context(0), time.Millisecond, 999}, {ber.Context(1), time.Microsecond, 999}} {
		e, present, err := in.ReadOptional(unit.tag)
		if err != nil {
			return 0, err
		}
		if !present {
			continue
		}
		if e.Constructed || len(e.Content) == 0 || len(e.Content) > 8 {
			return 0, corrupt("accuracy of the time stamp")
		}
		n := integer(e.Content).Int64()
		if n < 0 || n > unit.max {
			return 0, corrupt("accuracy of the time stamp")
		}
		d += time.Duration(n) * unit.d
	}
	return d, in.End()
}

// refuseCritical refuses extensions that have to be understood, since none is.
func refuseCritical(e ber.Element) error {
	in, err := e.Children()
	if err != nil {
		return err
	}
	for !in.Empty() {
		extension, err := in.Read(ber.Sequence)
		if err != nil {
			return err
		}
		fields, err := extension.Children()
		if err != nil {
			return err
		}
		id, err := readOID(&fields)
		if err != nil {
			return err
		}
		if critical, present, err := fields.ReadOptional(ber.Boolean); err != nil {
			return err
		} else if present && !bytes.Equal(critical.Content, []byte{0}) {
			return unsupported("critical extension " + id.String() + " of the time stamp")
		}
	}
	return nil
}

// authority returns the certificate whose key made the time stamp, and which the signed
// attributes name (RFC 3161 section 2.4.2, RFC 5816). Whether it is trusted is not asked.
// attempts counts the signatures that are checked.
func (t *token) authority(attempts *int) (*x509.Certificate, error) {
	h := hashByID(t.info.digest.id)
	if h == nil {
		return nil, unsupported("digest " + t.info.digest.id.String())
	}
	if h.hash == crypto.SHA1 && !t.v.o.AllowSHA1 {
		return nil, unsupported("digest SHA-1 of the time stamp without VerifyOptions.AllowSHA1")
	}
	if err := fips.Hash(h.hash); err != nil {
		return nil, err
	}
	digest := t.v.digests.sum(h)
	if digest == nil {
		return nil, corrupt("digest that the time stamp does not announce")
	}
	if t.info.signed == nil {
		return nil, corrupt("time stamp without signed attributes")
	}
	if err := t.v.checkContent(t.info, digest); err != nil {
		return nil, err
	}
	var first error
	for _, c := range t.v.candidates(t.info.ref) {
		if *attempts++; *attempts > maxAttempts {
			return nil, fmt.Errorf("more than %d signatures and certificates to try: %w", maxAttempts, trustkeep.ErrLimit)
		}
		err := t.accept(c, h, digest)
		if err == nil {
			return c, nil
		}
		if first == nil {
			first = err
		}
	}
	if first == nil {
		first = fmt.Errorf("its certificate is neither in the time stamp nor known: %w", trustkeep.ErrNotFound)
	}
	return nil, first
}

func (t *token) accept(c *x509.Certificate, h *hashSpec, digest []byte) error {
	if err := t.namesCertificate(c); err != nil {
		return err
	}
	if !t.v.bearable(c) {
		return unsupported("RSA key of extraordinary size")
	}
	if err := stampsTimes(c); err != nil {
		return err
	}
	return t.info.checkSignature(keyOf(c), h, digest)
}

// stampsTimes checks that a certificate is for stamping times and nothing else, and says so
// in a critical extension (RFC 3161 section 2.3).
func stampsTimes(c *x509.Certificate) error {
	for _, e := range c.Extensions {
		if e.Id.Equal(extKeyUsage) && e.Critical && len(c.UnknownExtKeyUsage) == 0 &&
			len(c.ExtKeyUsage) == 1 && c.ExtKeyUsage[0] == x509.ExtKeyUsageTimeStamping {
			if !signs(c) {
				return unsupported("certificate whose key usage excludes signatures")
			}
			return nil
		}
	}
	return unsupported("certificate " + quoted(c) + " whose only, critical extended key usage is not timeStamping")
}
