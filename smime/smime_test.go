package smime_test

import (
	"bytes"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/quotedprintable"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testcpu"
	"github.com/trustkeep/trustkeep/internal/testpki"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/smime"
	"github.com/trustkeep/trustkeep/truststore"
)

// person has a certificate for mail.
type person struct{ *testpki.Identity }

func (p person) TLSCertificate() (*tls.Certificate, error) {
	c := p.Identity.TLSCertificate()
	return &c, nil
}

type people struct {
	*testpki.PKI
	ec, rsa, ed person
	trust       *truststore.Truststore
}

func newPeople(t testing.TB) *people { return newPeopleOf(testpki.New(t, testpki.Options{})) }

func newPeopleOf(pki *testpki.PKI) *people {
	issue := func(name string, kind testpki.KeyType) person {
		return person{pki.Issue(testpki.Request{Names: []string{name}, KeyType: kind, Usages: []x509.ExtKeyUsage{x509.ExtKeyUsageEmailProtection},
			Edit: func(c *x509.Certificate) { c.KeyUsage |= x509.KeyUsageKeyAgreement }})}
	}
	p := &people{PKI: pki, trust: truststore.New(pki.Root.Cert)}
	p.ec, p.rsa, p.ed = issue("ec@example.com", testpki.P256), issue("rsa@example.com", testpki.RSA2048), issue("ed@example.com", testpki.Ed25519)
	return p
}

// options read what is signed by anybody and sealed for the EC or RSA key.
func (p *people) options() smime.ReadOptions {
	return smime.ReadOptions{Identities: []trustkeep.Identity{p.ec, p.rsa}, Verify: cms.VerifyOptions{Trust: p.trust}}
}

func random(n int) []byte {
	out := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(out)
	return out
}

// entities are those that come out as they went in.
func entities() map[string]string {
	binary := string(random(200_000))
	return map[string]string{
		"text":                        "Content-Type: text/plain\r\n\r\nHello\r\nworld\r\n",
		"no newline":                  "Content-Type: text/plain\r\n\r\nHello",
		"empty body":                  "Content-Type: text/plain\r\n\r\n",
		"header alone":                "Content-Type: text/plain\r\n",
		"no header":                   "\r\nHello",
		"odd header":                  "content-type:text/plain;\r\n\tcharset = utf-8\r\nX-Other: a:b\r\nX-Folded:\r\n one\r\n\ttwo\r\n\r\n--\r\n--x\r\n-- \r\n\r\n\r\n",
		"binary":                      "Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n\r\n" + binary,
		"binary, LF":                  "Content-Transfer-Encoding: Binary\n\nline\nline\r\nline\r\r\n\n",
		"long line":                   "Content-Type: text/plain\r\n\r\n" + strings.Repeat("x", 300_000) + "\r\n" + strings.Repeat("\r", 70_000) + "\r\nend",
		"CR at the end of the buffer": "Content-Type: text/plain\r\n\r\n" + strings.Repeat("y", 66_559) + "\r\n" + strings.Repeat("y", 66_558) + "\r\n\r\n",
		"multipart":                   "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\none\r\n--b\r\nContent-Type: text/plain\r\n\r\ntwo\r\n--b--\r\n",
	}
}

// step is one that is taken to an entity.
type step struct {
	kind smime.Kind
	name string
	do   func(dst io.Writer, entity io.Reader) error
}

func (p *people) steps() (out []step) {
	for _, e := range []smime.Encoding{smime.Base64, smime.Binary} {
		sign := func(o smime.SignOptions, ids ...trustkeep.Identity) func(io.Writer, io.Reader) error {
			o.Encoding = e
			return func(dst io.Writer, entity io.Reader) error { return o.Sign(dst, entity, ids...) }
		}
		seal := func(o smime.SealOptions, to ...*x509.Certificate) func(io.Writer, io.Reader) error {
			o.Encoding = e
			return func(dst io.Writer, entity io.Reader) error { return o.Seal(dst, entity, to...) }
		}
		out = append(out,
			step{smime.Signed, "clear", sign(smime.SignOptions{}, p.ec)},
			step{smime.Signed, "clear, SHA-512", sign(smime.SignOptions{CMS: cms.SignOptions{Hash: crypto.SHA512}, OldMicalg: true}, p.ec, p.rsa)},
			step{smime.Signed, "clear, Ed25519 too", sign(smime.SignOptions{}, p.ed, p.ec)},
			step{smime.Signed, "opaque", sign(smime.SignOptions{Opaque: true}, p.ec)},
			step{smime.Sealed, "CBC", seal(smime.SealOptions{}, p.ec.Cert)},
			step{smime.Sealed, "GCM", seal(smime.SealOptions{CMS: cms.SealOptions{Cipher: cms.AES256GCM}}, p.rsa.Cert)},
			step{smime.Compressed, "zlib", smime.CompressOptions{Encoding: e}.Compress},
		)
	}
	return out
}

