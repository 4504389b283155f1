package cms_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

// tsa is a time-stamp authority (RFC 3161) in the test, whose answers can be wrong in every way.
type tsa struct {
	t        testing.TB
	id       *testpki.Identity
	now      time.Time
	policy   string
	accuracy []byte
	edit     func(*stamp) // before it is signed
	status   []byte       // instead of granted
}

// stamp is what a tsa signs.
type stamp struct {
	version, nonce           []byte // elements
	policy, imprint, serial  []byte
	time, accuracy, tail     []byte
	kind                     []byte // object identifier
	attributes, certificates [][]byte
	signers                  int
}

// usage is a critical or other extended key usage.
func usage(t testing.TB, critical bool, usages ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) {
		var list [][]byte
		for _, u := range usages {
			list = append(list, berio.TLV(berio.OID, oidDER(t, u)))
		}
		c.ExtKeyUsage = nil
		c.KeyUsage = x509.KeyUsageDigitalSignature
		c.ExtraExtensions = append(c.ExtraExtensions, pkix.Extension{
			Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: critical, Value: berio.TLV(berio.Sequence, list...)})
	}
}

const (
	timeStamping    = "1.3.6.1.5.5.7.3.8"
	emailProtection = "1.3.6.1.5.5.7.3.4"
)

func newTSA(t testing.TB, pki *testpki.PKI, edit func(*x509.Certificate)) *tsa {
	if edit == nil {
		edit = usage(t, true, timeStamping)
	}
	id := pki.Issue(testpki.Request{CommonName: "TSA", Usages: []x509.ExtKeyUsage{}, Edit: edit})
	return &tsa{t: t, id: id, now: pki.Now(), policy: "1.2.3.4"}
}

func attributeDER(t testing.TB, id string, value []byte) []byte {
	return berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, id)), berio.TLV(berio.Set, value))
}

const (
	signingCertificate   = "1.2.840.113549.1.9.16.2.12"
	signingCertificateV2 = "1.2.840.113549.1.9.16.2.47"
)

// certID is a SigningCertificate or SigningCertificateV2 with a hash alone.
func certID(hash []byte) []byte {
	return berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.OctetString, hash))))
}

// reply answers a request. It is a cms.TimeStampFunc.
func (a *tsa) reply(_ context.Context, request []byte) ([]byte, error) {
	fields := children(a.t, request)
	s := &stamp{
		version: berio.TLV(berio.Integer, []byte{1}), policy: berio.TLV(berio.OID, oidDER(a.t, a.policy)),
		imprint: fields[1], serial: berio.TLV(berio.Integer, []byte{0x2a}),
		time: berio.TLV(24, []byte(a.now.UTC().Format("20060102150405Z"))), accuracy: a.accuracy,
		kind: berio.TLV(berio.OID, oidDER(a.t, "1.2.840.113549.1.9.16.1.4")), signers: 1,
	}
	for _, f := range fields[2:] {
		switch f[0] {
		case berio.Integer:
			s.nonce = f
		case 1:
			s.certificates = [][]byte{a.id.DER}
		}
	}
	sum := sha256.Sum256(a.id.DER)
	s.attributes = [][]byte{attributeDER(a.t, signingCertificateV2, certID(sum[:]))}
	if a.edit != nil {
		a.edit(s)
	}
	status := a.status
	if status == nil {
		status = berio.TLV(berio.Sequence, berio.TLV(berio.Integer, []byte{0}))
	}
	return berio.TLV(berio.Sequence, status, a.token(s)), nil
}

