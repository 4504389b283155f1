package cms_test

import (
	"bytes"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"os/exec"
	"testing"

	"github.com/smallstep/pkcs7"

	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testtool"
)

// largeContent is what the comparisons sign and seal.
const largeContent = 64 << 20

// zeros is a source of n bytes that takes no memory.
func zeros(n int64) io.Reader { return io.LimitReader(zeroReader{}, n) }

type zeroReader struct{}

func (zeroReader) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// signAndSeal streams content of n bytes to dst.
func signAndSeal(t testing.TB, p *people, dst io.Writer, n int64) {
	t.Helper()
	sealed, err := cms.SealOptions{}.Writer(dst, p.rsa2.Cert)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := cms.SignOptions{}.Writer(sealed, p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(signed, zeros(n)); err != nil {
		t.Fatal(err)
	}
	if err := signed.Close(); err != nil {
		t.Fatal(err)
	}
	if err := sealed.Close(); err != nil {
		t.Fatal(err)
	}
}

// openAndVerify reads what signAndSeal wrote.
func openAndVerify(t testing.TB, p *people, src io.Reader) (n int64) {
	t.Helper()
	plain, err := cms.OpenOptions{}.Reader(src, p.rsa2)
	if err != nil {
		t.Fatal(err)
	}
	r, err := cms.VerifyOptions{Trust: p.trust}.Reader(plain)
	if err != nil {
		t.Fatal(err)
	}
	if n, err = io.CopyBuffer(struct{ io.Writer }{io.Discard}, r, make([]byte, 64<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Result(); err != nil {
		t.Fatal(err)
	}
	return n
}

func BenchmarkSignAndSeal(b *testing.B) {
	p := newPeople(b)
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(largeContent)
		for b.Loop() {
			signAndSeal(b, p, io.Discard, largeContent)
		}
	})
	content := make([]byte, largeContent)
	b.Run("memory", func(b *testing.B) {
		b.SetBytes(largeContent)
		for b.Loop() {
			memorySignAndSeal(b, p, content)
		}
	})
	b.Run("smallstep", func(b *testing.B) {
		b.SetBytes(largeContent)
		for b.Loop() {
			smallstepSignAndSeal(b, p, content)
		}
	})
	// The same work by one process after the other would be slower: openssl
	// signs and encrypts in two.
	b.Run("openssl -stream", func(b *testing.B) { benchmarkOpenSSL(b, p, content) })
}

func memorySignAndSeal(t testing.TB, p *people, content []byte) []byte {
	t.Helper()
	signed, err := cms.Sign(content, p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := cms.Seal(signed, p.rsa2.Cert)
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// smallstepSignAndSeal leaves the package variable that chooses the cipher as
// the benchmarks need it.
func smallstepSignAndSeal(t testing.TB, p *people, content []byte) []byte {
	t.Helper()
	pkcs7.ContentEncryptionAlgorithm = pkcs7.EncryptionAlgorithmAES256CBC
	sealed, err := pkcs7.Encrypt(smallstepSign(t, content, p.rsa, false), []*x509.Certificate{p.rsa2.Cert})
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

func smallstepOpenAndVerify(t testing.TB, p *people, sealed []byte) {
	t.Helper()
	outer, err := pkcs7.Parse(sealed)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := outer.Decrypt(p.rsa2.Cert, p.rsa2.Key)
	if err != nil {
		t.Fatal(err)
	}
	inner, err := pkcs7.Parse(signed)
	if err != nil {
		t.Fatal(err)
	}
	if err := inner.VerifyWithChain(p.Roots()); err != nil {
		t.Fatal(err)
	}
}

func benchmarkOpenSSL(b *testing.B, p *people, content []byte) {
	path := testtool.Find(b, "openssl")
	dir := b.TempDir()
	file := func(name string, data []byte) string {
		path := dir + "/" + name
		if err := os.WriteFile(path, data, 0o600); err != nil {
			b.Fatal(err)
		}
		return path
	}
	in := file("content", content)
	signer, key, to := file("signer", certPEM(p.rsa.Cert)), file("key", p.rsa.KeyPEM()), file("to", certPEM(p.rsa2.Cert))
	script := `"$0" cms -sign -binary -nodetach -stream -outform DER -in "$1" -signer "$2" -inkey "$3" |
"$0" cms -encrypt -binary -stream -outform DER -aes256 "$4" > /dev/null`
	b.SetBytes(largeContent)
	for b.Loop() {
		if out, err := exec.Command("sh", "-c", script, path, in, signer, key, to).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
	}
}

func BenchmarkOpenAndVerify(b *testing.B) {
	p := newPeople(b)
	content := make([]byte, largeContent)
	streamed := new(bytes.Buffer)
	signAndSeal(b, p, streamed, largeContent)
	sealed := memorySignAndSeal(b, p, content)
	b.Run("stream", func(b *testing.B) {
		b.SetBytes(largeContent)
		for b.Loop() {
			openAndVerify(b, p, bytes.NewReader(streamed.Bytes()))
		}
	})
	b.Run("memory", func(b *testing.B) {
		b.SetBytes(largeContent)
		for b.Loop() {
			opened, err := cms.Open(sealed, p.rsa2)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := cms.Verify(opened, p.trust); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("smallstep", func(b *testing.B) {
		message := smallstepSignAndSeal(b, p, content)
		b.SetBytes(largeContent)
		for b.Loop() {
			smallstepOpenAndVerify(b, p, message)
		}
	})
}

// Small messages are what AS2 and data protection mostly carry.
func BenchmarkSmall(b *testing.B) {
	p := newPeople(b)
	content := random(1000)
	for _, to := range []person{p.rsa, p.p256} {
		sealed, err := cms.Seal(content, to.Cert)
		if err != nil {
			b.Fatal(err)
		}
		signed, err := cms.Sign(content, to)
		if err != nil {
			b.Fatal(err)
		}
		run := func(what string, f func() error) {
			b.Run(fmt.Sprintf("%s/%v", what, to.Cert.PublicKeyAlgorithm), func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := f(); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("Seal", func() error { _, err := cms.Seal(content, to.Cert); return err })
		run("Open", func() error { _, err := cms.Open(sealed, to); return err })
		run("Sign", func() error { _, err := cms.Sign(content, to); return err })
		run("Verify", func() error { _, err := cms.Verify(signed, p.trust); return err })
	}
}

// TestStreamsInFlatMemory holds the streams to 16 MiB over what was in use
// before, and reports what the others take.
func TestStreamsInFlatMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector takes memory of its own")
	}
	p := newPeople(t)
	for _, n := range []int64{4 << 20, int64(testtool.Rounds(64, 256)) << 20} {
		r, w := io.Pipe()
		done := make(chan int64, 1)
		peak := testtool.PeakHeap(func() {
			go func() { done <- openAndVerify(t, p, r); r.Close() }()
			signAndSeal(t, p, w, n)
			w.Close()
			if got := <-done; got != n {
				t.Errorf("%d of %d bytes", got, n)
			}
		})
		t.Logf("%4d MiB signed, sealed, opened and verified by streams: peak %.1f MiB", n>>20, float64(peak)/(1<<20))
		if peak > 16<<20 {
			t.Errorf("peak of %d bytes for %d", peak, n)
		}
	}
	if !testtool.Long() {
		return // what follows compares, and fails nothing
	}
	content := make([]byte, largeContent)
	var sealed []byte
	for what, f := range map[string]func(){
		"Sign and Seal":         func() { sealed = memorySignAndSeal(t, p, content) },
		"smallstep sign + seal": func() { smallstepSignAndSeal(t, p, content) },
	} {
		t.Logf("  64 MiB, %s: peak %.0f MiB besides the content", what, float64(testtool.PeakHeap(f))/(1<<20))
	}
	for what, f := range map[string]func(){
		"Open": func() {
			if _, err := cms.Open(sealed, p.rsa2); err != nil {
				t.Error(err)
			}
		},
		"smallstep open + verify": func() { smallstepOpenAndVerify(t, p, sealed) },
	} {
		t.Logf("  64 MiB, %s: peak %.0f MiB besides the message", what, float64(testtool.PeakHeap(f))/(1<<20))
	}
}
