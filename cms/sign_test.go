package cms_test

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestSignAndVerify(t *testing.T) {
	p := newPeople(t)
	for _, hash := range append([]crypto.Hash{0, crypto.SHA1}, sha2...) {
		for _, pss := range []bool{false, true} {
			for _, keyIDs := range []bool{false, true} {
				o := cms.SignOptions{Hash: hash, PSS: pss, KeyIDs: keyIDs}
				for _, names := range []string{"rsa", "p256", "p384", "ed", "rsa rsa2 p256 p384 ed"} {
					who := p.pick(strings.Fields(names)...)
					t.Run(fmt.Sprint(uint(hash), pss, keyIDs, names), func(t *testing.T) {
						testSignAndVerify(t, o, who, p.trust)
					})
				}
			}
		}
	}
}

func testSignAndVerify(t *testing.T, o cms.SignOptions, who []person, trust truststore.Source) {
	content := random(1000)
	at := time.Date(2031, 2, 3, 4, 5, 6, 0, time.UTC)
	o.Clock = func() time.Time { return at }
	v := cms.VerifyOptions{Trust: trust, AllowSHA1: o.Hash == crypto.SHA1}
	check := func(form string, got *cms.Verified, err error) {
		t.Helper()
		if err != nil {
			t.Errorf("%s: %v", form, err)
			return
		}
		if len(got.Signers) != len(who) || len(got.Rejected) != 0 || got.ContentType != "1.2.840.113549.1.7.1" {
			t.Errorf("%s: %+v", form, got)
		}
		for _, s := range got.Signers {
			h := s.Hash.New()
			h.Write(content)
			if !bytes.Equal(s.Digest, h.Sum(nil)) {
				t.Errorf("%s: digest %x", form, s.Digest)
			}
			if !s.SigningTime.Equal(at) || s.Verdict == nil || s.Verdict.Chain[0] != s.Certificate {
				t.Errorf("%s: %+v", form, s)
			}
		}
		for _, id := range who {
			found := false
			for _, s := range got.Signers {
				found = found || s.Certificate.Equal(id.Cert)
			}
			if !found {
				t.Errorf("%s: no signature of %s", form, id.Cert.Subject)
			}
		}
	}
	signed, err := o.Sign(content, idsOf(who)...)
	if err != nil {
		t.Fatal(err)
	}
	streamed := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, idsOf(who)...) })
	for form, message := range map[string][]byte{"DER": signed, "BER": streamed} {
		got, err := v.Verify(message)
		if check(form, got, err); err == nil && !bytes.Equal(got.Content, content) {
			t.Errorf("%s: content of %d bytes", form, len(got.Content))
		}
		r, err := v.Reader(&drip{r: bytes.NewReader(message)})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.Result(); !errors.Is(err, trustkeep.ErrInvalid) || got != nil {
			t.Errorf("%s: result before the end: %+v, %v", form, got, err)
		}
		if err := iotest.TestReader(r, content); err != nil {
			t.Errorf("%s: %v", form, err)
		}
		got, err = r.Result()
		if check(form+" read", got, err); err == nil && got.Content != nil {
			t.Errorf("%s: content of %d bytes", form, len(got.Content))
		}
	}
	detached, err := o.SignDetached(bytes.NewReader(content), idsOf(who)...)
	if err != nil {
		t.Fatal(err)
	}
	got, err := v.VerifyDetached(detached, &drip{r: bytes.NewReader(content)})
	check("detached", got, err)
}

func TestSignSizes(t *testing.T) {
	p := newPeople(t)
	for _, n := range sizes {
		content := random(n)
		signed, err := cms.Sign(content, p.p256)
		if err != nil {
			t.Fatal(err)
		}
		streamed := stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return cms.SignOptions{}.Writer(w, p.p256) })
		for form, message := range map[string][]byte{"DER": signed, "BER": streamed} {
			if got, err := cms.Verify(message, p.trust); err != nil || !bytes.Equal(got.Content, content) {
				t.Errorf("%d bytes, %s: %v", n, form, err)
			}
		}
	}
}