func (a *tsa) token(s *stamp) []byte {
	content := berio.TLV(berio.Sequence, s.version, s.policy, s.imprint, s.serial, s.time, s.accuracy, s.nonce, s.tail)
	digest := sha256.Sum256(content)
	hash := berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(a.t, oidSHA256)))
	attributes := berio.SetOf(berio.Set, append([][]byte{
		attributeDER(a.t, "1.2.840.113549.1.9.3", s.kind),
		attributeDER(a.t, "1.2.840.113549.1.9.4", berio.TLV(berio.OctetString, digest[:])),
	}, s.attributes...)...)
	sum := sha256.Sum256(attributes)
	signature, err := ecdsa.SignASN1(rand.Reader, a.id.Key.(*ecdsa.PrivateKey), sum[:])
	if err != nil {
		a.t.Fatal(err)
	}
	tbs := children(a.t, children(a.t, a.id.DER)[0])
	serial, issuer := tbs[1], tbs[3]
	attributes[0] = 0xa0
	info := berio.TLV(berio.Sequence, berio.TLV(berio.Integer, []byte{1}), berio.TLV(berio.Sequence, issuer, serial), hash,
		attributes, berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(a.t, "1.2.840.10045.4.3.2"))), berio.TLV(berio.OctetString, signature))
	var certificates []byte
	if len(s.certificates) > 0 {
		certificates = berio.SetOf(0xa0, s.certificates...)
	}
	return berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(a.t, "1.2.840.113549.1.7.2")), berio.TLV(0xa0, berio.TLV(berio.Sequence,
		berio.TLV(berio.Integer, []byte{3}), berio.TLV(berio.Set, hash),
		berio.TLV(berio.Sequence, s.kind, berio.TLV(0xa0, berio.TLV(berio.OctetString, content))),
		certificates, berio.TLV(berio.Set, bytes.Repeat(info, s.signers)))))
}

// stampedPKI has a signer whose certificate lasts a day and a TSA whose lasts ten.
type stampedPKI struct {
	*people
	signer  person
	stamps  *testpki.PKI
	tsa     *tsa
	trustTS *truststore.Truststore
}

func newStampedPKI(t testing.TB, edit func(*x509.Certificate)) *stampedPKI {
	p := &stampedPKI{people: newPeople(t)}
	p.signer = p.p256
	p.stamps = testpki.New(t, testpki.Options{Name: "Stamps", Now: p.Now()})
	p.tsa = newTSA(t, p.stamps, edit)
	p.trustTS = truststore.New(p.stamps.Root.Cert)
	p.tsa.edit = func(s *stamp) { s.certificates = append(s.certificates, p.stamps.Intermediate.DER) }
	return p
}

func at(t time.Time) func() time.Time { return func() time.Time { return t } }

// The signer's certificate has expired; the time stamp shows that it signed before.
func TestTimeStampOutlivesTheCertificate(t *testing.T) {
	p := newStampedPKI(t, nil)
	p.tsa.accuracy = berio.TLV(berio.Sequence, berio.TLV(berio.Integer, []byte{1}), berio.TLV(0x80, []byte{1, 0xf4}))
	content := []byte("content")
	o := cms.SignOptions{TimeStamp: p.tsa.reply, TimeStampPolicy: "1.2.3.4"}
	detached, err := o.SignDetached(bytes.NewReader(content), p.signer)
	if err != nil {
		t.Fatal(err)
	}
	later := p.Now().Add(30 * 24 * time.Hour)
	for form, message := range map[string][]byte{
		"DER": must(o.Sign(content, p.signer)),
		"BER": stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, p.signer) }),
	} {
		with := cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(later)}
		got, err := with.Verify(message)
		if err != nil {
			t.Fatalf("%s: %v", form, err)
		}
		s := got.Signers[0].TimeStamp
		if s == nil || !s.Time.Equal(p.Now()) || s.Accuracy != 1500*time.Millisecond || s.Policy != "1.2.3.4" || s.Serial.Int64() != 42 ||
			!s.Certificate.Equal(p.tsa.id.Cert) || s.Verdict.Anchor == nil || got.Signers[0].TimeStampError != nil {
			t.Errorf("%s: %+v, %v", form, s, got.Signers[0].TimeStampError)
		}
		if got, err := with.VerifyDetached(detached, bytes.NewReader(content)); err != nil || got.Signers[0].TimeStamp == nil {
			t.Errorf("detached: %v", err)
		}
		without := with
		without.TimeStampTrust = nil
		got, err = without.Verify(message)
		if !isExpired(err) || got != nil || !strings.Contains(err.Error(), "VerifyOptions.TimeStampTrust") {
			t.Errorf("%s, no trust in time stamps: %v", form, err)
		}
		strange := with
		strange.TimeStampTrust = p.trust
		got, err = strange.Verify(message)
		if !isExpired(err) || got != nil || !strings.Contains(err.Error(), "time stamp does not count") {
			t.Errorf("%s, other authorities: %v", form, err)
		}
		strange.Clock = at(p.Now())
		got, err = strange.Verify(message)
		if err != nil || got.Signers[0].TimeStamp != nil || got.Signers[0].TimeStampError == nil {
			t.Errorf("%s, other authorities, now: %+v, %v", form, got, err)
		}
		var nobody *truststore.Truststore
		if _, err := (cms.VerifyOptions{Trust: p.trust, TimeStampTrust: nobody}).Verify(message); !errors.Is(err, trustkeep.ErrInvalid) {
			t.Errorf("nil trust: %v", err)
		}
	}
	plain := must(cms.Sign(content, p.signer))
	if _, err := (cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(later)}).Verify(plain); !isExpired(err) || strings.Contains(err.Error(), "stamp") {
		t.Errorf("no time stamp: %v", err)
	}
}

