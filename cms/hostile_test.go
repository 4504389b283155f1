package cms_test

import (
	"bytes"
	"crypto"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/cms/internal/berio"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

// typed reports whether an error is one that this package documents.
func typed(err error) bool {
	for _, sentinel := range []error{
		trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrNotFound, trustkeep.ErrEmpty, trustkeep.ErrExpired,
	} {
		if errors.Is(err, sentinel) {
			return strings.HasPrefix(err.Error(), "cms: ") && len(err.Error()) < 4096
		}
	}
	var v *truststore.VerifyError
	return errors.As(err, &v)
}

// reading are the ways in for a message from outside.
func reading(p *people, ids ...trustkeep.Identity) map[string]func(message []byte) error {
	if len(ids) == 0 {
		ids = []trustkeep.Identity{p.rsa}
	}
	return map[string]func([]byte) error{
		"Open": func(b []byte) error { _, err := cms.Open(b, ids...); return err },
		"open Reader": func(b []byte) error {
			r, err := cms.OpenOptions{}.Reader(bytes.NewReader(b), ids...)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
		"Verify": func(b []byte) error { _, err := cms.Verify(b, p.trust); return err },
		"verify Reader": func(b []byte) error {
			r, err := cms.VerifyOptions{Trust: p.trust}.Reader(bytes.NewReader(b))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
		"VerifyDetached": func(b []byte) error {
			_, err := cms.VerifyDetached(b, strings.NewReader("content"), p.trust)
			return err
		},
		"Unprotect":         func(b []byte) error { _, err := cms.Unprotect(b, ids...); return err },
		"ParseCertificates": func(b []byte) error { _, err := cms.ParseCertificates(b); return err },
		"Decompress":        func(b []byte) error { _, err := cms.Decompress(b); return err },
		"decompress Reader": func(b []byte) error {
			r, err := cms.DecompressOptions{}.Reader(bytes.NewReader(b))
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			return err
		},
	}
}

// head is a message up to the content of its type.
func head(contentType string) []byte {
	oid := map[string][]byte{
		"signed":     {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02},
		"enveloped":  {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x03},
		"compressed": {0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x01, 0x09},
	}[contentType]
	return join([]byte{0x30, 0x80}, berio.TLV(berio.OID, oid), []byte{0xa0, 0x80, 0x30, 0x80}, berio.TLV(berio.Integer, []byte{1}))
}

func join(parts ...[]byte) []byte { return bytes.Join(parts, nil) }

func TestHostileMessages(t *testing.T) {
	p := newPeople(t)
	many := testtool.Rounds(1_000_000, 4_000_000)
	if raceEnabled { // then the time is not measured
		many = 250_000
	}
	deep := bytes.Repeat([]byte{0x30, 0x80}, 1_000_000)
	// definite is 10,000 levels deep by definite lengths.
	definite := berio.TLV(berio.Sequence)
	for range 10_000 {
		definite = berio.TLV(berio.Sequence, definite)
	}
	data := berio.TLV(berio.OID, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01})
	sha256 := berio.TLV(berio.Sequence, berio.TLV(berio.OID, []byte{0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01}))
	upToContent := join(head("signed"), berio.TLV(berio.Set, sha256), []byte{0x30, 0x80}, data, []byte{0xa0, 0x80})
	upToCerts := join(head("signed"), berio.TLV(berio.Set, sha256), berio.TLV(berio.Sequence, data, berio.TLV(0xa0, berio.TLV(berio.OctetString, []byte("content")))))
	zlib := berio.TLV(berio.Sequence, berio.TLV(berio.OID, []byte{0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x10, 0x03, 0x08}))
	upToCompressed := join(head("compressed"), zlib, []byte{0x30, 0x80}, data, []byte{0xa0, 0x80})
	emptyBlock := []byte{0, 0, 0, 0xff, 0xff} // of deflate, stored, with another to follow
	for name, message := range map[string][]byte{
		"empty blocks for ever":      join(upToCompressed, []byte{0x04, 0x84, 0x04, 0, 0, 0, 0x78, 0x9c}, bytes.Repeat(emptyBlock, many)),
		"compressed pieces for ever": join(upToCompressed, []byte{0x24, 0x80}, bytes.Repeat([]byte{0x04, 0x00}, many)),
		"compressed zeros":           compressedZeros(t, 1<<30),
		"zlib with a dictionary":     join(upToCompressed, []byte{0x04, 0x06, 0x78, 0xbb, 0, 0, 0, 1, 0, 0, 0, 0}),
		"nothing":                    {},
		"text":                       []byte("MIME-Version: 1.0\n"),
		"zeros":                      make([]byte, 1000),
		"deep":                       deep,
		"deep, as PEM":               []byte("-----BEGIN CMS-----\n" + strings.Repeat("MIAw", 1_000_000)),
		"deep, definite":             definite,
		"deep recipient":             join(head("enveloped"), []byte{0x31, 0x80}, deep),
		"deep, definite recipient":   join(head("enveloped"), []byte{0x31, 0x80}, definite),
		"deep originator":            join(head("enveloped"), []byte{0xa0, 0x80}, deep),
		"deep string":                join(upToContent, bytes.Repeat([]byte{0x24, 0x80}, 1_000_000)),
		"deep certificate":           join(upToCerts, []byte{0xa0, 0x80}, deep),
		"deep CRL":                   join(upToCerts, []byte{0xa1, 0x80}, deep),
		"deep signer":                join(upToCerts, []byte{0x31, 0x80}, deep),
		"deep, definite signer":      join(upToCerts, []byte{0x31, 0x80}, definite),
		"length of 2^63-1":           {0x30, 0x88, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"length of 2^64-1":           {0x30, 0x88, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff},
		"length of lengths":          {0x30, 0xff, 0xff, 0xff},
		"length cut":                 {0x30, 0x84, 0x01},
		"recipient of 2 GB":          join(head("enveloped"), []byte{0x31, 0x80, 0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 1000)),
		"object identifier of 2 GB":  {0x30, 0x80, 0x06, 0x84, 0x7f, 0xff, 0xff, 0xff, 1},
		"content of 2^62":            join(upToContent, []byte{0x04, 0x88, 0x40, 0, 0, 0, 0, 0, 0, 0}, make([]byte, 1000)),
		"certificate of 2 GB":        join(upToCerts, []byte{0xa0, 0x80, 0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 1000)),
		"signer of 2 GB":             join(upToCerts, []byte{0x31, 0x80, 0x30, 0x84, 0x7f, 0xff, 0xff, 0xff}, make([]byte, 1000)),
		"empty pieces for ever":      join(upToContent, []byte{0x24, 0x80}, bytes.Repeat([]byte{0x04, 0x00}, many)),
		"digest algorithms":          join(head("signed"), berio.TLV(berio.Set, bytes.Repeat(sha256, 100_000))),
		"empty certificates":         join(upToCerts, []byte{0xa0, 0x80}, bytes.Repeat([]byte{0x30, 0x00}, many)),
		"old kinds of certificate":   join(upToCerts, []byte{0xa0, 0x80}, bytes.Repeat([]byte{0xa1, 0x00}, many)),
		"CRLs":                       join(upToCerts, []byte{0xa1, 0x80}, bytes.Repeat([]byte{0x30, 0x00}, many)),
		"recipients by other means":  join(head("enveloped"), []byte{0x31, 0x80}, bytes.Repeat([]byte{0xa3, 0x00}, many)),
		"empty recipients":           join(head("enveloped"), []byte{0x31, 0x80}, bytes.Repeat([]byte{0x30, 0x00}, many)),
		"indefinite primitive":       {0x04, 0x80, 0, 0},
		"child longer than parent":   {0x30, 0x03, 0x06, 0x03, 0x2a, 0x03, 0x04},
		"multi-octet tag":            {0x30, 0x80, 0x1f, 0x85, 0x01, 0x00},
		"end of contents everywhere": {0x30, 0x80, 0, 0, 0, 0, 0, 0},
	} {
		for way, read := range reading(p) {
			cost(t, name+" by "+way, func() {
				if err := read(message); err == nil || !typed(err) {
					t.Errorf("%s by %s: %v", name, way, err)
				}
			})
		}
	}
}

// cost fails the test if f takes more time or memory than hostile input may. On
// a busy machine f gets a second and a third chance to be in time.
func cost(t *testing.T, what string, f func()) {
	t.Helper()
	var took time.Duration
	for range 3 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := testcpu.Used()
		f()
		took = testcpu.Since(start)
		runtime.ReadMemStats(&after)
		// Allocated in all, which is at least what is in use at a time.
		if n := after.TotalAlloc - before.TotalAlloc; n > 64<<20 {
			t.Errorf("%s allocates %d bytes", what, n)
		}
		if took <= time.Second || raceEnabled {
			return
		}
	}
	t.Errorf("%s takes %v", what, took)
}

func TestManyRecipients(t *testing.T) {
	p := newPeople(t)
	recipients := make([]*x509.Certificate, 10_000)
	for i := range recipients {
		c := *p.rsa2.Cert
		recipients[i] = &c
	}
	recipients = append(recipients, p.rsa.Cert)
	message, err := cms.Seal([]byte("content"), recipients...)
	if err != nil {
		t.Fatal(err)
	}
	cost(t, "opening", func() {
		if got, err := cms.Open(message, p.rsa); err != nil || string(got) != "content" {
			t.Errorf("%q, %v", got, err)
		}
	})
	cost(t, "refusing", func() {
		_, err := cms.Open(message, p.ed)
		var none *cms.NoRecipientError
		if !errors.As(err, &none) || none.Total != 10_001 || len(none.Recipients) > 16 || !typed(err) {
			t.Errorf("%v", err)
		}
	})
	small := cms.OpenOptions{Limits: trustkeep.Limits{MaxEntries: 10_000}}
	if got, err := small.Open(message, p.rsa); !errors.Is(err, trustkeep.ErrLimit) || got != nil {
		t.Errorf("%q, %v", got, err)
	}
}

func TestLimits(t *testing.T) {
	p := newPeople(t)
	content := random(100_000)
	for _, cipher := range []cms.Cipher{cms.AES256CBC, cms.AES256GCM} {
		message, err := cms.SealOptions{Cipher: cipher}.Seal(content, p.rsa.Cert)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []cms.OpenOptions{{Limits: trustkeep.Limits{MaxSize: 50_000}}, {Limits: trustkeep.Limits{MaxDepth: 3}}} {
			if got, err := o.Open(message, p.rsa); !errors.Is(err, trustkeep.ErrLimit) || got != nil {
				t.Errorf("%v, %+v: %v", cipher, o.Limits, err)
			}
			r, err := o.Reader(bytes.NewReader(message), p.rsa)
			if err == nil {
				_, err = io.Copy(io.Discard, r)
			}
			held := cipher == cms.AES256GCM || o.Limits.MaxDepth != 0
			if held != errors.Is(err, trustkeep.ErrLimit) || !held && err != nil {
				t.Errorf("%v, %+v, Reader: %v", cipher, o.Limits, err)
			}
		}
	}
	signed, err := cms.Sign(content, p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	o := cms.VerifyOptions{Trust: p.trust, Limits: trustkeep.Limits{MaxSize: 50_000}}
	if got, err := o.Verify(signed); !errors.Is(err, trustkeep.ErrLimit) || got != nil {
		t.Errorf("Verify: %v", err)
	}
	r, err := o.Reader(bytes.NewReader(signed))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Errorf("verify Reader: %v", err)
	}
	var many []trustkeep.Identity
	for range 17 {
		many = append(many, p.p256)
	}
	if signed, err = cms.Sign(content, many...); err != nil {
		t.Fatal(err)
	}
	if got, err := cms.Verify(signed, p.trust); !errors.Is(err, trustkeep.ErrLimit) || got != nil {
		t.Errorf("17 signers: %v", err)
	}
}

// Every way to cut a message short is noticed.
func TestTruncatedMessages(t *testing.T) {
	p := newPeople(t)
	content := []byte("content of some length, so that there are several blocks")
	messages := map[string][]byte{}
	add := func(name string, message []byte, err error) {
		if err != nil {
			t.Fatal(err)
		}
		messages[name] = message
	}
	sealed, err := cms.Seal(content, p.p256.Cert)
	add("sealed", sealed, err)
	add("sealed stream", stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return cms.SealOptions{}.Writer(w, p.p256.Cert) }), nil)
	protected, err := cms.Protect(content, p.p256)
	add("protected", protected, err)
	signed, err := cms.Sign(content, p.p256)
	add("signed", signed, err)
	add("signed stream", stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return cms.SignOptions{}.Writer(w, p.p256) }), nil)
	detached, err := cms.SignDetached(strings.NewReader("content"), p.p256)
	add("detached", detached, err)
	for name, message := range messages {
		for way, read := range reading(p, p.p256) {
			if err := read(message); err != nil && !typed(err) {
				t.Errorf("%s by %s: %v", name, way, err)
			}
			for n := 0; n < len(message); n += testtool.Rounds(5, 1) {
				if err := read(message[:n]); err == nil || !typed(err) {
					t.Fatalf("%s by %s cut at %d of %d: %v", name, way, n, len(message), err)
				}
			}
			if err := read(append(bytes.Clone(message), 0)); err == nil || !typed(err) {
				t.Errorf("%s by %s with a byte more: %v", name, way, err)
			}
		}
	}
}