// Every step, and steps in every order, to every entity.
func TestEveryOrder(t *testing.T) {
	p := newPeople(t)
	steps := p.steps()
	var orders [][]step
	for _, a := range steps {
		orders = append(orders, []step{a})
	}
	r := rand.New(rand.NewPCG(1, 2))
	for range testtool.Rounds(12, 40) {
		var order []step
		for range 2 + r.IntN(3) {
			order = append(order, steps[r.IntN(len(steps))])
		}
		orders = append(orders, order)
	}
	for name, entity := range entities() {
		for _, order := range orders {
			what := name
			message := []byte(entity)
			signed := false
			for i, s := range order {
				what += ", " + s.name
				var out bytes.Buffer
				src := io.Reader(bytes.NewReader(message))
				if i%2 == 1 {
					src = iotest.HalfReader(src)
				}
				if err := s.do(&out, src); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				message = out.Bytes()
				signed = signed || s.kind == smime.Signed
			}
			o := p.options()
			o.AllowUnsigned = !signed
			var got bytes.Buffer
			m, err := o.Read(&got, iotest.HalfReader(bytes.NewReader(message)))
			if err != nil {
				t.Errorf("%s: %v", what, err)
				continue
			}
			if got.String() != entity {
				t.Errorf("%s: %d bytes of %d, %.100q", what, got.Len(), len(entity), got.String())
			}
			for i, l := range m.Layers {
				s := order[len(order)-1-i]
				if len(m.Layers) != len(order) || l.Kind != s.kind || (l.Verified != nil) != (s.kind == smime.Signed) || l.Detached != strings.HasPrefix(s.name, "clear") {
					t.Errorf("%s: %+v", what, m.Layers)
				}
			}
			o.AllowUnsigned = false
			if m, err := o.Read(io.Discard, bytes.NewReader(message)); (err == nil) != signed || !signed && (!errors.Is(err, trustkeep.ErrEmpty) || m != nil) {
				t.Errorf("%s: unsigned: %v", what, err)
			}
		}
	}
}

// Lines that end with LF are signed with CRLF, and it does not matter which of them arrive.
func TestLineEnds(t *testing.T) {
	p := newPeople(t)
	lf := "Content-Type: text/plain\n\none\n\ntwo\r\nthree\r\n\n"
	crlf := "Content-Type: text/plain\r\n\r\none\r\n\r\ntwo\r\nthree\r\n\r\n"
	for _, s := range p.steps() {
		var out, got bytes.Buffer
		if err := s.do(&out, strings.NewReader(lf)); err != nil {
			t.Fatal(err)
		}
		o := p.options()
		o.AllowUnsigned = true
		if _, err := o.Read(&got, &out); err != nil || got.String() != crlf {
			t.Errorf("%s: %q, %v", s.name, got.String(), err)
		}
	}
	// A gateway turns CRLF into LF.
	var out bytes.Buffer
	if err := (smime.SignOptions{}).Sign(&out, strings.NewReader(crlf), p.ec); err != nil {
		t.Fatal(err)
	}
	for _, message := range []string{out.String(), strings.ReplaceAll(out.String(), "\r\n", "\n")} {
		var got bytes.Buffer
		if _, err := p.options().Read(&got, strings.NewReader(message)); err != nil || got.String() != crlf {
			t.Errorf("%q, %v", got.String(), err)
		}
	}
}