func isExpired(err error) bool {
	var refused *truststore.VerifyError
	return errors.As(err, &refused) && refused.Reason.Code == truststore.CodeExpired
}

// withToken replaces the unsigned attributes of a signed message in DER.
func withUnsigned(t testing.TB, message []byte, attributes ...[]byte) []byte {
	t.Helper()
	info := children(t, message)
	fields := children(t, children(t, info[1])[0])
	last := len(fields) - 1
	signer := children(t, children(t, fields[last])[0])[:6]
	fields[last] = berio.TLV(berio.Set, berio.TLV(berio.Sequence, append(signer, berio.SetOf(0xa1, attributes...))...))
	return berio.TLV(berio.Sequence, info[0], berio.TLV(0xa0, berio.TLV(berio.Sequence, fields...)))
}

// request asks for a time stamp of the signature of a message, with a hash that the nonce need
// not protect.
func request(t testing.TB, message []byte) []byte {
	t.Helper()
	fields := children(t, children(t, children(t, message)[1])[0])
	signature := children(t, children(t, fields[len(fields)-1])[0])[5]
	sum := sha256.Sum256(value(t, signature))
	return berio.TLV(berio.Sequence, berio.TLV(berio.Integer, []byte{1}),
		berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, oidSHA256))), berio.TLV(berio.OctetString, sum[:])),
		[]byte{1, 1, 0xff})
}

const timeStampToken = "1.2.840.113549.1.9.16.2.14"

// stamped is a message with the time stamp of an authority.
func stamped(t testing.TB, message []byte, a *tsa) []byte {
	t.Helper()
	reply, err := a.reply(context.Background(), request(t, message))
	if err != nil {
		t.Fatal(err)
	}
	return withUnsigned(t, message, attributeDER(t, timeStampToken, children(t, reply)[1]))
}