// A wrong key, a damaged key and damaged content give the same answer.
func TestNoOracle(t *testing.T) {
	p := newPeople(t)
	content := random(64)
	for _, transport := range transports {
		texts := map[string]int{}
		for range 20 {
			message, err := cms.SealOptions{KeyTransport: transport}.Seal(content, p.rsa.Cert)
			if err != nil {
				t.Fatal(err)
			}
			key := len(message) - 80 - 38 - 100 // within the encrypted key, which ends before the content and its header
			for name, at := range map[string]int{"key": key, "content": len(message) - 17} {
				changed := bytes.Clone(message)
				changed[at] ^= 0x55
				got, err := cms.Open(changed, p.rsa)
				switch {
				case err != nil:
					if !errors.Is(err, trustkeep.ErrCorrupt) || got != nil {
						t.Errorf("%v, %s: %v", transport, name, err)
					}
					texts[err.Error()]++
				case bytes.Equal(got, content):
					t.Errorf("%v, %s: the change is not noticed", transport, name)
				}
			}
		}
		if len(texts) != 1 {
			t.Errorf("%v: errors differ: %v", transport, texts)
		}
	}
}

// token is a key in hardware, whose errors must not show.
type token struct {
	crypto.Signer
	result []byte
	err    error
}

func (k token) Decrypt(io.Reader, []byte, crypto.DecrypterOpts) ([]byte, error) {
	return k.result, k.err
}

