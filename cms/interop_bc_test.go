package cms_test

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/trustkeep/trustkeep"
	"github.com/trustkeep/trustkeep/cms"
	"github.com/trustkeep/trustkeep/internal/testtool"
	"github.com/trustkeep/trustkeep/truststore"
)

func TestInteropBouncyCastle(t *testing.T) {
	var jars []string
	for _, name := range []string{"bcprov", "bcutil", "bcpkix"} {
		jars = append(jars, testtool.File(t, "/usr/share/java/"+name+".jar", "libbcpkix-java"))
	}

	p := newPeople(t)
	dir, content := t.TempDir(), random(100_000)
	write := func(name string, data []byte) {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(name string) []byte {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	write("content", content)
	for _, name := range []string{"rsa", "p256", "ed"} {
		id := p.pick(name)[0]
		write(name+".crt", id.DER)
		write(name+".key", id.PKCS8())
	}
	x25519, x25519Cert, x25519Key := x25519Person(t, p)
	write("x25519.crt", x25519Cert.Raw)
	write("x25519.key", must(x509.MarshalPKCS8PrivateKey(x25519Key)))
	others := cms.OpenOptions{
		Passwords:  passwords("päss wörd"),
		SharedKeys: []*cms.SharedKey{must(cms.NewSharedKey([]byte("id"), []byte("0123456789abcdef0123456789abcdef")))},
	}
	var ours []string
	for name, o := range map[string]cms.SealOptions{"password": {Passwords: others.Passwords}, "shared": {SharedKeys: others.SharedKeys}, "x25519": {}} {
		for _, cipher := range ciphers {
			if cipher >= cms.AES256GCM || name == "x25519" && cipher == cms.TripleDESCBC {
				continue // see below; and the other side has AES for it alone
			}
			var to []*x509.Certificate
			if name == "x25519" {
				to = append(to, x25519Cert)
			}
			o.Cipher = cipher
			label := fmt.Sprintf("%s.%v", name, cipher)
			write(label+".sealed", must(o.Seal(content, to...)))
			ours = append(ours, label+".sealed")
		}
	}
	for _, level := range []int{0, 1, 9} {
		o := cms.CompressOptions{Level: level}
		label := fmt.Sprintf("level-%d", level)
		write(label+".compressed", must(o.Compress(content)))
		write(label+"-stream.compressed", stream(t, content, o.Writer))
		ours = append(ours, label+".compressed", label+"-stream.compressed")
	}
	stamps := newStampedPKI(t, nil)
	write("tsa.crt", stamps.tsa.id.DER)
	write("tsa.key", stamps.tsa.id.PKCS8())
	write("tsa-issuer.crt", stamps.stamps.Intermediate.DER)
	write("rsa.ours.stamped", must(cms.SignOptions{TimeStamp: stamps.tsa.reply}.Sign(content, p.rsa)))
	ask := func(_ context.Context, request []byte) ([]byte, error) {
		write("query", request)
		testtool.Java(t, "testdata/BouncyCastle.java", jars, dir, "tsa")
		return read("reply"), nil
	}
	byThem, err := cms.SignOptions{TimeStamp: ask, TimeStampPolicy: "1.2.3.4"}.Sign(content, p.rsa)
	if err != nil {
		t.Fatal(err)
	}
	write("rsa.theirs.stamped", byThem)
	got, err := cms.VerifyOptions{Trust: p.trust, TimeStampTrust: stamps.trustTS, Clock: at(p.Now().AddDate(0, 1, 0))}.Verify(byThem)
	if err != nil || got.Signers[0].TimeStamp.Accuracy != 2*time.Second || got.Signers[0].TimeStamp.Serial.Int64() != 10 {
		t.Errorf("BouncyCastle's time stamp: %v", err)
	}
	ours = append(ours, "rsa.ours.stamped", "rsa.theirs.stamped")
	for _, name := range []string{"rsa", "p256"} {
		to := p.pick(name)[0].Cert
		for _, cipher := range ciphers {
			if name != "rsa" && cipher >= cms.AES256GCM {
				continue // version 1.72 does not read the two together
			}
			for _, transport := range transports {
				for _, keyIDs := range []bool{false, true} {
					o := cms.SealOptions{Cipher: cipher, KeyTransport: transport, KeyIDs: keyIDs}
					label := fmt.Sprintf("%s.%v-%v-%v", name, cipher, transport, keyIDs)
					der, err := o.Seal(content, to)
					if err != nil {
						t.Fatal(err)
					}
					write(label+".sealed", der)
					write(label+"-stream.sealed", stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, to) }))
					ours = append(ours, label+".sealed", label+"-stream.sealed")
				}
			}
		}
	}
	for _, name := range []string{"rsa", "p256", "ed"} {
		id := p.pick(name)[0]
		for _, pss := range []bool{false, true} {
			o := cms.SignOptions{PSS: pss}
			label := fmt.Sprintf("%s.PSS-%v", name, pss)
			der, err := o.Sign(content, id)
			if err != nil {
				t.Fatal(err)
			}
			write(label+".signed", der)
			write(label+"-stream.signed", stream(t, content, func(w io.Writer) (io.WriteCloser, error) { return o.Writer(w, id) }))
			detached, err := o.SignDetached(bytes.NewReader(content), id)
			if err != nil {
				t.Fatal(err)
			}
			write(label+"-detached.signed", detached)
			ours = append(ours, label+".signed", label+"-stream.signed", label+"-detached.signed")
		}
	}

	t.Log(strings.TrimSpace(testtool.Java(t, "testdata/BouncyCastle.java", jars, dir)))
	for _, name := range ours {
		if !bytes.Equal(read(name+".out"), content) {
			t.Errorf("%s: BouncyCastle read something else", name)
		}
		t.Logf("BouncyCastle reads our %s", name)
	}

	theirs, err := filepath.Glob(filepath.Join(dir, "*.theirs-*"))
	if err != nil || len(theirs) < 20 {
		t.Fatalf("BouncyCastle wrote %d messages, %v", len(theirs), err)
	}
	for _, path := range theirs {
		name := filepath.Base(path)
		if strings.HasSuffix(name, "-compressed") {
			if got, err := cms.Decompress(read(name)); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			t.Logf("we read BouncyCastle's %s", name)
			continue
		}
		if owner := strings.Split(name, ".")[0]; owner == "password" || owner == "shared" || owner == "x25519" {
			var ids []trustkeep.Identity
			if owner == "x25519" {
				ids = append(ids, x25519)
			}
			if got, err := others.Open(read(name), ids...); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			t.Logf("we read BouncyCastle's %s", name)
			continue
		}
		id := p.pick(strings.Split(name, ".")[0])[0]
		message := read(name)
		switch {
		case strings.HasSuffix(name, "-sealed"):
			if got, err := cms.Open(message, id); err != nil || !bytes.Equal(got, content) {
				t.Errorf("%s: %d bytes, %v", name, len(got), err)
			}
			checkTamperedContent(t, name, message, id, content)
		case strings.Contains(name, "-detached"):
			if _, err := cms.VerifyDetached(message, bytes.NewReader(content), truststore.New(id.Cert)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		default:
			if got, err := cms.Verify(message, truststore.New(id.Cert)); err != nil || !bytes.Equal(got.Content, content) {
				t.Errorf("%s: %v", name, err)
			}
		}
		t.Logf("we read BouncyCastle's %s", strings.TrimSuffix(strings.TrimSuffix(name, "-sealed"), "-signed"))
	}
}