func TestTimeStampsThatDoNotCount(t *testing.T) {
	content := []byte("content")
	set := func(f func(*stampedPKI, *stamp)) func(*stampedPKI) {
		return func(p *stampedPKI) {
			before := p.tsa.edit
			p.tsa.edit = func(s *stamp) { before(s); f(p, s) }
		}
	}
	sum1 := func(der []byte) []byte { s := sha1.Sum(der); return s[:] }
	sum256 := func(der []byte) []byte { s := sha256.Sum256(der); return s[:] }
	serialOf := func(c *testpki.Identity) []byte { return children(t, children(t, c.DER)[0])[1] }
	issuerOf := func(c *testpki.Identity) []byte {
		return berio.TLV(berio.Sequence, berio.TLV(0xa4, children(t, children(t, c.DER)[0])[3]))
	}
	full := func(hash, issuer, serial []byte) []byte {
		return berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.Sequence,
			berio.TLV(berio.OctetString, hash), berio.TLV(berio.Sequence, issuer, serial))))
	}
	for name, test := range map[string]struct {
		usage func(*x509.Certificate)
		edit  func(*stampedPKI)
		want  string // in the error; empty if it counts
	}{
		"good": {nil, nil, ""},
		"ESSCertID": {nil, set(func(p *stampedPKI, s *stamp) {
			s.attributes = [][]byte{attributeDER(t, signingCertificate, certID(sum1(p.tsa.id.DER)))}
		}), ""},
		"both": {nil, set(func(p *stampedPKI, s *stamp) {
			s.attributes = append(s.attributes, attributeDER(t, signingCertificate, certID(sum1(p.tsa.id.DER))))
		}), ""},
		"issuer serial": {nil, set(func(p *stampedPKI, s *stamp) {
			s.attributes = [][]byte{attributeDER(t, signingCertificateV2, full(sum256(p.tsa.id.DER), issuerOf(p.tsa.id), serialOf(p.tsa.id)))}
		}), ""},
		"fraction": {nil, set(func(p *stampedPKI, s *stamp) {
			s.time = berio.TLV(24, []byte(p.Now().UTC().Format("20060102150405")+".25Z"))
		}), ""},
		"ordering, tsa": {nil, set(func(p *stampedPKI, s *stamp) {
			s.tail = join([]byte{1, 1, 0xff}, berio.TLV(0xa0, berio.TLV(0x82, []byte("a"))))
		}), ""},
		"extension": {nil, set(func(p *stampedPKI, s *stamp) {
			s.tail = berio.TLV(0xa1, berio.TLV(berio.Sequence, berio.TLV(berio.OID, []byte{1}), berio.TLV(berio.OctetString)))
		}), ""},

		"usage not critical":   {usage(t, false, timeStamping), nil, "timeStamping"},
		"usage beside another": {usage(t, true, timeStamping, emailProtection), nil, "timeStamping"},
		"unknown usage beside": {usage(t, true, timeStamping, "1.2.3.4"), nil, "timeStamping"},
		"another usage":        {usage(t, true, emailProtection), nil, "timeStamping"},
		"no usage":             {func(c *x509.Certificate) {}, nil, "timeStamping"},
		"key usage": {func(c *x509.Certificate) {
			usage(t, true, timeStamping)(c)
			c.KeyUsage = x509.KeyUsageKeyAgreement
		}, nil, "key usage"},
		"expired by then": {func(c *x509.Certificate) {
			usage(t, true, timeStamping)(c)
			c.NotAfter = c.NotBefore.Add(time.Minute)
		}, nil, "expired"},

		"no certificate named": {nil, set(func(p *stampedPKI, s *stamp) { s.attributes = nil }), "do not name"},
		"another certificate": {nil, set(func(p *stampedPKI, s *stamp) {
			s.attributes = [][]byte{attributeDER(t, signingCertificateV2, certID(sum256(p.signer.DER)))}
		}), "another certificate"},
		"one of both another": {nil, set(func(p *stampedPKI, s *stamp) {
			s.attributes = append(s.attributes, attributeDER(t, signingCertificate, certID(sum1(p.signer.DER))))
		}), "another certificate"},
		"named twice": {nil, set(func(p *stampedPKI, s *stamp) { s.attributes = append(s.attributes, s.attributes[0]) }), "twice"},
		"another serial": {nil, set(func(p *stampedPKI, s *stamp) {
			s.attributes = [][]byte{attributeDER(t, signingCertificateV2, full(sum256(p.tsa.id.DER), issuerOf(p.tsa.id), serialOf(p.signer.Identity)))}
		}), "another certificate"},
		"another issuer": {nil, set(func(p *stampedPKI, s *stamp) {
			s.attributes = [][]byte{attributeDER(t, signingCertificateV2, full(sum256(p.tsa.id.DER), issuerOf(p.signer.Identity), serialOf(p.tsa.id)))}
		}), "another certificate"},

		"another signature": {nil, set(func(p *stampedPKI, s *stamp) {
			s.imprint = berio.TLV(berio.Sequence, children(t, s.imprint)[0], berio.TLV(berio.OctetString, make([]byte, 32)))
		}), "another signature"},
		"of the future": {nil, func(p *stampedPKI) { p.tsa.now = p.Now().AddDate(0, 3, 0) }, "future"},
		"after the expiry": {nil, func(p *stampedPKI) {
			p.tsa.now = p.signer.Cert.NotAfter.Add(time.Hour)
			p.tsa.id = tsaUntil(t, p, p.tsa.now.AddDate(0, 1, 0))
		}, "expired"},
		"inaccurate": {nil, func(p *stampedPKI) {
			p.tsa.accuracy = berio.TLV(berio.Sequence, berio.TLV(berio.Integer, []byte{3, 0, 0}))
		}, "expired"},
		"negative accuracy": {nil, func(p *stampedPKI) {
			p.tsa.accuracy = berio.TLV(berio.Sequence, berio.TLV(berio.Integer, []byte{0x80}))
		}, "accuracy"},
		"local time": {nil, set(func(p *stampedPKI, s *stamp) {
			s.time = berio.TLV(24, []byte(p.Now().UTC().Format("20060102150405")+"+0000"))
		}), "time of the time stamp"},
		"version 2": {nil, set(func(p *stampedPKI, s *stamp) { s.version = berio.TLV(berio.Integer, []byte{2}) }), "version 2"},
		"critical extension": {nil, set(func(p *stampedPKI, s *stamp) {
			s.tail = berio.TLV(0xa1, berio.TLV(berio.Sequence, berio.TLV(berio.OID, []byte{1}), []byte{1, 1, 0xff}, berio.TLV(berio.OctetString)))
		}), "critical extension"},
		"something more": {nil, set(func(p *stampedPKI, s *stamp) { s.tail = []byte{5, 0} }), "too many"},
		"data":           {nil, set(func(p *stampedPKI, s *stamp) { s.kind = berio.TLV(berio.OID, oidDER(t, "1.2.840.113549.1.7.1")) }), "no time stamp"},
		"two signers":    {nil, set(func(p *stampedPKI, s *stamp) { s.signers = 2 }), "one signer"},
		"no signer":      {nil, set(func(p *stampedPKI, s *stamp) { s.signers = 0 }), "one signer"},
		"SHA-1": {nil, set(func(p *stampedPKI, s *stamp) {
			s.imprint = berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, "1.3.14.3.2.26"))), berio.TLV(berio.OctetString, make([]byte, 20)))
		}), "SHA-1"},
		"MD5": {nil, set(func(p *stampedPKI, s *stamp) {
			s.imprint = berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, "1.2.840.113549.2.5"))), berio.TLV(berio.OctetString, make([]byte, 16)))
		}), "digest 1.2.840.113549.2.5"},
		"no certificates":   {nil, set(func(p *stampedPKI, s *stamp) { s.certificates = nil }), "neither in the time stamp"},
		"incomplete chain":  {nil, set(func(p *stampedPKI, s *stamp) { s.certificates = [][]byte{p.tsa.id.DER} }), "its authority"},
		"issued for e-mail": {nil, func(p *stampedPKI) { p.tsa.id, p.tsa.edit = tsaBelow(t, p, x509.ExtKeyUsageEmailProtection) }, "excludes timeStamping"},
		"issued for stamps": {nil, func(p *stampedPKI) { p.tsa.id, p.tsa.edit = tsaBelow(t, p, x509.ExtKeyUsageTimeStamping) }, ""},
	} {
		p := newStampedPKI(t, test.usage)
		if test.edit != nil {
			test.edit(p)
		}
		message := stamped(t, must(cms.Sign(content, p.signer)), p.tsa)
		o := cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(p.Now().AddDate(0, 1, 0))}
		got, err := o.Verify(message)
		switch {
		case test.want == "" && (err != nil || got.Signers[0].TimeStamp == nil):
			t.Errorf("%s: %v", name, err)
		case test.want != "" && (!isExpired(err) || got != nil || !strings.Contains(err.Error(), test.want)):
			t.Errorf("%s: %v", name, err)
		}
		o.Clock = at(p.Now())
		got, err = o.Verify(message)
		if err != nil {
			t.Errorf("%s, while the signer is valid: %v", name, err)
		} else if s := got.Signers[0]; (s.TimeStamp == nil) != (s.TimeStampError != nil) {
			t.Errorf("%s: %+v, %v", name, s.TimeStamp, s.TimeStampError)
		}
	}
}