func TestNoOracleOfHardware(t *testing.T) {
	p := newPeople(t)
	for _, transport := range transports {
		message, err := cms.SealOptions{KeyTransport: transport}.Seal(random(1000), p.rsa.Cert)
		if err != nil {
			t.Fatal(err)
		}
		texts := map[string]bool{}
		for _, key := range []token{
			{p.rsa.Key, nil, errors.New("first octet is not zero")},
			{p.rsa.Key, nil, rsa.ErrDecryption},
			{p.rsa.Key, []byte("short"), nil},
			{p.rsa.Key, random(99), nil},
			{p.rsa.Key, random(32), nil},
		} {
			id := cms.IdentityFunc(func() (*tls.Certificate, error) {
				return &tls.Certificate{Certificate: p.rsa.DERChain(), PrivateKey: key}, nil
			})
			if _, err := cms.Open(message, id); err != nil { // by chance, garbage opens
				texts[err.Error()] = true
			}
		}
		if len(texts) != 1 {
			t.Errorf("%v: errors differ: %v", transport, texts)
		}
	}
	signerOnly := cms.IdentityFunc(func() (*tls.Certificate, error) {
		return &tls.Certificate{Certificate: p.rsa.DERChain(), PrivateKey: struct{ crypto.Signer }{p.rsa.Key}}, nil
	})
	message, err := cms.Seal([]byte("content"), p.rsa.Cert)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cms.Open(message, signerOnly); !errors.Is(err, trustkeep.ErrUnsupported) {
		t.Errorf("a key that only signs: %v", err)
	}
}

// Names in a message are not to reach a terminal as they are.
func TestErrorsArePrintable(t *testing.T) {
	p := newPeople(t)
	request := p.request("evil@example.com", testpki.RSA2048)
	request.CommonName = "\x1b[2Jevil\u202e"
	evil := person{p.Issue(request)}
	signed, err := cms.Sign([]byte("content"), evil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = cms.Verify(signed, truststore.New(newPeople(t).Root.Cert))
	if err == nil || strings.ContainsAny(err.Error(), "\x1b\u202e") {
		t.Errorf("%q", err)
	}
	if text := fmt.Sprint(cms.CertificateRef{KeyID: random(10_000)}); len(text) > 100 {
		t.Errorf("%d characters", len(text))
	}
}
