package pgp

import (
	"bytes"
	"crypto"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp/packet"
	openpgp "github.com/ProtonMail/go-crypto/openpgp/v2"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/pgp/internal/grammar"
	"github.com/trustkeep/trustkeep/pgp/internal/overlap"
)

// benchMiB is the size of the messages; the acceptance run is
//
//	go test ./pgp -run XXX -bench Message -benchtime 1x -pgp.mib 1024
var benchMiB = flag.Int("pgp.mib", 64, "size of benchmark messages in MiB")

// benchInput is a file in memory where the system has one, so that the disk
// does not count.
func benchFile(b *testing.B, name string) string {
	b.Helper()
	dir := "/dev/shm"
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return filepath.Join(b.TempDir(), name)
	}
	dir, err := os.MkdirTemp(dir, "pgp")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, name)
}

func benchContent(b *testing.B, path string) {
	b.Helper()
	f, err := os.Create(path)
	if err != nil {
		b.Fatal(err)
	}
	block := randomBytes(b, 1<<20)
	for range *benchMiB {
		if _, err := f.Write(block); err != nil {
			b.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		b.Fatal(err)
	}
}

// memory reports the highest heap seen while f runs.
func memory(b *testing.B, f func()) {
	stop, done := make(chan struct{}), make(chan uint64)
	go func() {
		var peak uint64
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak = max(peak, m.HeapInuse)
			select {
			case <-stop:
				done <- peak
				return
			case <-tick.C:
			}
		}
	}()
	f()
	close(stop)
	b.ReportMetric(float64(<-done)/(1<<20), "MiB-heap")
}