// tsaUntil is an authority whose certificate is valid for long.
func tsaUntil(t testing.TB, p *stampedPKI, end time.Time) *testpki.Identity {
	return p.stamps.Issue(testpki.Request{CommonName: "TSA", Usages: []x509.ExtKeyUsage{}, Edit: usage(t, true, timeStamping), NotAfter: end})
}

// tsaBelow is an authority below an issuer of that usage.
func tsaBelow(t testing.TB, p *stampedPKI, u x509.ExtKeyUsage) (*testpki.Identity, func(*stamp)) {
	issuer := p.stamps.Issue(testpki.Request{CommonName: "limited", CA: true, Usages: []x509.ExtKeyUsage{u}})
	id := p.stamps.Issue(testpki.Request{CommonName: "TSA", Usages: []x509.ExtKeyUsage{}, Edit: usage(t, true, timeStamping), Issuer: issuer})
	return id, func(s *stamp) { s.certificates = append(s.certificates, issuer.DER, p.stamps.Intermediate.DER) }
}

// The earliest of several counts, and bad ones beside it do not matter.
func TestSeveralTimeStamps(t *testing.T) {
	p := newStampedPKI(t, nil)
	message := must(cms.Sign([]byte("content"), p.signer))
	token := func(now time.Time) []byte {
		p.tsa.now = now
		return children(t, must(p.tsa.reply(context.Background(), request(t, message))))[1]
	}
	early, late := token(p.Now().Add(time.Minute)), token(p.Now().Add(time.Hour))
	bad := bytes.Clone(early)
	bad[len(bad)-1] ^= 1
	both := berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, timeStampToken)), berio.SetOf(berio.Set, late, early, bad))
	o := cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(p.Now().AddDate(0, 1, 0))}
	for name, m := range map[string][]byte{
		"one attribute":    withUnsigned(t, message, both),
		"three attributes": withUnsigned(t, message, attributeDER(t, timeStampToken, bad), attributeDER(t, timeStampToken, late), attributeDER(t, timeStampToken, early)),
	} {
		got, err := o.Verify(m)
		if err != nil || !got.Signers[0].TimeStamp.Time.Equal(p.Now().Add(time.Minute)) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	many := berio.TLV(berio.Sequence, berio.TLV(berio.OID, oidDER(t, timeStampToken)), berio.TLV(berio.Set, bytes.Repeat(early, 5)))
	if _, err := o.Verify(withUnsigned(t, message, many)); !isExpired(err) || !strings.Contains(err.Error(), "more than 4") {
		t.Errorf("five: %v", err)
	}
	other := attributeDER(t, "1.2.3", berio.TLV(berio.OctetString, []byte("unsigned")))
	got, err := o.Verify(withUnsigned(t, message, attributeDER(t, timeStampToken, early), other))
	if err != nil || len(got.Signers[0].Attributes) != 0 {
		t.Errorf("beside another: %+v, %v", got, err)
	}
	cost(t, "a time stamp of many certificates", func() {
		p.tsa.edit = func(s *stamp) { s.certificates = append(s.certificates, bytes.Repeat([]byte{0x30, 0}, 60_000)) }
		if _, err := o.Verify(stamped(t, message, p.tsa)); !isExpired(err) {
			t.Error(err)
		}
	})
}