// Some senders sign lines that end with LF as they are, and do not call the entity binary.
func TestKeepLineEnds(t *testing.T) {
	p := newPeople(t)
	entity := "Content-Type: text/plain\n\none\ntwo\n"
	signature, err := cms.SignDetached(strings.NewReader(entity), p.ec)
	if err != nil {
		t.Fatal(err)
	}
	message := "Content-Type: multipart/signed; protocol=\"application/pkcs7-signature\"; micalg=sha-256; boundary=b\r\n\r\n--b\r\n" + entity +
		"\r\n--b\r\nContent-Type: application/pkcs7-signature\r\nContent-Transfer-Encoding: base64\r\n\r\n" +
		base64.StdEncoding.EncodeToString(signature) + "\r\n--b--\r\n"
	o := p.options()
	if got, err := read(o, message); err == nil {
		t.Errorf("with CRLF: %q", got)
	}
	o.KeepLineEnds = true
	if got, err := read(o, message); err != nil || got != entity {
		t.Errorf("%q, %v", got, err)
	}
}

func sign(t testing.TB, p *people, entity string) string {
	t.Helper()
	var out bytes.Buffer
	if err := (smime.SignOptions{}).Sign(&out, strings.NewReader(entity), p.ec); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

const hello = "Content-Type: text/plain\r\n\r\nHello\r\n"

// read is Read of a message in memory.
func read(o smime.ReadOptions, message string) (string, error) {
	var got bytes.Buffer
	m, err := o.Read(&got, strings.NewReader(message))
	if err == nil && len(m.Layers) == 0 && !o.AllowUnsigned {
		return got.String(), errors.New("no layer")
	}
	return got.String(), err
}

func typed(err error) bool {
	for _, sentinel := range []error{trustkeep.ErrCorrupt, trustkeep.ErrLimit, trustkeep.ErrUnsupported, trustkeep.ErrNotFound, trustkeep.ErrEmpty} {
		if errors.Is(err, sentinel) {
			return (strings.HasPrefix(err.Error(), "smime: ") || strings.HasPrefix(err.Error(), "cms: ")) && len(err.Error()) < 4096
		}
	}
	var v *truststore.VerifyError
	return errors.As(err, &v)
}

// As real products write it.
func TestOddSpellings(t *testing.T) {
	p := newPeople(t)
	message := sign(t, p, hello)
	boundary, _, _ := strings.Cut(strings.SplitN(message, "boundary=\"", 2)[1], "\"")
	replace := func(old, new string) string {
		t.Helper()
		if !strings.Contains(message, old) {
			t.Fatalf("no %q", old)
		}
		return strings.Replace(message, old, new, 1)
	}
	for name, m := range map[string]string{
		"a mail":               "Received: from a\r\n\tby b\r\nSubject: =?utf-8?q?x?=\r\nMIME-Version: 1.0\r\n" + message,
		"lower case":           replace("Content-Type: multipart/signed", "content-type: Multipart/Signed"),
		"bare protocol":        replace("protocol=\"application/pkcs7-signature\"", "protocol=application/pkcs7-signature"),
		"bare micalg":          replace("micalg=\"sha-256\"", "micalg = sha-256 "),
		"a trailing semicolon": replace("\"\r\n\r\n--", "\";\r\n\r\n--"),
		"a comment":            replace("boundary=\""+boundary+"\"", "boundary=\""+boundary+"\" (a comment)"),
		"a bare name":          replace("Content-Type: application/pkcs7-signature; name=smime.p7s", "Content-Type: application/pkcs7-signature; name=my file.p7s"),
		"out of a mailbox":     "From a@example.com Thu Jan  1 00:00:00 1970\r\n" + message,
		"no protocol":          replace("protocol=\"application/pkcs7-signature\";", ""),
		"old protocol":         replace("protocol=\"application/pkcs7-signature\"", "protocol=\"application/x-pkcs7-signature\""),
		"old type":             replace("Content-Type: application/pkcs7-signature", "Content-Type: application/x-pkcs7-signature"),
		"old micalg":           replace("sha-256", "SHA256"),
		"RSA micalg":           replace("sha-256", "rsa-sha256"),
		"wrong micalg":         replace("sha-256", "sha1"),
		"unknown micalg":       replace("sha-256", "unknown"),
		"no micalg":            replace("micalg=\"sha-256\"; ", ""),
		"preamble":             replace("\r\n\r\n--", "\r\n\r\nThis is an S/MIME message.\r\n--not\r\n--"),
		"empty preamble":       replace("\r\n\r\n--", "\r\n\r\n\r\n\r\n--"),
		"epilogue":             message + "\r\nfooter of a mailing list\r\n",
		"no last line end":     strings.TrimSuffix(message, "\r\n"),
		"blanks at delimiter":  replace("\r\n--"+boundary+"\r\nContent-Type: text", "\r\n--"+boundary+"  \t\r\nContent-Type: text"),
		"blanks in base64":     replace("filename=smime.p7s\r\n\r\n", "filename=smime.p7s\r\n\r\n \t"),
		"8bit multipart":       replace("\r\n\r\n--", "\r\nContent-Transfer-Encoding: 8bit\r\n\r\n--"),
	} {
		if got, err := read(p.options(), m); err != nil || got != hello {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	opaque := func(kind, encoding, body string) string {
		return "Content-Type: " + kind + "\r\nContent-Transfer-Encoding: " + encoding + "\r\n\r\n" + body
	}
	signed, err := cms.Sign([]byte(hello), p.ec)
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(signed)
	var qp strings.Builder
	w := quotedprintable.NewWriter(&qp)
	w.Binary = true
	w.Write(signed)
	w.Close()
	for name, m := range map[string]string{
		"a bare name":      opaque("application/pkcs7-mime; name=my file.p7m; smime-type=signed-data", "base64", text),
		"no smime-type":    opaque("application/pkcs7-mime", "base64", text),
		"wrong smime-type": opaque("application/pkcs7-mime; smime-type=enveloped-data", "BASE64", text),
		"old type":         opaque("application/x-pkcs7-mime; smime-type=signed-data; name=\"smime.p7m\"", "base64", text+"\r\n\r\n"),
		"binary":           opaque("application/pkcs7-mime", "binary", string(signed)),
		"8bit":             opaque("application/pkcs7-mime", "8bit", string(signed)),
		"quoted-printable": opaque("application/pkcs7-mime", "quoted-printable", qp.String()),
	} {
		if got, err := read(p.options(), m); err != nil || got != hello {
			t.Errorf("opaque, %s: %q, %v", name, got, err)
		}
	}
	for name, test := range map[string]struct {
		message string
		err     error
	}{
		"PGP/MIME":            {replace("application/pkcs7-signature\";", "application/pgp-signature\";"), trustkeep.ErrUnsupported},
		"type twice":          {"Content-Type: text/plain\r\n" + message, trustkeep.ErrCorrupt},
		"no boundary":         {replace("boundary=", "b="), trustkeep.ErrCorrupt},
		"another boundary":    {replace("boundary=\"", "boundary=\"x"), trustkeep.ErrCorrupt},
		"multipart in base64": {replace("\r\n\r\n--", "\r\nContent-Transfer-Encoding: base64\r\n\r\n--"), trustkeep.ErrCorrupt},
		"unknown encoding":    {opaque("application/pkcs7-mime", "uuencode", text), trustkeep.ErrUnsupported},
		"no base64":           {opaque("application/pkcs7-mime", "base64", "***"), trustkeep.ErrCorrupt},
		"something behind":    {opaque("application/pkcs7-mime", "binary", string(signed)+"x"), trustkeep.ErrCorrupt},
		"three parts":         {replace("--"+boundary+"--", "--"+boundary+"\r\n\r\n\r\n--"+boundary+"--"), trustkeep.ErrCorrupt},
		"one part":            {replace("--"+boundary+"\r\nContent-Type: application", "--"+boundary+"--\r\nContent-Type: application"), trustkeep.ErrCorrupt},
		"no part":             {replace("--"+boundary+"\r\nContent-Type: text", "--"+boundary+"--\r\nContent-Type: text"), trustkeep.ErrCorrupt},
		"no end":              {replace("--"+boundary+"--", ""), trustkeep.ErrCorrupt},
		"no entity":           {"hello world\r\n", trustkeep.ErrCorrupt},
		"nothing":             {"", trustkeep.ErrEmpty},
		"unsigned":            {hello, trustkeep.ErrEmpty},
		"certificates":        {opaque("application/pkcs7-mime; smime-type=certs-only", "binary", string(mustBytes(cms.MarshalCertificates(p.ec.Cert)))), trustkeep.ErrUnsupported},
		"long header":         {strings.Repeat("X: y\r\n", 20_000) + "\r\n", trustkeep.ErrLimit},
		"long field":          {"X: " + strings.Repeat("y", 100_000) + "\r\n\r\n", trustkeep.ErrLimit},
		"two boundaries":      {replace("Content-Type: multipart/signed;", "Content-Type: multipart/signed; boundary=x;"), trustkeep.ErrCorrupt},
		"open quotes":         {replace("boundary=\""+boundary+"\"", "boundary=\""+boundary), trustkeep.ErrCorrupt},
	} {
		if _, err := read(p.options(), test.message); !errors.Is(err, test.err) || !typed(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func mustBytes(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

// Whatever is changed or cut, nothing comes out without an error but what was signed.
func TestDamagedMessages(t *testing.T) {
	p := newPeople(t)
	var opaque, sealed, compressed bytes.Buffer
	clear := sign(t, p, hello)
	for _, err := range []error{
		smime.SignOptions{Opaque: true}.Sign(&opaque, strings.NewReader(hello), p.ec),
		smime.SealOptions{CMS: cms.SealOptions{Cipher: cms.AES128GCM}}.Seal(&sealed, strings.NewReader(clear), p.ec.Cert),
		smime.CompressOptions{}.Compress(&compressed, strings.NewReader(clear)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	for name, message := range map[string]string{"clear": clear, "opaque": opaque.String(), "sealed": sealed.String(), "compressed": compressed.String()} {
		o := p.options()
		stride := testtool.Rounds(11, 1)
		if testcpu.Raced {
			stride = 7
		}
		whole := len(strings.TrimRight(message, "\r\n"))
		for n := rand.IntN(stride); n < len(message); n += stride {
			if got, err := read(o, message[:n]); n < whole && (err == nil || !typed(err)) || err == nil && got != hello {
				t.Fatalf("%s cut at %d of %d: %q, %v", name, n, len(message), got, err)
			}
			for _, bit := range []byte{1, 4, 0x20} {
				changed := []byte(message)
				changed[n] ^= bit
				if got, err := read(o, string(changed)); err == nil && got != hello || err != nil && !typed(err) {
					t.Fatalf("%s, octet %d changed: %q, %v", name, n, got, err)
				}
			}
		}
	}
}

func TestLayersAreBounded(t *testing.T) {
	p := newPeople(t)
	message := hello
	o := p.options()
	o.AllowUnsigned = true
	for n := range 10 {
		var out bytes.Buffer
		if err := (smime.CompressOptions{Encoding: smime.Binary}).Compress(&out, strings.NewReader(message)); err != nil {
			t.Fatal(err)
		}
		message = out.String()
		_, err := read(o, message)
		if n < 8 && err != nil || n >= 8 && !errors.Is(err, trustkeep.ErrLimit) {
			t.Errorf("%d layers: %v", n+1, err)
		}
	}
	o.MaxLayers = 10
	if got, err := read(o, message); err != nil || got != hello {
		t.Errorf("%q, %v", got, err)
	}
	o.MaxLayers = -1
	if _, err := read(o, message); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("%v", err)
	}
	// Compression counts as one through what is between.
	entity := "Content-Transfer-Encoding: binary\r\n\r\n" + strings.Repeat(string(random(2000)), 2000)
	var inner, outer bytes.Buffer
	compress := smime.CompressOptions{Encoding: smime.Binary}
	if err := compress.Compress(&inner, strings.NewReader(entity)); err != nil {
		t.Fatal(err)
	}
	single := len(entity) / inner.Len()
	signed := sign(t, p, inner.String())
	if err := compress.Compress(&outer, strings.NewReader(signed)); err != nil {
		t.Fatal(err)
	}
	total := len(entity) / outer.Len()
	o = p.options()
	o.Decompress.MaxRatio = 5000
	if got, err := read(o, outer.String()); err != nil || got != entity {
		t.Errorf("%v", err)
	}
	if total < single*5/4 {
		t.Fatalf("ratios %d and %d", single, total)
	}
	o.Decompress.MaxRatio = (single + total) / 2
	if _, err := read(o, outer.String()); !errors.Is(err, trustkeep.ErrLimit) {
		t.Errorf("%d, %d together: %v", single, total, err)
	}
}

func TestWrongCalls(t *testing.T) {
	p := newPeople(t)
	message := sign(t, p, hello)
	if _, err := read(smime.ReadOptions{}, message); !errors.Is(err, trustkeep.ErrInvalid) {
		t.Errorf("no trust: %v", err)
	}
	if _, err := read(smime.ReadOptions{Verify: cms.VerifyOptions{Trust: newPeople(t).trust}}, message); err == nil || !typed(err) {
		t.Errorf("another trust: %v", err)
	}
	var sealed bytes.Buffer
	if err := (smime.SealOptions{}).Seal(&sealed, strings.NewReader(message), p.ec.Cert); err != nil {
		t.Fatal(err)
	}
	if _, err := read(smime.ReadOptions{Verify: cms.VerifyOptions{Trust: p.trust}}, sealed.String()); !errors.Is(err, trustkeep.ErrEmpty) {
		t.Errorf("no identity: %v", err)
	}
	boom := errors.New("boom")
	for name, err := range map[string]error{
		"no signer":     smime.SignOptions{}.Sign(io.Discard, strings.NewReader(hello)),
		"no recipient":  smime.SealOptions{}.Seal(io.Discard, strings.NewReader(hello)),
		"encoding":      smime.SignOptions{Encoding: 7}.Sign(io.Discard, strings.NewReader(hello), p.ec),
		"seal encoding": smime.SealOptions{Encoding: 7}.Seal(io.Discard, strings.NewReader(hello), p.ec.Cert),
		"level":         smime.CompressOptions{CMS: cms.CompressOptions{Level: 77}}.Compress(io.Discard, strings.NewReader(hello)),
		"nil entity":    smime.CompressOptions{Encoding: 7}.Compress(io.Discard, nil),
		"text":          smime.SignOptions{}.Sign(io.Discard, strings.NewReader("hello world"), p.ec),
	} {
		if !errors.Is(err, trustkeep.ErrInvalid) && !errors.Is(err, trustkeep.ErrEmpty) && !errors.Is(err, trustkeep.ErrCorrupt) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, s := range p.steps() {
		if err := s.do(io.Discard, io.MultiReader(strings.NewReader(hello), iotest.ErrReader(boom))); !errors.Is(err, boom) {
			t.Errorf("%s: failing source: %v", s.name, err)
		}
		if err := s.do(failing{boom}, strings.NewReader(hello)); !errors.Is(err, boom) {
			t.Errorf("%s: failing destination: %v", s.name, err)
		}
	}
	if _, err := p.options().Read(failing{boom}, strings.NewReader(message)); !errors.Is(err, boom) {
		t.Errorf("failing destination: %v", err)
	}
	if _, err := p.options().Read(io.Discard, io.MultiReader(strings.NewReader(message[:len(message)/2]), iotest.ErrReader(boom))); !errors.Is(err, boom) {
		t.Errorf("failing source: %v", err)
	}
}

type failing struct{ err error }

func (f failing) Write([]byte) (int, error) { return 0, f.err }

func TestHostileEntities(t *testing.T) {
	p := newPeople(t)
	deep := hello
	for i := range 50 {
		deep = fmt.Sprintf("Content-Type: multipart/signed; boundary=b%d\r\n\r\n--b%[1]d\r\n%s\r\n--b%[1]d\r\n\r\n\r\n--b%[1]d--\r\n", i, deep)
	}
	for name, message := range map[string]string{
		"deep":            deep,
		"delimiters":      "Content-Type: multipart/signed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n", 1_000_000),
		"endless line":    "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + strings.Repeat("x", 8<<20),
		"line ends":       "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n" + strings.Repeat("\n", 8<<20),
		"large signature": "Content-Type: multipart/signed; boundary=b\r\n\r\n--b\r\n\r\n--b\r\n\r\n" + strings.Repeat("x", 9<<20) + "\r\n--b--\r\n",
		"blanks":          "Content-Type: application/pkcs7-mime\r\nContent-Transfer-Encoding: base64\r\n\r\n" + strings.Repeat(" ", 8<<20),
		"parameters":      "Content-Type: multipart/signed" + strings.Repeat("; a=b", 10_000) + "\r\n\r\n",
	} {
		start := testcpu.Used()
		if _, err := read(p.options(), message); err == nil || !typed(err) {
			t.Errorf("%s: %v", name, err)
		}
		if took := testcpu.Since(start); took > 2*time.Second && !testcpu.Raced {
			t.Errorf("%s takes %v", name, took)
		} else {
			t.Logf("%s: %v", name, took)
		}
	}
}