func copyFile(b *testing.B, path string, f func(dst io.Writer, src io.Reader) error) {
	b.Helper()
	src, err := os.Open(path)
	if err != nil {
		b.Fatal(err)
	}
	defer src.Close()
	dst, err := os.Create(path + ".out")
	if err != nil {
		b.Fatal(err)
	}
	defer dst.Close()
	if err := f(dst, src); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkMessage encrypts and signs, decrypts and verifies a file: ours, and
// go-crypto's v2 API with the same keys. aead is AES-256-GCM in chunks of 256
// KiB, mdc what GnuPG 2.2 gets. Run gpg beside it with BenchmarkGPG.
func BenchmarkMessage(b *testing.B) {
	for name, profile := range map[string]Preset{"aead": PresetRFC9580, "mdc": PresetGnuPG22} {
		k := testKeys()[profile]
		path := benchFile(b, "content")
		benchContent(b, path)
		e := Encryption{To: []*Key{k}, Signers: []*Key{k}}
		copyFile(b, path, e.Encrypt)
		message := path + ".message"
		if err := os.Rename(path+".out", message); err != nil {
			b.Fatal(err)
		}
		config := &packet.Config{DefaultCipher: packet.CipherAES256, DefaultHash: crypto.SHA256}
		if profile == PresetRFC9580 {
			config.AEADConfig = &packet.AEADConfig{DefaultMode: packet.AEADModeGCM, ChunkSize: overlap.ChunkSize}
		}
		run := func(what, file string, f func(dst io.Writer, src io.Reader) error) {
			b.Run(name+"/"+what, func(b *testing.B) {
				b.SetBytes(int64(*benchMiB) << 20)
				copyFile(b, file, f) // the first file in memory costs its pages
				memory(b, func() {
					for b.Loop() {
						copyFile(b, file, f)
					}
				})
			})
		}
		run("encrypt", path, e.Encrypt)
		run("encrypt-gocrypto", path, func(dst io.Writer, src io.Reader) error {
			entity := k.view(Strict)
			w, err := openpgp.Encrypt(dst, []*openpgp.Entity{entity}, nil, []*openpgp.Entity{entity}, nil, config)
			if err != nil {
				return err
			}
			if _, err := io.CopyBuffer(onlyWriter{w}, onlyReader{src}, make([]byte, 64<<10)); err != nil {
				return err
			}
			return w.Close()
		})
		run("decrypt", message, func(dst io.Writer, src io.Reader) error {
			_, err := Decryption{Keys: []*Key{k}, Signers: []*Key{k}}.into(dst, src)
			return err
		})
		run("decrypt-gocrypto", message, func(dst io.Writer, src io.Reader) error {
			md, err := openpgp.ReadMessage(src, openpgp.EntityList{k.view(Strict)}, nil, config)
			if err != nil {
				return err
			}
			if _, err := io.CopyBuffer(onlyWriter{dst}, onlyReader{md.UnverifiedBody}, make([]byte, 64<<10)); err != nil {
				return err
			}
			if md.SignatureError != nil || md.SignedBy == nil {
				return fmt.Errorf("not verified: %v", md.SignatureError)
			}
			return nil
		})
	}
}

// BenchmarkGPG is what BenchmarkMessage is compared with.
func BenchmarkGPG(b *testing.B) {
	g := newGPG(b)
	k := testKeys()[PresetGnuPG22]
	g.run(grammar.Join(k.state().packets), "--import")
	path := benchFile(b, "content")
	benchContent(b, path)
	b.Run("encrypt", func(b *testing.B) {
		b.SetBytes(int64(*benchMiB) << 20)
		for b.Loop() {
			g.run(nil, "--compress-algo", "none", "--digest-algo", "SHA256", "-u", k.Fingerprint(), "-r", k.Fingerprint(), "--sign", "--encrypt", "-o", path+".gpg", path)
		}
	})
	b.Run("decrypt", func(b *testing.B) {
		b.SetBytes(int64(*benchMiB) << 20)
		for b.Loop() {
			g.run(nil, "-o", path+".out", "--decrypt", path+".gpg")
		}
	})
}

// BenchmarkRNP is the AEAD of another implementation, OCB in the packets that
// came before RFC 9580, which is what it has.
func BenchmarkRNP(b *testing.B) {
	testtool.Need(b, "rnp")
	home := b.TempDir()
	run := func(name string, args ...string) {
		b.Helper()
		testtool.Run(b, name, append([]string{"--homedir", home}, args...)...)
	}
	k := testKeys()[PresetGnuPG22]
	key := filepath.Join(home, "key.pgp")
	if err := os.WriteFile(key, grammar.Join(k.state().packets), 0o600); err != nil {
		b.Fatal(err)
	}
	run("rnpkeys", "--import-keys", key)
	path := benchFile(b, "content")
	benchContent(b, path)
	id := strings.ToUpper(k.Fingerprint())
	b.Run("encrypt", func(b *testing.B) {
		b.SetBytes(int64(*benchMiB) << 20)
		for b.Loop() {
			run("rnp", "--overwrite", "-z", "0", "--cipher", "AES256", "--hash", "SHA256", "--aead=OCB", "--aead-chunk-bits", "12",
				"-u", id, "-r", id, "--sign", "--encrypt", "--output", path+".rnp", path)
		}
	})
	b.Run("decrypt", func(b *testing.B) {
		b.SetBytes(int64(*benchMiB) << 20)
		for b.Loop() {
			run("rnp", "--overwrite", "--decrypt", "--output", path+".out", path+".rnp")
		}
	})
}

// BenchmarkSmallMessage is the cost of a message of 1 KiB: the keys.
func BenchmarkSmallMessage(b *testing.B) {
	content := randomBytes(b, 1024)
	for _, profile := range []Preset{PresetGnuPG22, PresetRFC9580, PresetRSA3072} {
		k := testKeys()[profile]
		message := encrypted(b, Encryption{To: []*Key{k}, Signers: []*Key{k}}, content)
		b.Run(string(profile)+"/encrypt", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := (Encryption{To: []*Key{k}, Signers: []*Key{k}}).Encrypt(io.Discard, bytes.NewReader(content)); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(string(profile)+"/decrypt", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (Decryption{Keys: []*Key{k}, Signers: []*Key{k}}).Decrypt(io.Discard, bytes.NewReader(message)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseRing reads a ring of 1,000 keys.
func BenchmarkParseRing(b *testing.B) {
	data := bytes.Repeat(testKeys()[PresetGnuPG22].Marshal(), 1000)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := Parse(data); err != nil {
			b.Fatal(err)
		}
	}
}