// Every octet of a time-stamped message is changed: what still verifies is judged by the same
// time.
func TestDamagedTimeStamps(t *testing.T) {
	p := newStampedPKI(t, nil)
	content := []byte("content")
	message := must(cms.SignOptions{TimeStamp: p.tsa.reply, Include: cms.LeafOnly}.Sign(content, p.signer))
	o := cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(p.Now().AddDate(0, 1, 0)), Certificates: p.signer.Chain}
	if _, err := o.Verify(message); err != nil {
		t.Fatal(err)
	}
	for n := 0; n < len(message); n += testtool.Rounds(7, 1) {
		if got, err := o.Verify(message[:n]); err == nil || got != nil || !typed(err) {
			t.Fatalf("cut at %d: %v", n, err)
		}
		changed := bytes.Clone(message)
		changed[n] ^= 1 << (n % 8)
		got, err := o.Verify(changed)
		switch {
		case err != nil && !typed(err):
			t.Fatalf("octet %d changed: %v", n, err)
		case err == nil && (!bytes.Equal(got.Content, content) || !got.Signers[0].TimeStamp.Time.Equal(p.Now())):
			t.Fatalf("octet %d changed: %+v", n, got.Signers[0].TimeStamp)
		}
	}
}

func TestTimeStampRequests(t *testing.T) {
	p := newStampedPKI(t, nil)
	content := []byte("content")
	boom := errors.New("boom")
	reply := func(edit func(*stamp)) cms.TimeStampFunc {
		a := *p.tsa
		a.edit = edit
		return a.reply
	}
	refuse := func(status ...[]byte) cms.TimeStampFunc {
		a := *p.tsa
		a.status = berio.TLV(berio.Sequence, status...)
		return a.reply
	}
	always := func(b []byte) cms.TimeStampFunc {
		return func(context.Context, []byte) ([]byte, error) { return b, nil }
	}
	old := must(p.tsa.reply(context.Background(), request(t, must(cms.Sign(content, p.signer)))))
	nocrit := newTSA(t, p.stamps, usage(t, false, timeStamping))
	for name, test := range map[string]struct {
		ask    cms.TimeStampFunc
		policy string
		err    error
		want   string
	}{
		"good":              {p.tsa.reply, "", nil, ""},
		"policy":            {p.tsa.reply, "1.2.3.4", nil, ""},
		"granted with mods": {refuse(berio.TLV(berio.Integer, []byte{1})), "", nil, ""},
		"another policy":    {p.tsa.reply, "1.2.3.5", trustkeep.ErrCorrupt, "policy"},
		"bad policy":        {p.tsa.reply, "x", trustkeep.ErrInvalid, "identifier"},
		"error":             {func(context.Context, []byte) ([]byte, error) { return nil, boom }, "", boom, ""},
		"refused": {refuse(berio.TLV(berio.Integer, []byte{2}), berio.TLV(berio.Sequence, berio.TLV(12, []byte("no \x1b money"))), berio.TLV(berio.BitString, []byte{0, 0x80})),
			"", trustkeep.ErrRejected, "unknown or unsupported algorithm"},
		"nothing":         {always(nil), "", trustkeep.ErrCorrupt, ""},
		"garbage":         {always([]byte("<html>")), "", trustkeep.ErrCorrupt, ""},
		"huge":            {always(make([]byte, 1<<20)), "", trustkeep.ErrLimit, ""},
		"another answer":  {always(old), "", trustkeep.ErrCorrupt, "something else"},
		"another nonce":   {reply(func(s *stamp) { s.nonce = berio.TLV(berio.Integer, []byte{1}) }), "", trustkeep.ErrCorrupt, "another request"},
		"no nonce":        {reply(func(s *stamp) { s.nonce = nil }), "", trustkeep.ErrCorrupt, "another request"},
		"no certificate":  {reply(func(s *stamp) { s.certificates = nil }), "", trustkeep.ErrNotFound, ""},
		"not for stamps":  {nocrit.reply, "", trustkeep.ErrUnsupported, "timeStamping"},
		"no token":        {always(berio.TLV(berio.Sequence, berio.TLV(berio.Sequence, berio.TLV(berio.Integer, []byte{0})))), "", trustkeep.ErrCorrupt, ""},
		"signature wrong": {reply(func(s *stamp) { s.attributes = nil }), "", trustkeep.ErrCorrupt, ""},
	} {
		o := cms.SignOptions{TimeStamp: test.ask, TimeStampPolicy: test.policy}
		message, err := o.Sign(content, p.signer)
		if !errors.Is(err, test.err) || (err == nil) != (message != nil) || err != nil && (!strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\x1b")) {
			t.Errorf("%s: %v", name, err)
		}
	}
	type key struct{}
	ctx := context.WithValue(context.Background(), key{}, "value")
	o := cms.SignOptions{Context: ctx, TimeStamp: func(ctx context.Context, request []byte) ([]byte, error) {
		if ctx.Value(key{}) != "value" {
			t.Error("another context")
		}
		return p.tsa.reply(ctx, request)
	}}
	if _, err := o.Sign(content, p.signer); err != nil {
		t.Error(err)
	}
	if message, err := o.Sign(content, p.signer, p.rsa); err != nil {
		t.Error(err)
	} else if got, err := (cms.VerifyOptions{Trust: p.trust, TimeStampTrust: truststore.New(p.stamps.Intermediate.Cert)}).Verify(message); err != nil ||
		got.Signers[0].TimeStamp == nil || got.Signers[1].TimeStamp == nil {
		t.Errorf("two signers: %v", err)
	}
}

