package cms_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
)

// fuzzLimits keep a run of the fuzzer short.
var fuzzLimits = trustkeep.Limits{MaxSize: 1 << 20, MaxIterations: 5000}

// seeds adds the fixtures.
func seeds(f *testing.F) {
	for _, pattern := range []string{"sealed-*", "signed*", "detached.*", "*.p7b", "stamped.der"} {
		for _, message := range fixtures(f, pattern) {
			f.Add(message)
		}
	}
}

func FuzzOpen(f *testing.F) {
	seeds(f)
	rsa, ec := fixtureIdentity(f, "rsa"), fixtureIdentity(f, "ec")
	shared := must(cms.NewSharedKey([]byte("fuzz"), make([]byte, 32)))
	f.Add(must(cms.SealOptions{SharedKeys: []*cms.SharedKey{shared}}.Seal([]byte("content"))))
	f.Fuzz(func(t *testing.T, message []byte) {
		o := cms.OpenOptions{Limits: fuzzLimits, Passwords: passwords("secret"), SharedKeys: []*cms.SharedKey{shared}}
		got, err := o.Open(message, rsa, ec)
		if err != nil && (got != nil || !typed(err) && !errors.Is(err, trustkeep.ErrIncorrectPassword) && !errors.Is(err, trustkeep.ErrKeyMismatch)) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		var streamed []byte
		r, again := o.Reader(&drip{r: bytes.NewReader(message)}, rsa, ec)
		if again == nil {
			streamed, again = io.ReadAll(r)
		}
		// A random key takes the place of one that cannot be decrypted, so
		// that failures may differ, and by chance garbage may come out.
		if err == nil && again == nil && len(got) == len(streamed) && !bytes.Equal(got, streamed) && len(got) > 64 {
			t.Fatalf("Open and Reader differ: %x, %x", got, streamed)
		}
		if again != nil && !typed(again) && !errors.Is(again, trustkeep.ErrIncorrectPassword) && !errors.Is(again, trustkeep.ErrKeyMismatch) {
			t.Fatal(again)
		}
	})
}

func FuzzVerify(f *testing.F) {
	seeds(f)
	trust, stamps, content := fixtureTrust(f), fixtureStamps(f), fixture(f, "content.txt")
	f.Fuzz(func(t *testing.T, message []byte) {
		o := cms.VerifyOptions{Trust: trust, TimeStampTrust: stamps, Limits: fuzzLimits}
		got, err := o.Verify(message)
		if err != nil && (got != nil || !typed(err)) {
			t.Fatalf("%+v, %v", got, err)
		}
		// Whatever else the message says, only what was signed can be in it.
		if err == nil && (len(got.Signers) == 0 || !bytes.Equal(got.Content, content)) {
			t.Fatalf("forged: %+v", got)
		}
		if err == nil && got.Signers[0].TimeStamp != nil && got.Signers[0].TimeStamp.Serial.Int64() != 2 {
			t.Fatalf("forged: %+v", got.Signers[0].TimeStamp)
		}
		r, again := o.Reader(&drip{r: bytes.NewReader(message)})
		if again == nil {
			_, again = io.Copy(io.Discard, r)
		}
		if (err == nil) != (again == nil) {
			t.Fatalf("Verify: %v, Reader: %v", err, again)
		}
		got, err = o.VerifyDetached(message, bytes.NewReader(content))
		if err != nil && (got != nil || !typed(err)) || err == nil && len(got.Signers) == 0 {
			t.Fatalf("detached: %+v, %v", got, err)
		}
	})
}

// Whatever is sealed and signed comes back.
func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte(""), uint8(0), uint8(0))
	f.Add([]byte("content"), uint8(4), uint8(1))
	f.Add(bytes.Repeat([]byte("0123456789abcdef"), 20), uint8(3), uint8(2))
	id, err := fixtureIdentity(f, "ec").TLSCertificate()
	if err != nil {
		f.Fatal(err)
	}
	ec, trust := fixtureIdentity(f, "ec"), fixtureTrust(f)
	f.Fuzz(func(t *testing.T, content []byte, cipher, transport uint8) {
		o := cms.SealOptions{Cipher: cms.Cipher(cipher % 7), KeyTransport: cms.KeyTransport(transport % 3)}
		signed, err := cms.Sign(content, ec)
		if err != nil {
			t.Fatal(err)
		}
		sealed, err := o.Seal(signed, id.Leaf)
		if err != nil {
			t.Fatal(err)
		}
		opened, err := cms.Open(sealed, ec)
		if err != nil {
			t.Fatal(err)
		}
		got, err := cms.Verify(opened, trust)
		if err != nil || !bytes.Equal(got.Content, content) {
			t.Fatalf("%+v, %v", got, err)
		}
	})
}

func FuzzDecompress(f *testing.F) {
	for _, content := range []string{"", "content", strings.Repeat("0123456789abcdef", 20)} {
		f.Add(must(cms.Compress([]byte(content))))
		f.Add(must(cms.Compress(must(cms.CompressOptions{Level: 9}.Compress([]byte(content))))))
		f.Add(stream(f, []byte(content), cms.CompressOptions{}.Writer))
	}
	f.Fuzz(func(t *testing.T, message []byte) {
		o := cms.DecompressOptions{Limits: fuzzLimits, MaxRatio: 50}
		got, err := o.Decompress(message)
		if err != nil && (got != nil || !typed(err)) || len(got) > 1<<20 {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
		var streamed []byte
		r, again := o.Reader(&drip{r: bytes.NewReader(message)})
		if again == nil {
			streamed, again = io.ReadAll(r)
		}
		if again == nil && !bytes.Equal(got, streamed) || (again == nil) != (err == nil) || again != nil && !typed(again) {
			t.Fatalf("Decompress: %d bytes, %v; Reader: %d bytes, %v", len(got), err, len(streamed), again)
		}
		if err != nil {
			return
		}
		if got, err := cms.Decompress(must(cms.Compress(got))); err != nil || !bytes.Equal(got, streamed) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	})
}

// No answer of an authority but that to the request, which has a new nonce each time, is taken.
func FuzzTimeStampReply(f *testing.F) {
	f.Add(fixture(f, "reply.tsr"))
	f.Add([]byte("0\x1e0\x1c\x02\x01\x020\x13\x0c\x11bad request, sorry\x03\x02\x05\x20"))
	ec := fixtureIdentity(f, "ec")
	f.Fuzz(func(t *testing.T, reply []byte) {
		o := cms.SignOptions{TimeStamp: func(context.Context, []byte) ([]byte, error) { return reply, nil }}
		if got, err := o.Sign([]byte("content"), ec); err == nil || got != nil || !typed(err) && !errors.Is(err, trustkeep.ErrRejected) {
			t.Fatalf("%d bytes, %v", len(got), err)
		}
	})
}

func FuzzParseCertificates(f *testing.F) {
	for _, message := range fixtures(f, "*.p7b") {
		f.Add(message)
	}
	f.Add(fixture(f, "signed.der"))
	f.Fuzz(func(t *testing.T, message []byte) {
		got, err := cms.ParseCertificates(message)
		if err != nil && (got != nil || !typed(err)) || err == nil && len(got) == 0 {
			t.Fatalf("%d certificates, %v", len(got), err)
		}
		if err != nil {
			return
		}
		again, err := cms.ParseCertificates(must(cms.MarshalCertificates(got...)))
		if err != nil || len(again) > len(got) {
			t.Fatalf("%d certificates of %d, %v", len(again), len(got), err)
		}
	})
}