// Sign then seal is how content is protected from both sides, and streams.
func TestSignThenSeal(t *testing.T) {
	p := newPeople(t)
	content := random(1_000_000)
	var message bytes.Buffer
	sealed, err := cms.SealOptions{}.Writer(&message, p.rsa2.Cert)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := cms.SignOptions{}.Writer(sealed, p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(signed, bytes.NewReader(content)); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(signed.Close(), sealed.Close()); err != nil {
		t.Fatal(err)
	}
	open := func(data []byte) ([]byte, *cms.Verified, error) {
		plain, err := cms.OpenOptions{}.Reader(bytes.NewReader(data), p.rsa2)
		if err != nil {
			return nil, nil, err
		}
		r, err := cms.VerifyOptions{Trust: p.trust}.Reader(plain)
		if err != nil {
			return nil, nil, err
		}
		got, err := io.ReadAll(r)
		if err != nil {
			if result, again := r.Result(); result != nil || again != err {
				t.Errorf("result after %v: %+v, %v", err, result, again)
			}
			return nil, nil, err
		}
		result, err := r.Result()
		return got, result, err
	}
	got, result, err := open(message.Bytes())
	if err != nil || !bytes.Equal(got, content) || !result.Signers[0].Certificate.Equal(p.rsa.Cert) {
		t.Fatalf("%d bytes, %+v, %v", len(got), result, err)
	}
	for _, i := range []int{message.Len() / 2, message.Len() - 20, message.Len() - 1} {
		changed := bytes.Clone(message.Bytes())
		changed[i] ^= 1
		if _, result, err := open(changed); !errors.Is(err, trustkeep.ErrCorrupt) || result != nil {
			t.Errorf("byte %d of %d changed: %+v, %v", i, message.Len(), result, err)
		}
		if _, result, err := open(message.Bytes()[:i]); !errors.Is(err, trustkeep.ErrCorrupt) || result != nil {
			t.Errorf("cut at %d of %d: %+v, %v", i, message.Len(), result, err)
		}
	}
}

func TestVerifyPEM(t *testing.T) {
	p := newPeople(t)
	signed, err := cms.Sign([]byte("content"), p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	got, err := cms.Verify(pem.EncodeToMemory(&pem.Block{Type: "PKCS7", Bytes: signed}), p.trust)
	if err != nil || string(got.Content) != "content" {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestIncludedCertificates(t *testing.T) {
	p := newPeople(t)
	intermediate := truststore.New(p.Intermediate.Cert)
	pinned := truststore.New(p.rsa.Cert)
	for _, test := range []struct {
		include cms.Inclusion
		o       cms.VerifyOptions
		want    error
	}{
		{cms.WholeChain, cms.VerifyOptions{Trust: p.trust}, nil},
		{cms.WholeChain, cms.VerifyOptions{Trust: pinned}, nil},
		{cms.LeafOnly, cms.VerifyOptions{Trust: intermediate}, nil},
		{cms.LeafOnly, cms.VerifyOptions{Trust: p.trust}, new(truststore.VerifyError)},
		{cms.LeafOnly, cms.VerifyOptions{Trust: p.trust, Certificates: []*x509.Certificate{p.Intermediate.Cert}}, nil},
		{cms.NoCertificates, cms.VerifyOptions{Trust: p.trust}, trustkeep.ErrNotFound},
		{cms.NoCertificates, cms.VerifyOptions{Trust: pinned}, nil}, // row 58: the signer's certificate is what one has
		{cms.NoCertificates, cms.VerifyOptions{Trust: p.trust, Certificates: p.rsa.Chain[:2]}, nil},
	} {
		signed, err := cms.SignOptions{Include: test.include}.Sign([]byte("content"), p.rsa)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(signed, p.Root.DER) {
			t.Error("the root is included")
		}
		got, err := test.o.Verify(signed)
		if !matches(err, test.want) || (err == nil) != (got != nil) {
			t.Errorf("%d, %v: %v, want %v", test.include, test.o.Trust, err, test.want)
		}
	}
	self := person{p.Issue(testpki.Request{Names: []string{"self@example.com"}, SelfSigned: true, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection}})}
	signed, err := cms.Sign([]byte("content"), self)
	if err != nil || !bytes.Contains(signed, self.DER) {
		t.Errorf("a self-signed certificate is left out: %v", err)
	}
	if _, err := cms.Verify(signed, truststore.New(self.Cert)); err != nil {
		t.Error(err)
	}
}

// matches is errors.Is, for *truststore.VerifyError errors.As.
func matches(err, want error) bool {
	if _, ok := want.(*truststore.VerifyError); ok {
		var v *truststore.VerifyError
		return errors.As(err, &v)
	}
	return errors.Is(err, want)
}

func TestVerifyDecidesByTrust(t *testing.T) {
	p, stranger := newPeople(t), newPeople(t)
	server := person{p.Issue(testpki.Request{Names: []string{"as2.example.com"}, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})}
	encryptOnly := p.request("enc@example.com", testpki.RSA2048)
	encryptOnly.Edit = func(c *x509.Certificate) { c.KeyUsage = x509.KeyUsageKeyEncipherment }
	signing := p.request("enc@example.com", testpki.RSA2048)
	encrypter := person{p.Issue(encryptOnly)}
	signing.KeyOf = encrypter.Identity
	pretender := person{p.Issue(signing)} // signs under a certificate that may, sent with one that may not
	later := func() time.Time { return p.Now().Add(48 * time.Hour) }
	untrusted := new(truststore.VerifyError)
	for name, test := range map[string]struct {
		who  person
		o    cms.VerifyOptions
		want error
	}{
		"good":               {p.rsa, cms.VerifyOptions{Trust: p.trust}, nil},
		"no trust":           {p.rsa, cms.VerifyOptions{}, trustkeep.ErrInvalid},
		"typed nil":          {p.rsa, cms.VerifyOptions{Trust: (*truststore.Truststore)(nil)}, trustkeep.ErrInvalid},
		"empty store":        {p.rsa, cms.VerifyOptions{Trust: truststore.New()}, untrusted},
		"stranger":           {stranger.rsa, cms.VerifyOptions{Trust: p.trust}, untrusted},
		"stranger's chain":   {stranger.rsa, cms.VerifyOptions{Trust: p.trust, Certificates: stranger.rsa.Chain}, untrusted},
		"expired":            {p.rsa, cms.VerifyOptions{Trust: p.trust, Clock: later}, trustkeep.ErrExpired},
		"address":            {p.rsa, cms.VerifyOptions{Trust: p.trust, Address: "rsa@example.com"}, nil},
		"wrong address":      {p.rsa, cms.VerifyOptions{Trust: p.trust, Address: "bob@example.com"}, untrusted},
		"TLS certificate":    {server, cms.VerifyOptions{Trust: p.trust}, untrusted},
		"TLS but any":        {server, cms.VerifyOptions{Trust: p.trust, AnyPurpose: true}, nil},
		"pinned TLS but any": {server, cms.VerifyOptions{Trust: truststore.New(server.Cert), AnyPurpose: true}, nil},
		"may sign":           {pretender, cms.VerifyOptions{Trust: p.trust}, nil},
	} {
		signed, err := cms.Sign([]byte("content"), test.who)
		if err != nil {
			t.Fatal(err)
		}
		got, err := test.o.Verify(signed)
		if !matches(err, test.want) || (err == nil) != (got != nil) {
			t.Errorf("%s: %+v, %v, want %v", name, got, err, test.want)
		}
		if test.want == untrusted && !strings.Contains(err.Error(), test.who.Cert.Subject.CommonName) {
			t.Errorf("%s: %q does not name the signer", name, err)
		}
	}
	if got, err := cms.Sign([]byte("content"), encrypter); !errors.Is(err, trustkeep.ErrUnsupported) || got != nil {
		t.Errorf("signed with a certificate for encryption: %v", err)
	}
}

func TestSHA1NeedsPermission(t *testing.T) {
	p := newPeople(t)
	signed, err := cms.SignOptions{Hash: crypto.SHA1}.Sign([]byte("content"), p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cms.Verify(signed, p.trust); !errors.Is(err, trustkeep.ErrUnsupported) || got != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := (cms.VerifyOptions{Trust: p.trust, AllowSHA1: true}).Verify(signed); err != nil {
		t.Error(err)
	}
}

func TestEverySignatureMustCount(t *testing.T) {
	p, stranger := newPeople(t), newPeople(t)
	for _, who := range [][]trustkeep.Identity{{p.rsa, stranger.rsa2}, {stranger.rsa2, p.rsa}} {
		signed, err := cms.Sign([]byte("content"), who...)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cms.Verify(signed, p.trust)
		var signer *cms.SignerError
		if !errors.As(err, &signer) || got != nil || !strings.Contains(signer.Subject, "rsa2@") {
			t.Errorf("all: %+v, %v", got, err)
		}
		got, err = cms.VerifyOptions{Trust: p.trust, AnySigner: true}.Verify(signed)
		if err != nil || len(got.Signers) != 1 || !got.Signers[0].Certificate.Equal(p.rsa.Cert) || len(got.Rejected) != 1 {
			t.Errorf("any: %+v, %v", got, err)
		}
		got, err = cms.VerifyOptions{Trust: truststore.New(newPeople(t).Root.Cert), AnySigner: true}.Verify(signed)
		if !errors.As(err, &signer) || got != nil {
			t.Errorf("any of none: %+v, %v", got, err)
		}
	}
}

func TestTamperedSignatures(t *testing.T) {
	p := newPeople(t)
	content := []byte("pay Alice 10 euros, and some more text so that there is something to change")
	for _, id := range p.pick("rsa", "p256", "ed") {
		signed, err := cms.SignOptions{Include: cms.LeafOnly}.Sign(content, id)
		if err != nil {
			t.Fatal(err)
		}
		o := cms.VerifyOptions{Trust: truststore.New(p.Intermediate.Cert)}
		for i := range signed {
			changed := bytes.Clone(signed)
			changed[i] ^= 1
			got, err := o.Verify(changed)
			if err != nil && got != nil || err == nil && !bytes.Equal(got.Content, content) {
				t.Fatalf("byte %d of %d changed: %+v, %v", i, len(signed), got, err)
			}
		}
		changed := bytes.Replace(signed, []byte("Alice"), []byte("Mallo"), 1)
		if _, err := o.Verify(changed); !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("content changed: %v", err)
		}
		detached, err := cms.SignDetached(bytes.NewReader(content), id)
		if err != nil {
			t.Fatal(err)
		}
		for name, other := range map[string]string{"empty": "", "longer": string(content) + "\n", "other": strings.ToUpper(string(content))} {
			if got, err := cms.VerifyDetached(detached, strings.NewReader(other), p.trust); !errors.Is(err, trustkeep.ErrCorrupt) || got != nil {
				t.Errorf("%s: %+v, %v", name, got, err)
			}
		}
	}
}

// What is signed must never be mistaken for what is merely beside it.
func TestAttachedAndDetachedAreKeptApart(t *testing.T) {
	p := newPeople(t)
	content := []byte("content")
	signed, err := cms.Sign(content, p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	detached, err := cms.SignDetached(bytes.NewReader(content), p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cms.VerifyDetached(signed, bytes.NewReader(content), p.trust); !errors.Is(err, trustkeep.ErrUnsupported) || got != nil {
		t.Errorf("attached as detached: %+v, %v", got, err)
	}
	if got, err := cms.Verify(detached, p.trust); !errors.Is(err, trustkeep.ErrEmpty) || got != nil {
		t.Errorf("detached as attached: %+v, %v", got, err)
	}
	if r, err := (cms.VerifyOptions{Trust: p.trust}).Reader(bytes.NewReader(detached)); !errors.Is(err, trustkeep.ErrEmpty) || r != nil {
		t.Errorf("detached as attached stream: %v", err)
	}
	if got, err := cms.VerifyDetached(detached, nil, p.trust); !errors.Is(err, trustkeep.ErrInvalid) || got != nil {
		t.Errorf("no content: %+v, %v", got, err)
	}
	boom := errors.New("disk on fire")
	if got, err := cms.VerifyDetached(detached, iotest.ErrReader(boom), p.trust); !errors.Is(err, boom) || got != nil {
		t.Errorf("failing content: %+v, %v", got, err)
	}
	if got, err := cms.SignDetached(iotest.ErrReader(boom), p.rsa); !errors.Is(err, boom) || got != nil {
		t.Errorf("failing content: %x, %v", got, err)
	}
}

func TestSignRefuses(t *testing.T) {
	p := newPeople(t)
	noKeyID := person{p.Issue(testpki.Request{Names: []string{"x@example.com"}, KeyType: testpki.RSA2048})}
	for name, test := range map[string]struct {
		o    cms.SignOptions
		who  []trustkeep.Identity
		want error
	}{
		"nobody":      {cms.SignOptions{}, nil, trustkeep.ErrEmpty},
		"nil":         {cms.SignOptions{}, []trustkeep.Identity{nil}, trustkeep.ErrInvalid},
		"MD5":         {cms.SignOptions{Hash: crypto.MD5}, idsOf(p.pick("rsa")), trustkeep.ErrUnsupported},
		"inclusion":   {cms.SignOptions{Include: 9}, idsOf(p.pick("rsa")), trustkeep.ErrInvalid},
		"key ID":      {cms.SignOptions{KeyIDs: true}, []trustkeep.Identity{noKeyID}, trustkeep.ErrUnsupported},
		"another key": {cms.SignOptions{}, []trustkeep.Identity{person{&testpki.Identity{Cert: p.rsa.Cert, DER: p.rsa.DER, Key: p.p256.Key, Chain: p.rsa.Chain}}}, trustkeep.ErrKeyMismatch},
		"year":        {cms.SignOptions{Clock: func() time.Time { return time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) }}, idsOf(p.pick("rsa")), trustkeep.ErrInvalid},
	} {
		out, err := test.o.Sign([]byte("content"), test.who...)
		if !errors.Is(err, test.want) || out != nil || !strings.HasPrefix(err.Error(), "cms: sign: ") {
			t.Errorf("%s: %d bytes, %v", name, len(out), err)
		}
	}
}

// The signature may come behind the content.
func TestDetachedReader(t *testing.T) {
	p := newPeople(t)
	content := random(200_000)
	for _, o := range []cms.SignOptions{{}, {Hash: crypto.SHA512}, {PSS: true, Hash: crypto.SHA384}} {
		for _, id := range p.pick("rsa", "p256", "ed") {
			signature := must(o.SignDetached(bytes.NewReader(content), id))
			hashes := must(o.Hashes(id))
			read := func(content []byte, signature func() ([]byte, error), hashes ...crypto.Hash) (*cms.Verified, error) {
				r, err := cms.VerifyOptions{Trust: p.trust}.DetachedReader(&drip{r: bytes.NewReader(content)}, signature, hashes...)
				if err != nil {
					return nil, err
				}
				got, err := io.ReadAll(r)
				if err != nil {
					if v, again := r.Result(); v != nil || again != err {
						t.Errorf("result after an error: %+v, %v", v, again)
					}
					return nil, err
				}
				if !bytes.Equal(got, content) {
					t.Error("content changes on the way")
				}
				return r.Result()
			}
			good := func() ([]byte, error) { return signature, nil }
			for _, h := range [][]crypto.Hash{nil, hashes, {crypto.SHA256, crypto.SHA384, crypto.SHA512}} {
				if v, err := read(content, good, h...); err != nil || len(v.Signers) != 1 || v.Content != nil {
					t.Errorf("%+v, %v: %+v, %v", o, h, v, err)
				}
			}
			boom := errors.New("boom")
			attached := must(o.Sign(content, id))
			for name, err := range map[string]error{
				"changed":        second(read(append(bytes.Clone(content), 'x'), good)),
				"cut":            second(read(content[:len(content)-1], good)),
				"another digest": second(read(content, good, crypto.SHA224)),
				"cut signature":  second(read(content, func() ([]byte, error) { return signature[:len(signature)-1], nil })),
				"attached":       second(read(content, func() ([]byte, error) { return attached, nil })),
				"error":          second(read(content, func() ([]byte, error) { return nil, boom })),
			} {
				if err == nil || !typed(err) && !errors.Is(err, boom) {
					t.Errorf("%+v, %s: %v", o, name, err)
				}
			}
		}
	}
	if _, err := (cms.VerifyOptions{}).DetachedReader(nil, nil); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("nothing: %v", err)
	}
	if _, err := (cms.VerifyOptions{}).DetachedReader(bytes.NewReader(content), func() ([]byte, error) { return nil, nil }); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no trust: %v", err)
	}
}

func second[T any](_ T, err error) error { return err }

// What Digested is told is what Verify finds to have been signed.
func TestDigested(t *testing.T) {
	p := newPeople(t)
	for _, h := range []crypto.Hash{crypto.SHA256, crypto.SHA512} {
		var told []byte
		o := cms.SignOptions{Hash: h, Digested: func(hash crypto.Hash, digest []byte) {
			if hash != h || told != nil {
				t.Errorf("told %v once more", hash)
			}
			told = digest
		}}
		signature, err := o.SignDetached(strings.NewReader("content"), p.p256)
		if err != nil {
			t.Fatal(err)
		}
		v, err := cms.VerifyDetached(signature, strings.NewReader("content"), p.trust)
		if err != nil {
			t.Fatal(err)
		}
		if v.Signers[0].Hash != h || !bytes.Equal(v.Signers[0].Digest, told) {
			t.Errorf("told %x, signed %x", told, v.Signers[0].Digest)
		}
	}
}