// asked is a revocation checker that remembers what it was asked, and refuses some.
type asked struct {
	refuse []*x509.Certificate
	at     map[string]time.Time
}

func (a *asked) CheckRevocation(_ context.Context, q truststore.RevocationQuestion) ([]truststore.RevocationResult, error) {
	a.at[q.Chain[0].Subject.CommonName] = q.At
	for _, c := range a.refuse {
		if c.Equal(q.Chain[0]) {
			return nil, trustkeep.ErrRevoked
		}
	}
	return nil, nil
}

// Whether somebody was revoked is asked for the time of the stamp, about the authority and
// about the signer.
func TestTimeStampsAndRevocation(t *testing.T) {
	p := newStampedPKI(t, nil)
	message := must(cms.SignOptions{TimeStamp: p.tsa.reply}.Sign([]byte("content"), p.signer))
	later := p.Now().AddDate(0, 1, 0)
	for name, test := range map[string]struct {
		refuse []*x509.Certificate
		now    time.Time
		code   trustkeep.Code // of the refusal; empty for none
		stamp  bool
	}{
		"nobody":                  {nil, later, "", true},
		"authority":               {[]*x509.Certificate{p.tsa.id.Cert}, later, truststore.CodeExpired, false},
		"authority, signer lasts": {[]*x509.Certificate{p.tsa.id.Cert}, p.Now(), "", false},
		"signer":                  {[]*x509.Certificate{p.signer.Cert}, later, truststore.CodeRevoked, true},
	} {
		a := &asked{test.refuse, map[string]time.Time{}}
		o := cms.VerifyOptions{Trust: p.trust, TimeStampTrust: p.trustTS, Clock: at(test.now), Revocation: a}
		got, err := o.Verify(message)
		refused, _ := errors.AsType[*truststore.VerifyError](err)
		if test.code == "" && (err != nil || (got.Signers[0].TimeStamp != nil) != test.stamp) || test.code != "" && (refused == nil || refused.Code != test.code) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if !a.at["TSA"].Equal(p.Now()) {
			t.Errorf("%s: the authority was judged at %v", name, a.at["TSA"])
		}
		if when, ok := a.at["p256@example.com"]; ok && test.stamp && !when.Equal(p.Now()) {
			t.Errorf("%s: the signer was judged at %v", name, when)
		}
	}
}
